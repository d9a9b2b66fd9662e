"""Every conformer onto a reference: through their group actions first, then by assignment and proper Kabsch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.data.elements import SYMBOLS
from molgiae.data.inputs import is_hdf5, listed, read_inputs
from molgiae.data.readers import Inputs
from molgiae.data.sources import STDIN
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError, ConformerError
from molgiae.inference import Columns, Embedder, Result
from molgiae.matching import principal_starts, rmsd, superpose
from molgiae.pipeline import Options, Summary, output_path, read, run
from molgiae.sinks import Hdf5Sink, Sink, StructureSink

ALIGNED_COLUMNS = (
    "rotation",
    "translation",
    "permutation",
    "aligned_position",
    "in_domain",
    "rmsd_before",
    "rmsd_group_action",
    "rmsd",
)


def align(
    inputs: Inputs, options: Options | None = None, *, reference: Inputs | None = None, **changes: Any
) -> Summary:
    """Superpose conformers of one formula on a reference and write them in its pose and order.

    The conformer x = g.act(c) is brought onto the reference y = h.act(c') by h g^-1, which is exact where both
    are copies of one another; assignment within elements and proper Kabsch refine it, from the four
    superpositions of the principal axes too. The least RMSD found is not proven to be the global minimum.

    Args:
        inputs: conformers.
        options: of the command.
        reference: file whose first conformer is the reference; by default that of the inputs.
        **changes: fields of `Options` by name.

    Raises:
        ConformerError: if there is no reference.
    """
    options = replace(options or Options(), **changes)
    names, references = listed(inputs), [] if reference is None else listed(reference)
    if STDIN in names and STDIN in references:
        raise ConfigError("standard input (-) can be read only once; give the reference as a file")
    output = output_path([*names, *references], options, "_aligned.sdf")
    blocks = read(names, options, output)
    if references:
        target, _ = first_conformer(read_inputs(references), references, skip=False)
    else:
        target, blocks = first_conformer(blocks, names)
    embedder = Embedder(options.model, device=options.device, batch_size=options.batch_size)
    canonical_target = embedder.canonicalize([target])
    sink: Sink = (
        Hdf5Sink(output, ALIGNED_COLUMNS, embedder, command=options.command, overwrite=options.overwrite)
        if is_hdf5(output)
        else StructureSink(output, _aligned_record, overwrite=options.overwrite)
    )
    before: list[float] = []
    after: list[float] = []

    def compute(block: ConformerBlock) -> Result:
        result = align_block(embedder, canonical_target, block)
        before.extend(result["rmsd_before"].tolist())
        after.extend(result["rmsd"].tolist())
        return result

    summary = run(blocks, compute, sink, embedder, options, verb="align")
    if after:
        summary.metrics = {"rmsd_before_mean": float(np.mean(before)), "rmsd_mean": float(np.mean(after))}
    return summary


def first_conformer(
    blocks: Iterator[ConformerBlock], names: list[str], *, skip: bool = True
) -> tuple[Conformer, Iterator[ConformerBlock]]:
    """The first good conformer, and all of the blocks again: standard input can be read only once.

    Args:
        blocks: of conformers.
        names: where they come from, for the message.
        skip: whether refused records may come before it.

    Raises:
        ConformerError: if there is none.
    """
    seen = []
    for block in blocks:
        seen.append(block)
        refused = block.rejected[0] if block.rejected else None
        if refused and not skip and (not len(block) or refused.record < block.record[0]):
            break
        if len(block):
            return block[0], chain(seen, blocks)
    first = next((bad for block in seen for bad in block.rejected), None)
    if first is None:
        raise ConformerError("no conformer that could serve as the reference", source=", ".join(names))
    raise ConformerError(
        f"cannot serve as the reference: {first.reason}",
        source=first.source,
        record=first.record,
        title=first.title,
        line=first.line,
    )


def align_block(embedder: Embedder, target: Result, block: ConformerBlock) -> Result:
    """Align a block; conformers of another formula are refused.

    Args:
        embedder: gives the group actions.
        target: canonicalized reference.
        block: conformers.
    """
    reference = target.block[0]
    formula = Counter(reference.atomic_number.tolist())
    fits = np.array([Counter(c.atomic_number.tolist()) == formula for c in block], dtype=bool)
    refused = [
        Rejected(c.source, c.record, c.title, c.line,
                 f"formula {hill(c)} differs from that of the reference, {hill(reference)}")
        for c, good in zip(block, fits, strict=True) if not good
    ]  # fmt: skip
    probes = embedder.canonicalize(block.take(fits, refused))
    columns: Columns = {
        name: probes[name].copy() for name in ("rotation", "translation", "permutation", "in_domain")
    }
    columns["aligned_position"] = np.empty_like(probes["canonical_position"])
    for name in ("rmsd_before", "rmsd_group_action", "rmsd"):
        columns[name] = np.empty(len(probes))
    for m, aligned in enumerate(_superposed(target, probes)):
        atoms = slice(int(probes.block.offset[m]), int(probes.block.offset[m + 1]))
        for name, value in aligned.items():
            per_atom = name in ("permutation", "aligned_position")
            columns[name][atoms if per_atom else m] = value
    return Result(probes.block, columns)


def _superposed(target: Result, probes: Result) -> Iterator[Columns]:
    """The columns of each probe in turn; the inverse motion is stored: from the reference back to the input."""
    y = target.block[0].position.astype(np.float64)
    z = target.block[0].atomic_number.astype(np.int64)
    place = np.argsort(target["permutation"])
    for m, probe in enumerate(probes.block):
        atoms = slice(int(probes.block.offset[m]), int(probes.block.offset[m + 1]))
        x = probe.position
        rotation = target["rotation"][0] @ probes["rotation"][m].T
        translation = target["translation"][0] - rotation @ probes["translation"][m]
        canonical = x[probes["permutation"][atoms]][place] @ rotation.T + translation
        starts = [(rotation, translation), *principal_starts(y, x)]
        best = superpose(z, y, probe.atomic_number.astype(np.int64), x, starts)
        yield {
            "rotation": best.rotation.T,
            "translation": -best.rotation.T @ best.translation,
            "permutation": best.order,
            "aligned_position": x[best.order] @ best.rotation.T + best.translation,
            "rmsd_before": np.array(rmsd(y, x)),
            "rmsd_group_action": np.array(rmsd(y, canonical)),
            "rmsd": np.array(best.rmsd),
        }


def hill(conformer: Conformer) -> str:
    """Molecular formula in Hill order: carbon, hydrogen, the others by the alphabet."""
    count = Counter(SYMBOLS[z] for z in conformer.atomic_number.tolist())
    first = [s for s in ("C", "H") if "C" in count and s in count]
    rest = sorted(set(count) - set(first))
    return "".join(s + (str(count[s]) if count[s] > 1 else "") for s in [*first, *rest])


def _aligned_record(writer: StructureWriter, result: Result, m: int) -> None:
    atoms = slice(int(result.block.offset[m]), int(result.block.offset[m + 1]))
    writer.write(
        result.block[m],
        order=result["permutation"][atoms],
        position=result["aligned_position"][atoms],
        properties={f"molgiae_{name}": f"{result[name][m]:.4f}" for name in ("rmsd_before", "rmsd")},
    )

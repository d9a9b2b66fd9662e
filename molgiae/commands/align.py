"""The command that superposes conformers on a reference: by their group actions first, then exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from molgiae.canonical.forms import canonical_forms
from molgiae.commands.outcomes import Summary
from molgiae.commands.run import (
    Options,
    begun,
    finished,
    not_both_stdin,
    output_or_memory,
    read,
    run,
    sink_for,
)
from molgiae.config import Distinction
from molgiae.data.blocks import Result
from molgiae.data.checks import reject_meaningless
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.given import Given, Taken, blocks_of, names_of, taken_in
from molgiae.data.readers import Inputs
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError, ConformerError
from molgiae.matching import rmsd, superpose_pairs
from molgiae.matching.molecules import difference, ignoring
from molgiae.matching.pairs import Match

if TYPE_CHECKING:
    from molgiae.data.given import Objects

To = Literal["first", "title"]

SCALARS = ("rmsd_before", "rmsd_group_action", "rmsd", "match", "proven", "reflected")
MOTION = ("rotation", "translation", "permutation")
ALIGNED_COLUMNS = (*MOTION, "aligned_position", *SCALARS)
TABLE_COLUMNS = ("source", "record", "title", *SCALARS, *MOTION)


class References:
    """The conformers that others are brought onto: one for all, or for each the first of its title.

    Args:
        one: the reference of all; None to go by titles.
        names: where references of titles come from, for the message.
    """

    def __init__(self, one: Conformer | None = None, names: Sequence[str] = ()) -> None:
        self._one, self._names = one, names
        self._of_title: dict[str, Conformer] = {}

    def adding(self, blocks: Iterator[ConformerBlock]) -> Iterator[ConformerBlock]:
        """Pass blocks on, and remember conformers of titles that are new, as copies that keep no block alive."""
        for block in blocks:
            for m, title in enumerate(block.title):
                if title not in self._of_title:
                    c = block[m]
                    z, x = c.atomic_number.copy(), c.position.copy()
                    self._of_title[title] = replace(c, atomic_number=z, position=x)
            yield block

    def of(self, conformer: Conformer) -> Conformer | None:
        """Return the reference of a conformer; None if there is none."""
        return self._of_title.get(conformer.title) if self._one is None else self._one

    def missing(self, conformer: Conformer) -> str:
        """Say why a conformer has no reference."""
        return f"no conformer of title {conformer.title!r} in {', '.join(self._names) or 'the references'}"


@overload
def align(inputs: Inputs, options: Options | None = None, **how: Any) -> Summary: ...
@overload
def align(inputs: Objects, options: Options | None = None, *, output: None = None, **how: Any) -> Result: ...
@overload
def align(inputs: Objects, options: Options | None = None, **how: Any) -> Summary: ...
def align(
    inputs: Given,
    options: Options | None = None,
    *,
    reference: Given | None = None,
    to: To = "first",
    match: Match | None = None,
    allow_reflection: bool = False,
    ignore: Collection[Distinction] = (),
    **changes: Any,
) -> Summary | Result:
    """Superpose conformers on a reference of their molecule and write them in its pose and order.

    Files come to a file; objects as a result with ``aligned_position``, ``rmsd`` and the rest, see below.

    The conformer x = g.act(c) is brought onto the reference y = h.act(c') by h g^-1, which is exact where both
    are copies of one another. Then the least RMSD over all rotations and matchings is searched; `proven` says
    where it is known that there is no lesser one.

    Args:
        inputs: conformers, as of `molgiae.embed`.
        options: of the command; the output is SDF, XYZ, HDF5 or CSV by its name.
        reference: what to take references from, likewise; by default the input.
        to: "first": all onto the first conformer; "title": each onto the first of its title.
        match: "bonds": only matchings that put bonds on bonds; "atoms": all within elements; None: "bonds" where
            the records of both have them, otherwise "atoms".
        allow_reflection: whether a conformer may be mirrored.
        ignore: differences from the reference that do not matter; otherwise a conformer of other isotopes, charge or
            multiplicity is rejected.
        **changes: fields of `Options` by name.

    Raises:
        ConformerError: if there is no reference.
        ConfigError: if an option is wrong.

    Examples:
        >>> aligned = molgiae.align(mol)  # all onto the first
        >>> aligned["aligned_position"].reshape(3, 9, 3).shape, aligned["rmsd"].round(2).tolist()
        ((3, 9, 3), [0.0, 0.22, 0.11])
    """
    taken, options = begun(inputs, options, changes)
    if to not in ("first", "title"):
        raise ConfigError(f"to {to!r} is unknown; use first or title")
    others = None if reference is None else taken_in(reference)
    not_both_stdin(names_of(taken), names_of(others or []))
    formats = ("HDF5", "tables", "structures")
    output = output_or_memory(taken, options, "_aligned.sdf", formats, beside=names_of(others or []))
    references, blocks = _references(taken, others, to, options)
    tally = Counter[str]()
    before: list[float] = []
    after: list[float] = []

    def compute(block: ConformerBlock) -> Result:
        result = align_block(references, block, match=match, allow_reflection=allow_reflection, ignore=ignore)
        before.extend(result["rmsd_before"].tolist())
        after.extend(result["rmsd"].tolist())
        tally.update(result["match"].tolist())
        tally["proven"] += int(result["proven"].sum())
        return result

    table = (TABLE_COLUMNS, _table_row)
    sink = sink_for(output, options, ALIGNED_COLUMNS, _aligned_record, table=table)
    summary = run(blocks, compute, sink, options, "align")
    if after:
        summary.metrics = {"rmsd_before_mean": float(np.mean(before)), "rmsd_mean": float(np.mean(after))}
        kinds = ", ".join(f"{tally[kind]} by {kind}" for kind in ("bonds", "atoms") if tally[kind])
        summary.notes += [f"matched {kinds}; {tally['proven']} of {len(after)} proven to be the least RMSD"]
    return finished(sink, summary)


def _references(
    taken: Taken, others: Taken | None, to: To, options: Options
) -> tuple[References, Iterator[ConformerBlock]]:
    """Return the references, and the blocks of all inputs: standard input can be read only once."""
    blocks = read(taken, options, None, keep_text=True)
    if to == "first" and others is not None:
        one, _ = _first_conformer(blocks_of(others, notes=options.notes), names_of(others), skip=False)
        return References(one), blocks
    if to == "first":
        one, blocks = _first_conformer(blocks, names_of(taken))
        return References(one), blocks
    references = References(names=names_of(taken if others is None else others))
    if others is None:
        return references, references.adding(blocks)
    for _ in references.adding(blocks_of(others, on_error="stop", notes=options.notes)):
        pass  # what is passed on is remembered
    return references, blocks


def _first_conformer(
    blocks: Iterator[ConformerBlock], names: list[str], *, skip: bool = True
) -> tuple[Conformer, Iterator[ConformerBlock]]:
    """Return the first good conformer, and all of the blocks again.

    The names of the inputs are for the message. With `skip` rejected records may come before it.

    Raises:
        ConformerError: if there is none.
    """
    seen = []
    for block in blocks:
        seen.append(block)
        bad = block.rejected[0] if block.rejected else None
        if bad and not skip and (not len(block) or bad.record < block.record[0]):
            break
        if len(block):
            return block[0], chain(seen, blocks)
    first = next((bad for block in seen for bad in block.rejected), None)
    if first is None:
        raise ConformerError("no conformer that could serve as the reference", source=", ".join(names))
    raise first.error(f"cannot serve as the reference: {first.reason}")


def align_block(
    references: References,
    block: ConformerBlock,
    *,
    match: Match | None = None,
    allow_reflection: bool = False,
    ignore: Collection[Distinction] = (),
) -> Result:
    """Align a block; what has no reference, or one that it cannot be matched with, is rejected.

    Options are those of `align`.
    """
    block = reject_meaningless(block)
    named = [references.of(c) for c in block]
    reasons = [
        references.missing(c) if target is None else difference(c, target, ignore)
        for c, target in zip(block, named, strict=True)
    ]
    block, targets = _without(block, named, reasons)
    compared = {id(target): ignoring(target, ignore) for target in targets}
    probes = [ignoring(c, ignore) for c in block]
    actions = canonical_forms(compared.values()), canonical_forms(probes)
    row = {key: k for k, key in enumerate(compared)}
    which = np.array([row[id(target)] for target in targets], dtype=np.int64)
    targets = [compared[id(target)] for target in targets]
    starts = actions[0]["rotation"][which] @ np.swapaxes(actions[1]["rotation"], 1, 2)
    kinds: list[Match] = [
        match or ("bonds" if c.has_bonds and target.has_bonds else "atoms")
        for c, target in zip(probes, targets, strict=True)
    ]
    found = superpose_pairs(targets, probes, match=kinds, allow_reflection=allow_reflection, starts=starts)
    matched = np.flatnonzero([not reason for reason in found.reason])
    motions, before, by_action = [], [], []
    aligned, orders = [np.empty((0, 3))], [np.empty(0, np.int32)]
    for k in matched.tolist():
        target, x = targets[k].position, probes[k].position
        rotation, translation, order = found.rotation[k], found.translation[k], found.order[k]
        before.append(rmsd(target, x))
        by_action.append(rmsd(target, _by_action(*actions, int(which[k]), k)))
        motions.append(-rotation.T @ translation)
        orders.append(order.astype(np.int32))
        aligned.append((-1.0 if found.reflected[k] else 1.0) * x[order] @ rotation.T + translation)
    columns = {
        "rotation": np.ascontiguousarray(np.swapaxes(found.rotation[matched], 1, 2)),
        "translation": np.reshape(motions, (-1, 3)),
        "permutation": np.concatenate(orders),
        "aligned_position": np.concatenate(aligned),
        "rmsd_before": np.array(before),
        "rmsd_group_action": np.array(by_action),
        "rmsd": found.rmsd[matched],
        "match": np.array(kinds, dtype="U5")[matched],
        "proven": found.proven[matched].astype(np.uint8),
        "reflected": found.reflected[matched].astype(np.uint8),
    }
    return Result(_without(block, targets, found.reason)[0], columns)


def _without(
    block: ConformerBlock, targets: Sequence[Conformer | None], reasons: Sequence[str]
) -> tuple[ConformerBlock, list[Conformer]]:
    """Return the conformers without a reason to reject them, and their references."""
    kept = [target for target, reason in zip(targets, reasons, strict=True) if not reason and target]
    return block.reject({m: reason for m, reason in enumerate(reasons) if reason}), kept


def _by_action(references: Result, probes: Result, k: int, m: int) -> np.ndarray:
    """Return probe m in the pose and order of reference k by their group actions alone."""
    place = np.argsort(references["permutation"][references.block.atoms_of(k)])
    atoms = probes.block.atoms_of(m)
    x = probes.block.position[atoms][probes["permutation"][atoms]][place]
    canonical = (x - probes["translation"][m]) @ probes["rotation"][m]
    return canonical @ references["rotation"][k].T + references["translation"][k]


def _aligned_record(writer: StructureWriter, result: Result, m: int) -> None:
    atoms = result.block.atoms_of(m)
    values = {name: f"{result[name][m]:.4f}" for name in ("rmsd_before", "rmsd")}
    values |= {name: str(int(result[name][m])) for name in ("proven", "reflected")}
    values["match"] = str(result["match"][m])
    writer.write(
        result.block[m],
        order=result["permutation"][atoms],
        position=result["aligned_position"][atoms],
        rotation=(-1.0 if result["reflected"][m] else 1.0) * result["rotation"][m].T,
        properties={f"molgiae_{name}": value for name, value in values.items()},
    )


def _table_row(result: Result, m: int) -> dict[str, object]:
    block = result.block
    row: dict[str, object] = {
        "source": block.source[m],
        "record": int(block.record[m]),
        "title": block.title[m],
        "match": str(result["match"][m]),
    }
    row |= {name: f"{result[name][m]:.6f}" for name in ("rmsd_before", "rmsd_group_action", "rmsd")}
    row |= {name: int(result[name][m]) for name in ("proven", "reflected")}
    row |= {name: _words(result[name][m]) for name in ("rotation", "translation")}
    return row | {"permutation": " ".join(map(str, result["permutation"][block.atoms_of(m)].tolist()))}


def _words(numbers: np.ndarray) -> str:
    return " ".join(f"{number:.10f}" for number in numbers.ravel().tolist())

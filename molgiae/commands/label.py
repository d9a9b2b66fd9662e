"""Cheap quantum chemistry from file to file: energies, forces, charges and the like as data of the records."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.outcomes import Summary
from molgiae.commands.resume import Unfinished
from molgiae.commands.run import Options, output_path, read, run, sink_for
from molgiae.config import E_ANGSTROM, FOUND_FINISHED
from molgiae.data.atom_chemistry import WIDTH
from molgiae.data.attached import wrapped
from molgiae.data.blocks import Result, concatenate, rebatch
from molgiae.data.cheap_methods import METHODS, QUANTITIES, SOLVATION
from molgiae.data.cheap_values import CHUNK_ATOMS, TIME_LIMIT, Question, chunks
from molgiae.data.checks import reject_faulty
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.inputs import listed
from molgiae.data.npz import read_npz
from molgiae.data.readers import Inputs
from molgiae.data.sources import stamps_of
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError
from molgiae.output.files import Sink
from molgiae.output.labels import LabelSink
from molgiae.output.npz import is_npz

SCALARS = ("energy", "gap", "polarizability")
VECTORS = {"forces": 3, "charges": 1, "dipole": 3, "chemistry": WIDTH}
"""Columns of results: numbers of conformers, and what has so many numbers for a conformer or an atom."""

ENDING = "_labelled.sdf"
"""End of the name that is derived from that of the input."""

Plain = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draw:
    """Which conformers are computed, and where their atoms are.

    Attributes:
        number: of conformers, drawn at random; None for all.
        split: that of QM9 npz files, a name in `molgiae.data.npz.SPLITS`; None for all.
        displace: every other conformer is displaced at random, each with a standard deviation between 0 and this,
            angstrom, so that not all labels are of minima.
        seed: of both.

    Raises:
        ConfigError: a value cannot be.
    """

    number: int | None = None
    split: str | None = None
    displace: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.number is not None and self.number < 1:
            raise ConfigError(f"number={self.number}: must be at least 1")
        if not 0 <= self.displace < float("inf"):
            raise ConfigError(f"displace={self.displace:g}: must be a length in angstrom, 0 for none")

    def of(self, blocks: Iterable[ConformerBlock]) -> Iterator[ConformerBlock]:
        """Yield what is drawn of the conformers, in their order, and all rejected records."""
        if self.number is not None:
            block = concatenate(list(blocks))
            order = np.random.default_rng(self.seed).permutation(len(block))
            blocks = rebatch([block.take(np.sort(order[: self.number]))], 1024)
        first = 0
        for block in blocks:
            yield self._displaced(block, first) if self.displace else block
            first += len(block)

    def _displaced(self, block: ConformerBlock, first: int) -> ConformerBlock:
        """Displace every other conformer of a block, which starts with the conformer of this number."""
        position = block.position.copy()
        for m in range(len(block)):
            if (first + m) % 2:
                rng, atoms = np.random.default_rng([self.seed, first + m]), block.atoms_of(m)
                position[atoms] += self.displace * rng.random() * rng.standard_normal(position[atoms].shape)
                position[atoms] = position[atoms].round(4)  # SDF has no more
        return replace(block, position=position)


def label(
    inputs: Inputs,
    options: Options | None = None,
    *,
    method: str = "gfn2",
    polarizability_every: int = 0,
    solvents: Sequence[str] = (),
    number: int | None = None,
    split: str | None = None,
    displace: float = 0.0,
    seed: int = 0,
    jobs: int | None = None,
    time_limit: float = TIME_LIMIT,
    resume: bool = False,
    **changes: Any,
) -> Summary:
    """Compute every conformer by a cheap method, in the order of the input whatever the number of processes.

    The output is SDF, XYZ, CSV, TSV or npz by its name. The npz has what `molgiae pretrain --labels` reads, and of
    conformers with bonds also what `molgiae.data.atom_chemistry` tells of the atoms.

    Args:
        inputs: files, directories, ``-`` for standard input, or npz files; one or several.
        options: of the command.
        method: a name in `molgiae.data.cheap_methods.METHODS`.
        polarizability_every: one conformer in so many gets a polarizability; 0 for none.
        solvents: names in `molgiae.data.cheap_methods.SOLVENTS`; the energy in each, less that in vacuum, is computed.
        number: as of `Draw`.
        split: as of `Draw`.
        displace: as of `Draw`.
        seed: as of `Draw`.
        jobs: processes; None for as many as cores.
        time_limit: seconds for one conformer.
        resume: continue an interrupted run; begin if there is none. What the same run has finished is left alone.
        **changes: fields of `Options` by name, as in ``label("a.sdf", output="b.sdf")``.

    Raises:
        ConfigError: if an option is wrong, or a package is not installed.
        MolgiaeError: whatever else keeps the output from being written.

    Examples:
        >>> molgiae.label("conformers.sdf", output="labelled.sdf", method="mmff94s", number=2, jobs=1).written
        2
    """
    options = (options or Options()).for_a_run(**changes)
    names = listed(inputs)
    output = output_path(names, options, ENDING, ("structures", "tables", "npz"))
    question = Question(
        method, polarizability_every, is_npz(output), tuple(dict.fromkeys(solvents)), time_limit=time_limit
    )
    draw = Draw(number, split, displace, seed)
    settings = {
        "inputs": stamps_of(names),
        "method": method,
        "polarizability_every": polarizability_every,
        "solvents": list(question.solvents),
        **asdict(draw),
        "chunk_atoms": CHUNK_ATOMS,
    }
    final = Path(os.path.realpath(output))
    unfinished = Unfinished(final, settings, resume=resume, overwrite=options.overwrite)
    if unfinished.outcome is not None:
        before = Summary(**unfinished.outcome)
        return replace(before, notes=[*before.notes, FOUND_FINISHED])
    sink = _sink(output, question, options, is_displaced=displace > 0)
    resumed = sum(note["records"] for note in unfinished.notes)
    with unfinished:
        blocks = chunks(draw.of(_blocks(names, options, output, split)))
        with closing(_results(blocks, question, unfinished, jobs)) as results:
            summary = run(results, lambda result: result, sink, options, "label")
    unfinished.finish(summary.to_dict())
    if resumed:
        summary.notes.append(f"{resumed} were done by the run that was continued")
    return summary


def _blocks(names: list[str], options: Options, output: Path, split: str | None) -> Iterator[ConformerBlock]:
    """Read conformers, with the text of their records, or npz files."""
    npz = [name for name in names if is_npz(name)]
    if len(npz) < len(names) and (npz or split):
        other = next(name for name in names if name not in npz)
        raise ConfigError(f"{other}: is no npz file; give it to a separate run, without a split")
    if not npz:
        return read(names, options, output, keep_text=True)
    files = (read_npz(Path(name), split) for name in npz)
    return map(reject_faulty, chain.from_iterable(rebatch([block], 1024) for block in files))


def _results(
    blocks: Iterable[ConformerBlock], question: Question, unfinished: Unfinished, jobs: int | None
) -> Generator[Result, None, None]:
    """Yield conformers with what is computed of them, and keep it for a run that continues this one.

    The text of what is unfinished has a line of JSON for each block.
    """
    n_known = len(unfinished.notes)
    with open(unfinished.text, encoding="utf-8") as lines:
        known = chain(map(json.loads, islice(lines, n_known)), repeat(None))
        for k, (block, found) in enumerate(question.answers(zip(blocks, known, strict=False), jobs)):
            if k >= n_known:
                unfinished.append(json.dumps(found) + "\n", {"records": len(block)})
            elif len(found) != len(block):
                raise ConfigError(f"{unfinished.text}: is of other inputs; begin anew with --overwrite")
            yield _result(block, found, question.solvents)


def _result(block: ConformerBlock, found: list[Plain], solvents: Sequence[str]) -> Result:
    """Return conformers with the fields of `Computed` and the chemistry as columns, without those that failed."""
    kept = block.reject({m: one["reason"] for m, one in enumerate(found) if "reason" in one})
    good = [one for one in found if "reason" not in one]
    columns = {name: np.array([one[name] for one in good], np.float64) for name in SCALARS}
    for solvent in solvents:
        columns[SOLVATION + solvent] = np.array([one["solvation"][solvent] for one in good], np.float64)
    for name, width in VECTORS.items():
        rows = [np.array(one[name], np.float64).reshape(-1, width) for one in good if name in one]
        columns[name] = np.concatenate([np.empty((0, width)), *rows])
    columns["charges"] = columns["charges"][:, 0]
    return Result(kept, columns)


def _sink(output: Path, question: Question, options: Options, *, is_displaced: bool) -> Sink:
    """Return where results go, by the name of the output."""
    if is_npz(output):
        return LabelSink(output, overwrite=options.overwrite)
    method = METHODS[question.method]
    given = [name for name in method.gives if name != "polarizability" or question.polarizability_every]
    units = {name: QUANTITIES[name] for name in given}
    units |= {SOLVATION + solvent: "eV" for solvent in question.solvents}
    heading = {name: f"{method.prefix}_{name} [{unit}]" for name, unit in units.items()}

    def numbers(result: Result, m: int) -> dict[str, str]:
        """Ten digits: total energies of thousands of eV differ in the meV."""
        values = {name: result[name][m] for name in units}
        lengths = {name: np.linalg.norm(value) if np.ndim(value) else value for name, value in values.items()}
        return {name: f"{round(value, 8):.10g}" for name, value in lengths.items() if np.isfinite(value)}

    def cells(result: Result, m: int) -> dict[str, object]:
        block = result.block
        own = {heading[name]: text for name, text in numbers(result, m).items()}
        return {"source": block.source[m], "record": int(block.record[m]), "title": block.title[m], **own}

    def record(writer: StructureWriter, result: Result, m: int) -> None:
        conformer, atoms, found = result.block[m], result.block.atoms_of(m), numbers(result, m)
        of_atoms = {name: result[name][atoms] for name in ("forces", "charges")}
        known = {name: values for name, values in of_atoms.items() if np.isfinite(values).all()}
        if not writer.keeps_tables:
            _write_frame(writer, conformer, found, result["dipole"][m] / E_ANGSTROM, known, method.prefix)
            return
        own = {f"{method.prefix}_{name}": text for name, text in found.items()}
        if "charges" in known:
            charges = wrapped(f"{charge:.6f}" for charge in known["charges"])
            own[f"atom.dprop.{method.prefix}_charge"] = charges
        if is_displaced:
            writer.write(conformer, properties=own)
        else:
            writer.annotate(conformer, own)

    table = (("source", "record", "title", *heading.values()), cells)
    return sink_for(output, options, (), record, table=table)


def _write_frame(
    writer: StructureWriter,
    conformer: Conformer,
    found: Mapping[str, str],
    dipole: NDArray[np.float64],
    columns: Mapping[str, NDArray[Any]],
    prefix: str,
) -> None:
    """Write extended XYZ under the names that ASE reads; what had these names before has ``input_`` before it.

    Args:
        writer: of XYZ.
        conformer: as read.
        found: numbers by their names in `QUANTITIES`.
        dipole: (3,) elementary charges times angstrom.
        columns: of the atoms.
        prefix: of names that ASE does not know.
    """
    own = {name if name == "energy" else f"{prefix}_{name}": text for name, text in found.items()}
    if own.pop(f"{prefix}_dipole", None):
        own["dipole"] = " ".join(f"{x:.8f}" for x in dipole)
    data = _kept(conformer.atom_data, columns) | {name: values.round(8) for name, values in columns.items()}
    writer.write(replace(conformer, properties=_kept(conformer.properties, own) | own, atom_data=data))


def _kept(values: Mapping[str, T], taken: Container[str]) -> dict[str, T]:
    return {f"input_{name}" if name in taken else name: value for name, value in values.items()}

"""The command that keeps one of all copies: read everything, decide, write what is kept and a table of all."""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from molgiae.commands.run import Options, Reasons, output_path, stop_at_refusal
from molgiae.config import Distinction
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.csv_cells import CsvWriter
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.inputs import is_hdf5, listed, read_inputs
from molgiae.data.partial import PartialFile
from molgiae.data.readers import Inputs
from molgiae.data.writers import StructureWriter, open_writer, structure_suffix
from molgiae.errors import ConfigError, ConformerError, MolgiaeError
from molgiae.matching.copies import THRESHOLD, Match, Rule, Verdicts, find_duplicates
from molgiae.matching.formula import ignoring
from molgiae.properties.columns import energy_of, properties_of

Keep = Literal["first", "lowest"]
Mirror = Literal["distinct", "same"]

MAX_KEYS = 1000

TABLE_FIELDS = (
    "source",
    "record",
    "title",
    "status",
    "into_source",
    "into_record",
    "into_title",
    "rmsd",
    "proven",
    "mirror",
    "match",
    "copies",
    "reason",
)


@dataclass
class Deduplication:
    """What `deduplicate` did; read = kept + merged + rejected.

    Attributes:
        output: the file written.
        table: CSV with a row for every record.
        read: records found.
        kept: conformers in the output.
        merged: conformers left out as copies of one that is kept.
        rejected: records refused.
        reasons: how many were refused for what reason.
        unproven: conformers kept although it is not proven that they are no copies.
        seconds: wall time.
        notes: what the readers had to decide or to leave out, a line each.
    """

    output: str
    table: str
    read: int = 0
    kept: int = 0
    merged: int = 0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    unproven: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def deduplicate(
    inputs: Inputs,
    options: Options | None = None,
    *,
    threshold: float = THRESHOLD,
    mirror: Mirror = "distinct",
    match: Match | None = None,
    energy: str | None = None,
    energy_window: float | None = None,
    keep: Keep | None = None,
    ignore: Collection[Distinction] = (),
    table: str | os.PathLike[str] | None = None,
    **changes: Any,
) -> Deduplication:
    """Keep one of all copies of each conformer, whatever molecules, poses and atom orders there are.

    The conformers are gone through in the order of the input, or by energy; each is kept unless it is within the
    threshold of one that is kept already, and otherwise merged into that. What is kept is written in the
    order of the input, as it was read.

    Args:
        inputs: files, directories, ``-`` for standard input; one or several.
        options: of the command; model and device do not matter.
        threshold: largest symmetric RMSD of copies, all atoms, angstrom.
        mirror: whether mirror images are copies ("same") or not ("distinct").
        match: as in `molgiae.matching.copies.Rule`; with "bonds", unknown bonds are perceived from distances.
        energy: name of the property that holds the energy, see `molgiae.properties.columns.energy_of`.
        energy_window: copies differ in energy by at most this, in the unit of the property.
        keep: of copies, the "first" of the input or the "lowest" in energy; "lowest" if `energy` is given.
        ignore: differences that do not make two conformers distinct: isotopes, charge, multiplicity.
        table: CSV file to write; by default named after the output.
        **changes: fields of `Options` by name.

    Raises:
        ConfigError: if options contradict each other, or no record has the energy.
        MolgiaeError: whatever else keeps the output from being written.
    """
    started = time.monotonic()
    options = (options or Options()).for_a_run(**changes)
    _check(threshold, energy, energy_window, keep)
    names = listed(inputs)
    suffix = ".h5" if names and is_hdf5(names[0]) else (structure_suffix(names[0]) if names else None)
    output = output_path(names, options, f"_unique{suffix or '.sdf'}")
    table_path = Path(table) if table is not None else table_of(output)
    if table_path.resolve() in (output.resolve(), *(Path(name).resolve() for name in names)):
        raise ConfigError(f"{table_path}: is an input or the output, too; give --table another name")
    with ExitStack() as stack:
        writer = _writer(output, options)
        stack.enter_context(writer)
        partial = PartialFile(table_path, overwrite=options.overwrite)
        stack.callback(partial.discard)
        records = stack.enter_context(Records(energy, match, ignore))
        records.read(_read(names, options, output, match, energy), options)
        with tqdm(total=len(records), desc="dedup", unit=" conformers", disable=_silent(options)) as bar:
            verdicts = find_duplicates(
                records,
                Rule(threshold, match, mirror == "same", energy_window),
                order=np.argsort(records.energy, kind="stable") if energy and keep != "first" else None,
                energy=np.array(records.energy) if energy else None,
                advance=bar.update,
            )
        result = Deduplication(str(output), str(table_path))
        reasons = Reasons()
        with partial.reporting(), open(partial.temporary, "w", newline="", encoding="utf-8") as file:
            table_rows = CsvWriter(file)
            table_rows.row(TABLE_FIELDS)
            for first, block in records.blocks():
                kept = verdicts.into[first : first + len(block)] < 0
                _write(writer, block, kept)
                table_rows.rows(_rows(block, first, verdicts, records))
                reasons.add(refused.reason for refused in block.rejected)
                result.kept += int(kept.sum())
                result.merged += int((~kept).sum())
                result.rejected += len(block.rejected)
        partial.publish()
    result.read = result.kept + result.merged + result.rejected
    result.reasons = reasons.most_common()
    result.unproven = int(((verdicts.into < 0) & ~verdicts.proven).sum())
    result.notes = options.notes.lines()
    result.seconds = time.monotonic() - started
    return result


class Records(Sequence[Conformer]):
    """Conformers of all inputs: atoms and bonds in memory, everything else on disk until it is written.

    As a sequence it holds conformers with what makes them distinct, and nothing else.

    Args:
        energy: property that must hold a number; None if none does.
        match: "atoms" leaves the bonds out.
        ignore: as of `deduplicate`.

    Attributes:
        energy: values of that property.
        source, record, title: of every conformer.
    """

    def __init__(
        self,
        energy: str | None = None,
        match: Match | None = None,
        ignore: Collection[Distinction] = (),
    ) -> None:
        self.energy: list[float] = []
        self.source: list[str] = []
        self.record: list[int] = []
        self.title: list[str] = []
        self._key, self._match, self._ignore = energy, match, ignore
        self._units: set[str] = set()
        self._parts: list[ConformerBlock] = []
        self._starts: list[int] = []
        self._length = 0

    def __enter__(self) -> Records:
        self._spool = tempfile.TemporaryFile()
        return self

    def __exit__(self, *exception: object) -> None:
        self._spool.close()

    def read(self, blocks: Iterable[ConformerBlock], options: Options) -> None:
        """Take all blocks.

        Raises:
            ConfigError: if no conformer has the energy.
            ConformerError: for the first refused record, if that is what the options want.
            MolgiaeError: if the temporary file cannot be written.
        """
        keys: set[str] = set()
        with tqdm(desc="read", unit=" conformers", disable=_silent(options)) as bar:
            for block in blocks:
                if self._key is not None and len(keys) < MAX_KEYS:
                    keys.update(key for conformer in block for key in properties_of(conformer))
                taken = block if self._key is None else self._with_energy(block, self._key)
                stop_at_refusal(taken, options)
                self._add(taken)
                bar.update(len(block) + len(block.rejected))
        if self._key is not None and self._key not in keys and not self.energy:
            found = ", ".join(sorted(keys)) or "none at all"
            raise ConfigError(
                f"no record has a property '{self._key}' for --energy; properties found: {found}"
            )

    def blocks(self) -> Iterator[tuple[int, ConformerBlock]]:
        """The blocks as they were read, each with the number of its first conformer."""
        self._spool.seek(0)
        for start in self._starts:
            yield start, pickle.load(self._spool)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, row: int) -> Conformer: ...

    @overload
    def __getitem__(self, row: slice) -> list[Conformer]: ...

    def __getitem__(self, row: int | slice) -> Conformer | list[Conformer]:
        """Conformer `row`, or some."""
        if isinstance(row, slice):
            return [self[k] for k in range(*row.indices(len(self)))]
        number = bisect_right(self._starts, row) - 1
        return ignoring(self._parts[number][row - self._starts[number]], self._ignore)

    def _with_energy(self, block: ConformerBlock, key: str) -> ConformerBlock:
        """The conformers whose energy is a number; the others are rejected."""
        values: list[float] = []
        refused: list[tuple[int, str]] = []
        for m, conformer in enumerate(block):
            try:
                energy = energy_of(conformer, key)
            except ConformerError as error:
                refused.append((m, error.reason))
                continue
            values.append(energy.value)
            self._units.add(energy.unit)
        if len(self._units) > 1:
            found = ", ".join(unit or "none" for unit in sorted(self._units))
            raise ConfigError(f"energies of '{key}' have unlike units: {found}; bring them to one")
        self.energy += values
        return block.reject(dict(refused))

    def _add(self, block: ConformerBlock) -> None:
        try:
            pickle.dump(block, self._spool, pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            place = f"{tempfile.gettempdir()}: the temporary file cannot be written"
            raise MolgiaeError(f"{place}: {error.strerror}; name another directory in TMPDIR") from error
        self._starts.append(self._length)
        self._parts.append(_identity(block, bonds=self._match != "atoms"))
        self.source += block.source
        self.record += block.record.tolist()
        self.title += block.title
        self._length += len(block)


def table_of(output: Path) -> Path:
    """The CSV table that belongs to an output."""
    return output.with_name(Path(output.name.removesuffix(".gz")).stem + "_duplicates.csv")


def _check(threshold: float, energy: str | None, energy_window: float | None, keep: Keep | None) -> None:
    if not threshold >= 0:
        raise ConfigError(f"threshold {threshold}: must be 0 or more, in angstrom")
    if energy_window is not None and not energy_window >= 0:
        raise ConfigError(f"energy window {energy_window}: must be 0 or more, in the unit of the property")
    if energy is None and (energy_window is not None or keep == "lowest"):
        raise ConfigError("name the property that holds the energy with --energy")


def _silent(options: Options) -> bool | None:
    return None if options.progress else True


def _read(
    names: list[str], options: Options, output: Path, match: Match | None, energy: str | None
) -> Iterator[ConformerBlock]:
    keep_text = energy is not None or match != "atoms" or not is_hdf5(output)
    return read_inputs(
        names, format=options.format, on_error=options.on_error, keep_text=keep_text, notes=options.notes
    )


def _identity(block: ConformerBlock, *, bonds: bool) -> ConformerBlock:
    """The conformers with what makes them distinct alone."""
    known = {name: getattr(block, name) for name in ("isotope", "charge", "multiplicity")}
    if bonds:
        known |= {"bonds": block.bonds, "bond_offset": block.bond_offset}
    return ConformerBlock.from_arrays(block.atomic_number, block.position, block.offset, **known)


Writer = Hdf5Writer | StructureWriter


def _writer(output: Path, options: Options) -> Writer:
    if is_hdf5(output):
        return Hdf5Writer(output, columns=(), command=options.command, overwrite=options.overwrite)
    return open_writer(output, overwrite=options.overwrite)


def _write(writer: Writer, block: ConformerBlock, kept: NDArray[np.bool_]) -> None:
    if isinstance(writer, Hdf5Writer):
        writer.append(block.take(kept))
        return
    for m in np.flatnonzero(kept).tolist():
        writer.copy(block[m])


def _rows(block: ConformerBlock, first: int, verdicts: Verdicts, records: Records) -> list[list[object]]:
    """Rows of the table for the records of a block, those of one source by number."""
    rows: list[list[object]] = []
    for m in range(len(block)):
        k = first + m
        into = int(verdicts.into[k])
        merged = into >= 0
        rows.append(
            [
                block.source[m],
                int(block.record[m]),
                block.title[m],
                "merged" if merged else "kept",
                *(
                    (records.source[into], records.record[into], records.title[into])
                    if merged
                    else ("", "", "")
                ),
                f"{verdicts.rmsd[k]:.6f}" if merged else "",
                int(verdicts.proven[k]),
                int(verdicts.mirror[k]),
                "bonds" if verdicts.by_bonds[k] else "atoms",
                "" if merged else int(verdicts.copies[k]),
                "",
            ]
        )
    for bad in block.rejected:
        blank = [""] * (len(TABLE_FIELDS) - 5)
        rows.append([bad.source, bad.record, bad.title, "rejected", *blank, bad.reason])
    order = {source: k for k, source in enumerate(dict.fromkeys(row[0] for row in rows))}
    return sorted(rows, key=lambda row: (order[row[0]], row[1]))

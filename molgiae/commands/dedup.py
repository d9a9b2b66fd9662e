"""The command that keeps one of all copies of each conformer: read, decide, write what is kept and a table of all."""

from __future__ import annotations

import os
import tempfile
import time
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.outcomes import Outcome, Reasons
from molgiae.commands.run import (
    Options,
    begun,
    beside,
    like_input,
    output_or_memory,
    read,
    stem_of,
    stop_at_rejected,
)
from molgiae.config import Distinction
from molgiae.data.blocks import Result, concatenate
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.csv_cells import CsvWriter
from molgiae.data.given import Given, names_of
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.inputs import is_hdf5
from molgiae.data.partial import PartialFile, is_stdout
from molgiae.data.readers import Inputs
from molgiae.data.sources import Notes
from molgiae.data.spool import Spool
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError, ConformerError
from molgiae.matching.copies import THRESHOLD, Rule, Verdicts, find_duplicates
from molgiae.matching.molecules import ignoring
from molgiae.matching.pairs import Match
from molgiae.properties.columns import ENERGY, energy_of, properties_of

if TYPE_CHECKING:
    from molgiae.data.given import Objects

Keep = Literal["first", "lowest"]
Mirror = Literal["distinct", "same"]

MAX_KEYS = 1000
"""Names of properties that are remembered for a message."""
DISTINCT = ("isotope", "charge", "multiplicity", "record", "source", "title")
"""What is kept in memory of conformers, beside atoms and bonds."""

TABLE_FIELDS = (
    *("source", "record", "title", "status", "into_source", "into_record", "into_title"),
    *("rmsd", "proven", "mirror", "match", "copies", "reason"),
)


@dataclass
class Deduplication(Outcome):
    """What `deduplicate` did; read = kept + merged + rejected.

    Attributes:
        table: CSV with a row for every record.
        kept: conformers in the output.
        merged: conformers left out as copies of one that is kept.
        unproven: conformers kept although it is not proven that they are no copies.
    """

    table: str = ""
    kept: int = 0
    merged: int = 0
    unproven: int = 0


@overload
def deduplicate(inputs: Inputs, options: Options | None = None, **how: Any) -> Deduplication: ...
@overload
def deduplicate(
    inputs: Objects, options: Options | None = None, *, output: None = None, **how: Any
) -> Result: ...
@overload
def deduplicate(inputs: Objects, options: Options | None = None, **how: Any) -> Deduplication: ...
def deduplicate(
    inputs: Given,
    options: Options | None = None,
    *,
    threshold: float = THRESHOLD,
    mirror: Mirror = "distinct",
    match: Match | None = None,
    heavy: bool = False,
    energy: str | None = None,
    energy_window: float | None = None,
    keep: Keep | None = None,
    ignore: Collection[Distinction] = (),
    table: str | os.PathLike[str] | None = None,
    **changes: Any,
) -> Deduplication | Result:
    """Keep one of all copies of each conformer, whatever molecules, poses and atom orders there are.

    Files come to a file and a table; objects as a result of all of them with the columns ``kept``, ``into`` (row of the
    conformer that one is a copy of, -1 of those kept), ``rmsd``, ``proven``, ``mirror`` and ``copies``.

    The conformers are gone through in the order of the input, or by energy; each is kept unless it is within the
    threshold of one that is kept already, and otherwise merged into that. What is kept is written in the
    order of the input, as it was read.

    Args:
        inputs: as of `molgiae.embed`.
        options: of the command; model and device do not matter.
        threshold: largest symmetry-corrected RMSD of copies, angstrom; of all atoms but for `heavy`.
        mirror: whether mirror images are copies ("same") or not ("distinct").
        match: as in `molgiae.matching.copies.Rule`; with "bonds", unknown bonds are perceived from distances.
        heavy: leave hydrogens out of the RMSD; they still say which of the other atoms are equivalent.
        energy: name of the property that holds the energy, see `molgiae.properties.columns.energy_of`; by default
            "energy" where the lowest are kept; read only where it matters.
        energy_window: copies differ in energy by at most this, in the unit of the property; records without an energy
            are rejected.
        keep: of copies, the "first" of the input or the "lowest" in energy, of equal ones the first; those without an
            energy come last. "lowest" by default if `energy` is given.
        ignore: differences that do not make two conformers distinct: isotopes, charge, multiplicity.
        table: CSV file to write; by default named after the output, or the input if that is standard output.
        **changes: fields of `Options` by name.

    Raises:
        ConfigError: if options contradict each other, or no record has the energy.
        MolgiaeError: whatever else keeps the output from being written.

    Examples:
        >>> found = molgiae.deduplicate(mol, threshold=0.12)
        >>> found["kept"].tolist(), found["into"].tolist()
        ([True, True, False], [-1, -1, 0])
        >>> unique = found.take(found["kept"])
        >>> molgiae.deduplicate("conformers.sdf", output="unique.sdf").kept
        74
    """
    started = time.monotonic()
    taken, options = begun(inputs, options, changes)
    lowest = keep == "lowest" or (keep is None and energy is not None)
    energy = (energy or ENERGY) if lowest else energy if energy_window is not None else None
    _check(threshold, energy, energy_window)

    def find(records: Records) -> Verdicts:
        with options.bar("dedup", len(records)) as bar:
            return find_duplicates(
                records,
                Rule(threshold, match, mirror == "same", energy_window, heavy),
                order=np.argsort(records.energy, kind="stable") if lowest else None,
                energy=np.array(records.energy) if energy else None,
                advance=bar.update,
            )

    names = names_of(taken)
    output = output_or_memory(taken, options, f"_unique{like_input(names)}", pipes=True)
    if output is None:
        if table is not None:
            raise ConfigError(f"{table}: a table goes with an output; name that, too")
        with tempfile.TemporaryFile() as spool:
            records = Records(spool, energy, match, ignore, all_have_energy=energy_window is not None)
            records.read(read(taken, options, None), options)
            return _result(records, find(records))
    if table is None and is_stdout(output):
        table = f"{stem_of(names)}_duplicates.csv"
    table_path = Path(table) if table is not None else beside(output, "_duplicates.csv")
    if table_path.resolve() in (output.resolve(), *(Path(name).resolve() for name in names)):
        raise ConfigError(f"{table_path}: is an input or the output, too; give --table another name")
    with ExitStack() as stack:
        writer = _writer(output, options)
        stack.enter_context(writer)
        partial = PartialFile(table_path, overwrite=options.overwrite)
        stack.callback(partial.discard)
        spool = stack.enter_context(tempfile.TemporaryFile())
        records = Records(spool, energy, match, ignore, all_have_energy=energy_window is not None)
        keep_text = energy is not None or match != "atoms"
        records.read(read(taken, options, output, keep_text=keep_text), options)
        verdicts = find(records)
        result, reasons = Deduplication(str(output), table=str(table_path)), Reasons()
        with partial.reporting(), open(partial.temporary, "w", newline="", encoding="utf-8") as file:
            csv = CsvWriter(file)
            csv.row(TABLE_FIELDS)
            copies = verdicts.copies
            for first, block in records.blocks():
                kept = verdicts.into[first : first + len(block)] < 0
                _write(writer, block, kept)
                rows = _rows(block, first, verdicts, copies, records)
                csv.rows([row.get(name, "") for name in TABLE_FIELDS] for row in rows)
                reasons.add(bad.reason for bad in block.rejected)
                result.kept += int(kept.sum())
                result.merged += int((~kept).sum())
        partial.publish()
    result.rejected, result.reasons = reasons.total, reasons.most_common()
    result.read = result.kept + result.merged + result.rejected
    result.unproven = int(((verdicts.into < 0) & ~verdicts.proven).sum())
    result.notes = options.notes.lines()
    result.seconds = time.monotonic() - started
    return result


def _result(records: Records, verdicts: Verdicts) -> Result:
    """Return all conformers with what was decided of them."""
    columns = {name: getattr(verdicts, name) for name in ("into", "rmsd", "proven", "mirror", "copies")}
    block = concatenate([block for _, block in records.blocks()])
    return Result(block, {"kept": verdicts.into < 0, **columns})


class Records:
    """Conformers of all inputs: what makes them distinct in memory, everything else on disk until it is written.

    As a sequence it holds conformers with what makes them distinct, source, record and title, and nothing else.

    Args:
        spool: temporary file, open for writing and reading.
        energy: property whose values the attribute of this name lists, NaN where there is none; None for no property.
        match: "atoms" leaves the bonds out.
        ignore: as of `deduplicate`.
        all_have_energy: whether records without an energy are rejected.
    """

    def __init__(
        self,
        spool: IO[bytes],
        energy: str | None,
        match: Match | None,
        ignore: Collection[Distinction],
        *,
        all_have_energy: bool,
    ) -> None:
        self.energy: list[float] = []
        self._spool = Spool[ConformerBlock](spool)
        self._key, self._match, self._ignore = energy, match, ignore
        self._all_have_energy = all_have_energy
        self._units: set[str] = set()
        self._parts: list[ConformerBlock] = []

    def read(self, blocks: Iterable[ConformerBlock], options: Options) -> None:
        """Take all blocks.

        Raises:
            ConfigError: if no conformer has the energy.
            ConformerError: for the first rejected record, if that is what the options want.
            MolgiaeError: if the temporary file cannot be written.
        """
        keys: set[str] = set()
        with options.bar("read") as bar:
            for block in blocks:
                if self._key is not None and len(keys) < MAX_KEYS:
                    keys.update(key for conformer in block for key in properties_of(conformer))
                taken = self._with_energy(block, options.notes)
                stop_at_rejected(taken, options)
                self._add(taken)
                bar.update(len(block) + len(block.rejected))
        if self._key is not None and self._key not in keys and np.isnan(self.energy).all():
            found = ", ".join(sorted(keys)) or "none at all"
            raise ConfigError(
                f"no record has a property '{self._key}' for --energy; properties found: {found}"
            )

    def blocks(self) -> Iterator[tuple[int, ConformerBlock]]:
        """Yield the blocks as they were read, each with the number of its first conformer."""
        return self._spool.blocks()

    def __len__(self) -> int:
        return len(self._spool)

    def __getitem__(self, row: int) -> Conformer:
        starts = self._spool.starts
        number = bisect_right(starts, row) - 1
        return ignoring(self._parts[number][row - starts[number]], self._ignore)

    def _with_energy(self, block: ConformerBlock, notes: Notes) -> ConformerBlock:
        """Take the energies, and return the conformers that may go without one or whose energy is a number."""
        key = self._key
        if key is None:
            return block
        reasons: dict[int, str] = {}
        for m, conformer in enumerate(block):
            try:
                energy = energy_of(conformer, key)
            except ConformerError as error:
                if self._all_have_energy:
                    reasons[m] = error.reason
                else:
                    self.energy.append(np.nan)
                    notes.add(conformer.source, conformer.record, f"conformers without '{key}' come last")
                continue
            self.energy.append(energy.value)
            self._units.add(energy.unit)
        if len(self._units) > 1:
            found = ", ".join(unit or "none" for unit in sorted(self._units))
            raise ConfigError(f"energies of '{key}' have unlike units: {found}; bring them to one")
        return block.reject(reasons)

    def _add(self, block: ConformerBlock) -> None:
        self._spool.add(block)
        names = DISTINCT if self._match == "atoms" else (*DISTINCT, "bonds", "bond_offset")
        known = {name: getattr(block, name) for name in names}
        self._parts.append(
            ConformerBlock.from_arrays(block.atomic_number, block.position, block.offset, **known)
        )


def _check(threshold: float, energy: str | None, energy_window: float | None) -> None:
    if not threshold >= 0:
        raise ConfigError(f"threshold {threshold}: must be 0 or more, in angstrom")
    if energy_window is not None and not energy_window >= 0:
        raise ConfigError(f"energy window {energy_window}: must be 0 or more, in the unit of the property")
    if energy is None and energy_window is not None:
        raise ConfigError("name the property that holds the energy with --energy")


def _writer(output: Path, options: Options) -> Hdf5Writer | StructureWriter:
    if is_hdf5(output):
        how: dict[str, Any] = {"overwrite": options.overwrite, "share": options.share}
        return Hdf5Writer(output, columns=(), command=options.command, **how)
    return StructureWriter(output, overwrite=options.overwrite)


def _write(writer: Hdf5Writer | StructureWriter, block: ConformerBlock, kept: NDArray[np.bool_]) -> None:
    if isinstance(writer, Hdf5Writer):
        writer.append(block.take(kept))
        return
    for m in np.flatnonzero(kept).tolist():
        writer.copy(block[m])


def _rows(
    block: ConformerBlock, first: int, verdicts: Verdicts, copies: NDArray[np.int64], records: Records
) -> list[dict[str, Any]]:
    """Return rows of the table for the records of a block, those of one source by number."""
    rows: list[dict[str, Any]] = []
    for m in range(len(block)):
        k, into = first + m, int(verdicts.into[first + m])
        row = {"source": block.source[m], "record": int(block.record[m]), "title": block.title[m]}
        row |= {"proven": int(verdicts.proven[k]), "mirror": int(verdicts.mirror[k])}
        row["match"] = "bonds" if verdicts.by_bonds[k] else "atoms"
        if into < 0:
            row |= {"status": "kept", "copies": int(copies[k])}
        else:
            other = records[into]
            row |= {"status": "merged", "rmsd": f"{verdicts.rmsd[k]:.6f}"}
            row |= {"into_source": other.source, "into_record": other.record, "into_title": other.title}
        rows.append(row)
    for bad in block.rejected:
        row = {"source": bad.source, "record": bad.record, "title": bad.title}
        rows.append(row | {"status": "rejected", "reason": bad.reason})
    order = {source: k for k, source in enumerate(dict.fromkeys(row["source"] for row in rows))}
    return sorted(rows, key=lambda row: (order[row["source"]], row["record"]))

"""Molecules to make conformers of: SMILES files, tables with a column of SMILES, SDF for its bonds."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from molgiae.data.conformer import Rejected
from molgiae.data.csv_cells import as_given, delimiter_in, title_column
from molgiae.data.pieces import piece_of
from molgiae.data.readers import CHUNK_SIZE, read_blocks
from molgiae.data.sources import STDIN, ByteStream, Source, checked_names, format_of
from molgiae.data.text import clean, nul_fault
from molgiae.errors import ConfigError

MOLECULE_SUFFIXES = {
    **dict.fromkeys((".smi", ".smiles", ".ism"), "smi"),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".sdf", ".sd", ".mol"), "sdf"),
}
"""Format of each file suffix; each may be followed by ``.gz``."""

EMPTY = "no SMILES"

_EXTENSION = re.compile(r"\s*(\|[^|]*\|)(?=\s|$)")
"""Of CXSMILES, between bars behind the SMILES (ChemAxon); in front of the title, as RDKit has it."""


@dataclass(frozen=True, slots=True)
class Molecule:
    """A molecule as it stood in its file; source, record and line as of `Conformer`.

    Attributes:
        title: as given, or the name of the file and the number of the record.
        text: SMILES, with its CXSMILES extension if there is one, or a connection table.
        is_smiles: which of them.
    """

    source: str
    record: int
    line: int
    title: str
    text: str
    is_smiles: bool = True

    @property
    def is_extended(self) -> bool:
        """Whether it is a SMILES with a CXSMILES extension."""
        return self.is_smiles and bool(_EXTENSION.match(self.text.partition(" ")[2]))


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns of a table, in any case; None to find them by name."""

    smiles: str | None = None
    title: str | None = None


def read_molecules(
    inputs: Iterable[str | os.PathLike[str]], *, format: str | None = None, columns: Columns | None = None
) -> Iterator[Molecule | Rejected]:
    """Read molecules and rejected records, in the order of the files, in constant memory.

    Args:
        inputs: files, also .gz; ``-`` is standard input.
        format: a row of `MOLECULE_READERS`; None to go by the name, standard input being SMILES.
        columns: of tables.

    Raises:
        ConfigError: a file is missing, its name says no format, or a table has no such column.
        ConformerError: there is no molecule in an SDF.
    """
    sources = [molecule_source(name, format) for name in checked_names(inputs)]
    return (
        item for source in sources for item in MOLECULE_READERS[source.format](source, columns or Columns())
    )


def molecule_source(name: str, format: str | None) -> Source:
    """Return a file or a piece of one with its format, a row of `MOLECULE_READERS`; errors as of `read_molecules`."""
    if format is not None and format not in MOLECULE_READERS:
        raise ConfigError(f"unknown format '{format}', expected one of {', '.join(MOLECULE_READERS)}")
    if name == STDIN:
        return Source(name, format or "smi")
    if not os.path.isfile(piece_of(name).file):
        raise ConfigError(f"{name}: {'is a directory' if os.path.isdir(name) else 'no such file'}")
    found = format or format_of(name, MOLECULE_SUFFIXES)
    if not found:
        suffixes = " ".join(MOLECULE_SUFFIXES)
        raise ConfigError(f"{name}: the name says no format; use one of {suffixes} or --format")
    return Source(name, found)


def _lines(stream: ByteStream) -> Iterator[str]:
    """Yield lines with their ends; text that is no UTF-8 is replaced character by character."""
    rest = b""
    for chunk in stream:
        *complete, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace") + "\n" for line in complete)
    if rest:
        yield rest.decode("utf-8", "replace")


def _damage(stream: ByteStream, record: int, line: int) -> Iterator[Rejected]:
    if stream.damage:
        yield Rejected(stream.source.name, record + 1, "", line, stream.damage)


def _default_title(source: Source, record: int) -> str:
    piece = source.piece
    name = "molecule" if source.name == STDIN else Path(piece.file).name.split(".")[0]
    return f"{name} {record}" if piece.stop is None else f"{name}@{piece.start} {record}"


def _read_smi(source: Source, columns: Columns) -> Iterator[Molecule | Rejected]:
    """Read a SMILES, perhaps with a CXSMILES extension, and a title from each line; comments start with ``#``."""
    stream = ByteStream(source, CHUNK_SIZE)
    record = number = 0
    for number, line in enumerate(_lines(stream), 1):
        smiles, _, title = line.strip().partition("\t") if "\t" in line else line.strip().partition(" ")
        if extension := _EXTENSION.match(title):
            smiles, title = f"{smiles} {extension[1]}", title[extension.end() :]
        heading = not record and smiles.lower() in ("smiles", "canonical_smiles")
        if not smiles or smiles.startswith("#") or heading:
            continue
        record += 1
        title = clean(title) or _default_title(source, record)
        if fault := nul_fault([line], number):
            yield Rejected(source.name, record, title, number, fault)
        else:
            yield Molecule(source.name, record, number, title, smiles)
    yield from _damage(stream, record, number + 1)


def _read_csv(source: Source, columns: Columns) -> Iterator[Molecule | Rejected]:
    """Read a table with a line of names on top; comma, tab or semicolon between the columns."""
    stream = ByteStream(source, CHUNK_SIZE)
    lines = _lines(stream)
    heading = next(lines, "")
    delimiter = delimiter_in(heading)
    try:
        names = [clean(as_given(name)) for name in next(csv.reader([heading], delimiter=delimiter), [])]
    except csv.Error as error:
        raise ConfigError(f"{source.name}, line 1: not a row of a table: {error}") from error
    lower = [name.lower() for name in names]
    alike = next((name for name in ("smiles", *lower) if "smiles" in name and name in lower), "smiles")
    smiles_at = _column(source, names, columns.smiles or alike, "smiles")
    wanted = columns.title
    title_at = title_column(names) if wanted is None else _column(source, names, wanted, "title")
    rows = csv.reader(lines, delimiter=delimiter)
    record = last = 0
    while True:
        line, fault = last + 2, ""
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            row, fault = [], f"not a row of a table: {error}"
        last = rows.line_num
        if not any(row) and not fault:
            continue
        record += 1
        title = " ".join(clean(_cell(row, title_at)).split()) or _default_title(source, record)
        smiles = _cell(row, smiles_at).strip()
        fault = fault or nul_fault(["".join(row)], line)
        if smiles and not fault:
            yield Molecule(source.name, record, line, title, smiles)
        else:
            yield Rejected(source.name, record, title, line, fault or EMPTY)
    yield from _damage(stream, record, last + 2)


def _cell(row: list[str], column: int | None) -> str:
    return as_given(row[column]) if column is not None and column < len(row) else ""


def _column(source: Source, names: list[str], wanted: str, what: str) -> int:
    lower = [name.lower() for name in names]
    if wanted.lower() in lower:
        return lower.index(wanted.lower())
    raise ConfigError(
        f"{source.name}, line 1: no column {wanted}; the columns are {', '.join(names) or 'none'}; "
        f"name one with --{what}-column"
    )


def _read_sdf(source: Source, columns: Columns) -> Iterator[Molecule | Rejected]:
    """Read records for their bonds; their coordinates tell stereocentres and may be flat."""
    empty = source.piece.stop is not None
    for block in read_blocks([source.name], format="sdf", check_geometry=False, allow_empty=empty):
        items: list[Molecule | Rejected] = [
            Molecule(c.source, c.record, c.line, c.title or _default_title(source, c.record), c.text, False)
            for c in block
        ]
        yield from sorted([*items, *block.rejected], key=lambda item: item.record)


MOLECULE_READERS: dict[str, Callable[[Source, Columns], Iterator[Molecule | Rejected]]] = {
    "smi": _read_smi,
    "csv": _read_csv,
    "sdf": _read_sdf,
}
"""Reader of each format."""

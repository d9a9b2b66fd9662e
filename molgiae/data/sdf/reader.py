"""SDF and MOL: records cut at ``$$$$``, clean ones decoded together, the others one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import concatenate
from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.data.fields import clean, nul_fault, repair
from molgiae.data.sdf.columns import Index, Lines, Tables, read_tables
from molgiae.data.sdf.ctab import HEADER_LINES, Listed, multiplicity_of, read_ctab, scattered
from molgiae.data.sdf.data_items import parse_items
from molgiae.data.sources import Cursor
from molgiae.data.state import charge_and_multiplicity
from molgiae.errors import ConformerError

DELIMITER = b"$$$$"
FEW = 3
"""Records that are read sooner one by one than together."""
MAX_TITLE = 200
"""Characters kept of the title of a rejected record, which may be any garbage."""

_STAMPED_COUNTS = re.compile(r"[ \d]{2}\d[ \d]{2}\d.*V[23]000\s*$", re.ASCII)


def read_sdf(buffer: bytes, final: bool, cursor: Cursor) -> tuple[ConformerBlock, int]:
    """Read the complete records of a buffer.

    Args:
        buffer: bytes from the start of a record on.
        final: no more bytes follow; a last record need not end with ``$$$$``.
        cursor: where the buffer starts in its source; left as it is.

    Returns:
        Conformers and rejected records, and how many bytes they took.
    """
    if final:
        buffer = _completed(buffer)
    lines = Lines(buffer)
    last = lines.starting(DELIMITER)
    used = len(buffer) if final else int(lines.end[last[-1]]) + 1 if len(last) else 0
    first = np.append(0, last[:-1] + 1)[: len(last)]
    text = buffer.decode("latin-1")
    return _Buffer(text, lines, cursor).read(first, last), used


def _completed(buffer: bytes) -> bytes:
    """The buffer with a line end and a delimiter at its end, where these are missing."""
    if not buffer.endswith(b"\n"):
        buffer += b"\n"
    tail = buffer[buffer.rfind(b"\n" + DELIMITER) + 1 :]
    if tail.startswith(DELIMITER):
        tail = tail[tail.index(b"\n") :]
    return buffer + DELIMITER + b"\n" if tail.strip() else buffer


def split_glued(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Cut a stretch between two ``$$$$`` where another record starts inside it.

    Every counts line starts a record three lines above itself, unless the header line above that names a
    data item whose value the table is.

    Returns:
        First line of each part, and the line after its last.
    """
    stamps = [i for i, line in enumerate(lines) if _STAMPED_COUNTS.match(line)]
    starts = [0]
    for previous, stamp in zip([-1, *stamps], stamps, strict=False):
        start = max(stamp - HEADER_LINES, previous + 1)
        if start == 0 or lines[start - 1].startswith(">"):
            continue
        ended = [i for i in range(start, stamp) if lines[i].startswith("M  END")]
        start = ended[-1] + 1 if ended else start
        if previous < 0 and not any(line.strip() for line in lines[:start]):
            starts = []  # blank lines in front are not a record
        starts.append(start)
    return list(zip(starts, [*starts[1:], len(lines)], strict=True))


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a record says beside the atoms of its table."""

    title: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    listed: Listed | None = None


class _Buffer:
    """The records of one buffer."""

    def __init__(self, text: str, lines: Lines, cursor: Cursor) -> None:
        self.text, self.lines, self.cursor = text, lines, cursor
        self.start = np.append(lines.start, len(text))

    def read(self, first: Index, last: Index) -> ConformerBlock:
        """Conformers of the records between these lines; clean tables first, then the rest, put in order."""
        some = len(first) if len(first) > FEW and "\0" not in self.text else 0
        tables = read_tables(self.lines, first[:some], last[:some])
        entries = self._entries(tables, first, last)
        clean_ones = np.array([entry is not None for entry in entries], bool)
        rest = np.delete(np.arange(len(first)), tables.record[clean_ones])
        stretches = dict(zip(rest.tolist(), self._stretches(first[rest], last[rest]), strict=True))
        parts = {k: split_glued(lines) for k, lines in stretches.items()}
        size = np.ones(len(first), np.int64)
        size[rest] = [len(parts[k]) for k in parts]
        record = self.cursor.record + 1 + np.cumsum(size) - size
        block = self._clean_block(tables, entries, first, last, record)
        if not parts:
            return block
        conformers, rejected = self._one_by_one(stretches, parts, first, record)
        block = concatenate([block.take(clean_ones), ConformerBlock.of(conformers)])
        return block.take(np.argsort(block.record), rejected)

    def _slices(self, first: Index, last: Index) -> list[str]:
        """Text from each first line up to each last one, which is left out."""
        bounds = zip(self.start[first].tolist(), self.start[last].tolist(), strict=True)
        return [self.text[start:end] for start, end in bounds]

    def _stretches(self, first: Index, last: Index) -> list[list[str]]:
        return [split_lines(text) for text in self._slices(first, last)]

    def _entries(self, tables: Tables, first: Index, last: Index) -> list[_Entry | None]:
        """Words of each table; None where the careful parser must look."""
        first, last = first[tables.record], last[tables.record]
        titles = self._slices(first, first + 1)
        data = self._slices(tables.end, last)
        entries: list[_Entry | None] = []
        for k, (title, items) in enumerate(zip(titles, data, strict=True)):
            try:
                listed = self._listed(tables, k) if tables.has_lists[k] else None
                entries.append(_Entry(clean(title), parse_items(split_lines(items)) if items else {}, listed))
            except ConformerError:
                entries.append(None)
        return entries

    def _listed(self, tables: Tables, k: int) -> Listed:
        listed = Listed()
        for line in self._stretches(tables.after[k : k + 1], tables.end[k : k + 1])[0]:
            listed.read(line, int(tables.offset[k + 1] - tables.offset[k]), 0)
        return listed

    def _clean_block(
        self, tables: Tables, entries: list[_Entry | None], first: Index, last: Index, record: Index
    ) -> ConformerBlock:
        words = [entry or _Entry() for entry in entries]
        first, last = first[tables.record], last[tables.record]
        charge, isotope, radical = tables.charge, tables.isotope, [0] * len(words)
        for k in np.flatnonzero(tables.has_lists).tolist():
            given, atoms = words[k].listed or Listed(), slice(*tables.offset[k : k + 2].tolist())
            n = atoms.stop - atoms.start
            if given.charge is not None:
                charge[atoms] = scattered(given.charge, n)
            if given.isotope is not None:
                isotope[atoms] = np.where(isotope[atoms] > 0, isotope[atoms], scattered(given.isotope, n))
            radical[k] = multiplicity_of(given.radical.values())
        total, formal = (_sums(values, tables.offset) for values in (charge, charge != 0))
        properties = [entry.properties for entry in words]
        stated = [stated_state(*row) for row in zip(properties, total, radical, formal, strict=True)]
        return ConformerBlock.from_arrays(
            tables.atomic_number,
            tables.position,
            tables.offset,
            isotope=isotope,
            bonds=tables.bonds,
            bond_offset=tables.bond_offset,
            charge=np.array([charge for charge, _ in stated], np.int64),
            multiplicity=np.array([multiplicity for _, multiplicity in stated], np.int64),
            title=[entry.title for entry in words],
            source=[self.cursor.source] * len(words),
            record=record[tables.record],
            line=self.cursor.line + first,
            properties=properties,
            text=self._texts(first, last),
        )

    def _texts(self, first: Index, last: Index) -> list[str]:
        if not self.cursor.keep_text:
            return [""] * len(first)
        texts = self._slices(first, last)
        return texts if self.text.isascii() else [repair(text) for text in texts]

    def _one_by_one(
        self,
        stretches: dict[int, list[str]],
        parts: dict[int, list[tuple[int, int]]],
        first: Index,
        record: Index,
    ) -> tuple[list[Conformer], list[Rejected]]:
        conformers: list[Conformer] = []
        rejected: list[Rejected] = []
        for k, lines in stretches.items():
            for i, (start, stop) in enumerate(parts[k]):
                line = self.cursor.line + int(first[k]) + start
                number = int(record[k]) + i
                try:
                    conformers.append(self._parse(lines[start:stop], number, line))
                except ConformerError as error:
                    title = clean(lines[start])[:MAX_TITLE] if start < stop else ""
                    rejected.append(Rejected(self.cursor.source, number, title, line, error.reason))
        return conformers, rejected

    def _parse(self, lines: list[str], record: int, first_line: int) -> Conformer:
        if fault := nul_fault(lines, first_line):
            raise ConformerError(fault)
        if not any(line.strip() for line in lines):
            raise ConformerError("the record is empty")
        table = read_ctab(lines, first_line)
        first = first_line - self.cursor.line
        text = self._texts(np.array([first]), np.array([first + len(lines)]))[0]
        properties = parse_items(lines[table.end :])
        formal = int(np.count_nonzero(table.charge))
        charge, multiplicity = stated_state(properties, int(table.charge.sum()), table.multiplicity, formal)
        return Conformer(
            atomic_number=table.atomic_number,
            position=table.position,
            isotope=table.isotope,
            bonds=table.bonds,
            title=clean(lines[0]),
            charge=charge,
            multiplicity=multiplicity,
            source=self.cursor.source,
            record=record,
            line=first_line,
            properties=properties,
            text=text,
        )


def stated_state(
    properties: Mapping[str, str], charge: int, multiplicity: int, formal: int
) -> tuple[int, int]:
    """Return charge and multiplicity of a record, from its table or, where that has none, its data items.

    XYZ knows no formal charges, so that molgiae writes the total charge as an item when it turns XYZ into SDF.

    Args:
        properties: the data items.
        charge: sum of the formal charges in the table.
        multiplicity: by the radicals in the table; 0 for unknown.
        formal: number of atoms with a formal charge.
    """
    if not properties:
        return charge, multiplicity
    named = charge_and_multiplicity(properties)
    return (charge if formal else named[0] or 0), multiplicity or named[1] or 0


def _sums(values: NDArray[Any], offset: Index) -> list[int]:
    """Sums over the atoms of each record."""
    return np.diff(np.concatenate([[0], np.cumsum(values, dtype=np.int64)])[offset]).tolist()


def split_lines(text: str) -> list[str]:
    """Lines of a text that ends with a line end, without carriage returns."""
    return text.replace("\r", "").split("\n")[:-1]

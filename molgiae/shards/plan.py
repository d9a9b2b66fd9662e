"""What each part of a directory of results is made from: the inputs, cut into shares of about equal size."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, islice

from molgiae.data.borders import BORDERS, borders, text_size
from molgiae.data.hdf5.opening import open as open_stored
from molgiae.data.inputs import in_rows, is_hdf5
from molgiae.data.molecule_files import molecule_source
from molgiae.data.pieces import Piece, piece_of
from molgiae.data.readers import read_blocks
from molgiae.data.sources import STDIN, ByteStream, Notes, Source, find_sources, is_plain, sniff
from molgiae.errors import ConfigError

UNPACKED = 4
"""Bytes of text that a byte of a packed file is taken for, in dividing the work; gzip saves two thirds or more."""
ROW = 2048
"""Bytes that a conformer of HDF5 is taken for, beside those of text."""
SAMPLED_FILES, SAMPLED_RECORDS, SNIFFED = 16, 200, 1 << 16
"""What of the inputs is read to estimate how many conformers there are."""
IN_LINES = ("smi", "csv")
"""Formats with a record in a line."""
BEYOND = 1
"""Bytes behind the end of a packed text up to which its last piece goes, so that damage at the end is found."""

Place = tuple[int, int]
"""A file by its number, and a byte of its text or a row of it."""


@dataclass(frozen=True)
class InputFile:
    """A file among the inputs.

    Attributes:
        source: its name and format; the format of files in rows is empty.
        size: by which work is divided, about the bytes of its text.
        rows: of HDF5; 0 for others.
        is_plain: whether it can be cut without reading what is before.
    """

    source: Source
    size: float
    rows: int = 0
    is_plain: bool = False

    @property
    def name(self) -> str:
        """Its path."""
        return self.source.name


class Plan:
    """Inputs divided into shares that follow each other; every share can be said without the others.

    Plain SDF, XYZ and SMILES are cut at record borders near equal sizes, HDF5 between rows. Packed text is cut only
    where it makes more than a share, for every piece of it has to be unpacked from its start; all else stays whole.

    Args:
        inputs: files and directories.
        shards: number of shares.
        format: of all files; None to go by name and content.
        notes: gets what is left out in directories, and what is slow.
        of_molecules: whether inputs are what conformers are made of: SMILES, tables, SDF.

    Raises:
        ConfigError: an input is missing, or is standard input.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        shards: int,
        format: str | None = None,
        notes: Notes | None = None,
        *,
        of_molecules: bool = False,
    ) -> None:
        notes = Notes() if notes is None else notes
        self.shards = shards
        self.files = [_looked_at(source) for source in _sources(inputs, format, notes, of_molecules)]
        self._ends = [0.0, *accumulate(file.size for file in self.files)]
        for k, places in enumerate(self._within):
            if places and not self.files[k].is_plain and not self.files[k].rows:
                notes.left_out.append(
                    f"{self.files[k].name}: is unpacked from its start for each of its {len(places) + 1} pieces; "
                    "unpacked, or in several files, it is read faster"
                )

    def inputs_of(self, k: int) -> list[str]:
        """Return the names of the files and pieces of share k, counted from 1; there may be none."""
        (first, start), (last, stop) = self._place(k - 1), self._place(k)
        found = []
        for number in range(first, last + 1):
            whole = Piece(self.files[number].name) if number < len(self.files) else None
            low = start if number == first else 0
            high = stop if number == last else None
            if whole is None or high == 0 or (high is not None and low >= high):
                continue
            if low or high is not None:
                whole = replace(whole, start=low, stop=self._end(number) if high is None else high)
            found.append(str(whole))
        return found

    def _place(self, k: int) -> Place:
        """Return where share k ends."""
        target = self._ends[-1] * k / self.shards
        number = bisect_right(self._ends, target) - 1
        if k >= self.shards or number >= len(self.files):
            return len(self.files), 0
        file = self.files[number]
        if k in self._within[number]:
            return number, self._cut(number, target - self._ends[number], k)
        return number + (target - self._ends[number] > file.size / 2), 0

    @cached_property
    def _within(self) -> list[list[int]]:
        """Of each file, the shares that end within it, if it is cut."""
        share = self._ends[-1] / self.shards
        found = []
        for file, start, end in zip(self.files, self._ends[:-1], self._ends[1:], strict=True):
            first, last = (math.floor(x / share) + 1 if share else 1 for x in (start, end))
            ends = [k for k in range(first, last + 1) if start < share * k < end and k < self.shards]
            can_be_cut = file.is_plain or file.rows > 1 or (file.source.format in BORDERS and len(ends) > 1)
            found.append(ends if can_be_cut else [])
        return found

    def _cut(self, number: int, place: float, k: int) -> int:
        file = self.files[number]
        if file.rows:
            return round(file.rows * place / file.size)
        if file.is_plain:
            return borders(file.source, [int(place)])[0]
        return self._packed(number)[self._within[number].index(k)]

    def _packed(self, number: int) -> list[int]:
        """Return all cuts of a packed file, which is read once for its size and once for its borders."""
        if number not in self._cuts:
            file, size = self.files[number], self._end(number) - BEYOND
            share = self._ends[-1] / self.shards
            shares = [(share * k - self._ends[number]) / file.size for k in self._within[number]]
            self._cuts[number] = borders(file.source, [int(size * one) for one in shares])
        return self._cuts[number]

    @cached_property
    def _cuts(self) -> dict[int, list[int]]:
        return {}

    @cached_property
    def _sizes(self) -> dict[int, int]:
        return {}

    def _end(self, number: int) -> int:
        """Return where the last piece of a file ends."""
        file = self.files[number]
        if file.rows or file.is_plain:
            return file.rows or int(file.size)
        if number not in self._sizes:
            self._sizes[number] = text_size(file.source) + BEYOND
        return self._sizes[number]


def estimated_records(plan: Plan) -> int:
    """Return about how many records the inputs hold, by the first ones of some files."""
    rows = sum(file.rows for file in plan.files)
    texts = [file for file in plan.files if file.source.format]
    step = max(len(texts) // SAMPLED_FILES, 1)
    n_records = n_bytes = 0.0
    for file in texts[::step][:SAMPLED_FILES]:
        if file.source.format in IN_LINES:
            lines = b"".join(islice(ByteStream(file.source, SNIFFED), 1))
            n_records, n_bytes = n_records + lines.count(b"\n"), n_bytes + len(lines)
            continue
        for block in read_blocks(
            file.name,
            format=file.source.format,
            limit=SAMPLED_RECORDS,
            allow_empty=True,
            check_geometry=False,
        ):
            n_records += len(block) + len(block.rejected)
            n_bytes += sum(map(len, block.text)) + len(block) * 5
    per_byte = n_records / n_bytes if n_bytes else 0.0
    return rows + math.ceil(sum(file.size for file in texts) * per_byte)


def halves(names: Sequence[str], format: str | None = None) -> tuple[list[str], list[str]] | None:
    """Return files and pieces in two halves of about equal size; None for a single record.

    Args:
        names: of files and pieces, in order.
        format: as of `Plan`.
    """
    if len(names) > 1:
        middle = len(names) // 2
        return list(names[:middle]), list(names[middle:])
    piece = piece_of(names[0])
    file = _looked_at(*_sources([piece.file], format, Notes()))
    end = file.rows or (int(file.size) if file.is_plain else text_size(file.source) + BEYOND)
    stop = min(piece.stop if piece.stop is not None else end, end)
    if not file.rows and file.source.format not in BORDERS:
        return None
    for place in ((piece.start + stop) // 2, piece.start + 1):
        middle = place if file.rows else borders(file.source, [place])[0]
        if piece.start < middle < stop and middle < end - (0 if file.rows or file.is_plain else BEYOND):
            return [str(replace(piece, stop=middle))], [str(replace(piece, start=middle, stop=stop))]
    return None


def _sources(
    inputs: Sequence[str], format: str | None, notes: Notes, of_molecules: bool = False
) -> list[Source]:
    if STDIN in inputs:
        raise ConfigError("standard input (-) cannot be divided into shards; give a file")
    if of_molecules:
        return [molecule_source(name, format) for name in inputs]
    sources: list[Source] = []
    for name in inputs:
        found = [Source(name)] if format is None and in_rows(name) else find_sources(name, format, notes)
        sources += found
    return sources


def _looked_at(source: Source) -> InputFile:
    """Return a file with what is needed to divide it."""
    size = os.path.getsize(source.name)
    if is_hdf5(source.name):
        with open_stored(source.name) as stored:
            return InputFile(source, float(len(stored) * ROW), len(stored))
    if in_rows(source.name):
        return InputFile(source, float(size))
    with open(source.name, "rb") as file:
        plain = is_plain(file)
        format = source.format or sniff(file.read(SNIFFED))
    source = replace(source, format=format)
    return InputFile(source, float(size if plain else size * UNPACKED), 0, plain and format in BORDERS)

"""A directory of parts, HDF5 files named part-00001-of-00064.h5 and so on, read as one without copying."""

from __future__ import annotations

import os
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import concatenate
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.hdf5.attributes import parts_in_file
from molgiae.data.hdf5.checks import Head, head_of, last_offsets, one_column
from molgiae.data.hdf5.damage import opened, reading
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.hdf5.numbering import Numbering
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.hdf5.schema import LEAST_ROWS, SCHEMA, Column
from molgiae.errors import MolgiaeError

OPEN_FILES = 16
"""Parts that are kept open; those that were not used for longest are closed first."""
SHOWN = 5
"""Missing parts that a note names."""
COUNTED = ("conformers", "rejected", "atoms", "bytes")
TALLIED = (
    "rejected_reasons",
    "atomic_numbers",
    "pose_defined",
    "order_defined",
    "point_group",
    "in_domain",
    "decoded",
)
"""What of the summary is summed over the parts, as numbers and as numbers by value."""
AGREE = ("model", "model_sha256")
"""Attributes that are the same in all parts."""
OF_PART = "shard_key"

PART_NAME = re.compile(r"part-(\d+)-of-(\d+)\.h5")
"""Names of parts: number, and number of all."""


def part_name(number: int, total: int) -> str:
    """Return the name of a part, its number from 1."""
    return f"part-{number:05d}-of-{total:05d}.h5"


def is_dataset(path: str | os.PathLike[str]) -> bool:
    """Return whether a directory holds parts."""
    try:
        with os.scandir(path) as entries:
            return any(PART_NAME.fullmatch(entry.name) for entry in entries)
    except OSError:
        return False


def parts_in(directory: str | os.PathLike[str]) -> tuple[list[Path], tuple[str, ...]]:
    """Return the parts that are in a directory, in their order, and the names of those that are missing.

    Raises:
        MolgiaeError: if there are none, or of several datasets.
    """
    folder = Path(directory)
    try:
        names = sorted(name for name in os.listdir(folder) if PART_NAME.fullmatch(name))
    except OSError as error:
        raise MolgiaeError(f"{directory}: {error.strerror or error}") from error
    found = {(int(n), int(total)): folder / name for name in names for n, total in PART_NAME.findall(name)}
    totals = sorted({total for _, total in found})
    if not totals:
        raise MolgiaeError(f"{directory}: holds no parts, such as {part_name(1, 8)}")
    if len(totals) > 1:
        raise MolgiaeError(
            f"{directory}: holds parts of {' and '.join(map(str, totals))}; leave those of one dataset there"
        )
    wanted = {(number, totals[0]) for number in range(1, totals[0] + 1)}
    if odd := sorted(found.keys() - wanted):
        raise MolgiaeError(f"{found[odd[0]]}: there are parts 1 to {totals[0]} only; remove it")
    return [found[key] for key in sorted(found)], tuple(
        part_name(*key) for key in sorted(wanted - found.keys())
    )


class EmbeddingDataset(Embeddings):
    """A directory of parts, as `molgiae embed -o DIR/ --shards 64` writes, open for reading as if it were one file.

    Methods and attributes are those of `Embeddings`. Sources and numbers of records are those of the input, though
    each part has read but a piece of it. A few parts are open at a time.

    Args:
        path: the directory.

    Attributes:
        files: the parts, in their order.
        missing: names of the parts that are not there.

    Raises:
        MolgiaeError: if the parts are of several datasets or models, or one is damaged.

    Examples:
        >>> path = Path("parts")
        >>> path.mkdir()
        >>> for k in (1, 2):
        ...     name = path / f"part-0000{k}-of-00002.h5"
        ...     summary = molgiae.embed("conformers.sdf", output=name, model="qm9", parts="shape")
        >>> with molgiae.open("parts") as dataset:
        ...     dataset, dataset["embedding"].shape, dataset[70:80]["embedding"].shape
        (EmbeddingDataset('parts', 148 conformers in 2 files), (148, 128), (10, 128))
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        files, self.missing = parts_in(path)
        self.files = tuple(files)
        heads = [head_of(file) for file in files]
        for file, head in zip(files, heads, strict=True):
            self._check(file, head, heads[0])
        self._numbering = Numbering(chain.from_iterable(head.pieces for head in heads))
        self._heads = heads
        self._starts = np.cumsum([0, *(head.conformers for head in heads)])
        self._open: OrderedDict[int, EmbeddingFile] = OrderedDict()
        self._checked: set[int] = set()  # parts whose embedding has the parts of the first
        first = self._file(0)
        self.attributes = {key: value for key, value in first.attributes.items() if key != OF_PART}
        self.columns, self.dimension, self.parts = first.columns, first.dimension, first.parts

    def _check(self, file: Path, head: Head, first: Head) -> None:
        for name in AGREE:
            here, there = head.attributes[name], first.attributes[name]
            if here != there:
                raise MolgiaeError(
                    f"{file}: is of {name} {here:.20}, {self.files[0].name} of {there:.20}; make one of them again"
                )

    def _file(self, k: int) -> EmbeddingFile:
        """Return part k, open."""
        if k not in self._open:
            while len(self._open) >= OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            file = EmbeddingFile(self.files[k])
            self._open[k] = file
            if k:
                self._same("parts", self.files[k], file.parts, self.parts)
                self._same("columns", self.files[k], file.columns, self.columns)
        self._open.move_to_end(k)
        return self._open[k]

    def _same(self, what: str, file: Path, here: object, there: object) -> None:
        if here != there:
            raise MolgiaeError(f"{file}: has other {what} than {self.files[0].name}; make one of them again")

    def _column(self, k: int, name: str, start: int, stop: int, columns: slice) -> NDArray[Any]:
        """Return rows of one dataset of part k; if it has a row for each conformer, nothing else is looked at."""
        schema = self._file(0).schema_row(name)
        if k in self._open or schema.per != "conformer":
            return self._file(k).column(name, start, stop, columns)
        path, head = self.files[k], self._heads[k]
        with opened(path) as file:
            stored = one_column(file, path, name, schema, head.conformers)
            with reading(path):
                if name == "embedding" and k not in self._checked:
                    parts = parts_in_file(stored.dataset, head.attributes["schema_version"])
                    self._same("parts", path, parts, self.parts)
                    self._checked.add(k)
                return stored.read(start, stop, columns=columns)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __repr__(self) -> str:
        lacking = f", {len(self.missing)} more missing" if self.missing else ""
        return f"{type(self).__name__}({str(self.path)!r}, {len(self)} conformers in {len(self.files)} files{lacking})"

    @property
    def n_atoms(self) -> int:
        """N, atoms of all conformers."""
        return int(self._before["atom"][-1])

    @cached_property
    def _before(self) -> dict[str, NDArray[np.int64]]:
        """Rows of atoms and bonds before each part, and in all."""
        found = [last_offsets(file) for file in self.files]
        return {
            axis: np.cumsum([0, *(ends.get(axis, 0) for ends in found)], dtype=np.int64)
            for axis in LEAST_ROWS
        }

    def notes(self) -> list[str]:
        """Return what a user should know: which parts are missing."""
        if not self.missing:
            return []
        shown = ", ".join(self.missing[:SHOWN]) + (" and more" if len(self.missing) > SHOWN else "")
        total = len(self.files) + len(self.missing)
        return [f"{self.path}: {len(self.missing)} of {total} parts are missing: {shown}"]

    def close(self) -> None:
        """Close the parts that are open."""
        while self._open:
            self._open.popitem()[1].close()

    def _spans(self, first: int, last: int | None) -> Iterator[tuple[int, int, int]]:
        """Yield which rows of which parts conformers ``first:last`` are, at least one span, which may be empty."""
        start, stop, _ = slice(first, last).indices(len(self))
        stop = max(start, stop)
        k = min(int(np.searchsorted(self._starts, start, side="right")) - 1, len(self.files) - 1)
        yield k, start - int(self._starts[k]), min(stop, int(self._starts[k + 1])) - int(self._starts[k])
        for later in range(k + 1, len(self.files)):
            begin, end = (int(row) for row in self._starts[later : later + 2])
            if begin >= stop:
                break
            if begin < end:
                yield later, 0, min(stop, end) - begin

    def column(
        self, name: str, first: int = 0, last: int | None = None, columns: slice = slice(None)
    ) -> NDArray[Any]:
        """Return rows of one dataset, see `Embeddings.column`."""
        self._named(name)
        spans = list(self._spans(first, last))
        found = [self._column(k, name, start, stop, columns) for k, start, stop in spans]
        if name in SCHEMA and SCHEMA[name].per == "boundary":
            before = self._before[name.removesuffix("_offset")]
            found = [offset + before[k] for offset, (k, _, _) in zip(found, spans, strict=True)]
            found = [found[0], *(offset[1:] for offset in found[1:])]
        values = found[0] if len(found) == 1 else np.concatenate(found)
        if name not in ("source", "record") or not self._numbering:
            return values
        other = self._stored("record" if name == "source" else "source", spans)
        pairs = zip(*((values, other) if name == "source" else (other, values)), strict=True)
        true = [self._numbering.true(source, int(record))[name == "record"] for source, record in pairs]
        return np.array(true, values.dtype)

    def _stored(self, name: str, spans: list[tuple[int, int, int]]) -> NDArray[Any]:
        return np.concatenate([self._column(k, name, start, stop, slice(None)) for k, start, stop in spans])

    def schema(self, name: str) -> Column:
        """Return the row of the schema of a column, see `Embeddings.schema`."""
        return self._file(0).schema(name)

    def block(self, first: int, last: int) -> ConformerBlock:
        """Return conformers ``first:last`` as they were read, without the records' text and lines."""
        block = concatenate([self._file(k).block(start, stop) for k, start, stop in self._spans(first, last)])
        if not self._numbering:
            return block
        pairs = zip(block.source, block.record.tolist(), strict=True)
        true = [self._numbering.true(source, record) for source, record in pairs]
        record = np.array([number for _, number in true], np.int64)
        return replace(block, source=[source for source, _ in true], record=record)

    def properties(self, first: int = 0, last: int | None = None) -> list[Mapping[str, str]]:
        """Return the properties of conformers, see `Embeddings.properties`."""
        spans = self._spans(first, last)
        return [one for k, start, stop in spans for one in self._file(k).properties(start, stop)]

    def rejected(self) -> Iterator[Rejected]:
        """Return the rejected records, one by one; the line is 0 where it is not known."""
        for path, head in zip(self.files, self._heads, strict=True):
            if head.rejected:
                with EmbeddingFile(path) as file:
                    yield from map(self._numbering.of_rejected, file.rejected())

    def verify(self) -> None:
        """Read all there is, part by part; see `Embeddings.verify`."""
        for k in range(len(self.files)):
            self._file(k).verify()

    def summary(self) -> dict[str, Any]:
        """Return what there is, see `Embeddings.summary`; also files and missing, parts by number and by name."""
        found = self._file(0).summary()
        totals: dict[str, Counter[str]] = {name: Counter() for name in TALLIED if name in found}
        keys: dict[str, None] = {}
        numbers: Counter[str] = Counter()
        sizes = []
        for k in range(len(self.files)):
            here = self._file(k).summary()
            numbers.update({name: here[name] for name in COUNTED})
            keys |= dict.fromkeys(here["properties"])
            for name, total in totals.items():
                total.update(here[name])
            if here["conformers"]:
                sizes.append((here["atoms_smallest"], here["atoms_largest"]))
        found |= {"path": str(self.path), **self.attributes, **numbers, "properties": list(keys)}
        found |= {name: dict(total) for name, total in totals.items()}
        found["rejected_reasons"] = dict(totals["rejected_reasons"].most_common())
        found["atoms_smallest"] = min((least for least, _ in sizes), default=0)
        found["atoms_largest"] = max((most for _, most in sizes), default=0)
        found["bytes_per_conformer"] = round(numbers["bytes"] / max(len(self), 1))
        found.pop(OF_PART, None)
        return found | {"files": len(self.files), "missing": list(self.missing)}

"""Whether an HDF5 file is what the schema says.

Links, types, shapes, lengths, offsets and attributes are looked at once, when a file is opened; values whenever they
are read, so that no more of a large file is read than is used. What a file says of its own size is not believed before
the storage for it was seen. Flipped bytes in inner tables can crash the HDF5 library itself, which nothing here can
see coming.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from molgiae.data.hdf5.attributes import attribute_of, attributes_of, legible, list_of, parts_in_file
from molgiae.data.hdf5.damage import DamagedError, opened, reading
from molgiae.data.hdf5.schema import (
    ALWAYS_KEPT,
    ATOM_DATA,
    KEPT,
    LEAST_ROWS,
    PIECE_ATTRIBUTES,
    PREDICTION,
    PROJECTION,
    PROPERTY,
    SCHEMA,
    STRING,
    Column,
)
from molgiae.data.hdf5.stored import Stored, check_dataset, member
from molgiae.data.xyz.comment import KINDS as XYZ_KINDS
from molgiae.parts import Part

SCAN_ROWS = 1 << 16
GROUPS = ("rejected", "properties", "predictions", "atom_data")


@dataclass(frozen=True)
class Layout:
    """What is in a file.

    Attributes:
        attributes: those of the root that the schema knows.
        parts: those of the embedding; none if there is none.
        datasets: by path in the file, those of the schema and of the group ``predictions``.
        properties: the datasets of this group by name.
        atom_data: the datasets of this group by name.
        rows: M conformers, M + 1 boundaries and so on, by what they belong to.
    """

    attributes: dict[str, Any]
    parts: tuple[Part, ...]
    datasets: dict[str, Stored]
    properties: dict[str, Stored]
    atom_data: dict[str, Stored]
    rows: dict[str, int]

    @property
    def dimension(self) -> int:
        """Size of the embedding; 0 if there is none."""
        return int(self.datasets["embedding"].dataset.shape[1]) if "embedding" in self.datasets else 0


@dataclass(frozen=True)
class Head:
    """What a part of a dataset says of itself before its columns are looked at.

    Attributes:
        attributes: as of `Layout`.
        conformers: their number.
        rejected: number of the rejected records.
        pieces: of the input, and how many records each gave, written and rejected.
    """

    attributes: dict[str, Any]
    conformers: int
    rejected: int
    pieces: tuple[tuple[str, int], ...]


def head_of(path: Path) -> Head:
    """Read the head of a file, in a tenth of the time that its layout takes.

    Raises:
        MolgiaeError: as of `layout_of`.
    """
    with opened(path) as file, reading(path):
        attributes = attributes_of(file, path)
        conformers, rejected = (
            len(member(group, "record", h5py.Dataset))
            for group in (file, member(file, "rejected", h5py.Group))
        )
        pieces: tuple[tuple[str, int], ...] = ()
        if "pieces" in file.attrs:
            names, records = (list_of(file, name, kind, name) for name, kind in PIECE_ATTRIBUTES.items())
            if len(names) != len(records) or min(records, default=0) < 0:
                raise DamagedError("attribute piece_records", f"has {records}", "a number for each piece")
            pieces = tuple(zip(names, records, strict=True))
        return Head(attributes, conformers, rejected, pieces)


def one_column(file: h5py.File, path: Path, name: str, column: Column, conformers: int) -> Stored:
    """Return a dataset with a row for each conformer, when nothing else of the file is wanted.

    Raises:
        MolgiaeError: as of `layout_of`.
    """
    with reading(path):
        folder, _, last = name.rpartition("/")
        group = member(file, folder, h5py.Group) if folder else file
        dataset = None if group is None else member(group, last, h5py.Dataset)
        if dataset is None:
            raise DamagedError(name, "missing", "the same columns in all parts")
        stored = Stored(name, dataset, column)
        check_dataset(stored)
        _check_rows(stored, {column.per: conformers})
        return stored


def last_offsets(path: Path) -> dict[str, int]:
    """Return the rows of atoms and so on by what they are, as the offsets of a file end.

    Raises:
        MolgiaeError: as of `layout_of`.
    """
    with opened(path) as file, reading(path):
        names = {axis: f"{axis}_offset" for axis in LEAST_ROWS}
        return {axis: int(file[name][-1]) for axis, name in names.items() if name in file}


def layout_of(file: h5py.File, path: Path) -> Layout:
    """Look at everything in a file but the values.

    Raises:
        MolgiaeError: naming file, dataset, what was found, what was expected and what to do.
    """
    with reading(path):
        attributes = attributes_of(file, path)
        groups = {name: member(file, name, h5py.Group) for name in GROUPS}
        missing = [name for name in ("rejected", "properties") if groups[name] is None]
        datasets: dict[str, Stored] = {}
        for name, column in SCHEMA.items():
            folder, _, last = name.rpartition("/")
            group = groups[folder] if folder else file
            dataset = None if group is None else member(group, last, h5py.Dataset)
            if dataset is not None:
                datasets[name] = Stored(name, dataset, column)
            elif KEPT in attributes:
                missing += [name] if name in ALWAYS_KEPT else []
            elif column.origin == "input" and column.required:
                missing.append(name)
        if missing:
            raise DamagedError(", ".join(missing), "missing", "all that the schema requires")
        for name in groups["predictions"] or ():
            shown = f"predictions/{legible(name)}"
            datasets[shown] = Stored(shown, member(groups["predictions"], name, h5py.Dataset), PREDICTION)
        if (projection := member(file, PROJECTION.name, h5py.Dataset)) is not None:
            datasets[PROJECTION.name] = Stored(PROJECTION.name, projection, PROJECTION)
        for one in datasets.values():
            check_dataset(one)
        rows = _rows(datasets)
        properties = {name: _property(groups["properties"], name) for name in groups["properties"]}
        atom_data = {name: _atom_column(groups["atom_data"], name) for name in groups["atom_data"] or ()}
        for one in (*datasets.values(), *properties.values(), *atom_data.values()):
            _check_rows(one, rows)
        parts: tuple[Part, ...] = ()
        if "embedding" in datasets:
            parts = parts_in_file(datasets["embedding"].dataset, attributes["schema_version"])
        return Layout(attributes, parts, datasets, properties, atom_data, rows)


def _rows(datasets: dict[str, Stored]) -> dict[str, int]:
    """Return the rows of every axis; those of atoms and the like are where their offsets end."""
    conformers, rejected = (len(datasets[name].dataset) for name in ("record", "rejected/record"))
    rows = {"conformer": conformers, "boundary": conformers + 1, "rejected": rejected}
    for axis, least in LEAST_ROWS.items():
        name = f"{axis}_offset"
        if name in datasets:
            if all(one.column.per != axis for one in datasets.values()):
                raise DamagedError(name, "stands alone", f"data of each {axis} beside it")
            _check_rows(datasets[name], rows)
            rows[axis] = _last_of(datasets[name], least)
    return rows


def _check_rows(stored: Stored, rows: dict[str, int]) -> None:
    axis, found = stored.column.per, len(stored.dataset)
    if axis not in rows:
        raise DamagedError(stored.name, "stands alone", f"{axis}_offset beside it")
    if found != rows[axis]:
        of = {"conformer": "record", "boundary": "record and one more", "rejected": "rejected/record"}
        expected = f"{rows[axis]} as {of.get(axis, f'{axis}_offset')} says"
        raise DamagedError(stored.name, f"has {found} rows", expected)


def _last_of(offsets: Stored, least: int) -> int:
    """Return the last offset, if they start at 0 and rise."""
    last = -least
    for start in range(0, len(offsets.dataset), SCAN_ROWS):
        values = offsets.read(start, start + SCAN_ROWS)
        before = np.concatenate([[last], values[:-1]])
        rises = values >= before if least == 0 else values > before
        if start == 0 and values[0] != 0:
            raise DamagedError(offsets.name, f"starts with {values[0]}", "0")
        if not rises.all():
            row = int(np.flatnonzero(~rises)[0])
            found = f"goes from {before[row]} to {values[row]} at row {start + row}"
            raise DamagedError(offsets.name, found, "it to rise")
        last = int(values[-1])
    return last


def _property(group: h5py.Group, name: str) -> Stored:
    """Return a dataset of the group ``properties``."""
    stored = Stored(f"properties/{legible(name)}", member(group, name, h5py.Dataset), PROPERTY)
    check_dataset(stored)
    return replace(stored, key=_own(stored, "key"))


def _atom_column(group: h5py.Group, name: str) -> Stored:
    """Return a dataset of the group ``atom_data``; there text has a type, and a second axis is optional."""
    stored = Stored(f"atom_data/{legible(name)}", member(group, name, h5py.Dataset), ATOM_DATA)
    key, kind = _own(stored, "key"), _own(stored, "kind")
    if kind not in XYZ_KINDS.values():
        raise DamagedError(f"attribute kind of {stored.name}", f"is {kind}", ", ".join(XYZ_KINDS.values()))
    dtype = STRING if kind == "S" else ATOM_DATA.dtype
    axes = ATOM_DATA.axes if len(stored.dataset.shape or ()) > 1 else "N"
    stored = replace(stored, column=replace(ATOM_DATA, dtype=dtype, axes=axes), key=key, kind=kind)
    check_dataset(stored)
    return stored


def _own(stored: Stored, attribute: str) -> str:
    """Return an attribute of a dataset."""
    if attribute not in stored.dataset.attrs:
        raise DamagedError(f"attribute {attribute} of {stored.name}", "is missing", "what the input has")
    return str(attribute_of(stored.dataset, attribute, str))

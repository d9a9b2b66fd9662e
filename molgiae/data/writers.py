"""SDF and XYZ output, record by record; the file has its name only when it is complete.

To add a format, write a `Renderer` and give its suffixes rows in `WRITERS`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from molgiae.data.attached import Motion, moved_atom_data, moved_properties, wrapped
from molgiae.data.conformer import Conformer
from molgiae.data.elements import ISOTOPE, SYMBOLS
from molgiae.data.partial import PartialFile, is_stdout, open_text
from molgiae.data.sdf.ctab_writer import write_ctab
from molgiae.data.sdf.data_items import LINE_END, UNNAMED, free_name, item_name, render_items
from molgiae.data.state import charge_and_multiplicity
from molgiae.data.xyz.atoms import ISOTOPE_COLUMN
from molgiae.data.xyz.comment import KINDS, TITLE_KEYS
from molgiae.errors import ConfigError, ConformerError, MolgiaeError, ShapeError

Order = NDArray[np.int64] | None

STALE_KEYS = frozenset(("properties",))
"""Keys of an extended XYZ comment that describe the columns of the file that was read."""

CELL_KEYS = {
    "lattice": re.compile(r"\s*(?:[-+.\deE]+[\s,]*){9}"),
    "origin": re.compile(r"\s*(?:[-+.\deE]+[\s,]*){3}"),
    "pbc": re.compile(r"\s*(?:[TF][\s,]*){3}"),
}
"""Keys of an extended XYZ comment that programs take for the cell, and how they have to look for that."""

XYZ_COLUMNS = "Properties=species:S:1:pos:R:3"

ATOM_LISTS = {"f": "dprop", "i": "iprop", "b": "bprop", "U": "prop"}
"""Kinds of numpy arrays to kinds of atom lists in SDF, as RDKit names them."""

_HEAVY_HYDROGEN = {(1, 2): "D", (1, 3): "T"}

_PLAIN_KEY = re.compile(r"[^\s=,;\"'\\{}\[\]]+")
_PLAIN_VALUE = re.compile(r"[\w.+:;/()-]+|\[[ \d.,eETF+-]*\]|\{[ \d.,eETF+-]*\}")
"""A word, or numbers or truth values in brackets, which stay an array to ASE without quotation marks."""
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": " "})


def sdf_record(conformer: Conformer, order: Order) -> str:
    """Return one SDF record; coordinates have four decimals in V2000 and six in V3000.

    Where no formal charges are known, as from XYZ, a total charge other than 0 becomes a property, and so does a
    multiplicity that the table does not tell.

    Args:
        conformer: what to write; bonds, formal charges, isotopes and groups are those of its `text`.
        order: (n,) atom of `text`, from 0, that each of its atoms was; None for the same order.
    """
    properties = {key: value for key, value in conformer.properties.items() if key.lower() not in STALE_KEYS}
    title = LINE_END.sub(" ", conformer.title)
    if title.startswith("$$$$"):
        title = f" {title}"  # no reader takes it for the end of a record
    table, kept = write_ctab(conformer, title, order)
    if not kept:
        charge, multiplicity = charge_and_multiplicity(properties)
        if conformer.charge != charge:
            properties["charge"] = str(conformer.charge)
        if conformer.multiplicity != multiplicity:
            properties["multiplicity"] = str(conformer.multiplicity)
    for name, values in conformer.atom_data.items():
        if values.ndim == 1:
            properties[f"atom.{ATOM_LISTS[values.dtype.kind]}.{name}"] = wrapped(map(_word, values.tolist()))
        else:
            properties[name] = "\n".join(" ".join(map(_word, row)) for row in values.tolist())
    return "".join([table, render_items(properties), "$$$$\n"])


def xyz_record(conformer: Conformer, order: Order) -> str:
    """Return one frame of extended XYZ with ten decimals; charge, title and properties stand in the comment line.

    Deuterium and tritium are D and T; other isotopes stand in a column of mass numbers. There are no bonds, so that
    the order is not needed.
    """
    symbols, columns = _symbols_and_columns(conformer)
    layout = "".join(
        f":{name}:{KINDS[values.dtype.kind]}:{1 if values.ndim == 1 else values.shape[1]}"
        for name, values in columns.items()
    )
    pairs = _comment_pairs(conformer)
    empty_last = sorted(
        pairs.items(), key=lambda pair: not pair[1]
    )  # ASE takes what follows for an empty value
    words = (f"{_quoted(key, _PLAIN_KEY)}={_quoted(value, _PLAIN_VALUE)}" for key, value in empty_last)
    comment = " ".join([XYZ_COLUMNS + layout, *words])
    atoms = [
        f"{symbol:<2} {x:18.10f} {y:18.10f} {w:18.10f}".replace("-0.0000000000", " 0.0000000000")
        for symbol, (x, y, w) in zip(symbols, conformer.position.tolist(), strict=True)
    ]
    for values in columns.values():
        rows = values.reshape(len(conformer), -1).tolist()
        atoms = [" ".join([atom, *map(_word, row)]) for atom, row in zip(atoms, rows, strict=True)]
    return "\n".join([str(len(conformer)), comment, *atoms, ""])


def _comment_pairs(conformer: Conformer) -> dict[str, str]:
    pairs = {"charge": str(conformer.charge)}
    if conformer.multiplicity:
        pairs["multiplicity"] = str(conformer.multiplicity)
    pairs["title"] = conformer.title
    for key, value in conformer.properties.items():
        if key.lower() in STALE_KEYS or pairs.get(key.lower()) == value:
            continue
        cell = CELL_KEYS.get(key.lower())
        name = f"{key}_" if cell is not None and not cell.fullmatch(value) else key
        pairs[free_name(name or UNNAMED, pairs)] = value
    if not conformer.title and not pairs.keys() & set(TITLE_KEYS[1:]):
        del pairs["title"]
    return pairs


def _symbols_and_columns(conformer: Conformer) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Return the symbols of the atoms, and the columns behind their coordinates."""
    symbols = [
        _HEAVY_HYDROGEN.get((z, mass), SYMBOLS[z])
        for z, mass in zip(conformer.atomic_number.tolist(), conformer.isotope.tolist(), strict=True)
    ]
    named = [ISOTOPE.get(symbol, 0) for symbol in symbols]
    columns = {name: values for name, values in conformer.atom_data.items() if name != ISOTOPE_COLUMN}
    if named != conformer.isotope.tolist():
        columns[ISOTOPE_COLUMN] = conformer.isotope.astype(np.int64)
    return symbols, columns


def _word(value: float | int | bool | str) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


Renderer = Callable[[Conformer, Order], str]

WRITERS: dict[str, Renderer] = {
    ".sdf": sdf_record,
    ".sd": sdf_record,
    ".mol": sdf_record,
    ".xyz": xyz_record,
    ".extxyz": xyz_record,
}
"""Suffix, before an optional ``.gz``, to the function that makes one record."""


def structure_suffix(path: str | os.PathLike[str]) -> str | None:
    """Return the suffix by which a writer is chosen, ``.gz`` left out; None if there is no writer for this name.

    That of standard output is ``.sdf``.
    """
    if is_stdout(path):
        return ".sdf"
    name = os.fspath(path).lower().removesuffix(".gz")
    return next((suffix for suffix in WRITERS if name.endswith(suffix)), None)


def keeps_tables(path: str | os.PathLike[str]) -> bool:
    """Return whether a file of this name has connection tables."""
    suffix = structure_suffix(path)
    return suffix is not None and WRITERS[suffix] is sdf_record


class StructureWriter:
    """Writes conformers to one file, in the format that the suffix of its name says; used as a context manager.

    Args:
        path: a name that ends in a suffix of `WRITERS`, also with ``.gz``.
        overwrite: replace an existing file when the new one is complete.

    Attributes:
        dropped: names of properties and columns that could not be turned with the atoms, and how many records had them.
        keeps_tables: whether bonds, charges and all else that the table of a record says are written.

    Raises:
        ConfigError: if there is no writer for this name.
        MolgiaeError: if the file cannot be written, or exists and `overwrite` is false.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        name, suffix = os.fspath(path), structure_suffix(path)
        if suffix is None:
            raise ConfigError(f"{name}: no writer for this name; use {', '.join(WRITERS)}, also with .gz")
        self.dropped: Counter[str] = Counter()
        self._render = WRITERS[suffix]
        self.keeps_tables = keeps_tables(path)
        self._compress = name.lower().endswith(".gz")
        self._partial = PartialFile(path, overwrite=overwrite)
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._partial.reporting():
            text = open_text(self._partial.temporary, compress=self._compress)
            self._stream = self._closing.enter_context(text)
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        try:
            with self._partial.reporting():
                self._closing.close()
            if kind is None:
                self._partial.publish()
        except MolgiaeError:
            if kind is None:
                raise
        finally:
            self._partial.discard()

    def write(
        self,
        conformer: Conformer,
        *,
        order: ArrayLike | None = None,
        position: ArrayLike | None = None,
        rotation: ArrayLike | None = None,
        atomic_number: ArrayLike | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """Write one record; what is not given is as it was read.

        Args:
            conformer: as read; bonds, formal charges and isotopes come from its `text`.
            order: (n,) permutation: atom k of the output is atom ``order[k]`` of the conformer, from 0. Where it is
                given, bonds are sorted, too.
            position: (n, 3) coordinates of the atoms of the output, already in that order, angstrom.
            rotation: (3, 3) orthogonal matrix by which vectors of the conformer are turned into its new pose; None
                if the pose is as it was read.
            atomic_number: (n,) elements of the atoms of the output, already in that order.
            properties: added to those of the conformer, or in place of those of the same key.

        Raises:
            ShapeError: if a shape does not fit the conformer, or `order` is no permutation.
            ConformerError: if a coordinate is not finite.
            MolgiaeError: if the disk is full or fails.
        """
        n = len(conformer)
        index = np.arange(n) if order is None else np.asarray(order, np.int64)
        if not np.array_equal(np.sort(index), np.arange(n)):
            raise ShapeError(f"order is no permutation of {n} atoms")
        turn = None if rotation is None else np.asarray(rotation, np.float64)
        motion = Motion(index, turn, sorts_bonds=order is not None)
        kept, lost = moved_properties(conformer.properties, motion)
        atom_data, lost_data = moved_atom_data(conformer.atom_data, motion)
        self.dropped.update([*lost, *lost_data])
        z = conformer.atomic_number[index]
        number = _fitting("atomic_number", atomic_number, z)
        record = replace(
            conformer,
            atomic_number=number,
            position=_fitting("position", position, conformer.position[index]),
            isotope=np.where(number == z, conformer.isotope[index], 0).astype(np.uint16),
            properties={**kept, **(properties or {})},
            atom_data=atom_data,
        )
        if not np.isfinite(record.position).all():
            where = {name: getattr(conformer, name) for name in ("source", "record", "title", "line")}
            raise ConformerError("a coordinate to be written is not finite", **where)
        self._put(self._render(record, None if order is None else index))

    def copy(self, conformer: Conformer) -> None:
        """Write one record to the letter as it was read; if that was another format, as `write` does.

        Raises:
            MolgiaeError: if the disk is full or fails.
        """
        text = conformer.text
        if not self._can_copy(conformer):
            self.write(conformer)
        else:
            self._put(text + ("" if text.endswith("\n") else "\n") + ("$$$$\n" if self.keeps_tables else ""))

    def annotate(self, conformer: Conformer, properties: Mapping[str, str]) -> None:
        """Write one record to the letter as it was read, with further properties behind its own.

        Where that cannot be, as in plain XYZ or where a key is taken, as `write` does.

        Raises:
            MolgiaeError: if the disk is full or fails.
        """
        text = conformer.text
        is_whole = self.keeps_tables and "\r" not in text and "\nM  END" in text and self._can_copy(conformer)
        if not is_whole or any(item_name(key) in conformer.properties for key in properties):
            self.write(conformer, properties=properties)
            return
        text = text.rstrip()
        end = "\n" if text.endswith("\nM  END") else "\n\n"  # a blank line ends the last item
        self._put(f"{text}{end}{render_items(properties)}$$$$\n")

    def _can_copy(self, conformer: Conformer) -> bool:
        """Return whether the record as it was read is of the format of the file."""
        lines = conformer.text.split("\n", 4)
        if len(lines) > 4 and (
            "\nM  END" in conformer.text or lines[3].rstrip().endswith(("V2000", "V3000"))
        ):
            return self.keeps_tables
        return not self.keeps_tables and lines[0].strip() == str(len(conformer))

    def _put(self, text: str) -> None:
        with self._partial.reporting():
            self._stream.write(text)


def _fitting(name: str, given: ArrayLike | None, own: NDArray) -> NDArray:
    """Return the array given, in the type of the conformer's own, or that itself."""
    array = own if given is None else np.asarray(given)
    if array.shape != own.shape:
        raise ShapeError(f"{name} has shape {array.shape}, expected {own.shape}")
    return array.astype(own.dtype)


def _quoted(text: str, plain: re.Pattern[str]) -> str:
    """Return the text, in quotation marks unless it is plain."""
    return text if plain.fullmatch(text) else '"' + text.translate(_ESCAPES) + '"'

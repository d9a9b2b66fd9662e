"""SDF and XYZ output, record by record; the file has its name only when it is complete."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import BinaryIO, Self, TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from molgiae.data.conformer import Conformer
from molgiae.data.ctab_writer import write_ctab
from molgiae.data.elements import SYMBOLS
from molgiae.data.partial import PartialFile
from molgiae.data.sd_items import LINE_END, UNNAMED, free_name, item_name, render_items
from molgiae.data.xyz_comment import TITLE_KEYS
from molgiae.errors import ConfigError, ConformerError, MolgiaeError, ShapeError

Order = NDArray[np.int64] | None

STALE_KEYS = frozenset(("properties", "lattice", "origin", "pbc"))
"""Keys of an extended XYZ comment that describe the columns and the cell of the file that was read."""

XYZ_COLUMNS = "Properties=species:S:1:pos:R:3"

_PLAIN_KEY = re.compile(r"[^\s=,;\"'\\{}\[\]]+")
_PLAIN_VALUE = re.compile(r"[\w.+:;/()-]+")
_ARRAY = re.compile(r"\[[ \d.,eETF+-]*\]|\{[ \d.,eETF+-]*\}")
"""Numbers or truth values in brackets, which stay an array to ASE without quotation marks."""
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": " "})


def sdf_record(conformer: Conformer, order: Order, text: str) -> str:
    """One SDF record; coordinates have four decimals in V2000 and six in V3000.

    Where no formal charges are known, as from XYZ, a total charge other than 0 becomes a property.

    Args:
        conformer: what to write: atoms, coordinates, title and properties.
        order: (n,) atom of `text`, from 0, that each of its atoms was; None for the same order.
        text: record as read, from which bonds, formal charges, isotopes and groups are taken.
    """
    properties = dict(conformer.properties)
    title = _sdf_line(conformer.title)
    table, kept = write_ctab(text, title, conformer.atomic_number, conformer.position, order)
    if conformer.charge and not kept and "charge" not in map(str.lower, properties):
        properties["charge"] = str(conformer.charge)
    return "".join([table, render_items(properties), "$$$$\n"])


def xyz_record(conformer: Conformer, order: Order, text: str) -> str:
    """One frame of extended XYZ with ten decimals; charge, title and properties stand in the comment line.

    Args:
        conformer: what to write.
        order: not needed, for there are no bonds.
        text: not needed.
    """
    pairs = {"charge": str(conformer.charge), "title": conformer.title}
    for key, value in conformer.properties.items():
        if key.lower() not in STALE_KEYS and pairs.get(key) != value:
            pairs[free_name(key or UNNAMED, pairs)] = value
    if not conformer.title and not pairs.keys() & set(TITLE_KEYS[1:]):
        del pairs["title"]
    items = sorted(
        pairs.items(), key=lambda item: not item[1]
    )  # ASE takes the pair behind for an empty value
    words = [XYZ_COLUMNS, *(f"{_xyz_key(key)}={_xyz_value(value)}" for key, value in items)]
    comment = " ".join(words)
    atoms = [
        f"{SYMBOLS[z]:<2} {x:18.10f} {y:18.10f} {w:18.10f}\n"
        for z, (x, y, w) in zip(conformer.atomic_number.tolist(), conformer.position.tolist(), strict=True)
    ]
    return "".join([f"{len(conformer)}\n{comment}\n", *atoms])


Renderer = Callable[[Conformer, Order, str], str]

WRITERS: dict[str, Renderer] = {
    ".sdf": sdf_record,
    ".sd": sdf_record,
    ".mol": sdf_record,
    ".xyz": xyz_record,
    ".extxyz": xyz_record,
}
"""Suffix, before an optional ``.gz``, to the function that makes one record."""


def structure_suffix(path: str | os.PathLike[str]) -> str | None:
    """The suffix by which a writer is chosen, ``.gz`` left out; None if there is no writer for this name."""
    name = os.fspath(path).lower().removesuffix(".gz")
    return next((suffix for suffix in WRITERS if name.endswith(suffix)), None)


class StructureWriter:
    """Writes conformers to one file; made by `open_writer`, used as a context manager.

    Attributes:
        written: number of records so far.
    """

    def __init__(self, path: str | os.PathLike[str], suffix: str, *, overwrite: bool) -> None:
        self.written = 0
        self._suffix, self._render = suffix, WRITERS[suffix]
        self._compress = os.fspath(path).lower().endswith(".gz")
        self._partial = None if os.fspath(path) == "-" else PartialFile(path, overwrite=overwrite)
        self._stream: TextIO = sys.stdout
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._partial is not None:
            with self._partial.reporting():
                disk = self._closing.enter_context(open(self._partial.temporary, "wb"))
                self._stream = self._closing.enter_context(_text_stream(disk, self._compress))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._partial is None:
            self._stream.flush()
            return
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
        atomic_number: ArrayLike | None = None,
        title: str | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """Write one record; what is not given is as it was read.

        Args:
            conformer: as read; bonds, formal charges and isotopes come from its `text`.
            order: (n,) permutation: atom k of the output is atom ``order[k]`` of the conformer, from 0.
            position: (n, 3) coordinates of the atoms of the output, already in that order, angstrom.
            atomic_number: (n,) elements of the atoms of the output, already in that order.
            title: another title.
            properties: added to those of the conformer, or in place of those of the same key.

        Raises:
            ShapeError: if a shape does not fit the conformer, or `order` is no permutation.
            ConformerError: if a coordinate is not finite.
            MolgiaeError: if the disk refuses.
        """
        n = len(conformer)
        index = np.arange(n) if order is None else np.asarray(order, np.int64)
        if not np.array_equal(np.sort(index), np.arange(n)):
            raise ShapeError(f"order is no permutation of {n} atoms")
        record = Conformer(
            atomic_number=_fitting("atomic_number", atomic_number, conformer.atomic_number[index]),
            position=_fitting("position", position, conformer.position[index]),
            title=conformer.title if title is None else title,
            charge=conformer.charge,
            properties={**conformer.properties, **(properties or {})},
        )
        if not np.isfinite(record.position).all():
            raise ConformerError(
                "a coordinate to be written is not finite",
                source=conformer.source,
                record=conformer.record,
                title=conformer.title,
                line=conformer.line,
            )
        self._put(self._render(record, None if order is None else index, conformer.text))

    def copy(self, conformer: Conformer) -> None:
        """Write one record to the letter as it was read; if that was another format, as `write` does.

        Raises:
            MolgiaeError: if the disk refuses.
        """
        if not _is_of_format(conformer.text, self._suffix, len(conformer)):
            self.write(conformer)
            return
        end = "" if conformer.text.endswith("\n") else "\n"
        self._put(conformer.text + end + ("$$$$\n" if self._render is sdf_record else ""))

    def annotate(self, conformer: Conformer, properties: Mapping[str, str]) -> None:
        """Write one record to the letter as it was read, with further properties behind its own.

        Where that cannot be, as in plain XYZ or where a key is taken, as `write` does.

        Raises:
            MolgiaeError: if the disk refuses.
        """
        text = conformer.text
        if (
            self._render is not sdf_record
            or "\r" in text
            or "\nM  END" not in text
            or any(item_name(key) in conformer.properties for key in properties)
            or not _is_of_format(text, self._suffix, len(conformer))
        ):
            self.write(conformer, properties=properties)
            return
        text = text.rstrip()
        end = "\n" if text.endswith("\nM  END") else "\n\n"  # a blank line ends the last item
        self._put(f"{text}{end}{render_items(properties)}$$$$\n")

    def _put(self, text: str) -> None:
        if self._partial is None:
            self._stream.write(text)
        else:
            with self._partial.reporting():
                self._stream.write(text)
        self.written += 1


def _is_of_format(text: str, suffix: str, n_atoms: int) -> bool:
    """Whether a record as it was read can stand in a file with this suffix."""
    lines = text.split("\n", 4)
    if len(lines) > 4 and lines[3].rstrip().endswith(("V2000", "V3000")):
        return WRITERS[suffix] is sdf_record
    return WRITERS[suffix] is xyz_record and lines[0].strip() == str(n_atoms)


def open_writer(
    path: str | os.PathLike[str], *, overwrite: bool = False, suffix: str | None = None
) -> StructureWriter:
    """A writer chosen by the suffix of the file name.

    Args:
        path: a name that ends in a suffix of `WRITERS`, also with ``.gz``; ``-`` is standard output.
        overwrite: replace an existing file when the new one is complete.
        suffix: key of `WRITERS` to use whatever the name is; needed for standard output.

    Raises:
        ConfigError: if there is no writer for this name.
        MolgiaeError: if the file cannot be written, or exists and `overwrite` is false.
    """
    chosen = suffix or structure_suffix(path)
    if chosen not in WRITERS:
        raise ConfigError(
            f"{os.fspath(path)}: no writer for this name; use {', '.join(WRITERS)}, also with .gz"
        )
    return StructureWriter(path, chosen, overwrite=overwrite)


def _text_stream(disk: BinaryIO, compress: bool) -> TextIO:
    # no name and time of day in the header, so that the same records make the same file
    packed = gzip.GzipFile("", "wb", 6, disk, mtime=0) if compress else disk
    return io.TextIOWrapper(packed, encoding="utf-8", errors="replace", newline="\n")


def _fitting(name: str, given: ArrayLike | None, own: NDArray) -> NDArray:
    """The array given, in the type of the conformer's own, or that itself."""
    if given is None:
        return own
    array = np.asarray(given)
    if array.shape != own.shape:
        raise ShapeError(f"{name} has shape {array.shape}, expected {own.shape}")
    return array.astype(own.dtype)


def _sdf_line(title: str) -> str:
    """One line that no reader takes for the end of a record."""
    line = LINE_END.sub(" ", title)
    return f" {line}" if line.startswith("$$$$") else line


def _xyz_key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else _quoted(key)


def _xyz_value(value: str) -> str:
    return value if _PLAIN_VALUE.fullmatch(value) or _ARRAY.fullmatch(value) else _quoted(value)


def _quoted(text: str) -> str:
    return '"' + text.translate(_ESCAPES) + '"'

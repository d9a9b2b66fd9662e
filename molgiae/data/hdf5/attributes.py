"""The attributes of HDF5 files, checked: those of the root, and the parts that those of an embedding name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from molgiae.data.hdf5.damage import DamagedError
from molgiae.data.hdf5.schema import ATTRIBUTES, PART_ATTRIBUTES, REQUIRED_ATTRIBUTES, SCHEMA_VERSION
from molgiae.errors import MolgiaeError
from molgiae.parts import PARTS, Part, parts_of


def attributes_of(file: h5py.File, path: Path) -> dict[str, Any]:
    """Return the attributes of the root that the schema knows.

    Raises:
        MolgiaeError: if molgiae did not write the file, or one that is newer did.
        DamagedError: if an attribute is missing or wrong.
    """
    found = {name: attribute_of(file, name, kind) for name, kind in ATTRIBUTES.items() if name in file.attrs}
    if "schema_version" not in found or "molgiae_version" not in found:
        raise MolgiaeError(f"{path}: is HDF5, but was not written by molgiae: no schema_version")
    version = found["schema_version"]
    if version > SCHEMA_VERSION:
        raise MolgiaeError(
            f"{path}: has schema version {version}, this molgiae reads up to {SCHEMA_VERSION}; "
            f"install molgiae {found['molgiae_version']}, which wrote it, or a newer one"
        )
    if version < 1:
        raise DamagedError("attribute schema_version", f"is {version}", f"1 to {SCHEMA_VERSION}")
    if missing := [name for name in REQUIRED_ATTRIBUTES if name not in found]:
        raise DamagedError(f"attribute {', '.join(missing)}", "missing", "all that the schema requires")
    return found


def attribute_of(item: h5py.HLObject, name: str, kind: type) -> Any:
    """Return an attribute as str or int."""
    what, expected = f"attribute {name}", {str: "a text", int: "a whole number"}[kind]
    shape = item.attrs.get_id(name).shape
    if shape != ():
        raise DamagedError(what, f"has shape {shape}", expected)
    value = item.attrs[name]
    if isinstance(value, str | bytes):
        value = _text(value)
    if isinstance(value, np.integer):
        value = int(value)
    if not isinstance(value, kind):
        raise DamagedError(what, f"is {type(value).__name__}", expected)
    return value


def list_of(item: h5py.HLObject, name: str, kind: type, what: str) -> list[Any]:
    """Return an attribute that lists texts or whole numbers."""
    expected = {str: "a list of texts", int: "a list of whole numbers"}[kind]
    if name not in item.attrs:
        raise DamagedError(f"attribute {what}", "is missing", expected)
    attribute = item.attrs.get_id(name)
    text = h5py.check_string_dtype(attribute.dtype) is not None
    if not text if kind is str else attribute.dtype.kind not in "iu":
        raise DamagedError(f"attribute {what}", f"is of type {attribute.dtype}", expected)
    if len(attribute.shape or ()) != 1:
        raise DamagedError(f"attribute {what}", f"has shape {attribute.shape}", expected)
    found = item.attrs[name].tolist()
    return [_text(value) for value in found] if text else found


def parts_in_file(embedding: h5py.Dataset, version: int) -> tuple[Part, ...]:
    """Return the parts of the embedding of a file of a schema version."""
    return (_parts_of_version_1 if version == 1 else _parts)(embedding)


def _parts_of_version_1(embedding: h5py.Dataset) -> tuple[Part, ...]:
    """Return the parts of a file of version 1, the first of which the root gives the size of."""
    file, dimension, name = embedding.file, embedding.shape[1], "shape_dimension"
    size = attribute_of(file, name, int) if name in file.attrs else 0
    if not 0 <= size <= dimension:
        expected = f"0 to {dimension}, the size of the embedding"
        raise DamagedError(f"attribute {name}", f"is {size}", expected)
    return parts_of({"shape": size, "detail": dimension - size})


def _parts(embedding: h5py.Dataset) -> tuple[Part, ...]:
    """Return the parts that the attributes of an embedding name: known ones, each column in one of them."""
    names, starts, stops, units, _ = (
        _of_parts(embedding, name, kind) for name, kind in PART_ATTRIBUTES.items()
    )
    end = 0
    for name, start, stop, unit in zip(names, starts, stops, units, strict=True):
        if name not in PARTS or names.count(name) > 1:
            raise _bad_part("parts", f"has {name:.60}", f"each of {', '.join(PARTS)} at most once")
        if start != end:
            raise _bad_part("part_start", f"is {start} for {name}", f"{end}, where the part before it ends")
        if not start < stop <= embedding.shape[1]:
            expected = f"{start + 1} to {embedding.shape[1]}, the size of the embedding"
            raise _bad_part("part_stop", f"is {stop} for {name}", expected)
        if unit != PARTS[name][0]:
            raise _bad_part("part_unit", f"is {unit:.60} for {name}", PARTS[name][0])
        end = stop
    if end != embedding.shape[1]:
        raise _bad_part("part_stop", f"ends with {end}", f"{embedding.shape[1]}, the size of the embedding")
    return tuple(map(Part, names, starts, stops))


def _bad_part(attribute: str, found: str, expected: str) -> DamagedError:
    return DamagedError(f"attribute {attribute} of embedding", found, expected)


def _of_parts(embedding: h5py.Dataset, name: str, kind: type) -> list[Any]:
    """Return an attribute that lists a text or a whole number for each part of the embedding."""
    expected = {str: "a list of texts", int: "a list of whole numbers"}[kind]
    if name not in embedding.attrs:
        raise _bad_part(name, "is missing", f"{expected}, one for each part")
    size = embedding.attrs.get_id("parts").shape
    shape = embedding.attrs.get_id(name).shape
    if len(shape or ()) != 1 or shape != size or size[0] > len(PARTS):
        raise _bad_part(name, f"has shape {shape}", "(P,), the same for all, of P parts")
    return list_of(embedding, name, kind, f"{name} of embedding")


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else legible(value)


def legible(text: str) -> str:
    """Return a text that can be printed: what is no UTF-8 is replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")

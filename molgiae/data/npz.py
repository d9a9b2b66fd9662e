"""Conformers from npz files: QM9 by split, and plain arrays.

Plain files have n_atoms (M,), atomic_number (N,) and the coordinates (N, 3), position in angstrom or position_mA in
thousandths of one; an array molecule (M,) says which conformers belong together, formal_charge (M,) their charges.
Those that molgiae writes have title, source, record and multiplicity (M,), isotope (N,), n_bonds (M,) and bonds (K, 2),
atoms of each conformer from 0; ``properties/KEY`` (M,) as texts, empty where there is none; and ``atom_data/NAME``,
(N,) or (N, w), and where some conformers do not have it ``present/NAME`` (M,), false for these.

QM9, minima at B3LYP/6-31G(2df,p) of molecules of up to nine heavy atoms (Ramakrishnan, Dral, Rupp and von Lilienfeld,
Sci. Data 1, 140022, 2014), has the coordinates in position_high and position_low, ``((high << 8) | low) * 1e-4``
angstrom, the numbers of the molecules in gdb_index (M,), and split (M,): 0 train, 1 validation, 2 test.
"""

from __future__ import annotations

import contextlib
import re
import zipfile
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import concatenate
from molgiae.data.checks import reject_faulty
from molgiae.data.conformer import AtomData, ConformerBlock, offset_of
from molgiae.data.elements import SYMBOLS
from molgiae.data.hdf5.schema import PART_ATTRIBUTES
from molgiae.errors import ConfigError, MolgiaeError

SPLITS = ("train", "validation", "test")

UNIT = {"position": 1.0, "position_mA": 1e-3}
"""Angstrom per unit of the plain arrays that may hold coordinates."""

PROPERTY, OF_ATOMS, PRESENT = "properties/", "atom_data/", "present/"
"""What the names of arrays start with: of properties, of further data of the atoms, of who has these."""
_SAFE = "".join(map(chr, range(32, 127))).replace("%", "")

Expected = dict[str, tuple[str, tuple[Any, ...]]]
"""Kinds of values and shape of each array: M conformers with N atoms, or as the first array with a letter says; any
further axes for an ellipsis."""

EXTRAS: Expected = {
    **dict.fromkeys(("molecule", "formal_charge"), ("iuf", ("M",))),
    **dict.fromkeys(("record", "multiplicity", "n_bonds"), ("iu", ("M",))),
    **dict.fromkeys(("title", "source"), ("U", ("M",))),
    "isotope": ("iu", ("N",)),
    "bonds": ("iu", ("K", 2)),
}
"""Plain arrays that may be missing."""

QM9: Expected = {
    "gdb_index": ("iu", ("M",)),
    "n_atoms": ("iu", ("M",)),
    "atomic_number": ("iu", ("N",)),
    "position_high": ("i", ("N", 3)),
    "position_low": ("u", ("N", 3)),
    "split": ("iu", ("M",)),
}

_OF_NUMPY = (AttributeError, EOFError, KeyError, OSError, OverflowError, RuntimeError, TypeError, ValueError)
"""What numpy and zipfile raise over damaged files, encrypted ones and archives of other things."""


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[Any]:
    """Give the arrays of an npz file by name.

    Raises:
        MolgiaeError: if the file is missing, damaged or of another kind, or an array that is asked for is.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            yield file
    except FileNotFoundError:
        raise MolgiaeError(f"{path}: no such file") from None
    except MemoryError as error:
        raise MolgiaeError(f"{path}: has an array that does not fit into memory ({error})") from error
    except (*_OF_NUMPY, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise MolgiaeError(f"{path}: cannot be read as npz, or lacks an array ({reason})") from error


def read_arrays(
    path: Path, expected: Expected, nan: Container[str] = (), optional: Expected | None = None
) -> dict[str, Any]:
    """Return arrays of an npz file, of which n_atoms and atomic_number are two.

    Args:
        path: the npz file.
        expected: what they are.
        nan: names of those that may hold NaN for what is not known.
        optional: what those are that may be missing.

    Raises:
        MolgiaeError: if the file cannot be read, lacks an array, or its arrays do not fit each other.
    """
    with open_npz(path) as file:
        expected = expected | {name: kind for name, kind in (optional or {}).items() if name in file}
        arrays = {name: file[name] for name in expected}
    _check(path, arrays, expected, nan)
    return arrays


def has_splits(path: Path) -> bool:
    """Return whether an npz file says which conformers are for training and which for testing."""
    try:
        with open_npz(path) as file:
            return "split" in file
    except MolgiaeError:
        return False


def read_npz(path: Path, split: str | None = None) -> ConformerBlock:
    """Return the conformers of an npz file of QM9 or of plain arrays.

    Those of QM9 have the title "gdb" and their number, others "molecule" and the number of theirs.

    Args:
        path: the npz file.
        split: a name in `SPLITS`, for QM9; None for all conformers.

    Raises:
        MolgiaeError: if the file cannot be read, lacks an array, or its arrays do not fit each other.
        ConfigError: if there is no such split.
    """
    with open_npz(path) as file:
        is_qm9 = "position_high" in file
        if split is not None and not is_qm9:
            raise ConfigError(f"{path}: has no splits, so no {split!r}")
        if split is not None and split not in SPLITS:
            raise ConfigError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
        expected = QM9 if is_qm9 else _plain(path, file.files)
    arrays = read_arrays(path, expected)
    size, known = len(arrays["n_atoms"]), {}
    if is_qm9:
        high, low = arrays["position_high"].astype(np.int32), arrays["position_low"].astype(np.uint8)
        position, title = ((high << 8) | low) * 1e-4, [f"gdb {i}" for i in arrays["gdb_index"]]
    else:
        (coordinates,) = UNIT.keys() & arrays.keys()
        position = arrays[coordinates].astype(np.float64) * UNIT[coordinates]
        title = [f"molecule {m}" for m in arrays.get("molecule", np.arange(size)).tolist()]
        known = _further(path, arrays)
    values: dict[str, Any] = {
        "title": title,
        "charge": arrays.get("formal_charge", np.zeros(size)).astype(np.int64),
        "source": [str(path)] * size,
        "record": np.arange(1, size + 1),
    }
    block = ConformerBlock.from_arrays(
        atomic_number=arrays["atomic_number"].astype(np.uint8),
        position=position,
        offset=offset_of(arrays["n_atoms"]),
        **(values | known),
    )
    return block if split is None else block.take(arrays["split"] == SPLITS.index(split))


def describe_npz(path: Path) -> dict[str, Any]:
    """Return the single values of an npz file by name, parts of an embedding, and name, shape and type of its arrays.

    Raises:
        MolgiaeError: if the file cannot be read.
    """
    with open_npz(path) as file:
        arrays = {name: file[name] for name in file.files}
    of_parts = {name: array.tolist() for name, array in arrays.items() if name in PART_ATTRIBUTES}
    single = {name: array.item() for name, array in arrays.items() if not array.ndim}
    rows = [dict(zip(of_parts, row, strict=True)) for row in zip(*of_parts.values(), strict=True)]
    return {
        **single,
        **({"parts": rows} if rows else {}),
        "arrays": [
            {"name": name, "shape": "x".join(map(str, array.shape)), "type": str(array.dtype)}
            for name, array in arrays.items()
            if array.ndim and name not in of_parts
        ],
    }


def read_npz_blocks(path: str) -> Iterator[ConformerBlock]:
    """Yield the conformers of an npz file in one block, those with an impossible geometry rejected."""
    yield reject_faulty(read_npz(Path(path)))


def write_npz(path: Path, blocks: Iterable[ConformerBlock]) -> None:
    """Write conformers as plain arrays, all of them in memory."""
    block = concatenate(list(blocks))
    arrays: dict[str, Any] = {
        "n_atoms": block.n_atoms,
        "formal_charge": block.charge,
        "n_bonds": np.diff(block.bond_offset),
        **{name: getattr(block, name) for name in ("atomic_number", "position", "isotope", "bonds")},
        **{name: getattr(block, name) for name in ("record", "multiplicity")},
        **{name: np.array(getattr(block, name), np.str_) for name in ("title", "source")},
    }
    for key in dict.fromkeys(key for mapping in block.properties for key in mapping):
        texts = [mapping.get(key, "") for mapping in block.properties]
        arrays[PROPERTY + quote(key, safe=_SAFE)] = np.array(texts, np.str_)
    kinds = {(n, v.dtype.kind, *v.shape[1:]) for data in block.atom_data for n, v in data.items()}
    for name, kind, *width in sorted(kinds):
        found = [data.get(name, np.empty(0)) for data in block.atom_data]
        present = np.array([(values.dtype.kind, *values.shape[1:]) == (kind, *width) for values in found])
        column = quote(name, safe=_SAFE)
        column += f"%%{len(arrays)}" if OF_ATOMS + column in arrays else ""
        some = np.concatenate([values for values, is_there in zip(found, present, strict=True) if is_there])
        rows = np.zeros((len(block.atomic_number), *width), some.dtype)
        rows[present[block.owner]] = some
        arrays[OF_ATOMS + column] = rows
        if not present.all():
            arrays[PRESENT + column] = present
    with zipfile.ZipFile(path, "w") as archive:
        write_arrays(archive, arrays)


def write_arrays(archive: zipfile.ZipFile, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name, as numpy reads them; without a time of day, so that the same ones make the same file."""
    for name, value in arrays.items():
        with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
            np.lib.format.write_array(entry, np.array(value), allow_pickle=False)


def _further(path: Path, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the attributes of a block that its plain arrays tell beside elements and positions."""
    size, n_atoms = len(arrays["n_atoms"]), arrays["n_atoms"]
    found: dict[str, Any] = {name: arrays[name].tolist() for name in ("title", "source") if name in arrays}
    found |= {name: arrays[name].astype(np.int64) for name in ("record", "multiplicity") if name in arrays}
    if "isotope" in arrays:
        found["isotope"] = arrays["isotope"].astype(np.uint16)
    if "bonds" in arrays and "n_bonds" in arrays:
        n_bonds, bonds = arrays["n_bonds"], arrays["bonds"].astype(np.int64)
        if int(n_bonds.sum()) != len(bonds) or (bonds < 0).any():
            raise MolgiaeError(f"{path}: n_bonds and bonds do not fit each other")
        if (bonds >= np.repeat(n_atoms, n_bonds)[:, None]).any():
            raise MolgiaeError(f"{path}: bonds has an atom that is not in its conformer")
        found |= {"bonds": bonds, "bond_offset": offset_of(n_bonds)}
    properties: list[dict[str, str]] = [{} for _ in range(size)]
    atom_data: list[dict[str, NDArray[Any]]] = [{} for _ in range(size)]
    for name, values in arrays.items():
        if name.startswith(PROPERTY):
            key = unquote(name.removeprefix(PROPERTY))
            for mapping, text in zip(properties, values.tolist(), strict=True):
                mapping.update({key: text} if text else {})
        elif name.startswith(OF_ATOMS):
            column = name.removeprefix(OF_ATOMS)
            key = unquote(re.sub(r"%%\d+$", "", column))
            present = arrays.get(PRESENT + column, np.ones(size, bool)).tolist()
            parts = np.split(values, offset_of(n_atoms)[1:-1])
            for data, rows, is_there in zip(atom_data, parts, present, strict=True):
                data.update({key: rows} if is_there else {})
    return found | {"properties": properties, "atom_data": list[AtomData](atom_data)}


def _plain(path: Path, names: list[str]) -> Expected:
    """Return what is expected of those of some arrays that are used."""
    coordinates = next((name for name in UNIT if name in names), "position")
    missing = [name for name in ("n_atoms", "atomic_number", coordinates) if name not in names]
    if missing:
        raise MolgiaeError(
            f"{path}: has no array {', '.join(missing)}; expected n_atoms, atomic_number and "
            f"{' or '.join(UNIT)}, found {', '.join(names) or 'nothing'}"
        )
    return {
        "n_atoms": ("iu", ("M",)),
        "atomic_number": ("iu", ("N",)),
        coordinates: ("iuf", ("N", 3)),
        **{name: kind for name, kind in EXTRAS.items() if name in names},
        **{name: ("U", ("M",)) for name in names if name.startswith(PROPERTY)},
        **{name: ("iufbU", ("N", ...)) for name in names if name.startswith(OF_ATOMS)},
        **{name: ("b", ("M",)) for name in names if name.startswith(PRESENT)},
    }


def _check(
    path: Path, arrays: Mapping[str, NDArray[Any]], expected: Expected, nan: Container[str] = ()
) -> None:
    """Raise a MolgiaeError if arrays are of other kinds, shapes do not fit each other, or atoms are no elements."""
    sizes, elements = arrays["n_atoms"], arrays["atomic_number"]
    for name in ("n_atoms", "atomic_number"):
        array = arrays[name]
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "iu":
            raise MolgiaeError(f"{path}: {name} is {_described(array)}, expected a row of whole numbers")
    if not len(sizes) or sizes.min() < 1:
        raise MolgiaeError(f"{path}: n_atoms needs at least one conformer, each of at least one atom")
    length = {"M": len(sizes), "N": sum(sizes.tolist())}  # in numbers that do not overflow
    for name, (kinds, pattern) in expected.items():
        array = arrays[name]
        for axis, size in zip(pattern, np.shape(array), strict=False):
            length.setdefault(str(axis), size)
        shape = tuple(length.get(axis, axis) if isinstance(axis, str) else axis for axis in pattern)
        if shape[-1] is ...:
            shape = (*shape[:-1], *np.shape(array)[len(shape) - 1 :])
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype.kind not in kinds:
            words = "numbers" if "f" in kinds else "whole numbers"
            raise MolgiaeError(
                f"{path}: {name} is {_described(array)}, expected {words} of shape {shape}: n_atoms has "
                f"{length['M']} conformers with {length['N']} atoms"
            )
        if array.dtype.kind == "U" or name.startswith(OF_ATOMS):
            continue
        if name not in nan and not (known := np.isfinite(array)).all():
            of = {"N": "atom", "M": "conformer"}.get(str(pattern[0]), "group")
            raise MolgiaeError(f"{path}: {name} of {of} {np.argwhere(~known)[0][0]} is not a finite number")
    if not (known := (elements >= 1) & (elements < len(SYMBOLS))).all():
        atom = known.argmin()
        raise MolgiaeError(f"{path}: atomic_number {elements[atom]} of atom {atom} is no element")


def _described(array: object) -> str:
    return f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else "no array"

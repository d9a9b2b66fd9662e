"""Conformers from npz files: QM9 by split, and plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import SYMBOLS
from molgiae.data.qm9 import open_npz, read_qm9
from molgiae.errors import ConfigError, MolgiaeError

UNIT = {"position": 1.0, "position_mA": 1e-3}
"""Angstrom per unit of the arrays that may hold coordinates."""

Arrays = dict[str, NDArray[Any]]


def read_npz(path: Path, split: str | None = None) -> ConformerBlock:
    """Read QM9 (see `molgiae.data.qm9`), or the arrays n_atoms (M,), atomic_number (N,) and coordinates (N, 3).

    Coordinates are ``position`` in angstrom or ``position_mA`` in thousandths of one. An array ``molecule`` (M,)
    says which conformers belong together; they get one title, "molecule" and this number. The total charge is taken
    from ``formal_charge`` (M,) if there.

    Args:
        path: the npz file.
        split: of QM9; None for all of it.

    Raises:
        MolgiaeError: if the file cannot be read, lacks an array, or its arrays do not fit each other.
        ConfigError: if a file without splits is asked for one.
    """
    with open_npz(path) as file:
        if "position_high" in file:
            return read_qm9(path, split)
        arrays = {name: file[name] for name in file.files}
    if split is not None:
        raise ConfigError(f"{path}: has no splits, so no {split!r}")
    coordinates = next((name for name in UNIT if name in arrays), "position")
    missing = [name for name in ("n_atoms", "atomic_number", coordinates) if name not in arrays]
    if missing:
        raise MolgiaeError(
            f"{path}: has no array {', '.join(missing)}; expected n_atoms, atomic_number and "
            f"{' or '.join(UNIT)}, found {', '.join(arrays) or 'nothing'}"
        )
    _check(path, arrays, coordinates)
    size = len(arrays["n_atoms"])
    return ConformerBlock.from_arrays(
        atomic_number=arrays["atomic_number"].astype(np.uint8),
        position=arrays[coordinates].astype(np.float64) * UNIT[coordinates],
        offset=np.concatenate([[0], np.cumsum(arrays["n_atoms"], dtype=np.int64)]),
        title=[f"molecule {m}" for m in arrays.get("molecule", np.arange(size)).tolist()],
        charge=arrays.get("formal_charge", np.zeros(size)).astype(np.int64),
        source=[str(path)] * size,
        record=np.arange(1, size + 1),
    )


def _check(path: Path, arrays: Arrays, coordinates: str) -> None:
    """That shapes fit each other, and numbers make sense."""
    sizes, elements = arrays["n_atoms"], arrays["atomic_number"]
    for name in ("n_atoms", "atomic_number"):
        if arrays[name].ndim != 1 or arrays[name].dtype.kind not in "iu":
            raise MolgiaeError(
                f"{path}: {name} is {_described(arrays[name])}, expected a row of whole numbers"
            )
    if not len(sizes) or sizes.min() < 1:
        raise MolgiaeError(f"{path}: n_atoms needs at least one conformer, each of at least one atom")
    atoms = int(sizes.sum(dtype=np.int64))
    expected = {"atomic_number": (atoms,), coordinates: (atoms, 3)}
    expected |= {name: (len(sizes),) for name in ("molecule", "formal_charge") if name in arrays}
    for name, shape in expected.items():
        if arrays[name].shape != shape or arrays[name].dtype.kind not in "iuf":
            raise MolgiaeError(
                f"{path}: {name} is {_described(arrays[name])}, expected numbers of shape {shape}: n_atoms has "
                f"{len(sizes)} conformers with {atoms} atoms"
            )
    if elements.min() < 1 or elements.max() >= len(SYMBOLS):
        wrong = int(np.flatnonzero((elements < 1) | (elements >= len(SYMBOLS)))[0])
        raise MolgiaeError(f"{path}: atomic_number {elements[wrong]} of atom {wrong} is no element")
    if not np.isfinite(arrays[coordinates]).all():
        wrong = int(np.flatnonzero(~np.isfinite(arrays[coordinates]).all(axis=1))[0])
        raise MolgiaeError(f"{path}: {coordinates} of atom {wrong} is not a finite number")


def _described(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"


def has_splits(path: Path) -> bool:
    """Whether an npz file says which conformers are for training and which for testing."""
    try:
        with open_npz(path) as file:
            return "split" in file
    except MolgiaeError:
        return False

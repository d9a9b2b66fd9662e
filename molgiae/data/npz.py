"""Conformers from npz files: QM9 by split, and plain arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from molgiae.data.conformer import ConformerBlock
from molgiae.data.qm9 import Shape, check_arrays, open_npz, read_qm9
from molgiae.errors import ConfigError, MolgiaeError

UNIT = {"position": 1.0, "position_mA": 1e-3}
"""Angstrom per unit of the arrays that may hold coordinates."""


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
    expected: dict[str, tuple[str, Shape]] = {
        "n_atoms": ("iu", ("M",)),
        "atomic_number": ("iu", ("N",)),
        coordinates: ("iuf", ("N", 3)),
        **{name: ("iuf", ("M",)) for name in ("molecule", "formal_charge") if name in arrays},
    }
    check_arrays(path, arrays, expected)
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


def has_splits(path: Path) -> bool:
    """Whether an npz file says which conformers are for training and which for testing."""
    try:
        with open_npz(path) as file:
            return "split" in file
    except MolgiaeError:
        return False

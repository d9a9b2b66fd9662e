"""Labels of conformers as arrays in an npz file, as `molgiae pretrain --labels` reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.cheap_methods import SOLVATION
from molgiae.data.npz import write_arrays
from molgiae.data.partial import PartialFile
from molgiae.output.files import SinkWithTable

if TYPE_CHECKING:
    from molgiae.data.blocks import Result

COMPUTED = {
    "energy": np.float64,
    "gap": np.float64,
    "polarizability": np.float64,
    "dipole": np.float32,
    "forces": np.float32,
    "charges": np.float32,
    "chemistry": np.float32,
}
"""Columns of results that are arrays of the file, and their types there; see `molgiae.training.labels.ARRAYS`."""


class LabelSink(SinkWithTable):
    """Labels to an npz file; conformers are centered, and kept in memory until the end.

    Args:
        path: name that ends in ``.npz``.
        overwrite: replace existing files.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self._partial = PartialFile(path, overwrite=overwrite)
        super().__init__(path, overwrite=overwrite)
        self._parts: list[dict[str, NDArray[Any]]] = []

    def __exit__(self, *exception: Any) -> None:
        if exception[0] is not None:
            return
        arrays = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        with self._partial.writing() as temporary, zipfile.ZipFile(temporary, "w") as archive:
            write_arrays(archive, arrays)
        self.write_rejected()

    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records."""
        block = result.block
        center = np.add.reduceat(block.position, block.offset[:-1]) if len(block) else np.empty((0, 3))
        centered = block.position - (center / block.n_atoms[:, None])[block.owner]
        self._parts.append(
            {
                "n_atoms": block.n_atoms,
                "formal_charge": block.charge,
                "atomic_number": block.atomic_number,
                "position": centered.astype(np.float32),
                **{name: result[name].astype(kind) for name, kind in COMPUTED.items()},
                **{name: values for name, values in result.columns.items() if name.startswith(SOLVATION)},
            }
        )
        self.rejected += block.rejected

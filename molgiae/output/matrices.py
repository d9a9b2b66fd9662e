"""A matrix of RMSDs to npz, HDF5 or CSV, with the names of its rows and columns."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from molgiae import __version__
from molgiae.data.conformer import ConformerBlock
from molgiae.data.csv_cells import CsvWriter
from molgiae.data.hdf5.arrays import write_hdf5_arrays
from molgiae.data.inputs import is_hdf5
from molgiae.data.npz import write_arrays
from molgiae.data.partial import PartialFile, open_text
from molgiae.errors import ConfigError
from molgiae.matching.matrix import RmsdMatrix
from molgiae.output.files import is_table

NAMES = ("source", "record", "title")


class MatrixFile:
    """The file that a matrix goes to; made before the work, it finds out whether it can be written.

    npz and HDF5 hold ``rmsd`` and ``proven``, (M, N) or condensed, and ``source``, ``record`` and ``title`` of the
    rows, and of the columns where they are others, with ``reference_`` before these names. A table holds the RMSDs,
    empty where there is none, and a second one, ``NAME.proven.csv``, has 1 and 0 in the same places.

    Args:
        path: ends in .npz, .h5, .csv or .tsv, the last two also with .gz.
        condensed: write each pair once, in the order of `scipy.spatial.distance.squareform`.
        overwrite: replace existing files.

    Raises:
        ConfigError: if a table is to be condensed.
        MolgiaeError: if a file cannot be written, or exists and may not be replaced.
    """

    def __init__(self, path: Path, *, condensed: bool = False, overwrite: bool = False) -> None:
        if condensed and is_table(path):
            raise ConfigError(f"{path}: condensed matrices go to .npz or .h5; a table has rows and columns")
        self.path, self._condensed = path, condensed
        self._partial = PartialFile(path, overwrite=overwrite)
        self.proven_table = proven_table(path) if is_table(path) else None
        if self.proven_table is not None:
            self._partial_proven = PartialFile(self.proven_table, overwrite=overwrite)

    def write(self, matrix: RmsdMatrix, command: str) -> None:
        """Write the matrix, and the command line beside it where the format has a place for that."""
        if self.proven_table is not None:
            tables = ((self._partial, matrix.rmsd, "{:.6f}"), (self._partial_proven, matrix.proven, "{:d}"))
            for partial, values, form in tables:
                with partial.writing() as temporary:
                    self._write_table(temporary, matrix, values, form)
            return
        rmsd, proven = matrix.condensed() if self._condensed else (matrix.rmsd, matrix.proven)
        arrays = {"rmsd": rmsd, "proven": proven, **_names(matrix.rows)}
        if not matrix.is_square:
            arrays |= {f"reference_{name}": values for name, values in _names(matrix.columns).items()}
        with self._partial.writing() as temporary:
            if is_hdf5(self.path):
                write_hdf5_arrays(temporary, arrays, {"command": command, "unit": "angstrom"})
            else:
                about = {"command": command, "molgiae_version": __version__}
                with zipfile.ZipFile(temporary, "w") as archive:
                    write_arrays(archive, arrays | about)

    def _write_table(self, temporary: Path, matrix: RmsdMatrix, values: np.ndarray, form: str) -> None:
        name = self.path.name.lower()
        with open_text(temporary, compress=name.endswith(".gz")) as text:
            writer = CsvWriter(text, "\t" if name.removesuffix(".gz").endswith(".tsv") else ",", "\n")
            writer.row([*NAMES, *labels(matrix.columns)])
            rows = zip(*_names(matrix.rows).values(), strict=True)
            for names, row in zip(rows, values.tolist(), strict=True):
                writer.row([*(name.item() for name in names), *_cells(row, form)])


def proven_table(path: str | os.PathLike[str]) -> Path:
    """Return the table that says which RMSDs of another are proven."""
    whole = Path(path)
    stem, dot, rest = whole.name.rpartition(".")
    if f".{rest}".lower() == ".gz":
        stem, dot, inner = stem.rpartition(".")
        rest = f"{inner}.{rest}"
    return whole.with_name(f"{stem}.proven{dot}{rest}")


def labels(block: ConformerBlock) -> list[str]:
    """Return what conformers are called in one cell: record and title, behind the source where there are several."""
    several = len(set(block.source)) > 1
    rows = zip(block.source, block.record.tolist(), block.title, strict=True)
    return [
        f"{f'{source}:' if several else ''}{record or m} {title}".strip()
        for m, (source, record, title) in enumerate(rows, 1)
    ]


def _names(block: ConformerBlock) -> dict[str, Any]:
    return {
        "source": np.array(block.source, dtype=np.str_),
        "record": block.record,
        "title": np.array(block.title, dtype=np.str_),
    }


def _cells(row: Iterable[float], form: str) -> list[str]:
    return ["" if value != value else form.format(value) for value in row]  # noqa: PLR0124 (NaN)

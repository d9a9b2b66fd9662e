"""Embeddings as one matrix in an npz file, and beside it the table that says what its rows are.

``chemprop --descriptors-path`` takes such a file: it reads the array ``arr_0`` and lays row k to row k of its data
table, by nothing but the number, and it reads NaN as 0 (chemprop 2.3, ``load_input_feats_and_descs`` and
``MoleculeDatapoint``). A row that is missing would shift all that follow and a row of NaN would become an embedding
of zeros, so neither is ever written: a rejected record ends the command, or is left out of matrix and table alike.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from molgiae import __version__
from molgiae.data.csv_cells import CsvWriter
from molgiae.data.hdf5.decoded import DECODED_COLUMNS, DECODED_FORMULA, DECODED_RMSD
from molgiae.data.hdf5.schema import part_attributes
from molgiae.data.npz import write_arrays
from molgiae.data.partial import PartialFile
from molgiae.output.files import ModelInUse, SinkWithTable

if TYPE_CHECKING:
    from molgiae.data.blocks import Result

SUFFIX = ".npz"
ROWS_ENDING = ".rows.csv"
ROW_KINDS = {
    "source": "string",
    "record": "int64",
    "title": "string",
    "in_domain": "uint8",
    "domain_reason": "string",
    DECODED_RMSD: "float32",
    DECODED_FORMULA: "uint8",
}
"""What tables of embeddings say of each conformer; the last two where embeddings were decoded again."""


def is_npz(path: str | os.PathLike[str]) -> bool:
    """Return whether the name says npz."""
    return Path(path).suffix.lower() == SUFFIX


def row_kinds(model: ModelInUse) -> dict[str, str]:
    """Return the fields of `ROW_KINDS` that a table has, and their types."""
    return {name: kind for name, kind in ROW_KINDS.items() if model.checks or name not in DECODED_COLUMNS}


def row_of(result: Result, m: int, fields: Iterable[str]) -> list[Any]:
    """Return the cells of some of these fields."""
    block = result.block
    own: dict[str, Any] = {"source": block.source, "record": block.record, "title": block.title}
    cells = (own[name][m] if name in own else result[name][m] for name in fields)
    plain = (cell.item() if isinstance(cell, np.generic) else cell for cell in cells)
    return [round(cell, 6) if isinstance(cell, float) else cell for cell in plain]


class NpzSink(SinkWithTable):
    """Embeddings to an npz file, and a table of its rows; memory does not grow with them.

    The npz holds ``arr_0`` (M, D) float32, the names, columns, units and meanings of its parts as the attributes of
    HDF5 have them (`molgiae.data.hdf5.schema.part_attributes`), and as texts model, model_sha256, command and
    molgiae_version. The table
    ``NAME.npz.rows.csv`` has the same M rows: source, record, title, in_domain, domain_reason, what the
    decoder gives back (`ROW_KINDS`) and the properties of the record; it can serve chemprop as its data table. With
    `drop_rejected` rejected records are listed in ``NAME.npz.rejected.csv``.

    Args:
        path: name that ends in ``.npz``.
        model: gives parts and provenance.
        command: the command line, for provenance.
        drop_rejected: leave rejected records out of matrix and table; otherwise the first one is an error.
        overwrite: replace existing files.
    """

    def __init__(
        self, path: Path, model: ModelInUse, *, command: str, drop_rejected: bool, overwrite: bool
    ) -> None:
        self.rows_table = path.with_name(path.name + ROWS_ENDING)
        self._partial = PartialFile(path, overwrite=overwrite)
        self._partial_rows = PartialFile(self.rows_table, overwrite=overwrite)
        super().__init__(path, overwrite=overwrite)
        self._dimension, self._drop = sum(part.size for part in model.parts), drop_rejected
        self._fields = tuple(row_kinds(model))
        self._about = part_attributes(model.parts) | {
            "model": model.name,
            "model_sha256": model.sha256,
            "command": command,
            "molgiae_version": __version__,
        }
        self._count = 0
        self._keys: dict[str, None] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        with self._partial.reporting():
            self._matrix, self._rows = self._spool(), self._spool()
        return self

    def __exit__(self, *exception: Any) -> None:
        try:
            if exception[0] is None:
                self._finish()
        finally:
            self._closing.close()
            self._partial.discard()
            self._partial_rows.discard()

    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records.

        Raises:
            ConformerError: a record was rejected and these are not to be left out.
        """
        block = result.block
        if block.rejected and not self._drop:
            bad = block.rejected[0]
            raise bad.error(
                f"{bad.reason}; without its row all that follow in {self.path} would stand against the wrong "
                "molecules: take the record out of the input, or leave rejected ones out with --drop-rejected"
            )
        with self._partial.reporting():
            self._matrix.write(np.ascontiguousarray(result["embedding"], dtype="<f4").tobytes())
            for m in range(len(result)):
                own = row_of(result, m, self._fields)
                properties = dict(block.properties[m])
                self._keys.update(dict.fromkeys(properties))
                self._rows.write(json.dumps([own, properties]).encode() + b"\n")
        self._count += len(result)
        self.rejected += block.rejected

    def notes(self) -> list[str]:
        """Say where its rows are described."""
        return [f"its rows are described one by one in {self.rows_table}"]

    def _spool(self) -> IO[bytes]:
        """Return a nameless file beside the output, where there is room for it."""
        return self._closing.enter_context(tempfile.TemporaryFile(dir=self._partial.final.parent))

    def _finish(self) -> None:
        with self._partial_rows.reporting():
            self._write_rows()
        with self._partial.reporting():
            self._write_matrix()
        self.write_rejected()
        self._partial_rows.publish()
        self._partial.publish()

    def _write_rows(self) -> None:
        columns = {key: f"{key} (property)" if key in self._fields else key for key in self._keys}
        self._rows.seek(0)
        with open(self._partial_rows.temporary, "w", newline="", encoding="utf-8", errors="replace") as file:
            writer = CsvWriter(file)
            writer.row([*self._fields, *columns.values()])
            for line in self._rows:
                own, properties = json.loads(line)
                writer.row([*own, *(properties.get(key, "") for key in columns)])

    def _write_matrix(self) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self._count, self._dimension)}
        self._matrix.seek(0)
        with zipfile.ZipFile(self._partial.temporary, "w") as archive:
            # ZipInfo of itself has no time of day, so that the same embeddings make the same file
            with archive.open(zipfile.ZipInfo("arr_0.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array_header_1_0(entry, header)
                shutil.copyfileobj(self._matrix, entry)
            write_arrays(archive, self._about)

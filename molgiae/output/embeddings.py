"""Embeddings as tables, a row for each conformer and a column for each number: CSV and TSV, or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from molgiae.data.blocks import Result
from molgiae.data.parquet import ColumnsWriter
from molgiae.output.files import ModelInUse, SinkWithTable, TableSink
from molgiae.output.npz import row_kinds, row_of
from molgiae.parts import column_names


class EmbeddingTable(TableSink):
    """Embeddings to CSV or TSV, or to standard output; numbers with as many digits as they have.

    Args:
        path: as of `TableSink`.
        model: gives the parts.
        overwrite: replace an existing file.
    """

    def __init__(self, path: Path, model: ModelInUse, *, overwrite: bool) -> None:
        fields, names = tuple(row_kinds(model)), column_names(model.parts)

        def row(result: Result, m: int) -> dict[str, object]:
            numbers = (f"{value:.9g}" for value in result["embedding"][m].tolist())
            return dict(zip((*fields, *names), (*row_of(result, m, fields), *numbers), strict=True))

        super().__init__(path, (*fields, *names), row, overwrite=overwrite)


class EmbeddingParquet(SinkWithTable):
    """Embeddings to Parquet, columns as of `EmbeddingTable`.

    Args:
        path: name that ends in ``.parquet``.
        model: gives the parts.
        overwrite: replace an existing file.
    """

    def __init__(self, path: Path, model: ModelInUse, *, overwrite: bool) -> None:
        super().__init__(path, overwrite=overwrite)
        self._fields, self._names = row_kinds(model), column_names(model.parts)
        kinds = self._fields | dict.fromkeys(self._names, "float32")
        about = {"model": model.name, "model_sha256": model.sha256}
        self._writer = ColumnsWriter(path, kinds, about, overwrite=overwrite)

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if exception[0] is None:
            self.write_rejected()
        self._writer.__exit__(*exception)

    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records."""
        rows = [row_of(result, m, self._fields) for m in range(len(result))]
        columns = dict(zip(self._fields, zip(*rows, strict=True), strict=True)) if rows else {}
        if columns:
            self._writer.append(
                {**columns, **dict(zip(self._names, np.asarray(result["embedding"]).T, strict=True))}
            )
        self.rejected += result.block.rejected

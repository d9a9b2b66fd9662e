"""Embeddings as tables, a row for each conformer and a column for each number: CSV and TSV, or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from molgiae.data.blocks import Result
from molgiae.data.parquet import ColumnsWriter
from molgiae.output.files import ModelInUse, SinkWithTable, TableSink
from molgiae.output.npz import ROW_FIELDS
from molgiae.parts import column_names

KINDS = dict(zip(ROW_FIELDS, ("string", "int64", "string", "uint8", "string"), strict=True))


def _of_row(result: Result, m: int) -> Iterator[Any]:
    """Yield the cells of `ROW_FIELDS`."""
    block = result.block
    yield from (block.source[m], int(block.record[m]), block.title[m])
    yield from (int(result["in_domain"][m]), result["domain_reason"][m])


class EmbeddingTable(TableSink):
    """Embeddings to CSV or TSV, or to standard output; numbers with as many digits as they have.

    Args:
        path: as of `TableSink`.
        model: gives the parts.
        overwrite: replace an existing file.
    """

    def __init__(self, path: Path, model: ModelInUse, *, overwrite: bool) -> None:
        names = column_names(model.parts)

        def row(result: Result, m: int) -> dict[str, object]:
            numbers = (f"{value:.9g}" for value in result["embedding"][m].tolist())
            return dict(zip((*ROW_FIELDS, *names), (*_of_row(result, m), *numbers), strict=True))

        super().__init__(path, (*ROW_FIELDS, *names), row, overwrite=overwrite)


class EmbeddingParquet(SinkWithTable):
    """Embeddings to Parquet, columns as of `EmbeddingTable`.

    Args:
        path: name that ends in ``.parquet``.
        model: gives the parts.
        overwrite: replace an existing file.
    """

    def __init__(self, path: Path, model: ModelInUse, *, overwrite: bool) -> None:
        super().__init__(path, overwrite=overwrite)
        self._names = column_names(model.parts)
        kinds = KINDS | dict.fromkeys(self._names, "float32")
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
        rows = [list(_of_row(result, m)) for m in range(len(result))]
        columns = dict(zip(ROW_FIELDS, zip(*rows, strict=True), strict=True)) if rows else {}
        if columns:
            self._writer.append(
                {**columns, **dict(zip(self._names, np.asarray(result["embedding"]).T, strict=True))}
            )
        self.rejected += result.block.rejected

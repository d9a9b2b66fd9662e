"""Results as a CSV table, a row for each conformer."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TextIO

from molgiae.data.csv_cells import CsvWriter
from molgiae.data.partial import PartialFile
from molgiae.output.sink import SinkWithTable

if TYPE_CHECKING:
    from molgiae.data.blocks import Result

Row = Callable[["Result", int], dict[str, object]]
"""From a result and the number of a conformer in it to the cells of its row, the same columns for every row."""


def is_table(path: str | os.PathLike[str]) -> bool:
    """Return whether the name says CSV or TSV."""
    return os.fspath(path).lower().removesuffix(".gz").endswith((".csv", ".tsv"))


def delimiter_of(path: str | os.PathLike[str]) -> str:
    """Return what stands between the cells of a table of this name."""
    return "\t" if os.fspath(path).lower().removesuffix(".gz").endswith(".tsv") else ","


class TableSink(SinkWithTable):
    """Results to a CSV or TSV file.

    Args:
        path: name that ends in ``.csv`` or ``.tsv``, also with ``.gz``.
        columns: names of the columns.
        row: makes the cells of one conformer.
        overwrite: replace an existing file.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], row: Row, *, overwrite: bool) -> None:
        self._partial = PartialFile(path, overwrite=overwrite)
        super().__init__(path, overwrite=overwrite)
        self._columns, self._row = columns, row
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        with self._partial.reporting():
            disk = self._closing.enter_context(open(self._partial.temporary, "wb"))
            stream = self._closing.enter_context(_text(disk, self.path.name.lower().endswith(".gz")))
            self._writer = CsvWriter(stream, delimiter_of(self.path))
            self._writer.row(self._columns)
        return self

    def __exit__(self, *exception: Any) -> None:
        try:
            with self._partial.reporting():
                self._closing.close()
            if exception[0] is None:
                self.table.write(self.rejected)
                self._partial.publish()
        finally:
            self._partial.discard()

    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records."""
        with self._partial.reporting():
            for m in range(len(result)):
                cells = self._row(result, m)
                self._writer.row(cells.get(name, "") for name in self._columns)
        self.rejected += result.block.rejected


def _text(disk: BinaryIO, compress: bool) -> TextIO:
    packed = gzip.GzipFile("", "wb", 6, disk, mtime=0) if compress else disk
    return io.TextIOWrapper(packed, encoding="utf-8", errors="replace", newline="")

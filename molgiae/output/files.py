"""Results to HDF5, SDF, XYZ, CSV and TSV; rejected records to the HDF5 file or to a table beside the others."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from molgiae.data.conformer import Rejected
from molgiae.data.csv_cells import CsvWriter
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.partial import PartialFile, is_stdout, open_text
from molgiae.data.writers import StructureWriter

if TYPE_CHECKING:
    from molgiae.data.blocks import Result
    from molgiae.data.hdf5.schema import Column
    from molgiae.data.pieces import Share
    from molgiae.model.embedder import Embedder
    from molgiae.parts import Part

Row = Callable[["Result", int], dict[str, object]]
"""From a result and the number of a conformer in it to the cells of its row, the same columns for every row."""

REJECTED_FIELDS = ("source", "record", "title", "line", "reason")

MAX_SHOWN = 5
"""Names in a note."""


@dataclass(frozen=True)
class ModelInUse:
    """What a command and its output say of the model, whatever that computes.

    Attributes:
        name: by which it was asked for.
        sha256: digest of its file.
        parts: those of the embedding, and their columns.
        workers: blocks worth computing at a time.
        checks: whether conformers are decoded again, see `molgiae.model.decoded`.
    """

    name: str
    sha256: str
    parts: tuple[Part, ...] = ()
    workers: int = 1
    checks: bool = False

    @classmethod
    def of(cls, embedder: Embedder) -> Self:
        """Describe a model of embeddings."""
        origin = embedder.checkpoint
        return cls(origin.name, origin.sha256, embedder.parts, embedder.workers, embedder.checks)


class Sink(ABC):
    """An output of results; as a context manager it gives the file its name on a clean exit only.

    Attributes:
        path: the file.
        rejected_in: where rejected records are listed.
    """

    path: Path
    rejected_in: str

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *exception: Any) -> None: ...

    @abstractmethod
    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records."""

    def notes(self) -> list[str]:
        """Return what the user should know of the output, a line each."""
        return []


class Hdf5Sink(Sink):
    """Results to an HDF5 file, rejected records to its group ``rejected``.

    Args:
        path: name of the file.
        columns: columns of the schema that results bring.
        model: for provenance; None where none takes part.
        command: the command line, for provenance.
        overwrite: replace an existing file.
        predictions: columns of predicted properties or of a projection, which results bring, too.
        share: where the file is one part of a directory, what it is made from.
        keep, float16: as of `Hdf5Writer`.
    """

    def __init__(
        self,
        path: Path,
        columns: tuple[str, ...],
        model: ModelInUse | None,
        *,
        command: str,
        overwrite: bool,
        predictions: Sequence[Column] = (),
        share: Share | None = None,
        keep: Sequence[str] | None = None,
        float16: bool = False,
    ) -> None:
        self._float16 = float16
        self.path, self.rejected_in = path, f"{path}: group rejected"
        about: dict[str, Any] = {"command": command}
        if model is not None:
            about |= {"model": model.name, "model_sha256": model.sha256}
            if "embedding" in columns:
                about["parts"] = model.parts
        self._writer = Hdf5Writer(
            path,
            columns=columns,
            predictions=predictions,
            overwrite=overwrite,
            share=share,
            keep=keep,
            float16=float16,
            **about,
        )

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._writer.__exit__(*exception)

    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records."""
        self._writer.append(result.block, result.columns)

    def notes(self) -> list[str]:
        """Say what float16 did to the embedding."""
        error, largest = self._writer.rounding
        said = f"the embedding is kept as float16: numbers up to {largest:.3g} are off by at most {error:.2g}"
        return [said] if self._float16 else []


def rejected_table(output: Path) -> Path:
    """Return the table of rejected records that belongs to an output."""
    return output.with_name(f"{output.name}.rejected.csv")


def write_rejected(path: Path, rejected: Sequence[Rejected]) -> None:
    """Write rejected records to a CSV table, in place of an earlier one; where there are none, remove that."""
    if not rejected:
        path.unlink(missing_ok=True)
        return
    partial = PartialFile(path, overwrite=True)
    with partial.writing() as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = CsvWriter(file)
        writer.row(REJECTED_FIELDS)
        writer.rows([getattr(record, name) for name in REJECTED_FIELDS] for record in rejected)


class SinkWithTable(Sink):
    """An output that lists rejected records in a table beside it; nowhere if it is standard output.

    Args:
        path: the file.
        overwrite: replace existing files.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path, self.rejected_in = path, "" if is_stdout(path) else str(rejected_table(path))
        if self.rejected_in:
            PartialFile(
                self.rejected_in, overwrite=overwrite
            )  # finds out before the work whether it can be written
        self.rejected: list[Rejected] = []

    def write_rejected(self) -> None:
        """Write the table, if any record was rejected."""
        if self.rejected_in:
            write_rejected(Path(self.rejected_in), self.rejected)


class StructureSink(SinkWithTable):
    """Results to an SDF or XYZ file.

    Args:
        path: name that ends in a suffix of `molgiae.data.writers.WRITERS`.
        record: writes conformer m of a result.
        overwrite: replace an existing file.
    """

    def __init__(
        self, path: Path, record: Callable[[StructureWriter, Result, int], None], *, overwrite: bool
    ) -> None:
        self._writer = StructureWriter(path, overwrite=overwrite)
        super().__init__(path, overwrite=overwrite)
        self._record = record

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if exception[0] is None:
            self.write_rejected()
        self._writer.__exit__(*exception)

    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records."""
        for m in range(len(result)):
            self._record(self._writer, result, m)
        self.rejected += result.block.rejected

    def notes(self) -> list[str]:
        """Name the data that could not follow the atoms."""
        dropped = self._writer.dropped
        if not dropped:
            return []
        shown = ", ".join(f"{name} ({count})" for name, count in dropped.most_common(MAX_SHOWN))
        rest = f" and {len(dropped) - MAX_SHOWN} more" if len(dropped) > MAX_SHOWN else ""
        return [f"left out, for it is not known how to turn or reorder them with the atoms: {shown}{rest}"]


def is_table(path: str | os.PathLike[str]) -> bool:
    """Return whether the name says CSV or TSV."""
    return os.fspath(path).lower().removesuffix(".gz").endswith((".csv", ".tsv"))


class TableSink(SinkWithTable):
    """Results to a CSV or TSV file, a row for each conformer.

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
        name = self.path.name.lower()
        with self._partial.reporting():
            text = open_text(self._partial.temporary, compress=name.endswith(".gz"))
            tabs = name.removesuffix(".gz").endswith(".tsv")
            self._writer = CsvWriter(self._closing.enter_context(text), "\t" if tabs else ",")
            self._writer.row(self._columns)
        return self

    def __exit__(self, *exception: Any) -> None:
        try:
            with self._partial.reporting():
                self._closing.close()
            if exception[0] is None:
                self.write_rejected()
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

"""Where the results of a command go: HDF5, or SDF and XYZ with a table of what was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from molgiae.data.conformer import Rejected
from molgiae.data.csv_cells import CsvWriter
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.partial import PartialFile
from molgiae.data.writers import StructureWriter, open_writer

if TYPE_CHECKING:
    from molgiae.data.hdf5.schema import Column
    from molgiae.model.auto import Watch
    from molgiae.model.embedder import Result

MAX_SHOWN = 5
"""Names in a note."""

REJECTED_FIELDS = ("source", "record", "title", "line", "reason")


class Named(Protocol):
    """What a model is known by."""

    @property
    def name(self) -> str:
        """By which it was asked for."""

    @property
    def sha256(self) -> str:
        """Of its file."""


class ModelInUse(Protocol):
    """What a command has to know of its model, whatever that computes."""

    @property
    def checkpoint(self) -> Named:
        """Where it comes from."""

    @property
    def watch(self) -> Watch | None:
        """Why this model, where it was chosen by itself."""

    @property
    def dimension(self) -> int:
        """Size of the embedding."""

    @property
    def shape_dimension(self) -> int:
        """Columns of its shape part."""

    @property
    def workers(self) -> int:
        """Blocks worth computing at a time."""


class Sink(Protocol):
    """Where results go."""

    path: Path

    def __enter__(self) -> Any:
        """Open; the file gets its name on a clean exit only."""

    def __exit__(self, *exception: Any) -> None:
        """Close."""

    def write(self, result: Result) -> None:
        """Append the results of a block and its refused records."""

    def rejected_in(self) -> str:
        """Where refused records are listed."""

    def notes(self) -> list[str]:
        """What the user should know of the output, a line each."""


class Hdf5Sink:
    """Results to an HDF5 file, refused records to its group ``rejected``.

    Args:
        path: name of the file.
        columns: of the schema, those that results bring.
        embedder: for provenance.
        command: the command line, for provenance.
        overwrite: replace an existing file.
        predictions: columns of predicted properties or of a projection, which results bring, too.
    """

    def __init__(
        self,
        path: Path,
        columns: tuple[str, ...],
        embedder: ModelInUse,
        *,
        command: str,
        overwrite: bool,
        predictions: Sequence[Column] = (),
    ) -> None:
        self.path = path
        self._writer = Hdf5Writer(
            path,
            dimension=embedder.dimension if "embedding" in columns else 0,
            shape_dimension=embedder.shape_dimension if "embedding" in columns else 0,
            columns=columns,
            predictions=predictions,
            model=embedder.checkpoint.name,
            model_sha256=embedder.checkpoint.sha256,
            model_choice=embedder.watch.choice.reason if embedder.watch else "",
            command=command,
            overwrite=overwrite,
        )

    def __enter__(self) -> Hdf5Sink:
        self._writer.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._writer.__exit__(*exception)

    def write(self, result: Result) -> None:
        """Append."""
        self._writer.append(result.block, result.columns)

    def rejected_in(self) -> str:
        """The group of the file."""
        return f"{self.path}: group rejected"

    def notes(self) -> list[str]:
        """None: everything is kept as it was read."""
        return []


class StructureSink:
    """Results to an SDF or XYZ file, refused records to a CSV table beside it.

    Args:
        path: name that ends in a suffix of `molgiae.data.writers.WRITERS`.
        record: writes conformer m of a result.
        overwrite: replace an existing file.
    """

    def __init__(
        self, path: Path, record: Callable[[StructureWriter, Result, int], None], *, overwrite: bool
    ) -> None:
        self.path = path
        self.table = path.with_name(f"{path.name}.rejected.csv")
        self._writer: AbstractContextManager[Any] = open_writer(path, overwrite=overwrite)
        self._partial_table = PartialFile(self.table, overwrite=overwrite)
        self._record = record
        self._rejected: list[Rejected] = []

    def __enter__(self) -> StructureSink:
        self._open = self._writer.__enter__()
        self._dropped: Counter[str] = self._open.dropped
        return self

    def __exit__(self, *exception: Any) -> None:
        if exception[0] is None:
            if self._rejected:
                write_rejected(self._partial_table, self._rejected)
            else:
                self.table.unlink(missing_ok=True)  # that of the output which is replaced
        self._writer.__exit__(*exception)

    def write(self, result: Result) -> None:
        """Append."""
        for m in range(len(result)):
            self._record(self._open, result, m)
        self._rejected += result.block.rejected

    def rejected_in(self) -> str:
        """The table beside the file."""
        return str(self.table)

    def notes(self) -> list[str]:
        """Data that could not follow the atoms."""
        if not self._dropped:
            return []
        shown = ", ".join(f"{name} ({count})" for name, count in self._dropped.most_common(MAX_SHOWN))
        more = len(self._dropped) - MAX_SHOWN
        rest = f" and {more} more" if more > 0 else ""
        return [f"left out, for it is not known how to turn or reorder them with the atoms: {shown}{rest}"]


def write_rejected(partial: PartialFile, rejected: Iterable[Rejected]) -> None:
    """A table of refused records as CSV."""
    with partial.writing() as path, open(path, "w", newline="", encoding="utf-8") as file:
        writer = CsvWriter(file)
        writer.row(REJECTED_FIELDS)
        writer.rows([getattr(record, name) for name in REJECTED_FIELDS] for record in rejected)

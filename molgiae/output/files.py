"""Results to HDF5, and to SDF and XYZ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.writers import StructureWriter, open_writer
from molgiae.output.sink import Sink, SinkWithTable

if TYPE_CHECKING:
    from molgiae.data.blocks import Result
    from molgiae.data.hdf5.schema import Column
    from molgiae.model.auto import Watch

MAX_SHOWN = 5
"""Names in a note."""


class Named(Protocol):
    """The name of a model and the digest of its weights."""

    @property
    def name(self) -> str:
        """Return the name by which it was asked for."""

    @property
    def sha256(self) -> str:
        """Return the digest of its file."""


class ModelInUse(Protocol):
    """What a command has to know of its model, whatever that computes."""

    @property
    def checkpoint(self) -> Named:
        """Return where it comes from."""

    @property
    def watch(self) -> Watch | None:
        """Return the watch over its choice, where it was chosen automatically."""

    @property
    def dimension(self) -> int:
        """Return the size of the embedding."""

    @property
    def shape_dimension(self) -> int:
        """Return the size of its shape part."""

    @property
    def workers(self) -> int:
        """Return how many blocks are worth computing at a time."""


class Hdf5Sink(Sink):
    """Results to an HDF5 file, rejected records to its group ``rejected``.

    Args:
        path: name of the file.
        columns: columns of the schema that results bring.
        embedder: the model, for provenance; None where none takes part.
        command: the command line, for provenance.
        overwrite: replace an existing file.
        predictions: columns of predicted properties or of a projection, which results bring, too.
    """

    def __init__(
        self,
        path: Path,
        columns: tuple[str, ...],
        embedder: ModelInUse | None,
        *,
        command: str,
        overwrite: bool,
        predictions: Sequence[Column] = (),
    ) -> None:
        self.path = path
        embeds = embedder is not None and "embedding" in columns
        self._writer = Hdf5Writer(
            path,
            dimension=embedder.dimension if embedder and embeds else 0,
            shape_dimension=embedder.shape_dimension if embedder and embeds else 0,
            columns=columns,
            predictions=predictions,
            model=embedder.checkpoint.name if embedder else "",
            model_sha256=embedder.checkpoint.sha256 if embedder else "",
            model_choice=embedder.watch.choice.reason if embedder and embedder.watch else "",
            command=command,
            overwrite=overwrite,
        )

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._writer.__exit__(*exception)

    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records."""
        self._writer.append(result.block, result.columns)

    def rejected_in(self) -> str:
        """Return the group of the file."""
        return f"{self.path}: group rejected"


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
        self._writer: AbstractContextManager[StructureWriter] = open_writer(path, overwrite=overwrite)
        super().__init__(path, overwrite=overwrite)
        self._record = record

    def __enter__(self) -> Self:
        self._open = self._writer.__enter__()
        self._dropped: Counter[str] = self._open.dropped
        return self

    def __exit__(self, *exception: Any) -> None:
        if exception[0] is None:
            self.table.write(self.rejected)
        self._writer.__exit__(*exception)

    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records."""
        for m in range(len(result)):
            self._record(self._open, result, m)
        self.rejected += result.block.rejected

    def notes(self) -> list[str]:
        """Name the data that could not follow the atoms."""
        if not self._dropped:
            return []
        shown = ", ".join(f"{name} ({count})" for name, count in self._dropped.most_common(MAX_SHOWN))
        more = len(self._dropped) - MAX_SHOWN
        rest = f" and {more} more" if more > 0 else ""
        return [f"left out, for it is not known how to turn or reorder them with the atoms: {shown}{rest}"]

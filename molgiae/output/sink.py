"""Where the results of a command go, and the table of rejected records beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from molgiae.data.conformer import Rejected
from molgiae.data.csv_cells import CsvWriter
from molgiae.data.partial import PartialFile

if TYPE_CHECKING:
    from molgiae.data.blocks import Result

REJECTED_FIELDS = ("source", "record", "title", "line", "reason")


class RejectedTable:
    """A CSV table of rejected records, which exists only if there are any.

    Args:
        path: name of the table.
        overwrite: replace an existing one.
    """

    def __init__(self, path: Path, *, overwrite: bool = True) -> None:
        self.path = path
        self._partial = PartialFile(path, overwrite=overwrite)

    @classmethod
    def beside(cls, output: Path, *, overwrite: bool = True) -> Self:
        """Return the table of an output."""
        return cls(output.with_name(f"{output.name}.rejected.csv"), overwrite=overwrite)

    def write(self, rejected: Sequence[Rejected]) -> None:
        """Write the table; without records remove that of the output which is replaced."""
        if not rejected:
            self.path.unlink(missing_ok=True)
            return
        with self._partial.writing() as path, open(path, "w", newline="", encoding="utf-8") as file:
            writer = CsvWriter(file)
            writer.row(REJECTED_FIELDS)
            writer.rows([getattr(record, name) for name in REJECTED_FIELDS] for record in rejected)


class Sink(ABC):
    """An output of results; as a context manager it gives the file its name on a clean exit only.

    Attributes:
        path: the file.
    """

    path: Path

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *exception: Any) -> None: ...

    @abstractmethod
    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records."""

    @abstractmethod
    def rejected_in(self) -> str:
        """Return where rejected records are listed."""

    def notes(self) -> list[str]:
        """Return what the user should know of the output, a line each."""
        return []


class SinkWithTable(Sink):
    """An output that lists rejected records in a table beside it.

    Args:
        path: the file.
        overwrite: replace existing files.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self.rejected: list[Rejected] = []
        self.table = RejectedTable.beside(path, overwrite=overwrite)

    def rejected_in(self) -> str:
        """Return the name of the table."""
        return str(self.table.path)

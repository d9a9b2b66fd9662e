"""What was read, on disk until it is written: memory does not grow with the texts of the records."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator, Sized
from typing import IO, Generic, TypeVar

from molgiae.errors import MolgiaeError

T = TypeVar("T", bound=Sized)


class Spool(Generic[T]):
    """Blocks of conformers, or what was computed of blocks, in a file.

    Args:
        file: temporary file, open for writing and reading.

    Attributes:
        starts: number of the first conformer of each block, and behind them the number of all conformers.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.starts = [0]
        self._file = file

    def __len__(self) -> int:
        return self.starts[-1]

    def add(self, block: T) -> None:
        """Append a block.

        Raises:
            MolgiaeError: if the file cannot be written.
        """
        try:
            pickle.dump(block, self._file, pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            place = f"{tempfile.gettempdir()}: the temporary file cannot be written"
            raise MolgiaeError(f"{place}: {error.strerror}; name another directory in TMPDIR") from error
        self.starts.append(len(self) + len(block))

    def blocks(self) -> Iterator[tuple[int, T]]:
        """Yield the blocks, each with the number of its first conformer."""
        self._file.seek(0)
        for start in self.starts[:-1]:
            yield start, pickle.load(self._file)

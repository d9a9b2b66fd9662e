"""What was read, on disk until it is written: memory does not grow with the texts of the records."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sized
from typing import IO, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import Result, concatenate
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


def rows_of_blocks(blocks: Iterable[tuple[int, Result]], rows: NDArray[np.int64]) -> Result:
    """Return some conformers of blocks, with all columns, in the order of their rows.

    Args:
        blocks: at least one, each with the number of its first conformer; columns have a row for each conformer.
        rows: numbers of conformers, each once.
    """
    places: list[NDArray[np.int64]] = []
    parts: list[Result] = []
    for first, result in blocks:
        here = np.flatnonzero((rows >= first) & (rows < first + len(result)))
        if len(here) or not parts:
            own = rows[here] - first
            columns = {name: values[own] for name, values in result.columns.items()}
            places.append(here)
            parts.append(Result(result.block.take(own), columns))
    order = np.argsort(np.concatenate(places))
    joined = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0].columns}
    return Result(concatenate([part.block for part in parts]).take(order), joined)

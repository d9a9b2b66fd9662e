"""Conformers to npz, an ASE database or Parquet, which are written as a whole when all columns are known."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from molgiae.data.ase_database import write_ase_database
from molgiae.data.conformer import ConformerBlock
from molgiae.data.npz import write_npz
from molgiae.data.parquet import is_parquet, pyarrow, write_parquet
from molgiae.data.partial import PartialFile
from molgiae.data.spool import Spool
from molgiae.output.files import SinkWithTable

if TYPE_CHECKING:
    from molgiae.data.blocks import Result

ROW_WRITERS: dict[str, Callable[[Path, Iterable[ConformerBlock]], None]] = {
    ".npz": write_npz,
    ".db": write_ase_database,
    ".parquet": write_parquet,
}
"""By suffix, what writes blocks, which can be gone through more than once."""


def row_suffix(path: str | os.PathLike[str]) -> str | None:
    """Return the suffix in `ROW_WRITERS` that a name ends in; None if it ends in none."""
    suffix = Path(path).suffix.lower()
    return suffix if suffix in ROW_WRITERS else None


class RowSink(SinkWithTable):
    """Conformers to a file of `ROW_WRITERS`; on disk until they are written, so that memory does not grow.

    Args:
        path: name that ends in a suffix of `ROW_WRITERS`.
        overwrite: replace existing files.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        if is_parquet(path):
            pyarrow()
        self._write = ROW_WRITERS[path.suffix.lower()]
        self._partial = PartialFile(path, overwrite=overwrite)
        super().__init__(path, overwrite=overwrite)

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile()
        self._spool = Spool[ConformerBlock](self._file)
        return self

    def __exit__(self, *exception: Any) -> None:
        with self._file:
            if exception[0] is None:
                self.write_rejected()
                with self._partial.writing() as temporary:
                    self._write(temporary, _Blocks(self._spool))

    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records."""
        if len(result):
            self._spool.add(replace(result.block, rejected=[]))
        self.rejected += result.block.rejected


class _Blocks:
    """The blocks of a spool, as often as they are asked for."""

    def __init__(self, spool: Spool[ConformerBlock]) -> None:
        self._spool = spool

    def __iter__(self) -> Iterator[ConformerBlock]:
        return (block for _, block in self._spool.blocks())

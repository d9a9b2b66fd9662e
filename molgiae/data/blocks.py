"""Blocks of conformers joined and cut, and what was computed of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import (
    NUMBERS,
    OBJECTS,
    PER_ATOM,
    ConformerBlock,
    offset_of,
    rows_within,
)
from molgiae.errors import ConfigError
from molgiae.parts import Part

if TYPE_CHECKING:
    from pandas import DataFrame

BLOCK_ROWS = 1024
SHOWN = 2
"""Columns that are shown where a result is printed."""


def concatenate(blocks: Sequence[ConformerBlock]) -> ConformerBlock:
    """Return one block of all conformers and rejected records, in this order."""
    if len(blocks) == 1:
        return blocks[0]
    blocks = [ConformerBlock.of([]), *blocks]
    values: dict[str, Any] = {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in (*PER_ATOM, "bonds", *NUMBERS)
    }
    for name in (*OBJECTS, "rejected"):
        values[name] = [one for block in blocks for one in getattr(block, name)]
    for name in ("offset", "bond_offset"):
        values[name] = offset_of(np.concatenate([np.diff(getattr(block, name)) for block in blocks]))
    return ConformerBlock(**values)


def rebatch(blocks: Iterable[ConformerBlock], size: int) -> Iterator[ConformerBlock]:
    """Yield the same conformers and rejected records in blocks of `size` conformers, the last one smaller."""
    waiting: list[ConformerBlock] = []
    n_waiting = n_rejected = 0
    for block in blocks:
        waiting.append(block)
        n_waiting += len(block)
        n_rejected += len(block.rejected)
        if n_waiting >= size or n_rejected >= size:
            joined = concatenate(waiting)
            whole = max(len(joined) // size, 1) * size
            for start in range(0, whole, size):
                rejected = joined.rejected if start == 0 else []
                yield replace(joined.take(slice(start, start + size)), rejected=rejected)
            waiting = [replace(joined.take(slice(whole, None)), rejected=[])]
            n_waiting, n_rejected = len(waiting[0]), 0
    joined = concatenate(waiting) if waiting else ConformerBlock.of([])
    if len(joined) or joined.rejected:
        yield joined


def rows_left(left: ConformerBlock, given: ConformerBlock) -> NDArray[np.int64]:
    """Return which conformers of a block are left in another, in the same order; copies count as one another."""
    if len(left) == len(given):
        return np.arange(len(given))
    names = ((c.source, c.record, c.atomic_number.tobytes(), c.position.tobytes()) for c in given)
    numbered = enumerate(names)
    wanted = ((c.source, c.record, c.atomic_number.tobytes(), c.position.tobytes()) for c in left)
    return np.array([next(m for m, name in numbered if name == one) for one in wanted], np.int64)


Columns = dict[str, NDArray[Any]]
"""Name in the HDF5 schema to values: rows per conformer or per atom of a block."""


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """Conformers and what was computed of them: arrays by name, of which len() are the conformers.

    Attributes:
        block: the conformers that were taken; the others are in ``block.rejected``.
        columns: one array for each computed column of the HDF5 schema, rows per conformer or per atom.
        parts: of the embedding, where there is one, and their columns.

    Examples:
        >>> result = molgiae.embed(mol, model="qm9", parts="shape,features")
        >>> result
        Result(3 conformers; embedding (3, 320) float32, rotation (3, 3, 3) float64, ...)
        >>> "stability" in result, result["stability"].shape
        (True, (3,))
        >>> list(result.to_pandas()["features_0"] == result["embedding"][:, 0])
        [True, True, True]
    """

    block: ConformerBlock
    columns: Columns
    parts: tuple[Part, ...] = ()

    def __len__(self) -> int:
        return len(self.block)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.columns:
            raise ConfigError(
                f"there is no column {name!r} here; there are {', '.join(self.columns) or 'none'}"
            )
        return self.columns[name]

    def __repr__(self) -> str:
        rejected = f", {len(self.block.rejected)} rejected" if self.block.rejected else ""
        shown = [f"{name} {values.shape} {values.dtype}" for name, values in self.columns.items()]
        shown = [*shown[:SHOWN], *(["..."] if len(shown) > SHOWN else [])]
        return f"{type(self).__name__}({len(self)} conformers{rejected}; {', '.join(shown)})"

    def keys(self) -> KeysView[str]:
        """Return the names of the columns."""
        return self.columns.keys()

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Result:
        """Return some of the conformers with their columns; arguments are those of `ConformerBlock.take`."""
        atoms = rows_within(self.block.offset, which)
        columns = {
            name: values[which if len(values) == len(self) else atoms]
            for name, values in self.columns.items()
        }
        return Result(self.block.take(which), columns, self.parts)

    def iter_blocks(self, size: int = BLOCK_ROWS) -> Iterator[Result]:
        """Yield the conformers with their columns, `size` at a time; rejected records come with the first."""
        for first in range(0, len(self), size):
            block = self.take(slice(first, first + size))
            yield block if first == 0 else replace(block, block=replace(block.block, rejected=[]))

    def to_pandas(self) -> DataFrame:
        """Return a data frame: source, record, title, properties of the records and columns per conformer.

        Those of an embedding are named by their parts, as in ``shape_0``; columns per atom are left out.

        Raises:
            ConfigError: if pandas is not installed.
        """
        from molgiae.data.frames import frame_of  # noqa: PLC0415 (loads pandas)

        return frame_of(self)


def joined(results: Sequence[Result]) -> Result:
    """Return one result of several, at least one, with the same columns."""
    if len(results) == 1:
        return results[0]
    columns = {name: np.concatenate([result[name] for result in results]) for name in results[0]}
    return Result(concatenate([result.block for result in results]), columns, results[0].parts)

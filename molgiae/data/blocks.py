"""Blocks of conformers joined and cut, and what was computed of one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import NUMBERS, OBJECTS, PER_ATOM, Conformer, ConformerBlock, offset_of
from molgiae.errors import ConfigError


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


def as_block(conformers: ConformerBlock | Iterable[Conformer]) -> ConformerBlock:
    """Return a block as it is, anything else packed into one.

    Raises:
        ConfigError: if the conformers are a generator that has been read to its end before.
    """
    if isinstance(conformers, ConformerBlock):
        return conformers
    if inspect.isgenerator(conformers) and inspect.getgeneratorstate(conformers) == inspect.GEN_CLOSED:
        raise ConfigError(
            "these conformers have been read to their end before; keep them, as in conformers = list(conformers)"
        )
    return ConformerBlock.of(conformers)


Columns = dict[str, NDArray[Any]]
"""Name in the HDF5 schema to values: rows per conformer or per atom of a block."""


@dataclass(frozen=True, slots=True)
class Result:
    """Conformers and what was computed of them.

    Attributes:
        block: the conformers that were taken; the others are in ``block.rejected``.
        columns: one array for each computed column of the HDF5 schema.
    """

    block: ConformerBlock
    columns: Columns

    def __len__(self) -> int:
        return len(self.block)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

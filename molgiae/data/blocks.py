"""Joining and cutting blocks of conformers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from molgiae.data.conformer import (
    CSR,
    NUMBERS,
    OBJECTS,
    PER_ATOM,
    Conformer,
    ConformerBlock,
    Rejected,
    offset_of,
)


def concatenate(blocks: Sequence[ConformerBlock]) -> ConformerBlock:
    """Return one block of all conformers and rejected records, in this order."""
    if len(blocks) == 1:
        return blocks[0]
    blocks = [ConformerBlock.of([]), *blocks]
    offset, bond_offset = (
        offset_of(np.concatenate([np.diff(getattr(block, name)) for block in blocks]))
        for name in ("offset", "bond_offset")
    )
    values: dict[str, Any] = {
        name: np.concatenate([getattr(block, name) for block in blocks]) for name in (*CSR, *NUMBERS)
    }
    values |= {
        name: [one for block in blocks for one in getattr(block, name)] for name in (*OBJECTS, "rejected")
    }
    return ConformerBlock(**values, offset=offset, bond_offset=bond_offset)


def part(block: ConformerBlock, start: int, stop: int, rejected: Iterable[Rejected] = ()) -> ConformerBlock:
    """Return conformers ``start:stop`` of a block, arrays shared, with these rejected records, not its own."""
    atoms, bonds = (
        slice(int(offset[start]), int(offset[stop])) for offset in (block.offset, block.bond_offset)
    )
    values: dict[str, Any] = {name: getattr(block, name)[atoms] for name in PER_ATOM}
    values |= {name: getattr(block, name)[start:stop] for name in (*NUMBERS, *OBJECTS)}
    return ConformerBlock(
        **values,
        offset=block.offset[start : stop + 1] - block.offset[start],
        bonds=block.bonds[bonds],
        bond_offset=block.bond_offset[start : stop + 1] - block.bond_offset[start],
        rejected=list(rejected),
    )


def rebatch(blocks: Iterable[ConformerBlock], size: int) -> Iterator[ConformerBlock]:
    """The same conformers and rejected records in blocks of `size` conformers, the last one smaller."""
    waiting: list[ConformerBlock] = []
    n_waiting = n_rejected = 0
    for block in blocks:
        waiting.append(block)
        n_waiting += len(block)
        n_rejected += len(block.rejected)
        if n_waiting >= size or n_rejected >= size:
            joined = concatenate(waiting)
            whole = max(len(joined) // size, 1)
            for i in range(whole):
                stop = min((i + 1) * size, len(joined))
                yield part(joined, i * size, stop, joined.rejected if i == 0 else ())
            waiting = [part(joined, stop, len(joined))]
            n_waiting, n_rejected = len(waiting[0]), 0
    joined = concatenate(waiting) if waiting else ConformerBlock.of([])
    if len(joined) or joined.rejected:
        yield joined


def as_block(conformers: ConformerBlock | Iterable[Conformer]) -> ConformerBlock:
    """A block as it is, anything else packed into one."""
    return conformers if isinstance(conformers, ConformerBlock) else ConformerBlock.of(conformers)

"""Joining and cutting blocks of conformers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from molgiae.data.conformer import ConformerBlock, Rejected


def concatenate(blocks: Sequence[ConformerBlock]) -> ConformerBlock:
    """One block of all conformers and rejected records, in this order."""
    if len(blocks) == 1:
        return blocks[0]
    before = np.cumsum([0, *(block.offset[-1] for block in blocks)])
    offsets = [block.offset[1:] + atoms for block, atoms in zip(blocks, before, strict=False)]
    return ConformerBlock(
        atomic_number=np.concatenate([np.empty(0, np.uint8), *(block.atomic_number for block in blocks)]),
        position=np.concatenate([np.empty((0, 3)), *(block.position for block in blocks)]),
        offset=np.concatenate([np.zeros(1, np.int64), *offsets]),
        title=[title for block in blocks for title in block.title],
        charge=np.concatenate([np.empty(0, np.int64), *(block.charge for block in blocks)]),
        source=[source for block in blocks for source in block.source],
        record=np.concatenate([np.empty(0, np.int64), *(block.record for block in blocks)]),
        line=np.concatenate([np.empty(0, np.int64), *(block.line for block in blocks)]),
        properties=[properties for block in blocks for properties in block.properties],
        text=[text for block in blocks for text in block.text],
        rejected=[rejected for block in blocks for rejected in block.rejected],
    )


def part(block: ConformerBlock, start: int, stop: int, rejected: Iterable[Rejected] = ()) -> ConformerBlock:
    """Conformers ``start:stop`` of a block, arrays shared, with these rejected records, not its own."""
    here = slice(start, stop)
    atoms = slice(int(block.offset[start]), int(block.offset[stop]))
    return ConformerBlock(
        atomic_number=block.atomic_number[atoms],
        position=block.position[atoms],
        offset=block.offset[start : stop + 1] - block.offset[start],
        title=block.title[here],
        charge=block.charge[here],
        source=block.source[here],
        record=block.record[here],
        line=block.line[here],
        properties=block.properties[here],
        text=block.text[here],
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

"""Training conformers that memory does not hold: read from HDF5 in chunks, shuffled by chunks and then among some.

The order of an epoch is a function of seed and epoch: chunks in random order, a few of them at a time in memory, whose
conformers come in random order. Epochs follow each other without a gap, so that every conformer comes once in each, and
a step knows its batch without those before it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.data.blocks import concatenate
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.hdf5 import opening
from molgiae.data.hdf5.dataset import is_dataset, parts_in
from molgiae.errors import ConfigError
from molgiae.training.batches import SEED_STRIDE

HELD_ATOMS = 20_000_000
"""Atoms of training conformers that are held in memory, at about 100 bytes each; more are streamed."""
CHUNK = 2048
"""Conformers that are read at once."""
TOGETHER = 8
"""Chunks among which conformers are shuffled, and that are in memory."""
MAX_SAMPLE, MAX_VALIDATION = 100_000, 2000
"""Conformers that stand for all where that is enough, and that are validated by."""
VALIDATION_IN = 20
"""One molecule in so many is kept for validation."""

Made = tuple[Tensor, ...]


@dataclass(frozen=True)
class Chunk:
    """Conformers ``first:last`` of a file, of which `count` are for training."""

    path: Path
    first: int
    last: int
    count: int


@dataclass(frozen=True, eq=False)
class Stream:
    """Where training conformers are.

    Attributes:
        chunks: of all files, in their order.
        seed: of the order and of the split.
        elements: atomic numbers of all conformers.
        max_atoms: of the largest.
    """

    chunks: tuple[Chunk, ...]
    seed: int
    elements: tuple[int, ...]
    max_atoms: int

    def __len__(self) -> int:
        return sum(chunk.count for chunk in self.chunks)

    def train(self, k: int) -> ConformerBlock:
        """Return the training conformers of a chunk."""
        return self._split(k, validation=False)

    def sample(self) -> ConformerBlock:
        """Return training conformers of random chunks, up to `MAX_SAMPLE`."""
        return self._some(MAX_SAMPLE, validation=False)

    def validation(self) -> ConformerBlock:
        """Return conformers of molecules that are not trained on, up to `MAX_VALIDATION`."""
        return self._some(MAX_VALIDATION, validation=True)

    def _some(self, most: int, *, validation: bool) -> ConformerBlock:
        found: list[ConformerBlock] = []
        for k in np.random.default_rng(self.seed).permutation(len(self.chunks)).tolist():
            if sum(map(len, found)) < most:
                found.append(self._split(k, validation=validation))
        block = concatenate(found)
        return block.take(np.arange(min(most, len(block))))

    def _split(self, k: int, *, validation: bool) -> ConformerBlock:
        chunk = self.chunks[k]
        with opening.open(chunk.path) as file:
            block = file.block(chunk.first, chunk.last)
        return block.take(held_back(block.title, chunk.first, self.seed) == validation)

    def batches(self, size: int, made: Callable[[int], Made], times: int = 1) -> Callable[[int], Made]:
        """Return what gives the batch of a step.

        Args:
            size: b, rows of a batch.
            made: makes of a chunk, by its number, tensors with `times` rows for each of its training conformers; it is
                called again when the chunk is needed again.
            times: see there.
        """
        counts = times * np.array([chunk.count for chunk in self.chunks])
        total = int(counts.sum())

        @lru_cache(maxsize=2)
        def order(epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            """Chunks of an epoch, and where their groups end."""
            chunks = np.random.default_rng([self.seed, epoch]).permutation(len(counts))
            ends = np.cumsum(np.add.reduceat(counts[chunks], np.arange(0, len(chunks), TOGETHER)))
            return chunks, ends

        @lru_cache(maxsize=2)
        def group(epoch: int, number: int) -> Made:
            chunks = order(epoch)[0][number * TOGETHER : (number + 1) * TOGETHER].tolist()
            parts = [torch.cat(part) for part in zip(*map(made, chunks), strict=True)]
            noise = torch.Generator().manual_seed((self.seed * SEED_STRIDE + epoch) * SEED_STRIDE + number)
            turns = torch.randperm(len(parts[0]), generator=noise)
            return tuple(part[turns] for part in parts)

        def batch(step: int) -> Made:
            place, stop, found = step * size, (step + 1) * size, []
            while place < stop:
                epoch, inside = divmod(place, total)
                ends = order(epoch)[1]
                number = int(np.searchsorted(ends, inside, side="right"))
                start = int(ends[number - 1]) if number else 0
                taken = min(int(ends[number]) - inside, stop - place)
                rows = slice(inside - start, inside - start + taken)
                found.append([part[rows] for part in group(epoch, number)])
                place += taken
            return tuple(torch.cat(part) for part in zip(*found, strict=True))

        return batch


def atoms_in(paths: Sequence[Path]) -> int:
    """Return the number of atoms in HDF5 files and directories."""
    with ExitStack() as stack:
        return sum(stack.enter_context(opening.open(path)).n_atoms for path in paths)


def files_of(path: Path) -> list[Path]:
    """Return an HDF5 file, or the parts in a directory."""
    return parts_in(path)[0] if is_dataset(path) else [path]


def rejected_in(paths: Sequence[Path]) -> tuple[Rejected, ...]:
    """Return the records that were rejected when the files were written."""
    found: list[Rejected] = []
    for path in paths:
        with opening.open(path) as file:
            found += file.rejected()
    return tuple(found)


def held_back(titles: Sequence[str], first: int, seed: int) -> NDArray[np.bool_]:
    """Return which conformers are for validation: by title, so that those of a molecule stay together.

    Those without a title go by their number, from `first` on.
    """
    names = [title or f"\0{first + m}" for m, title in enumerate(titles)]
    return np.array(
        [zlib.crc32(f"{seed} {name}".encode()) % VALIDATION_IN == 0 for name in names], dtype=bool
    )


def scanned(paths: Sequence[Path], seed: int) -> Stream:
    """Look once at all conformers of some files, a chunk at a time.

    Raises:
        ConfigError: if nothing is left to train on or to validate by.
        MolgiaeError: if a file cannot be read.
    """
    chunks: list[Chunk] = []
    elements: set[int] = set()
    most, held = 0, 0
    for path in paths:
        with opening.open(path) as file:
            for first in range(0, len(file), CHUNK):
                last = min(first + CHUNK, len(file))
                back = int(held_back(file.column("title", first, last).tolist(), first, seed).sum())
                chunks.append(Chunk(path, first, last, last - first - back))
                elements.update(np.unique(file.column("atomic_number", first, last)).tolist())
                most = max(most, int(np.diff(file.column("atom_offset", first, last)).max()))
                held += back
    if not held or not any(chunk.count for chunk in chunks):
        raise ConfigError(
            "too few molecules: pretraining needs some for training and one in "
            f"{VALIDATION_IN} for validation; molecules go by titles"
        )
    return Stream(tuple(chunks), seed, tuple(sorted(elements)), most)

"""Batches as large as the memory of a device holds: those that it does not are halved, and so are all later ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from molgiae.model.cloud import batches_by_size

Ints = NDArray[np.int64]


@dataclass
class DeviceMemory:
    """What is known of the memory of a device.

    Attributes:
        pairs: of atoms, padding counted, that a batch of several conformers may have; None while every batch had room.
    """

    pairs: int | None = None

    def each(self, sizes: Ints, batch_size: int, work: Callable[[Ints], None]) -> None:
        """Do some work on every conformer, in batches of similar sizes, and of fewer where memory runs out.

        Args:
            sizes: (M,) atoms of each conformer.
            batch_size: most conformers in a batch.
            work: of the places (b,) of a batch, which it may have begun when memory runs out.

        Raises:
            OutOfMemoryError: if there is not room for one conformer.
        """
        for batch in batches_by_size(sizes, batch_size):
            waiting = [batch]
            while waiting:
                chosen = waiting.pop()
                pairs = len(chosen) * int(sizes[chosen[-1]]) ** 2
                known_to_fit = self.pairs is None or pairs <= self.pairs or len(chosen) == 1
                if known_to_fit and _fits(work, chosen):
                    continue
                if known_to_fit:
                    self.pairs = pairs // 2
                half = len(chosen) // 2
                waiting += [chosen[half:], chosen[:half]]


def _fits(work: Callable[[Ints], None], chosen: Ints) -> bool:
    """Do the work; return false if memory ran out, when what it held is free again."""
    try:
        work(chosen)
    except torch.OutOfMemoryError:
        if len(chosen) == 1:
            raise
    else:
        return True
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False

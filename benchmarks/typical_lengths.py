r"""How long bonds and pairs of bonds are, by their surroundings: what `molgiae reconstruct --refine` relaxes towards.

    python benchmarks/typical_lengths.py qm9.npz > lengths.py && mv lengths.py molgiae/data/typical_lengths.py

Of files with splits the training split is read, and no other. A kind of pair, see `molgiae.model.local_lengths`,
needs 20 pairs to be kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from molgiae.data.npz import has_splits, read_npz
from molgiae.model.cloud import batches
from molgiae.model.local_lengths import bonds_of, kinds_of

LEAST = 20
"""Pairs of a kind that say what it measures."""

HEADER = '''"""Distances of atoms that share a bond or a neighbour, by kind of pair, in the training conformers of QM9.

Made by ``python benchmarks/typical_lengths.py`` from {name}.
"""

from __future__ import annotations

TYPICAL_LENGTHS = """'''
FOOTER = '''"""
"""Kinds (`molgiae.model.local_lengths.kinds_of`), ascending, each with mean and spread in thousandths of angstrom."""
'''


def main() -> None:
    """Measure and print a module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="npz file of training data")
    path = parser.parse_args().data
    block = read_npz(path, "train" if has_splits(path) else None)
    kinds, lengths = [], []
    for x in batches(block.atomic_number, block.position, block.offset, 1024):
        kind = kinds_of(x.z, bonds_of(x.z, x.pos))
        first, second = torch.tril_indices(*kind.shape[1:], -1)
        kind, length = kind[:, first, second], (x.pos[:, first] - x.pos[:, second]).norm(dim=-1)
        kinds.append(kind[kind >= 0])
        lengths.append(length[kind >= 0])
    length = torch.cat(lengths).numpy()
    found, which, count = np.unique(torch.cat(kinds).numpy(), return_inverse=True, return_counts=True)
    mean = np.bincount(which, length) / count
    spread = np.sqrt(np.bincount(which, (length - mean[which]) ** 2) / count)
    print(HEADER.format(name=path.name))
    rows = [
        f"{found[k]} {1000 * mean[k]:.0f} {1000 * spread[k]:.0f}"
        for k in np.flatnonzero(count >= LEAST).tolist()
    ]
    for start in range(0, len(rows), 5):
        print("  ".join(rows[start : start + 5]))
    print(FOOTER, end="")


if __name__ == "__main__":
    main()

r"""What the training data of the shipped models hold: lengths of bonds, and shares of elements among heavy atoms.

    molgiae conformers train.smi -n 2 -o zinc.sdf
    molgiae conformers train.smi -n 1 --force-field uff -o zinc_uff.sdf
    molgiae conformers made.smi -n 2 -o made.sdf
    molgiae conformers made.smi -n 2 --force-field uff -o made_uff.sdf
    python benchmarks/training_ranges.py qm9.npz zinc.sdf zinc_uff.sdf made.sdf made_uff.sdf train.smi made.smi \
        > ranges.py && mv ranges.py molgiae/data/training_ranges.py

For the table that is shipped, conformers were made of 2 500 molecules of the ZINC training set (600 with UFF), drawn at
random, of all 128 there with other bonds than C-C, C-N, C-O, C-F, C-S, C-Cl, C-Br, N-N, N-O, N-S and O-S or with S-H,
and of 460 made of it with boron, silicon, phosphorus or iodine or large, as `drug_data.py` does; compositions are those
of all 24 445 and these.

Of files with splits the training split is read, and no other. Of SMILES only the composition counts. Of each pair
of elements the range holds all but one in 10 000 bonds at either end, all of them where there are fewer: some minima
of QM9 are about to fall apart. A pair of atoms is no bond if it is the longest side of a triangle of bonds.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDLogger

from molgiae.data.bond_geometry import Bonding, shares
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.elements import SYMBOLS
from molgiae.data.npz import has_splits, read_npz
from molgiae.data.readers import read_blocks
from molgiae.model.domain import TRIMMED

CHUNK = 4096

HEADER = '''"""Lengths of bonds and shares of elements in the training data of the shipped models.

Made by ``python benchmarks/training_ranges.py``, which says how, from
{inputs}.
"""

from __future__ import annotations
'''


def blocks_of(path: Path) -> Iterator[ConformerBlock]:
    """Blocks of the training conformers of a file."""
    if path.suffix != ".npz":
        yield from read_blocks(path, keep_text=False, block_size=CHUNK)
        return
    block = read_npz(path, "train" if has_splits(path) else None)
    for start in range(0, len(block), CHUNK):
        yield block.take(np.arange(start, min(start + CHUNK, len(block))))


def compositions_of(path: Path) -> Iterator[ConformerBlock]:
    """Atoms of the molecules of a SMILES file, without coordinates."""
    RDLogger.DisableLog("rdApp.*")
    for line in path.read_text().splitlines():
        molecule = Chem.MolFromSmiles(line.split()[0]) if line.strip() else None
        if molecule is not None:
            number = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], np.uint8)
            yield ConformerBlock.of([Conformer(number, np.zeros((len(number), 3)))])


def main() -> None:
    """Measure and print a module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path, nargs="+", help="npz, SDF and SMILES files of training data")
    options = parser.parse_args()
    lengths: dict[tuple[int, int], list[NDArray[np.float64]]] = defaultdict(list)
    largest = np.zeros(len(SYMBOLS))
    for path in options.inputs:
        if path.suffix == ".smi":
            for block in compositions_of(path):
                np.maximum(largest, shares(block).max(axis=0), out=largest)
            continue
        for block in blocks_of(path):
            bonding = Bonding(block)
            kept = ~bonding.longest_sides(np.arange(len(bonding.pair)))
            kinds, which = np.unique(bonding.elements[kept], axis=0, return_inverse=True)
            for k, (first, second) in enumerate(kinds.tolist()):
                lengths[first, second].append(bonding.length[kept][which.ravel() == k])
            np.maximum(largest, shares(block).max(axis=0, initial=0.0), out=largest)
    print(HEADER.format(inputs=", ".join(path.name for path in options.inputs)))
    print("BOND_LENGTHS = {")
    for (first, second), parts in sorted(lengths.items()):
        joined = np.sort(np.concatenate(parts))
        cut = int(TRIMMED * len(joined))
        low, high = joined[cut], joined[len(joined) - 1 - cut]
        name = f"{SYMBOLS[first]}-{SYMBOLS[second]}"
        print(f"    ({first}, {second}): ({low:.3f}, {high:.3f}),  # {name}, {len(joined)}")
    print(
        '}\n"""Least and largest length, angstrom, of bonds between two elements, the lesser first; and how many."""\n'
    )
    print("LARGEST_SHARES = {")
    for z in np.flatnonzero(largest).tolist():
        print(f"    {z}: {np.ceil(largest[z] * 1e3) / 1e3:.3f},  # {SYMBOLS[z]}")
    print('}\n"""Largest share of an element among the atoms of a molecule that are no hydrogen."""')


if __name__ == "__main__":
    main()

"""Records of SDF that `drug_data.py` makes: whether they are sound, and stretched and displaced copies of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolTransforms

from molgiae.data.elements import COVALENT_RADIUS

BOND_RATIOS, NO_BOND_RATIO = (0.72, 1.26), 1.0
"""Lengths of bonds over the sum of covalent radii (N2 has 0.77, F2 1.24), and least distance of other atoms.

Conformers beyond are left out: some force fields fail for some hypervalent atoms and some ions.
"""
COPIES = 4, 500, 0.2
"""Displaced copies of a conformer at most, and how many of a class are wanted: so many, or this share of it."""
STRETCH, DISPLACEMENT = 0.05, (0.02, 0.05)
"""Largest relative change of a bond; standard deviation of a coordinate, angstrom, least and largest."""


def records_of(path: Path) -> Iterator[str]:
    """Yield the records of an SDF as text."""
    for record in path.read_text().split("$$$$\n"):
        if record.strip():
            yield record + "$$$$\n"


def is_sound(record: str) -> bool:
    """Return whether the bonds of a record have lengths of bonds, and other atoms stand farther apart."""
    molecule = Chem.MolFromMolBlock(record, sanitize=False, removeHs=False)
    position = molecule.GetConformer().GetPositions()
    radius = np.array([COVALENT_RADIUS[atom.GetAtomicNum()] for atom in molecule.GetAtoms()])
    ratio = np.linalg.norm(position[:, None] - position, axis=2) / (radius[:, None] + radius)
    bonded = Chem.GetAdjacencyMatrix(molecule).astype(bool)
    others = ratio[~bonded & ~np.eye(len(radius), dtype=bool)]
    inside = (ratio[bonded] > BOND_RATIOS[0]) & (ratio[bonded] < BOND_RATIOS[1])
    return bool(inside.all() and (others > NO_BOND_RATIO).all())


def displaced(record: str, rng: np.random.Generator) -> str:
    """Return a record with other coordinates: all bonds stretched alike, or one by one, or atoms displaced."""
    molecule = Chem.MolFromMolBlock(record, sanitize=False, removeHs=False)
    conformer = molecule.GetConformer()
    way = rng.integers(3)
    if way == 0:
        conformer.SetPositions(conformer.GetPositions() * (1 + rng.uniform(-STRETCH, STRETCH)))
    elif way == 1:
        Chem.FastFindRings(molecule)
        for bond in molecule.GetBonds():
            if not bond.IsInRing():
                ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
                length = rdMolTransforms.GetBondLength(conformer, *ends)
                rdMolTransforms.SetBondLength(conformer, *ends, length * (1 + rng.uniform(-STRETCH, STRETCH)))
    else:
        positions = conformer.GetPositions()
        conformer.SetPositions(positions + rng.normal(scale=rng.uniform(*DISPLACEMENT), size=positions.shape))
    return Chem.MolToMolBlock(molecule, includeStereo=False, kekulize=False) + "$$$$\n"


def write_displaced(files: Sequence[Path], output: Path, rng: np.random.Generator) -> None:
    """Write displaced copies of a share of each file."""
    copies, wanted, share = COPIES
    found = []
    for path in files:
        records = list(records_of(path))
        number = min(copies * len(records), max(wanted, int(share * len(records))))
        drawn = chain.from_iterable(rng.permutation(len(records)).tolist() for _ in range(copies))
        found += [displaced(records[k], rng) for k in islice(drawn, number)]
    output.write_text("".join(found))

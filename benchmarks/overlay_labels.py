"""Overlays of conformers of any molecules, for the overlay and color parts of an embedding to learn from.

    molgiae conformers train.smi --number 3 -o zinc.sdf
    python benchmarks/overlay_labels.py zinc.sdf --groups 2000 -o overlays.npz
    python benchmarks/overlay_labels.py zinc.sdf --groups 48000 --shape-only --seed 1 -o shapes.npz
    molgiae pretrain zinc.sdf --overlays overlays.npz --overlays shapes.npz --overlay-dim 48 --color-dim 16 -o run

Conformers are drawn in groups of 16, all of whose 120 pairs are overlaid: ten of any molecules, two of one molecule,
mirror images of two of these, and copies of two with noise. The shape Tanimoto is that of the best overlap
(`benchmarks/overlap.py`), the color Tanimoto that of the best combination of both by RDKit, each pair from one side,
the sides in turn. RDKit takes some 0.3 s a group, so color is left out with --shape-only. Needs SDF with bonds and
hydrogens.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from overlap import tanimoto_of_all
from rdkit import Chem, RDLogger
from rdkit.Chem import rdGaussianShape
from tqdm import tqdm

ANY, TWINS, IMAGES, NOISY = 10, 2, 2, 2
SIZE = ANY + TWINS + IMAGES + NOISY
MOST_NOISE = 0.12
"""Largest standard deviation of the displacements of copies, angstrom."""
FEWEST_HEAVY = 4


class Group(NamedTuple):
    """Conformers that are overlaid: their places, whether the mirror image is meant, seeds of noise or -1 for none."""

    places: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    noise: NDArray[np.int64]


class Overlaid(NamedTuple):
    """What is known of a group: (SIZE, SIZE, 2) Tanimoto similarities and (SIZE,) volumes of color, NaN if unknown."""

    tanimoto: NDArray[np.float32]
    color_volume: NDArray[np.float32]


def moved(molecule: Any, mirrored: bool, noise: int) -> Any:
    """Return the molecule with noise of a seed, then mirrored."""
    copy = Chem.Mol(molecule)
    position = copy.GetConformer().GetPositions()
    if noise >= 0:
        rng = np.random.default_rng(noise)
        position += rng.uniform(0, MOST_NOISE) * rng.standard_normal(position.shape)
    copy.GetConformer().SetPositions(position * [-1.0 if mirrored else 1.0, 1.0, 1.0])
    return copy


def overlaid(molecules: list[Any], color: bool) -> Overlaid | None:
    """Return all overlays of a group; None if RDKit knows no features of a molecule."""
    heavy = [[a.GetAtomicNum() > 1 for a in molecule.GetAtoms()] for molecule in molecules]
    positions = [m.GetConformer().GetPositions()[h] for m, h in zip(molecules, heavy, strict=True)]
    tanimoto = np.full((SIZE, SIZE, 2), np.nan, np.float32)
    tanimoto[..., 0] = tanimoto_of_all(positions)
    if not color:
        return Overlaid(tanimoto, np.full(SIZE, np.nan, np.float32))
    options = rdGaussianShape.ShapeOverlayOptions()
    options.useDistCutoff = False
    try:
        shapes = [
            rdGaussianShape.ShapeInput(m, -1, rdGaussianShape.ShapeInputOptions(), options) for m in molecules
        ]
    except (RuntimeError, ValueError):
        return None
    tanimoto[range(SIZE), range(SIZE), 1] = 1.0
    for a in range(SIZE):
        for b in range(a):
            pair = (shapes[a], shapes[b]) if (a + b) % 2 else (shapes[b], shapes[a])
            tanimoto[a, b, 1] = tanimoto[b, a, 1] = rdGaussianShape.AlignShapes(*pair, options)[2]
    return Overlaid(tanimoto, np.array([shape.ColorVolume for shape in shapes], np.float32))


def drawn(titles: list[str], number: int, rng: np.random.Generator) -> list[Group]:
    """Draw so many groups; without any molecule of several conformers, the two of one are the same."""
    members = defaultdict(list)
    for place, title in enumerate(titles):
        members[title].append(place)
    several = [places for places in members.values() if len(places) > 1] or list(members.values())
    order = np.arange(SIZE)
    mirrored = (order >= ANY + TWINS) & (order < SIZE - NOISY)
    groups = []
    for _ in range(number):
        twins = rng.choice(several[rng.integers(len(several))], TWINS)
        first = np.concatenate([rng.integers(len(titles), size=ANY), twins])
        places = np.concatenate([first, rng.choice(first, IMAGES + NOISY)])
        groups.append(
            Group(places, mirrored, np.where(order < SIZE - NOISY, -1, rng.integers(2**31, size=SIZE)))
        )
    return groups


def main() -> None:
    """Read, draw, overlay, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--shape-only", action="store_true", help="leave color out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    read = (m for path in arguments.files for m in Chem.SDMolSupplier(str(path), removeHs=False))
    molecules = [m for m in read if m is not None and m.GetNumHeavyAtoms() >= FEWEST_HEAVY]
    titles = [m.GetProp("_Name") or str(place) for place, m in enumerate(molecules)]
    groups = drawn(titles, arguments.groups, np.random.default_rng(arguments.seed))
    jobs = ([moved(molecules[m], *how) for m, *how in zip(*group, strict=True)] for group in groups)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        work = pool.map(partial(overlaid, color=not arguments.shape_only), jobs, chunksize=4)
        found = list(tqdm(work, total=len(groups), unit="group"))
    known = [(group, known) for group, known in zip(groups, found, strict=True) if known is not None]
    written = [
        (m, int(seed)) for group, _ in known for m, seed in zip(group.places, group.noise, strict=True)
    ]
    conformers = {which: place for place, which in enumerate(dict.fromkeys(written))}
    all_of = [moved(molecules[m], False, seed) for m, seed in conformers]
    np.savez(
        arguments.output,
        n_atoms=np.array([m.GetNumAtoms() for m in all_of]),
        atomic_number=np.concatenate([[a.GetAtomicNum() for a in m.GetAtoms()] for m in all_of]),
        position=np.concatenate([m.GetConformer().GetPositions() for m in all_of]).astype(np.float32),
        index=np.array([conformers[which] for which in written]).reshape(-1, SIZE),
        mirrored=np.array([group.mirrored for group, _ in known]),
        tanimoto=np.array([overlays.tanimoto for _, overlays in known]),
        color_volume=np.array([overlays.color_volume for _, overlays in known]),
    )
    print(f"{len(known)} groups of {SIZE} in {arguments.output}")


if __name__ == "__main__":
    main()

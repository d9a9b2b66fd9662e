"""Overlays of conformers of any molecules, for the overlay and color parts of an embedding to learn from.

    molgiae conformers train.smi --number 3 -o zinc.sdf
    python benchmarks/overlay_labels.py zinc.sdf --groups 2000 -o overlays.npz
    molgiae pretrain zinc.sdf --overlays overlays.npz --overlay-dim 48 --color-dim 16 -o run

Conformers are drawn in groups of 16, all of whose 120 pairs are overlaid by RDKit (`rdkit.Chem.rdGaussianShape`): ten
of any molecules, two pairs of conformers of one molecule, and mirror images of two of these. The shape Tanimoto is that
of the best overlap, the color Tanimoto that of the best combination of both. Each pair is overlaid from one side, the
sides in turn: RDKit finds nearly the same from both, see `molgiae.data.overlay`. Needs SDF with bonds and hydrogens.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDLogger
from rdkit.Chem import rdGaussianShape
from tqdm import tqdm

ANY, TWINS, IMAGES = 10, 2, 2
SIZE = ANY + 2 * TWINS + IMAGES
FEWEST_HEAVY = 3

Floats = NDArray[np.float32]


class Group(NamedTuple):
    """What is known of a group: (SIZE, SIZE, 2) Tanimoto similarities and (SIZE,) volumes of color."""

    tanimoto: Floats
    color_volume: Floats


def shapes_of(molecule: Any) -> tuple[Any, Any]:
    """Return the shape of a molecule with color, and without."""
    plain = rdGaussianShape.ShapeInputOptions()
    plain.useColors = False
    return (
        rdGaussianShape.ShapeInput(
            molecule, -1, rdGaussianShape.ShapeInputOptions(), options(shape_only=False)
        ),
        rdGaussianShape.ShapeInput(molecule, -1, plain, options(shape_only=True)),
    )


def options(*, shape_only: bool) -> Any:
    """Return how to overlay: RDKit's defaults without a cutoff of distances, or by shape alone."""
    found = rdGaussianShape.ShapeOverlayOptions()
    found.useDistCutoff = False
    if shape_only:
        found.optimMode = rdGaussianShape.OptimMode.SHAPE_ONLY
    return found


def overlaid(molecules: list[Any]) -> Group | None:
    """Return all overlays of a group; None if RDKit knows no features of a molecule."""
    try:
        shapes = [shapes_of(molecule) for molecule in molecules]
    except (RuntimeError, ValueError):
        return None
    with_color, without = options(shape_only=False), options(shape_only=True)
    tanimoto = np.ones((SIZE, SIZE, 2), np.float32)
    for a in range(SIZE):
        for b in range(a):
            first, second = (shapes[a], shapes[b]) if (a + b) % 2 else (shapes[b], shapes[a])
            _, shape, color, _ = rdGaussianShape.AlignShapes(first[0], second[0], with_color)
            best = max(shape, rdGaussianShape.AlignShapes(first[1], second[1], without)[1])
            tanimoto[a, b] = tanimoto[b, a] = best, color
    return Group(tanimoto, np.array([shape.ColorVolume for shape, _ in shapes], np.float32))


def mirror_image(molecule: Any) -> Any:
    """Return the mirror image of a molecule."""
    image = Chem.Mol(molecule)
    image.GetConformer().SetPositions(molecule.GetConformer().GetPositions() * [-1.0, 1.0, 1.0])
    return image


def drawn(titles: list[str], number: int, rng: np.random.Generator) -> Iterator[tuple[list[int], list[bool]]]:
    """Draw groups: (SIZE,) places of conformers, and whether the mirror image is meant."""
    members = defaultdict(list)
    for place, title in enumerate(titles):
        members[title].append(place)
    several = [places for places in members.values() if len(places) > 1]
    for _ in range(number):
        places = rng.integers(len(titles), size=SIZE - IMAGES if not several else ANY).tolist()
        for which in rng.integers(len(several), size=TWINS) if several else []:
            places += rng.choice(several[which], 2, replace=False).tolist()
        places += [places[k] for k in rng.integers(len(places), size=IMAGES)]
        yield places, [False] * (SIZE - IMAGES) + [True] * IMAGES


def main() -> None:
    """Read, draw, overlay, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    read = (m for path in arguments.files for m in Chem.SDMolSupplier(str(path), removeHs=False))
    molecules = [m for m in read if m is not None and m.GetNumHeavyAtoms() >= FEWEST_HEAVY]
    titles = [m.GetProp("_Name") or str(place) for place, m in enumerate(molecules)]
    groups = list(drawn(titles, arguments.groups, np.random.default_rng(arguments.seed)))
    jobs = (
        [mirror_image(molecules[m]) if image else molecules[m] for m, image in zip(*group, strict=True)]
        for group in groups
    )
    with ProcessPoolExecutor(arguments.jobs) as pool:
        found = list(tqdm(pool.map(overlaid, jobs, chunksize=4), total=len(groups), unit="group"))
    known = [(group, places) for group, places in zip(found, groups, strict=True) if group is not None]
    np.savez(
        arguments.output,
        n_atoms=np.array([m.GetNumAtoms() for m in molecules]),
        atomic_number=np.concatenate([[a.GetAtomicNum() for a in m.GetAtoms()] for m in molecules]),
        position=np.concatenate([m.GetConformer().GetPositions() for m in molecules]).astype(np.float32),
        index=np.array([places for _, (places, _) in known]),
        mirrored=np.array([images for _, (_, images) in known]),
        tanimoto=np.array([group.tanimoto for group, _ in known]),
        color_volume=np.array([group.color_volume for group, _ in known]),
    )
    print(f"{len(known)} groups of {SIZE} in {arguments.output}")


if __name__ == "__main__":
    main()

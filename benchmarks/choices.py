"""What the constants in `molgiae/config.py` that weigh parts of an embedding against each other are chosen by.

    molgiae conformers validation.smi --number 12 -o validation.sdf
    python benchmarks/choices.py validation.sdf --model drug

`TOGETHER`: how often the nearest neighbour by all smooth parts is a conformer of the same molecule, when features count
so many times; of each molecule two conformers take part. `COLOR_SHARE`: rank correlation of the weighted mean of the
estimates of overlay and color with the mean of the exact shape and color Tanimoto, of random pairs. The conformers must
be of validation molecules.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from molgiae.data.blocks import concatenate
from molgiae.data.conformer import ConformerBlock
from molgiae.data.inputs import read_inputs
from molgiae.evaluation.descriptors import sample, scales
from molgiae.evaluation.distance_fidelity import nearest, rank_correlation
from molgiae.evaluation.overlay_fidelity import random_pairs, tanimoto
from molgiae.evaluation.overlay_worker import exact_overlays
from molgiae.evaluation.report import markdown, percent, ratio
from molgiae.model.embedder import Embedder
from molgiae.parts import COLOR_SHARE, TOGETHER

FACTORS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)


def two_of_each(block: ConformerBlock) -> ConformerBlock:
    """Return the first two conformers of every title that has as many."""
    places: dict[str, list[int]] = {}
    for m, title in enumerate(block.title):
        places.setdefault(title, []).append(m)
    return block.take(np.array([m for rows in places.values() if len(rows) > 1 for m in rows[:2]]))


def same_molecule(embedder: Embedder, block: ConformerBlock) -> dict[float, float]:
    """Return by factor of the features the share of conformers whose nearest neighbour is of the same title."""
    block = two_of_each(block)
    values = embedder.embed(block)["embedding"].astype(np.float64)
    molecule = np.unique(block.title, return_inverse=True)[1]
    smooth = slice(0, embedder.part("detail").start)
    plain, features = scales(values, embedder.parts), embedder.part("features").columns
    plain[features] *= TOGETHER["features"]
    found = {}
    for factor in FACTORS:
        scale = plain.copy()
        scale[features] /= factor
        same = molecule[nearest((values / scale)[:, smooth])] == molecule
        found[factor] = float(same.mean())
    return found


def color_weights(embedder: Embedder, block: ConformerBlock, number: int) -> dict[float, float | None]:
    """Return by weight of color the rank correlation of estimates with exact overlays of random pairs."""
    pairs = random_pairs(len(block), number, 0)
    exact = exact_overlays(block, pairs, "combination")[:, 1]
    values = embedder.embed(block)["embedding"].astype(np.float64)
    known = np.isfinite(exact)
    of_part = partial(tanimoto, values, pairs)
    shape, color = (of_part(embedder.part(name).columns)[known] for name in ("overlay", "color"))
    return {
        share: rank_correlation(np.average([shape, color], axis=0, weights=(1.0, share)), exact[known])
        for share in SHARES
    }


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("conformers", type=Path, help="several of each validation molecule")
    parser.add_argument("--model", default="drug")
    parser.add_argument("--pairs", type=int, default=4000)
    options = parser.parse_args()
    block = concatenate(list(read_inputs(options.conformers, keep_text=True)))
    embedder = Embedder(options.model)
    same = same_molecule(embedder, block)
    print(
        markdown(
            ["features count", "nearest neighbour of the same molecule"],
            [[f"{k:g}", percent(v)] for k, v in same.items()],
        )
    )
    print(f"chosen: {TOGETHER['features']:g}\n")
    weights = color_weights(embedder, sample(block, options.pairs // 4, 0), options.pairs)
    print(
        markdown(["weight of color", "rank correlation"], [[f"{k:g}", ratio(v)] for k, v in weights.items()])
    )
    print(f"chosen: {COLOR_SHARE:g}")


if __name__ == "__main__":
    main()

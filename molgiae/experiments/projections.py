"""Invariant projections of the equivariant latent of molecules, beside the learned invariant embedding.

The question of the paper's reviewers, in numbers: what does an invariant embedding that is learned keep that a
projection of an equivariant one does not, and whose distances are those of the orbits? The latent is that of the
shipped model (`model.projections`); what is kept is measured by properties of QM9 that a linear map and the nearest
neighbours predict, which takes no part in training. Distances are compared with those of the orbits of the latents, and
of isomers with the RMSD over all rotations and matchings of atoms, which is the distance of their orbits. For rotated
digits see `molgiae.experiments.mnist`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.data.conformer import ConformerBlock
from molgiae.data.npz import open_npz, read_npz
from molgiae.errors import MolgiaeError
from molgiae.evaluation.distance_fidelity import (
    pairs_of_one_formula,
    rank_correlation,
    symmetry_corrected_rmsd,
)
from molgiae.experiments import Bar, Findings, Setting, both, sized
from molgiae.experiments.autoencoders import different_pairs, distances, relative_change
from molgiae.experiments.pictures import bars_of
from molgiae.experiments.probes import linear_probe, neighbour_probe
from molgiae.groups import SO3
from molgiae.model.embedder import Embedder
from molgiae.model.projections import PROJECTIONS, ProjectingEmbedder, orbit_distance, project

TARGETS = ("mu", "alpha", "gap", "r2")
"""Dipole moment, polarisability, gap between frontier orbitals, spatial extent."""

MIN_CHIRAL_DISTANCE = 0.1
"""Distance, angstrom, from which a latent and its mirror image count as different."""

TOLD_APART = 1e-3
"""Share of their distance by which the projections of these have to differ."""

MIRROR = (1.0, 1.0, -1.0)

ALL = [name for name, row in PROJECTIONS.items() if SO3 in row.groups]
COMPLETE = ("gram", "max-filter", "voronoi")
RAW, LEARNED = "the vectors themselves", "learned invariant"

PANELS = {
    "linear_r2": "R², linear map",
    "neighbours_r2": "R², neighbours",
    "spearman_with_orbits": "Spearman, orbits of latents",
    "spearman_with_rmsd_of_isomers": "Spearman, RMSD of isomers",
}
"""Columns of the table that are drawn, and their titles."""


@dataclass(frozen=True)
class Config:
    """Sizes of the study."""

    model: str = "qm9"  # shipped, with a shape part
    molecules: int = sized(1466, fast=600)  # of the test split, unseen by the model; all with all properties
    known: int = sized(1100, fast=450)  # from which properties are learned; the others are asked
    neighbours: int = 5  # whose mean is predicted
    pairs: int = sized(5000, fast=400)  # of molecules whose distances are compared
    isomers: int = sized(1000, fast=60)  # pairs of one formula whose distances are compared with their RMSD


CONFIG, FAST = both(Config)


def read(path: Path, number: int, seed: int) -> tuple[ConformerBlock, NDArray[np.float64]]:
    """Read molecules of the test split, drawn at random, and their properties (M, targets).

    Raises:
        MolgiaeError: if the file is missing or lacks an array.
    """
    block = read_npz(path)
    with open_npz(path) as file:
        properties = np.stack([file[name] for name in TARGETS], axis=1).astype(np.float64)
        tested = file["split"] == 2
    rows = np.flatnonzero(tested & np.isfinite(properties).all(axis=1))
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:number])
    return block.take(rows), properties[rows]


def run(config: Config, setting: Setting) -> Findings:
    """Compare latents in random poses, their projections and learned embeddings by probes, distances, mirror images."""
    block, properties = read(setting.data, config.molecules, setting.seed)
    if len(block) <= config.known:
        raise MolgiaeError(
            f"{setting.data}: {len(block)} test molecules with properties, more than {config.known} are needed"
        )
    embedder = Embedder(config.model, device=setting.device)
    mirror = replace(block, position=block.position * MIRROR)
    learned, reflected = (
        torch.from_numpy(embedder.embed(each)["embedding"]).double() for each in (block, mirror)
    )
    generator = torch.Generator().manual_seed(setting.seed)
    latent = ProjectingEmbedder(embedder, "norms").latents(block).double().cpu()
    z, again = (SO3.random(len(latent), generator=generator).act(latent) for _ in range(2))
    image = again * again.new_tensor(MIRROR)
    pair = different_pairs(len(z), config.pairs, generator)
    orbits = orbit_distance(z[pair[0]], z[pair[1]], SO3).numpy()
    apart = orbit_distance(z, image, SO3)
    chiral = apart > MIN_CHIRAL_DISTANCE
    isomers = pairs_of_one_formula(block, config.isomers, setting.seed)
    rmsd = symmetry_corrected_rmsd(block, isomers, match="atoms")
    # molecules in the order of the file are alike
    order = torch.randperm(len(z), generator=generator)
    targets = torch.from_numpy(properties)[order]

    def row(name: str, s: Tensor, moved: Tensor, mirrored: Tensor) -> dict[str, Any]:
        """Measure an embedding (M, P) of molecules in one pose, of the same in another, and of their mirror images."""
        differ = (s - mirrored).norm(dim=1) > TOLD_APART * apart
        of_isomers = distances(s, torch.from_numpy(isomers).mT).numpy()
        return {
            "embedding": name,
            "numbers": s.shape[1],
            "linear_r2": linear_probe(s[order], targets, config.known),
            "neighbours_r2": neighbour_probe(s[order], targets, config.known, config.neighbours),
            "spearman_with_orbits": rank_correlation(distances(s, pair).numpy(), orbits),
            "spearman_with_rmsd_of_isomers": rank_correlation(of_isomers, rmsd),
            "mirror_images_told_apart": differ[chiral].double().mean().item() if chiral.any() else None,
            "change_by_rotation_max": relative_change(moved, s).max().item(),
        }

    rows = [
        row(RAW, *(each.flatten(1) for each in (z, again, image))),
        *(row(name, *(project(name, each, SO3) for each in (z, again, image))) for name in ALL),
        row(LEARNED, learned, learned, reflected),
    ]
    figures = {
        "model": config.model,
        "molecules": len(block),
        "vectors": z.shape[1],
        "isomers": len(isomers),
        "chiral": chiral.double().mean().item(),
        "rows": rows,
    }
    return Findings(figures, bars(rows), (bars_of(setting.folder / "projections.png", rows, PANELS),))


def bars(rows: list[dict[str, Any]]) -> tuple[Bar, ...]:
    """Ask whether projections are invariant, and the complete ones complete."""
    of = {row["embedding"]: row for row in rows}
    change = max(of[name]["change_by_rotation_max"] for name in ALL)
    told_apart = min(of[name]["mirror_images_told_apart"] or 0.0 for name in COMPLETE)
    return (
        Bar("relative change of a projection when molecules are turned, worst", change, 1e-6, at_least=False),
        Bar("mirror images told apart, worst of the complete projections", told_apart, 1.0),
    )

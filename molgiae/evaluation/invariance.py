"""Whether an embedding is what it claims: unmoved by the group and by its batch, moved by a reflection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from molgiae.data.blocks import Result, concatenate
from molgiae.data.conformer import ConformerBlock
from molgiae.evaluation.descriptors import Floats, Panel, typical_distance, with_atoms
from molgiae.evaluation.distance_fidelity import symmetry_corrected_rmsd
from molgiae.evaluation.report import Figures
from molgiae.matching import principal_starts, superpose

MAX_ROUND_OFF = 1e-5
"""Largest relative change of a float32 embedding that round-off explains."""

MAX_ACHIRAL_RMSD, MIN_CHIRAL_RMSD = 0.02, 0.05
"""Conformers are achiral below and chiral above these RMSD from their mirror image, angstrom; in between neither."""

MAX_ROUNDED_RMSD = 0.001
"""RMSD from the mirror image, angstrom, that the decimals of coordinate files explain."""

MIN_DIFFERENCE = 1e-2
"""Least distance, in units of the typical one, of embeddings that are told apart."""

MIN_MIRROR_RMSD, MIN_MIRROR_RATIO = 0.1, 1 / 3
"""Mirror images farther than this RMSD, angstrom, are kept apart by at least this part of it."""

MIRROR_STARTS = 24
"""Random rotations from which a conformer is superposed on its mirror image."""


def relative_change(before: Floats, after: Floats) -> Floats:
    """Return (M,) |z' - z| / |z|; the distance itself where z is 0."""
    length = np.linalg.norm(before, axis=1)
    return np.linalg.norm(after - before, axis=1) / np.where(length > 0, length, 1.0)


def random_copies(block: ConformerBlock, reach: float, rng: np.random.Generator) -> ConformerBlock:
    """Return every conformer under a random g of SE(3) x S_n: turned, shifted by up to `reach` angstrom, shuffled."""
    owner = block.owner
    order = np.lexsort((rng.random(len(owner)), owner))
    rotation = Rotation.random(len(block), rng).as_matrix()
    direction = rng.standard_normal((len(block), 3))
    length = reach * rng.random(len(block)) / np.linalg.norm(direction, axis=1)
    moved = (
        np.einsum("nij,nj->ni", rotation[owner], block.position[order]) + (direction * length[:, None])[owner]
    )
    return with_atoms(block, moved, block.atomic_number[order])


def invariance(panel: Panel, block: ConformerBlock, pairs: int, reach: float) -> dict[str, Figures]:
    """Return the relative change of embeddings under `pairs` random g for each of M conformers, as of `random_copies`.

    For each descriptor `pairs`, `change_max`, `change_median`, `exact_share` (changes up to `MAX_ROUND_OFF`) and
    `worst`, the title of the conformer that changes most.
    """
    rng = np.random.default_rng(panel.seed)
    _, reference = panel(block)
    change: dict[str, list[Floats]] = {name: [] for name in reference}
    for _ in panel.track(range(pairs)):
        _, moved = panel(random_copies(block, reach, rng))
        for name, before in reference.items():
            change[name].append(relative_change(before, moved[name]))
    figures: dict[str, Figures] = {}
    for name, rows in change.items():
        found = np.stack(rows)
        figures[name] = {
            "pairs": found.size,
            "change_max": float(found.max()),
            "change_median": float(np.median(found)),
            "exact_share": float((found <= MAX_ROUND_OFF).mean()),
            "worst": block.title[int(found.max(axis=0).argmax())],
        }
    return figures


def batch_effect(
    embed: Callable[[ConformerBlock], Floats],
    embed_otherwise: Callable[[ConformerBlock], Floats],
    block: ConformerBlock,
    seed: int,
) -> Figures:
    """Return the change of embeddings (M, D) with batch size and batch mates, and from one call to the next.

    `embed_otherwise` has another batch size, and gets the conformers in another order. `batch_change_max` is
    relative, and `repeat_is_bitwise_equal` says whether the same input twice gives the same bits.
    """
    first, again = embed(block), embed(block)
    order = np.random.default_rng(seed).permutation(len(block))
    other = np.empty_like(first)
    other[order] = embed_otherwise(block.take(order))
    return {
        "batch_change_max": float(relative_change(first, other).max()),
        "repeat_is_bitwise_equal": first.tobytes() == again.tobytes(),
    }


def mirror_images(panel: Panel, block: ConformerBlock) -> dict[str, Figures]:
    """Return whether mirror images of chiral conformers are told apart, and achiral ones equal theirs.

    Chirality is decided by superposing a conformer on its mirror image, independently of the embedding. As every
    start ends in a local optimum, a few achiral conformers of high symmetry may pass for chiral. A mirror image that
    is nearly the conformer itself is a small displacement, so an embedding that jumps does so here too; the share of
    those equal to theirs up to `MAX_ROUNDED_RMSD` tells the two apart.

    For each descriptor the numbers `chiral`, `achiral` and `borderline` of conformers; `chiral_differ`, the share of
    chiral ones whose relative change exceeds `MAX_ROUND_OFF`; and, in units of the typical distance of two
    conformers, `different_share` of all, `chiral_told_apart`, `achiral_equal`, `rounded_equal`, `chiral_median` and
    `achiral_median` distance from the mirror image; None where there are no such conformers.
    """
    mirrored = with_atoms(block, block.position * np.array([1.0, 1.0, -1.0]))
    result, values = panel(block)
    mirror_result, mirror_values = panel(mirrored)
    found = _mirror_rmsd(result, mirror_result, panel.seed)
    rmsd = np.fromiter(panel.track(found), dtype=np.float64, count=len(block))
    chiral, achiral = rmsd > MIN_CHIRAL_RMSD, rmsd < MAX_ACHIRAL_RMSD
    figures: dict[str, Figures] = {}
    for name, value in values.items():
        distance = np.linalg.norm(value - mirror_values[name], axis=1) / typical_distance(value, panel.seed)
        figures[name] = {
            "chiral": int(chiral.sum()),
            "achiral": int(achiral.sum()),
            "borderline": int((~chiral & ~achiral).sum()),
            "different_share": float((distance >= MIN_DIFFERENCE).mean()),
            "chiral_differ": _of(
                relative_change(value, mirror_values[name])[chiral] > MAX_ROUND_OFF, np.mean
            ),
            "chiral_told_apart": _of(distance[chiral] >= MIN_DIFFERENCE, np.mean),
            "achiral_equal": _of(distance[achiral] < MIN_DIFFERENCE, np.mean),
            "rounded_equal": _of(distance[rmsd < MAX_ROUNDED_RMSD] < MIN_DIFFERENCE, np.mean),
            "chiral_median": _of(distance[chiral], np.median),
            "achiral_median": _of(distance[achiral], np.median),
        }
    return figures


def mirror_distances(panel: Panel, block: ConformerBlock) -> dict[str, Figures]:
    """Return whether distances that claim to be RMSDs keep mirror images apart, whose RMSD is small or large.

    For each descriptor `apart`, the share of conformers whose distance from the mirror image is at least
    `MIN_MIRROR_RATIO` of their symmetry-corrected RMSD from it, over bonds, and `compared`, the number of those for
    which this is above `MIN_MIRROR_RMSD`.
    """
    mirrored = with_atoms(block, block.position * np.array([1.0, 1.0, -1.0]))
    values, mirror_values = panel(block)[1], panel(mirrored)[1]
    both = concatenate([block, mirrored])
    pairs = np.arange(len(both)).reshape(2, -1).T
    rmsd = symmetry_corrected_rmsd(both, pairs, match="bonds", track=panel.track)
    far = rmsd > MIN_MIRROR_RMSD
    figures: dict[str, Figures] = {}
    for name, value in values.items():
        distance = np.linalg.norm(value - mirror_values[name], axis=1)
        kept = distance[far] >= MIN_MIRROR_RATIO * rmsd[far]
        figures[name] = {"compared": int(far.sum()), "apart": _of(kept, np.mean)}
    return figures


def _of(values: NDArray[Any], statistic: Callable[[NDArray[Any]], Any]) -> float | None:
    return float(statistic(values)) if len(values) else None


def _mirror_rmsd(result: Result, mirrored: Result, seed: int) -> Iterator[float]:
    """Yield the RMSD of each conformer from its mirror image after superposition from many starts, angstrom."""
    turns = Rotation.random(MIRROR_STARTS, np.random.default_rng(seed)).as_matrix()
    for m, (conformer, image) in enumerate(zip(result.block, mirrored.block, strict=True)):
        x, y, z = conformer.position, image.position, conformer.atomic_number.astype(np.int64)
        action = result["rotation"][m] @ mirrored["rotation"][m].T
        starts = [(turn, x.mean(axis=0) - turn @ y.mean(axis=0)) for turn in (action, *turns)]
        yield superpose(z, x, z, y, [*principal_starts(x, y), *starts])[1]

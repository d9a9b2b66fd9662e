"""How far an embedding moves when atoms move a little, and why it jumps where it does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import Result
from molgiae.data.conformer import ConformerBlock
from molgiae.evaluation.descriptors import Floats, Panel, typical_distance, with_atoms
from molgiae.evaluation.exact_distances import ExactDistance
from molgiae.evaluation.report import Figures

MIN_JUMP = 0.1
"""Change of an embedding that counts as a jump, in units of the typical distance of two conformers."""

MIN_TURN = 30.0
"""Rotation between canonical frames, in degrees, that counts as a jump of the frame."""


def smoothness(
    panel: Panel,
    block: ConformerBlock,
    sigmas: Iterable[float],
    framed: Collection[str],
    exact: Mapping[str, ExactDistance],
) -> dict[str, Figures]:
    """Return the change of embeddings when every coordinate of every atom gets Gaussian noise of `sigmas`, angstrom.

    For each descriptor and each sigma, as text: `change_median`, `change_p99` and `change_max` in units of the
    typical distance, and `jumps`, the share of changes above `MIN_JUMP`. For those in `framed`, made from the
    canonical form of the panel, this is the sum of `jumps_frame`, where the canonical frame turned by more than
    `MIN_TURN`, else `jumps_order`, where the canonical order changed, and `jumps_other`. For those in `exact`, which
    stand for such a distance, `jumps_exact` is the share of changes of this distance above `MIN_JUMP` of the same unit.
    """
    rng = np.random.default_rng(panel.seed)
    result, reference = panel(block)
    unit = {name: typical_distance(values, panel.seed) for name, values in reference.items()}
    figures: dict[str, Figures] = {name: {} for name in reference}
    for sigma in panel.track(list(sigmas)):
        noise = sigma * rng.standard_normal(block.position.shape)
        displaced = with_atoms(block, block.position + noise)
        moved_result, moved = panel(displaced)
        turned = angle(result["rotation"], moved_result["rotation"]) > MIN_TURN
        reordered = order_differs(result, moved_result)
        for name, values in reference.items():
            change = np.linalg.norm(moved[name] - values, axis=1) / unit[name]
            jump = change > MIN_JUMP
            figures[name][f"{sigma:g}"] = found = {
                "change_median": float(np.median(change)),
                "change_p99": float(np.percentile(change, 99)),
                "change_max": float(change.max()),
                "jumps": float(jump.mean()),
            }
            if name in framed:
                found["jumps_frame"] = float((jump & turned).mean())
                found["jumps_order"] = float((jump & ~turned & reordered).mean())
                found["jumps_other"] = float((jump & ~turned & ~reordered).mean())
            if name in exact:
                found["jumps_exact"] = float((exact[name](block, displaced) > MIN_JUMP * unit[name]).mean())
    return figures


def angle(first: Floats, second: Floats) -> Floats:
    """Return (M,) the angle in degrees of the rotations (M, 3, 3) that lead from the first to the second."""
    trace = np.einsum("mij,mij->m", first, second)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def order_differs(first: Result, second: Result) -> NDArray[np.bool_]:
    """Return (M,) whether the canonical orders of the same conformers differ anywhere."""
    changed = first["permutation"] != second["permutation"]
    return np.add.reduceat(changed, first.block.offset[:-1]) > 0

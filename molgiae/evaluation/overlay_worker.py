"""``python -m molgiae.evaluation.overlay_worker``: overlays pairs of conformers in processes: RDKit holds the GIL."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.overlay import Best, Shape, overlay, shape_of
from molgiae.evaluation.report import Track
from molgiae.parallel.processes import Workers, serve
from molgiae.parallel.threads import cores, in_flight

WORKER = "molgiae.evaluation.overlay_worker"
PAIRS_AT_A_TIME = 50
"""Pairs in a question."""
MIN_PAIRS = 200
"""Fewer are overlaid in this process: others take a second to start."""
TIME_LIMIT = 600.0
"""Seconds for a question."""
FIELDS = ("charge", "text")

Overlays = NDArray[np.float64]
"""(K, 2) shape Tanimoto, and mean of shape and color Tanimoto."""


def exact_overlays(
    block: ConformerBlock,
    pairs: NDArray[np.int64],
    best: Best,
    *,
    track: Track = iter,
    jobs: int | None = None,
) -> Overlays:
    """Return the exact overlays of pairs of conformers, as of `molgiae.data.overlay`.

    Args:
        block: M conformers.
        pairs: (K, 2) places in the block.
        best: what is made large: "shape", or "combination" of shape and color.
        track: of questions.
        jobs: processes; None for one for each core.
    """
    parts = [pairs[k : k + PAIRS_AT_A_TIME].tolist() for k in range(0, len(pairs), PAIRS_AT_A_TIME)]
    jobs = min(jobs or cores(), len(parts))
    if jobs < 2 or len(pairs) < MIN_PAIRS:
        ask = _answering([block[m] for m in range(len(block))])
        return _joined([ask({"pairs": part, "best": best}) for part in track(parts)])
    setup = {"conformers": [_plain(c) for c in block]}
    with ThreadPoolExecutor(jobs, "molgiae") as pool, Workers(jobs, WORKER, setup, TIME_LIMIT) as workers:
        questions = ({"pairs": part, "best": best} for part in parts)
        with closing(in_flight(pool, workers.ask, questions, 4 * jobs)) as answers:
            return _joined([next(answers) for _ in track(parts)])


def _joined(answers: list[dict[str, Any]]) -> Overlays:
    rows = [row for answer in answers for row in answer["overlays"]]
    return np.array(rows, np.float64).reshape(-1, 2)


def _plain(conformer: Conformer) -> dict[str, Any]:
    return {
        "atomic_number": conformer.atomic_number.tolist(),
        "position": conformer.position.tolist(),
        "bonds": conformer.bonds.tolist(),
        **{name: getattr(conformer, name) for name in FIELDS},
    }


def _conformer(plain: dict[str, Any]) -> Conformer:
    return Conformer(
        np.array(plain["atomic_number"], np.uint8),
        np.array(plain["position"], np.float64).reshape(-1, 3),
        bonds=np.array(plain["bonds"], np.int64).reshape(-1, 2),
        **{name: plain[name] for name in FIELDS},
    )


def _answering(conformers: list[Conformer]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what overlays pairs of these conformers, whose shapes are made when they are needed."""

    @functools.cache
    def shape(m: int, color: bool) -> Shape:
        return shape_of(conformers[m], color=color)

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        best = question["best"]
        found = (
            overlay(shape(a, best != "shape"), shape(b, best != "shape"), best) for a, b in question["pairs"]
        )
        return {"overlays": [(one.shape_tanimoto, one.combination) for one in found]}

    return answer


if __name__ == "__main__":
    serve(lambda setup: _answering([_conformer(plain) for plain in setup["conformers"]]))

"""Embeddings while a bond breaks and while a proton passes: a group action of the bond graph beside a learned one.

Along a bond that is pulled apart, or of a hydrogen that moves from one heavy atom to another, the perceived bond graph
changes at one point, and with it frame and order that are taken from it. A learned group action sees no bonds, but its
frame and order may still jump, as those of every model must somewhere. Steps are `STEP` long, so that one without a
jump moves no atom by more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from molgiae.data.blocks import Result, concatenate
from molgiae.data.bonds import known_bonds
from molgiae.data.conformer import NO_BONDS, Conformer, ConformerBlock
from molgiae.data.npz import open_npz, read_npz
from molgiae.evaluation.descriptors import typical_distance
from molgiae.evaluation.feature_learning import TEST_PART
from molgiae.evaluation.scans import frames_of, rotatable
from molgiae.evaluation.smoothness import MIN_JUMP
from molgiae.experiments import Findings, Setting, both, sized
from molgiae.model.embedder import Embedder
from molgiae.model.learned import LearnedEncoder
from molgiae.plots import blank, saved

Floats = NDArray[np.float64]
Steps = dict[str, list[Floats]]

STEP = 0.02
"""Angstrom by which atoms move from frame to frame."""
KNOWN = 1000
"""Molecules whose median distance is the unit."""
PULLED = 2.0
"""Angstrom by which a bond is pulled apart."""
NEAR, CONTACT = 0.95, (1.4, 2.4)
"""Angstrom from its atoms at which a hydrogen starts and ends; between it and the atom it may pass to, at first."""
PASSING = (7, 8)
"""Elements between which a hydrogen passes."""
FORM, FRAME = "canonical coordinates", "canonical frame alone"
"""Coordinates in the canonical frame, in the canonical order and in that of the record."""
MIN_FORM_JUMP = 10 * STEP
"""Root mean square change of these, angstrom, that is called a jump."""
AVERAGES = "averages over atoms"


@dataclass(frozen=True)
class Config:
    """Sizes of the scans."""

    model: str = "qm9"  # shipped, whose group action is that of the bond graph
    molecules: int = sized(100, fast=2)  # of the test split that have such a path, for each kind


CONFIG, FAST = both(Config)


def pulled_apart(conformer: Conformer, rng: np.random.Generator) -> Floats | None:
    """Pull one bond between heavy atoms, in no ring, drawn at random, apart; (S, n, 3), None if there is none."""
    bonds = rotatable(conformer)
    if not bonds:
        return None
    (fixed, end), side = bonds[int(rng.integers(len(bonds)))]
    along = conformer.position[end] - conformer.position[fixed]
    far = np.arange(0.0, PULLED + 1e-9, STEP)
    frames = np.repeat(conformer.position[None], len(far), axis=0)
    frames[:, side] += far[:, None, None] * along / np.linalg.norm(along)
    return frames


def passed_on(conformer: Conformer, rng: np.random.Generator) -> Floats | None:
    """Move a hydrogen between two N or O atoms, from its own to one nearby, on the line between them."""
    z, pos, bonds = conformer.atomic_number, conformer.position, known_bonds(conformer)
    apart, heavy = cdist(pos, pos), np.isin(z, PASSING)
    both_ways = np.concatenate([bonds, bonds[:, ::-1]])
    found = [
        (own, hydrogen, other)
        for own, hydrogen in both_ways[heavy[both_ways[:, 0]] & (z[both_ways[:, 1]] == 1)]
        for other in np.flatnonzero(heavy & (apart[hydrogen] > CONTACT[0]) & (apart[hydrogen] < CONTACT[1]))
        if other != own and (both_ways == [own, other]).all(axis=1).sum() == 0
    ]
    if not found:
        return None
    own, hydrogen, other = found[int(rng.integers(len(found)))]
    along = (pos[other] - pos[own]) / apart[own, other]
    far = np.arange(NEAR, apart[own, other] - NEAR + 1e-9, STEP)
    frames = np.repeat(pos[None], len(far), axis=0)
    frames[:, hydrogen] = pos[own] + far[:, None] * along
    return frames


PATHS: Mapping[str, Callable[[Conformer, np.random.Generator], Floats | None]] = {
    "bond pulled apart": pulled_apart,
    "proton passed on": passed_on,
}
"""Name to what is done to a conformer."""


def study(checkpoint: Path, config: Config, setting: Setting) -> Findings:
    """Scan test molecules with a shipped model and a learned group action; find a row for each path and embedding.

    For embeddings, `step_median` is that of all steps and `largest_median` and `largest_max` are of the largest step of
    a path, in units of the median distance of random molecules; for coordinates they are root mean square changes in
    angstrom. Steps above `MIN_JUMP` or `MIN_FORM_JUMP` are jumps: `jumps` is the mean number in a path,
    `paths_with_jump` the share of paths with any. Averages over atoms and slots are the two parts of the embedding
    where the group action is learned; the first depend on neither frame nor order.
    """
    block = tested(setting)
    found = {path: moved(block, path, config.molecules, setting.seed) for path in PATHS}
    embedders = {
        "bond graph": Embedder(config.model, device=setting.device),
        "learned": Embedder(str(checkpoint), device=setting.device),
    }
    rows, steps = [], {}
    for name, embedder in embedders.items():
        known = embedder.embed(block.take(np.arange(min(len(block), KNOWN))))
        for path, frames in found.items():
            if not frames:
                continue
            of_path, decoded = measured(embedder, frames, known, setting.seed)
            for what, values in of_path.items():
                rows.append({"group_action": name, "path": path, "of": what, **summary(what, values)})
                steps[path, f"{name}: {what}"] = values
            rows.append({"group_action": name, "path": path, "of": "decoded RMSD", **decoded})
    return Findings({"step": STEP, "table": rows}, (), (draw(setting.folder / "scans.png", steps),))


def tested(setting: Setting) -> ConformerBlock:
    """Return the test molecules, in a random order."""
    with open_npz(setting.data) as file:
        rows = np.flatnonzero(file["split"] == TEST_PART)
    return read_npz(setting.data).take(np.random.default_rng(setting.seed).permutation(rows))


def moved(block: ConformerBlock, path: str, most: int, seed: int) -> list[ConformerBlock]:
    """Return the frames of the first conformers that have such a path; no record says what its bonds are."""
    rng, found = np.random.default_rng(seed), []
    for conformer in block:
        frames = PATHS[path](conformer, rng)
        if frames is not None:
            found.append(frames_of(replace(conformer, bonds=NO_BONDS), frames))
        if len(found) == most:
            break
    return found


def measured(
    embedder: Embedder, frames: list[ConformerBlock], known: Result, seed: int
) -> tuple[Steps, dict[str, float]]:
    """Return steps (S,) of each path by what is looked at, and the error of what is decoded of first and last frames.

    Args:
        embedder: a model.
        frames: of each path.
        known: molecules as embedded, whose distances are the unit.
        seed: of the pairs of these.
    """
    result = embedder.embed(concatenate(frames))
    looked: dict[str, Callable[[Result], Floats]] = {"embedding": lambda of: of["embedding"]}
    if len(embedder.parts) > 1:
        detail = embedder.part("detail").columns
        looked["detail part"] = lambda of: of["embedding"][:, detail]
    if isinstance(embedder.model.encoder, LearnedEncoder):
        averages, _ = embedder.model.encoder.network.parts
        looked[AVERAGES] = lambda of: of["embedding"][:, :averages]
        looked["slots"] = lambda of: of["embedding"][:, averages:]
    first = np.concatenate([[0], np.cumsum([len(path) for path in frames])])
    steps: Steps = {}
    for name, look in looked.items():
        values = look(result).astype(np.float64) / typical_distance(look(known).astype(np.float64), seed)
        steps[name] = [np.linalg.norm(np.diff(values[a:b], axis=0), axis=1) for a, b in pairwise(first)]
    offset, form = result.block.offset, result["canonical_position"]
    of_record = np.empty_like(form)
    of_record[np.repeat(offset[:-1], np.diff(offset)) + result["permutation"]] = form
    for name, x in ((FORM, form), (FRAME, of_record)):
        steps[name] = [rms_steps(x[offset[a] : offset[b]].reshape(b - a, -1, 3)) for a, b in pairwise(first)]
    error = result["decoded_rmsd"]
    return steps, {
        "first_frames_median": float(np.median(error[first[:-1]])),
        "last_frames_median": float(np.median(error[first[1:] - 1])),
    }


def rms_steps(x: Floats) -> Floats:
    """Return (S - 1,) root mean square changes over the atoms from one of (S, n, 3) to the next."""
    changes: Floats = np.sqrt((np.diff(x, axis=0) ** 2).sum(axis=2).mean(axis=1))
    return changes


def summary(what: str, steps: list[Floats]) -> dict[str, Any]:
    """Return the figures of a row, see `study`."""
    largest, of_form = np.array([path.max() for path in steps]), what in (FORM, FRAME)
    limit = MIN_FORM_JUMP if of_form else MIN_JUMP
    return {
        "unit": "angstrom" if of_form else "median distance of molecules",
        "paths": len(steps),
        "step_median": float(np.median(np.concatenate(steps))),
        "largest_median": float(np.median(largest)),
        "largest_max": float(largest.max()),
        "jumps": float(np.mean([(path > limit).sum() for path in steps])),
        "paths_with_jump": float((largest > limit).mean()),
    }


def draw(path: Path, steps: Mapping[tuple[str, str], list[Floats]]) -> str:
    """Draw for each kind of path, in panels of embeddings and of coordinates, how many paths have no larger step."""
    figure = blank(9, 7.5)
    panels = figure.subplots(2, len(PATHS), squeeze=False)
    for column, kind in zip(panels.T, PATHS, strict=True):
        for (of, name), values in steps.items():
            if of == kind:
                largest = np.sort([each.max() for each in values])
                share = 100 * np.arange(1, len(largest) + 1) / len(largest)
                column[int(name.endswith((FORM, FRAME)))].plot(largest, share, label=name)
        for panel, unit in zip(column, ("distance of molecules", "Å"), strict=True):
            panel.set(title=kind, xscale="log", xlabel=f"largest step ({unit})", ylabel="paths below (%)")
            panel.grid(alpha=0.3)
            if panel.lines:
                panel.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=2)
    return saved(figure, path).name

"""Whether the embedding is invariant, and blind to nothing but the group: exit status 1 if a change exceeds 1e-5.

    python benchmarks/invariance.py qm9.npz c7o2h10.sdf.gz examples/conformers.sdf --json invariance.json

Random (conformer, g), `--pairs` in all, drawn evenly from the files: g turns by any rotation, shifts by up to
`--translation` angstrom and shuffles the atoms, in float64. Compared are the embeddings (relative change) and the
canonical forms (largest deviation of an atom; elements in the same order). Further the same conformers with other
batch mates and another batch size, twice the same input, and mirror images. Of an npz with splits, the test split.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from molgiae.commands.evaluate import read_data
from molgiae.data.blocks import Result
from molgiae.data.conformer import ConformerBlock
from molgiae.evaluation.descriptors import Panel, embedding, sample
from molgiae.evaluation.invariance import (
    MAX_ROUND_OFF,
    batch_effect,
    mirror_images,
    random_copies,
    relative_change,
)
from molgiae.model.embedder import Embedder

SAME_CLOUD = 1e-3
"""Largest deviation of an atom, angstrom, of canonical forms that count as equal."""
OTHER_BATCH_SIZE = 37


def canonical_elements(result: Result) -> np.ndarray:
    """(sum n,) atomic numbers in canonical order."""
    block = result.block
    start = np.repeat(block.offset[:-1], block.n_atoms)
    return block.atomic_number[start + result["permutation"]]


def cloud_deviation(before: Result, after: Result) -> np.ndarray:
    """(M,) largest deviation of an atom between canonical forms, angstrom; infinite if elements differ."""
    apart = np.linalg.norm(before["canonical_position"] - after["canonical_position"], axis=1)
    apart[canonical_elements(before) != canonical_elements(after)] = np.inf
    return np.maximum.reduceat(apart, before.block.offset[:-1])


def random_motions(
    embedder: Embedder, block: ConformerBlock, pairs: int, reach: float, seed: int
) -> dict[str, Any]:
    """Changes under random g, at least so many pairs."""
    rng = np.random.default_rng(seed)
    before = embedder.embed(block)
    rounds = math.ceil(pairs / len(block))
    change, apart = [], []
    for _ in range(rounds):
        after = embedder.embed(random_copies(block, reach, rng))
        change.append(relative_change(embedding(before), embedding(after)))
        apart.append(cloud_deviation(before, after))
    changes, deviations = np.stack(change), np.stack(apart)
    return {
        "pairs": changes.size,
        "change_max": float(changes.max()),
        "change_median": float(np.median(changes)),
        "exact_share": float((changes <= MAX_ROUND_OFF).mean()),
        "worst": block.title[int(changes.max(axis=0).argmax())],
        "canonical_deviation_max": float(deviations.max()),
        "canonical_equal_share": float((deviations < SAME_CLOUD).mean()),
        "canonical_worst": block.title[int(deviations.max(axis=0).argmax())],
    }


def measure(path: str, options: argparse.Namespace, pairs: int) -> dict[str, Any]:
    """All figures of one file."""
    embedder = Embedder(options.model)
    otherwise = Embedder(options.model, batch_size=OTHER_BATCH_SIZE)
    block = embedder.embed(sample(read_data(path, "test"), pairs, options.seed)).block
    few = sample(block, options.mirror, options.seed)
    figures = random_motions(embedder, block, pairs, options.translation, options.seed)
    figures |= batch_effect(
        lambda b: embedding(embedder.embed(b)), lambda b: embedding(otherwise.embed(b)), block, options.seed
    )
    panel = Panel(embedder.embed, {"model": embedding}, options.seed)
    figures["mirror"] = mirror_images(panel, few)["model"]
    return {"file": Path(path).name, "conformers": len(block), "refused": len(block.rejected), **figures}


def passes(row: dict[str, Any]) -> bool:
    """Return whether the embedding changed by no more than round-off."""
    largest = max(row["change_max"], row["batch_change_max"])
    return largest <= MAX_ROUND_OFF and row["repeat_is_bitwise_equal"]


def lines(row: dict[str, Any]) -> list[str]:
    """One file in words."""
    mirror = row["mirror"]

    def share(name: str) -> str:
        return "none" if mirror[name] is None else f"{100 * mirror[name]:.2f} %"

    return [
        f"{row['file']}: {row['pairs']} pairs of {row['conformers']} conformers ({row['refused']} refused)"
        f"{'' if passes(row) else '   FAILED'}",
        f"  embedding, relative change    largest {row['change_max']:.1e} ({row['worst']}), "
        f"median {row['change_median']:.1e}, up to {MAX_ROUND_OFF:g}: {100 * row['exact_share']:.2f} %",
        f"  ... other batch and mates     largest {row['batch_change_max']:.1e}; "
        f"same input twice {'bitwise equal' if row['repeat_is_bitwise_equal'] else 'DIFFERS'}",
        f"  canonical form, angstrom      largest {row['canonical_deviation_max']:.1e} ({row['canonical_worst']}), "
        f"below {SAME_CLOUD:g}: {100 * row['canonical_equal_share']:.2f} %",
        f"  mirror images                 {mirror['chiral']} chiral, differ: {share('chiral_differ')}; "
        f"{mirror['achiral']} achiral, equal: {share('achiral_equal')} "
        f"(those within 0.001 angstrom of theirs: {share('rounded_equal')}); {mirror['borderline']} in between",
    ]


def main() -> int:
    """Measure, print, write JSON; 1 if a change exceeds round-off."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--pairs", type=int, default=10_000, help="of all files together (default 10000)")
    parser.add_argument("--translation", type=float, default=1000.0, help="angstrom (default 1000)")
    parser.add_argument("--mirror", type=int, default=1000, help="conformers of each file to mirror")
    parser.add_argument("--model", default="qm9", help="a shipped model or a checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pairs = math.ceil(options.pairs / len(options.files))
    rows = []
    for path in options.files:
        rows.append(measure(path, options, pairs))
        print("\n".join(lines(rows[-1])), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(passes(row) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

"""How far conformers can be decoded between two embeddings: pairs of conformers of molecules of the validation split.

    python benchmarks/interpolation.py qm9.npz smiles.csv.gz --molecules 100 --model qm9 --json interpolation.json

Of each molecule of QM9 that is drawn, two ETKDG conformers of lowest energy that RMSD tells apart; eleven steps, both
ends among them. Printed are, by the RMSD of the two, shares of the nine steps between the ends: with the right
formula, with bonds between the right elements, embedded within 0.125 angstrom (shape) of where they were decoded
from, and all of it (`molgiae.commands.interpolate.Step.holds`); and of pairs all of whose steps hold.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
from qm9_smiles import molecules_of, read_smiles

from molgiae.commands.interpolate import MAX_STRAYED, decoded_between
from molgiae.config import ConformerSearch
from molgiae.data.etkdg import embed_and_minimise
from molgiae.errors import ConformerError
from molgiae.matching import superpose_pairs
from molgiae.model.embedder import Embedder

STEPS = 11
BOUNDS = (0.0, 0.25, 0.5, 0.75, 1.0, np.inf)
"""Angstrom; of the classes of RMSD between the ends."""


def main() -> None:
    """Draw pairs, interpolate, print shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("npz", type=Path)
    parser.add_argument("smiles", type=Path)
    parser.add_argument("--molecules", type=int, default=100)
    parser.add_argument("--model", default="qm9")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    smiles = read_smiles(options.smiles)
    candidates = sorted(molecules_of(options.npz, "validation") & set(smiles))
    np.random.default_rng(options.seed).shuffle(candidates)
    pairs = []
    for index in candidates:
        try:
            found = embed_and_minimise(
                smiles[index], True, f"gdb {index}", ConformerSearch(number=5, prune=0.1)
            )
        except ConformerError:
            continue
        pairs += [tuple(found[:2])] if len(found) > 1 else []
        if len(pairs) == options.molecules:
            break
    embedder = Embedder(options.model)
    apart = superpose_pairs([a for a, _ in pairs], [b for _, b in pairs]).rmsd
    paths = [decoded_between(embedder, a, b, STEPS)[0][1:-1] for a, b in pairs]
    rows = []
    for low, high in pairwise(BOUNDS):
        chosen = [path for path, rmsd in zip(paths, apart, strict=True) if low <= rmsd < high]
        steps = [step for path in chosen for step in path]
        if not steps:
            continue
        near = [step.strayed is not None and step.strayed <= MAX_STRAYED for step in steps]
        rows.append(
            {
                "rmsd": f"{low:g} to {high:g}",
                "pairs": len(chosen),
                "formula": np.mean([step.formula for step in steps]),
                "bonds": np.mean([step.bonds for step in steps]),
                "embeds_back": np.mean(near),
                "holds": np.mean([step.holds for step in steps]),
                "whole_paths": np.mean([all(step.holds for step in path) for path in chosen]),
            }
        )
    print(f"{options.model}, {len(pairs)} pairs")
    for row in rows:
        shown = (f"{value:.1%}" if isinstance(value, float) else value for value in row.values())
        print("  ".join(f"{key} {value}" for key, value in zip(row, shown, strict=True)))
    if options.json:
        options.json.write_text(json.dumps({"model": options.model, "rows": rows}) + "\n")


if __name__ == "__main__":
    main()

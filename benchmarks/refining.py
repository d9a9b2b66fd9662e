"""What `molgiae reconstruct --refine` takes off the error of a decoder.

    python benchmarks/refining.py qm9.npz --model qm9-64
    python benchmarks/refining.py confs.sdf --model run/model.safetensors

Of files with splits the test split is read, unless another is asked for. Prints a table of the RMSD as predicted of all
conformers that the model takes, angstrom, as decoded and refined, and by number of atoms.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from results import markdown

from molgiae.data.blocks import concatenate
from molgiae.data.inputs import read_inputs
from molgiae.data.npz import has_splits, read_npz
from molgiae.model.embedder import Embedder
from molgiae.model.refined import ATTEMPTS

SIZES = ((1, 15), (16, 18), (19, 21), (22, 23), (24, 1000))
BLOCK = 500


HEADING = ("RMSD as predicted (A)", "mean", "median", "95 %", "99 %", "worst")


def cells(name: str, rmsd: NDArray[np.float64]) -> list[str]:
    """Return a line of the table."""
    return [name, *(f"{figure:.5f}" for figure in (rmsd.mean(), *np.percentile(rmsd, (50, 95, 99, 100))))]


def main() -> None:
    """Decode, refine, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="qm9-64")
    parser.add_argument("--split", default="test")
    parser.add_argument("--every", type=int, default=1, help="conformers of which one is taken")
    options = parser.parse_args()
    path = options.data
    whole = (
        read_npz(path, options.split)
        if path.suffix == ".npz" and has_splits(path)
        else concatenate(list(read_inputs(path, keep_text=False)))
    )
    embedder = Embedder(options.model, device="cpu")
    found: dict[bool, list[NDArray[np.float64]]] = {False: [], True: []}
    seconds, atoms = dict.fromkeys(found, 0.0), []
    embedder.embed(whole.take(np.arange(1)), reconstruct=True)  # compiles what is compiled
    for start in range(0, len(whole), BLOCK * options.every):
        block = whole.take(np.arange(start, min(start + BLOCK * options.every, len(whole)), options.every))
        for refine, errors in found.items():
            begin = time.process_time()
            result = embedder.embed(block, reconstruct=True, refine=refine)
            seconds[refine] += time.process_time() - begin
            errors.append(result["rmsd"].astype(float))
        atoms.append(result.block.n_atoms)
    number = np.concatenate(atoms)
    print(
        f"{embedder.checkpoint.name} on {path.name}: {len(number)} conformers, up to {ATTEMPTS} searches each\n"
    )
    rows = []
    for refine, name in ((False, "decoded"), (True, "refined")):
        rmsd = np.concatenate(found[refine])
        rows.append(cells(name, rmsd))
        for low, high in SIZES:
            among = (number >= low) & (number <= high)
            if among.any():
                rows.append(cells(f"{name}, {low}-{high} atoms", rmsd[among]))
    print(markdown(HEADING, rows))
    more = (seconds[True] - seconds[False]) / len(number)
    before, after = (np.concatenate(found[refine]) for refine in (False, True))
    worse = (after > before + 1e-3).mean()
    print(f"\nrefined by {1000 * more:.1f} ms of a core each; farther off by more than 0.001 A: {worse:.2%}")


if __name__ == "__main__":
    main()

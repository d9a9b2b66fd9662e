"""SMILES of molecules of a split of QM9, drawn at random, for `molgiae conformers`.

    python benchmarks/qm9_smiles.py qm9.npz smiles.csv.gz test.smi --split test --molecules 200
    molgiae conformers test.smi --number 20 -o conformers.sdf
    molgiae evaluate qm9.npz --conformers conformers.sdf

The csv has the columns gdb_index and SMILES, with a line of names on top. Titles are those of the npz, "gdb 1".
"""

from __future__ import annotations

import argparse
import csv
import gzip
from pathlib import Path

import numpy as np

from molgiae.data.npz import SPLITS


def molecules_of(npz: Path, split: str) -> set[int]:
    """Indices of the molecules of a split."""
    with np.load(npz, allow_pickle=False) as file:
        return set(file["gdb_index"][file["split"] == SPLITS.index(split)].tolist())


def read_smiles(path: Path) -> dict[int, str]:
    """Index to SMILES."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = csv.reader(file)
        next(rows)
        return {int(row[0]): row[1] for row in rows}


def main() -> None:
    """Write as many lines as there are to be molecules."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("npz", type=Path)
    parser.add_argument("smiles", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    smiles = read_smiles(options.smiles)
    candidates = sorted(molecules_of(options.npz, options.split) & set(smiles))
    np.random.default_rng(options.seed).shuffle(candidates)
    chosen = candidates[: options.molecules]
    options.output.write_text("".join(f"{smiles[index]}\tgdb {index}\n" for index in chosen))
    print(f"{len(chosen)} of {len(candidates)} molecules of the {options.split} split in {options.output}")


if __name__ == "__main__":
    main()

"""Symmetry-corrected RMSDs of all pairs of an ensemble: molgiae in one call for a molecule, irmsd pair by pair.

    pip install irmsd
    python benchmarks/ensembles.py --matrix 1000
    python benchmarks/ensembles.py --qm9 smiles.csv.gz qm9.npz --drug molecules.smi --molecules 20 --json ensembles.json

Conformers of a molecule (`sets.py`), each in an order of atoms and bonds of its own, all pairs. CPU time of one
process; of irmsd the calls alone. Printed are medians and 95th percentiles over molecules, of times per pair. With
`--matrix` it is one matrix (`molgiae rmsd`) of as many ETKDG conformers of fluoxetine, 40 atoms.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
from apart import peak_memory
from rdkit import Chem
from rdkit.Chem import AllChem
from sets import add_arguments, conformer_of, drug_like, qm9_like, scrambled

from molgiae.commands.rmsd import rmsd_matrix
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.matching import superpose_pairs

KEPT, FEWEST, TRIES = 40, 6, 40
"""Conformers of a molecule, at most and at least, and how often one is tried."""

FLUOXETINE = "CNCCC(Oc1ccc(C(F)(F)F)cc1)c1ccccc1"

Pair = tuple[Conformer, Conformer]


def milliseconds_of_molgiae(pairs: list[Pair]) -> tuple[float, float]:
    """CPU time per pair, and the share proven."""
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    started = time.process_time()
    matches = superpose_pairs(first, second, match="bonds")
    return 1e3 * (time.process_time() - started) / len(pairs), float(matches.proven.mean())


def milliseconds_of_irmsd(pairs: list[Pair]) -> float:
    """CPU time per pair."""
    import irmsd  # noqa: PLC0415 - may be missing

    spent = 0.0
    for a, b in pairs:
        arrays = (a.atomic_number.astype(np.int32), a.position, b.atomic_number.astype(np.int32), b.position)
        started = time.process_time()
        irmsd.get_irmsd(*arrays, iinversion=2)
        spent += time.process_time() - started
    return 1e3 * spent / len(pairs)


def matrix(number: int, rng: np.random.Generator) -> dict[str, float]:
    """CPU seconds of all pairs of conformers of fluoxetine, all atoms and without hydrogens, and the shares proven."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(FLUOXETINE))
    AllChem.EmbedMultipleConfs(molecule, number, randomSeed=1)
    block = ConformerBlock.of(scrambled(conformer_of(molecule, k), rng).conformer for k in range(number))
    rmsd_matrix(block.take(slice(0, 3)))  # compiles
    found: dict[str, float] = {"conformers": number, "pairs": number * (number - 1) // 2}
    for name, heavy in (("all_atoms", False), ("heavy", True)):
        started = time.process_time()
        result = rmsd_matrix(block, heavy=heavy)
        found[f"{name}_seconds"] = round(time.process_time() - started, 1)
        found[f"{name}_proven"] = float(result.condensed()[1].mean())
    return found | {"peak_mb": round(peak_memory())}


def main() -> None:
    """Measure each set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--matrix", type=int, help="measure one matrix, of so many conformers, instead")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    report = {}
    if options.matrix:
        report["matrix"] = matrix(options.matrix, rng)
        print(report["matrix"], flush=True)
    print("| set | molecules | pairs | molgiae ms per pair, median / p95 | proven | irmsd | peak MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    sets = {}
    if options.qm9:
        sets["QM9-like"] = qm9_like(*options.qm9, options.molecules, options.seed, KEPT, TRIES)
    if options.drug:
        sets["drug-like"] = drug_like(options.drug, options.molecules, options.seed, KEPT, TRIES)
    for name, ensembles in sets.items():
        several = [[scrambled(c, rng).conformer for c in e] for e in ensembles if len(e) >= FEWEST]
        pairs = [list(combinations(e, 2)) for e in several]
        ours = [milliseconds_of_molgiae(p) for p in pairs]
        theirs = [milliseconds_of_irmsd(p) for p in pairs] if find_spec("irmsd") else []
        report[name] = {
            "molecules": len(several),
            "pairs": sum(map(len, pairs)),
            "molgiae_ms": np.percentile([ms for ms, _ in ours], (50, 95)).round(4).tolist(),
            "proven": float(np.mean([share for _, share in ours])),
            "irmsd_ms": np.percentile(theirs, (50, 95)).round(4).tolist() if theirs else None,
            "peak_mb": round(peak_memory()),
        }
        row = report[name]
        other = "{:.2f} / {:.2f}".format(*row["irmsd_ms"]) if theirs else "not installed"
        print(
            f"| {name} | {row['molecules']} | {row['pairs']} | {row['molgiae_ms'][0]:.2f} / {row['molgiae_ms'][1]:.2f} "
            f"| {100 * row['proven']:.0f} % | {other} | {row['peak_mb']} |",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Whether copies of a conformer get one canonical form: full precision, 4 decimals, noise.

    python benchmarks/canonical_forms.py --qm9 smiles.csv.gz qm9.npz --drug molecules.smi --json canonical.json

Three sets (`sets.py`; `--drug` also takes an SDF), and `--copies` copies of molecules of the QM9 test split as it is.
Every copy is turned, shifted and shuffled, atoms and bonds. Counted as equal are canonical clouds with the same
elements in the same order and no atom off by more than 0.001 A (full precision) or 0.005 A (4 decimals), and with an
RMSD below 0.1 A after 0.02 A of noise on every coordinate.
Exit status 1 if molgiae misses a copy without noise, or is not above the baseline with noise.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit.Chem import rdMolTransforms
from sets import add_arguments, noisy, rounded, scrambled, sets_of, to_rdkit

from molgiae import read_conformers
from molgiae.canonical.forms import canonical_forms
from molgiae.commands.evaluate import read_data
from molgiae.data.conformer import Conformer
from molgiae.evaluation.invariance import random_copies
from molgiae.evaluation.linear_baseline import in_inertial_frame

Floats = NDArray[np.float64]
Form = tuple[NDArray[np.uint8], Floats]
"""Elements (n,) and canonical cloud (n, 3) in canonical order."""
Method = Callable[[Sequence[Conformer]], list[Form]]

NOISE = 0.02
NOISY = 0.1
"""Largest RMSD of equal forms under noise, angstrom."""
COPIES: dict[str, tuple[Callable[[Conformer, np.random.Generator], Conformer], float]] = {
    # column: what is done to a scrambled copy, and the largest deviation allowed to an atom, angstrom
    "full precision": (lambda c, rng: c, 1e-3),
    "4 decimals": (lambda c, rng: rounded(c), 5e-3),
    "noise": (lambda c, rng: noisy(c, rng, NOISE), np.nan),
}
BATCH = 256


def of_molgiae(conformers: Sequence[Conformer]) -> list[Form]:
    """The canonical forms of molgiae."""
    result = canonical_forms(conformers)
    atoms = [slice(a, b) for a, b in zip(result.block.offset[:-1], result.block.offset[1:], strict=True)]
    return [
        (c.atomic_number[result["permutation"][s]], result["canonical_position"][s])
        for c, s in zip(result.block, atoms, strict=True)
    ]


def sorted_by_place(z: NDArray[np.uint8], cloud: Floats) -> Form:
    """Atoms by element, then coordinates on a grid of 0.001 A."""
    order = np.lexsort((*cloud.T[::-1].round(3), z))
    return z[order], cloud[order]


def baseline(c: Conformer) -> Form:
    """Z-weighted principal axes, signs by third moments."""
    cloud = c.position - np.average(c.position, axis=0, weights=c.atomic_number)
    return sorted_by_place(c.atomic_number, in_inertial_frame(c.atomic_number[None], cloud[None])[0])


def rdkit(c: Conformer) -> Form:
    """RDKit CanonicalizeConformer, hydrogens included; the same order as the baseline."""
    mol = to_rdkit(c)
    rdMolTransforms.CanonicalizeConformer(mol.GetConformer(), ignoreHs=False)
    return sorted_by_place(c.atomic_number, mol.GetConformer().GetPositions())


def ase(c: Conformer) -> Form:
    """Frame of the moments of inertia of ASE; the same order as the baseline."""
    from ase import Atoms  # noqa: PLC0415 - seconds to import

    atoms = Atoms(c.atomic_number, c.position)
    axes = atoms.get_moments_of_inertia(vectors=True)[1]
    return sorted_by_place(c.atomic_number, (c.position - atoms.get_center_of_mass()) @ axes.T)


def one_by_one(form: Callable[[Conformer], Form]) -> Method:
    """A method for one conformer as a method for many."""
    return lambda conformers: [form(c) for c in conformers]


def equal(first: Form, second: Form, limit: float) -> bool:
    """Whether two canonical forms are the same; an RMSD below `NOISY` if there is no limit."""
    if not np.array_equal(first[0], second[0]):
        return False
    off = np.linalg.norm(first[1] - second[1], axis=1)
    return bool(np.sqrt((off**2).mean()) < NOISY if np.isnan(limit) else off.max() < limit)


def measure(
    method: Method, conformers: Sequence[Conformer], copies: dict[str, list[Conformer]]
) -> dict[str, Any]:
    """The columns of one method on one set."""
    method(conformers[:2])
    start = time.perf_counter()
    before = method(conformers)
    row: dict[str, Any] = {"ms": 1000 * (time.perf_counter() - start) / len(conformers)}
    for name, (_, limit) in COPIES.items():
        same = [equal(a, b, limit) for a, b in zip(before, method(copies[name]), strict=True)]
        row[name] = float(np.mean(same))
        row[f"{name}, missed"] = [
            conformers[k % len(conformers)].title for k, good in enumerate(same) if not good
        ][:20]
    row["jump rate"] = 1 - row["noise"]
    return row


def of_qm9(methods: dict[str, Method], npz: Path, copies: int, seed: int) -> dict[str, dict[str, Any]]:
    """Copies of molecules of the test split at full precision, shifted by up to 1 000 A."""
    block = read_data(str(npz), "test")
    rng = np.random.default_rng(seed)
    rows = {name: {"copies": 0, "misses": 0, "missed": []} for name in methods}
    while (left := copies - next(iter(rows.values()))["copies"]) > 0:
        part = block.take(np.arange(min(left, len(block))))
        others = random_copies(part, 1000.0, rng)
        for name, method in methods.items():
            same = [
                equal(a, b, COPIES["full precision"][1])
                for a, b in zip(method(list(part)), method(list(others)), strict=True)
            ]
            rows[name]["copies"] += len(same)
            rows[name]["misses"] += same.count(False)
            rows[name]["missed"] += [c.title for c, good in zip(part, same, strict=True) if not good][:20]
    return rows


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Markdown."""
    lines = ["| set | method | full precision | 4 decimals | noise 0.02 A | jump rate | ms |"]
    lines += ["|---|---|---:|---:|---:|---:|---:|"]
    for name, rows in results.items():
        for method, row in rows.items():
            shares = " | ".join(f"{100 * row[column]:.2f} %" for column in [*COPIES, "jump rate"])
            lines.append(f"| {name} | {method} | {shares} | {row['ms']:.2f} |")
    return "\n".join(lines)


def passes(results: dict[str, dict[str, dict[str, Any]]], many: dict[str, dict[str, Any]]) -> bool:
    """The bars of the scorecard."""
    for rows in results.values():
        own, bar = rows["molgiae"], rows["baseline"]
        if own["full precision"] < 1 or own["4 decimals"] < 1 or own["noise"] <= bar["noise"]:
            return False
    return not many or many["molgiae"]["misses"] == 0


def repeated(conformers: Sequence[Conformer], least: int) -> list[Conformer]:
    """The conformers over and over, at least so many."""
    return [c for _ in range(-(-least // len(conformers))) for c in conformers]


def read_sets(options: argparse.Namespace) -> Iterable[tuple[str, list[Conformer]]]:
    """Sets of distinct conformers by name."""
    sdf, smi = options.drug, None
    if sdf is not None and ".sdf" not in sdf.suffixes:
        sdf, smi = None, sdf
    options.drug = smi
    for name, ensembles in sets_of(options, kept=1).items():
        yield name, [c for ensemble in ensembles for c in ensemble]
    if sdf is not None:
        yield "drug-like", list(read_conformers(str(sdf)))


def main() -> int:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--least", type=int, default=1000, help="copies of each set at least (default 1000)")
    parser.add_argument("--copies", type=int, default=10_000, help="of QM9 test molecules (default 10000)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    methods: dict[str, Method] = {
        "molgiae": of_molgiae,
        "baseline": one_by_one(baseline),
        "RDKit CanonicalizeConformer": one_by_one(rdkit),
        "ASE inertia": one_by_one(ase),
    }
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for name, distinct in read_sets(options):
        rng = np.random.default_rng(options.seed)
        conformers = repeated(distinct, options.least)
        copies = {
            kind: [spoil(scrambled(c, rng).conformer, rng) for c in conformers]
            for kind, (spoil, _) in COPIES.items()
        }
        results[name] = {title: measure(method, conformers, copies) for title, method in methods.items()}
        print(f"{name}: {len(distinct)} conformers, {len(conformers)} copies of each kind", flush=True)
    print(table(results))
    many: dict[str, dict[str, Any]] = {}
    if options.qm9 and options.copies:
        few = {name: method for name, method in methods.items() if "RDKit" not in name}
        many = of_qm9(few, options.qm9[1], options.copies, options.seed)
        for name, row in many.items():
            print(f"QM9 test molecules, {name}: {row['misses']} misses of {row['copies']} copies")
    if options.json:
        options.json.write_text(json.dumps({"sets": results, "QM9 test": many}, indent=1) + "\n")
    return 0 if passes(results, many) else 1


if __name__ == "__main__":
    sys.exit(main())

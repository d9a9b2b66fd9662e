"""Superposition of conformers in any atom order: molgiae beside RDKit, spyrmsd, rmsd, irmsd, ASE and plain numpy.

    pip install spyrmsd rmsd irmsd
    python benchmarks/alignment.py --qm9 smiles.csv.gz qm9.npz --drug molecules.smi --json alignment.json

Pairs: a conformer and a scrambled copy of itself (found: RMSD below 0.001 A), of itself with 0.02 A of noise (at the
optimum: no more than 0.001 A above the RMSD of the true mapping), of its mirror image, and of another conformer of
its molecule. The last two: within 0.001 A of RDKit's exhaustive GetBestRMS, all hydrogens, where that finished and
did not give up at a million isomorphisms; "lower" is the share of these that lie below it, by breaking bonds.
Copies are scrambled with their bonds, see `sets.py`. No method may reflect. What is measured is the call alone, on
the library's own objects, one pair after another, CPU time; "batch" is all pairs of a set in one call, per pair.
Each method runs in a process of its own. Methods that are not installed are left out by name.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from apart import Call, Calls, Peer, measure_apart

from molgiae.data.conformer import Conformer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# ruff: noqa: PLC0415 - each process imports only the library it measures

SAME = 1e-3
"""RMSD in angstrom that counts as equal."""
NOISE = 0.02
BATCH_LIMIT = 3600.0
KINDS = ("exact", "noisy", "mirror", "conformers")
EXHAUSTIVE = "RDKit GetBestRMS"
MAX_MATCHES = 1_000_000
"""Isomorphisms that GetBestRMS tries by default."""


@dataclass(frozen=True)
class Pair:
    """Two conformers of one molecule.

    Attributes:
        kind: of `KINDS`.
        reference: as it was made.
        probe: scrambled.
        known: RMSD of the true mapping, angstrom; NaN if none is known to be the best.
    """

    kind: str
    reference: Conformer
    probe: Conformer
    known: float


def centered(position: Floats) -> Floats:
    """(n, 3) about the centroid."""
    return position - position.mean(axis=0)


def least_rmsd(reference: Floats, probe: Floats) -> float:
    """Least RMSD over proper rotations, atom k on atom k, angstrom: from the singular values alone."""
    a, b = centered(reference), centered(probe)
    u, s, vt = np.linalg.svd(a.T @ b)
    s[2] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))
    return float(np.sqrt(max(0.0, (a * a).sum() + (b * b).sum() - 2 * s.sum()) / len(a)))


# The methods: each takes what `prepare` made of a pair and returns what `finish` turns into a row


def _rmsd_only(_: Any, rmsd: float) -> dict[str, Any]:
    return {"rmsd": float(rmsd)}


def _as_mols(pair: Pair) -> tuple[Any, Any]:
    from sets import to_rdkit

    return to_rdkit(pair.reference), to_rdkit(pair.probe)


def _load_rdkit() -> object:
    import sets
    from rdkit.Chem import rdMolAlign

    return sets, rdMolAlign


def _get_best_rms(mols: tuple[Any, Any]) -> float:
    from rdkit.Chem import rdMolAlign

    return rdMolAlign.GetBestRMS(mols[1], mols[0])


def _o3a(mols: tuple[Any, Any]) -> float:
    """Open3DAlign matches heavy atoms only: all atoms are assigned within elements in its pose, then superposed."""
    from rdkit.Chem import rdForceFieldHelpers, rdMolAlign
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    reference, probe = mols
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(reference):
        found = rdMolAlign.GetO3A(probe, reference)
    else:
        found = rdMolAlign.GetCrippenO3A(probe, reference)
    found.Align()
    x, y = (mol.GetConformer().GetPositions() for mol in mols)
    z, w = (np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()]) for mol in mols)
    order = linear_sum_assignment(cdist(x, y, "sqeuclidean") + 1e6 * (z[:, None] != w))[1]
    return least_rmsd(x, y[order])


def _load_spyrmsd() -> object:
    import sets
    import spyrmsd.rmsd

    return sets, spyrmsd.rmsd


def _as_graphs(pair: Pair) -> tuple[Any, ...]:
    from sets import bonds_of

    def adjacency(c: Conformer) -> NDArray[np.int64]:
        matrix = np.zeros((len(c), len(c)), int)
        a, b = bonds_of(c).T
        matrix[a, b] = matrix[b, a] = 1
        return matrix

    both = pair.reference, pair.probe
    return (*(c.position for c in both), *(c.atomic_number for c in both), *(adjacency(c) for c in both))


def _spyrmsd(graphs: tuple[Any, ...]) -> float:
    from spyrmsd.rmsd import symmrmsd

    return symmrmsd(*graphs, center=True, minimize=True)


def _load_rmsd() -> object:
    import rmsd

    return rmsd


def _as_arrays(pair: Pair) -> tuple[Any, ...]:
    reference, probe = pair.reference, pair.probe
    return (
        reference.atomic_number.astype(np.int32),
        reference.position,
        probe.atomic_number.astype(np.int32),
        probe.position,
    )


def _inertia_hungarian(arrays: tuple[Any, ...]) -> float:
    """What ``calculate_rmsd --reorder --reorder-method inertia-hungarian`` does."""
    import rmsd

    p, x, q, y = arrays
    x, y = x - rmsd.centroid(x), y - rmsd.centroid(y)
    return rmsd.kabsch_rmsd(x, y[rmsd.reorder_inertia_hungarian(p, q, x, y)])


def _load_irmsd() -> object:
    import irmsd

    return irmsd


def _irmsd(arrays: tuple[Any, ...]) -> float:
    import irmsd

    return irmsd.get_irmsd(*arrays, iinversion=2)[0]


def _load_ase() -> object:
    import ase.build

    return ase.build


def _as_atoms(pair: Pair) -> tuple[Any, Any]:
    from ase import Atoms

    return Atoms(pair.reference.atomic_number, pair.reference.position), Atoms(
        pair.probe.atomic_number, pair.probe.position
    )


def _ase(atoms: tuple[Any, Any]) -> float:
    """ASE knows no other order than that of the input; infinite where elements do not agree."""
    from ase.build import minimize_rotation_and_translation

    target, probe = atoms
    minimize_rotation_and_translation(target, probe)
    if (target.numbers != probe.numbers).any():
        return np.inf
    return float(np.sqrt(np.square(target.positions - probe.positions).sum(axis=1).mean()))


def _load_numpy() -> object:
    import molgiae.evaluation.linear_baseline

    return molgiae.evaluation.linear_baseline


def canonical_order(z: NDArray[np.int32], position: Floats) -> NDArray[np.int64]:
    """(n,) atoms by element and place in the principal axes, weighted by Z, signs by third moments."""
    from molgiae.evaluation.linear_baseline import in_inertial_frame

    x = position - np.average(position, axis=0, weights=z)
    return np.lexsort((*in_inertial_frame(z[None], x[None])[0].T[::-1].round(3), z))


def _principal_axes(arrays: tuple[Any, ...]) -> float:
    """The baseline: both in a canonical order, then Kabsch."""
    p, x, q, y = arrays
    return least_rmsd(x[canonical_order(p, x)], y[canonical_order(q, y)])


def _load_molgiae() -> object:
    import molgiae.matching
    from molgiae.commands.warmup import warmup

    warmup()  # kernels are loaded, not compiled, while calls are timed
    return molgiae.matching


def _as_lists(pair: Pair) -> tuple[list[Conformer], list[Conformer]]:
    return [pair.reference], [pair.probe]


def _by_bonds(both: tuple[list[Conformer], list[Conformer]]) -> Any:
    from molgiae.matching import superpose_pairs

    return superpose_pairs(*both, match="bonds")


def _by_atoms(both: tuple[list[Conformer], list[Conformer]]) -> Any:
    from molgiae.matching import superpose_pairs

    return superpose_pairs(*both, match="atoms")


def _checked(both: tuple[list[Conformer], list[Conformer]], matches: Any) -> dict[str, Any]:
    return _all_checked(both, matches)[0]


def _all_checked(both: tuple[list[Conformer], list[Conformer]], matches: Any) -> list[dict[str, Any]]:
    """What is said of each pair, and whether it holds: the RMSD is that of the pose and order returned."""
    rows = []
    for k, (reference, probe) in enumerate(zip(*both, strict=True)):
        row = {"rmsd": float(matches.rmsd[k]), "proven": bool(matches.proven[k]), "reason": matches.reason[k]}
        if not row["reason"]:
            order, rotation = matches.order[k], matches.rotation[k]
            apart = reference.position - probe.position[order] @ rotation.T - matches.translation[k]
            row["holds"] = bool(
                sorted(order.tolist()) == list(range(len(reference)))
                and (probe.atomic_number[order] == reference.atomic_number).all()
                and not matches.reflected[k]
                and np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-8)
                and np.linalg.det(rotation) > 0
                and abs(np.sqrt((apart * apart).sum(axis=1).mean()) - row["rmsd"]) < 1e-6
            )
        rows.append(row)
    return rows


METHODS: dict[str, Peer] = {
    "molgiae, bonds": Peer(_load_molgiae, _as_lists, _by_bonds, _checked),
    "molgiae, atoms": Peer(_load_molgiae, _as_lists, _by_atoms, _checked),
    EXHAUSTIVE: Peer(_load_rdkit, _as_mols, _get_best_rms, _rmsd_only),
    "RDKit O3A": Peer(_load_rdkit, _as_mols, _o3a, _rmsd_only),
    "spyrmsd": Peer(_load_spyrmsd, _as_graphs, _spyrmsd, _rmsd_only),
    "irmsd": Peer(_load_irmsd, _as_arrays, _irmsd, _rmsd_only),
    "rmsd, inertia-hungarian": Peer(_load_rmsd, _as_arrays, _inertia_hungarian, _rmsd_only),
    "ASE": Peer(_load_ase, _as_atoms, _ase, _rmsd_only),
    "numpy principal axes": Peer(_load_numpy, _as_arrays, _principal_axes, _rmsd_only),
}


def _batch_of(pairs: list[Pair]) -> tuple[list[Conformer], list[Conformer]]:
    return [pair.reference for pair in pairs], [pair.probe for pair in pairs]


def _count_matches(mols: tuple[Any, Any]) -> int:
    return len(mols[1].GetSubstructMatches(mols[0], uniquify=False, maxMatches=MAX_MATCHES))


def _is_exhaustive(_: Any, count: int) -> bool:
    return count < MAX_MATCHES


COUNT = Peer(_load_rdkit, _as_mols, _count_matches, _is_exhaustive)
"""Whether GetBestRMS tries all isomorphisms: beyond its default number it leaves the others out and says nothing."""
BATCHES = {
    "molgiae, bonds": Peer(_load_molgiae, _batch_of, _by_bonds, _all_checked),
    "molgiae, atoms": Peer(_load_molgiae, _batch_of, _by_atoms, _all_checked),
}


# Pairs, figures, tables


def pairs_of(ensembles: list[list[Conformer]], copies: int, seed: int) -> list[Pair]:
    """All pairs of one set.

    Args:
        ensembles: conformers of each molecule.
        copies: of the first conformer of each molecule, of each kind.
        seed: of poses, orders and noise.
    """
    from sets import conformer_pairs, mirrored, noisy, scrambled

    rng = np.random.default_rng(seed)
    pairs = []
    for first, *_ in ensembles:
        for _ in range(copies):
            displaced = noisy(first, rng, NOISE)
            known = least_rmsd(first.position, displaced.position)
            pairs.append(Pair("exact", first, scrambled(first, rng).conformer, 0.0))
            pairs.append(Pair("noisy", first, scrambled(displaced, rng).conformer, known))
        pairs.append(Pair("mirror", first, scrambled(mirrored(first), rng).conformer, np.nan))
    others = [Pair("conformers", a, b.conformer, np.nan) for a, b in conformer_pairs(ensembles, rng)]
    return sorted(pairs + others, key=lambda pair: KINDS.index(pair.kind))


def is_right(pair: Pair, call: Call, exhaustive: Call | None) -> bool | None:
    """Whether the RMSD is what it should be; None if that is not known."""
    if np.isnan(pair.known):
        if exhaustive is None or exhaustive.failure:
            return None
        return call.value is not None and abs(call.value["rmsd"] - exhaustive.value["rmsd"]) < SAME
    return call.value is not None and call.value["rmsd"] < pair.known + SAME


def is_lower(call: Call, exhaustive: Call | None) -> bool:
    """Whether the RMSD lies below that of all matchings that keep the bonds."""
    both = call.value is not None and exhaustive is not None and exhaustive.value is not None
    return both and call.value["rmsd"] < exhaustive.value["rmsd"] - SAME


def _share(answers: list[bool]) -> float | None:
    return float(np.mean(answers)) if answers else None


def figures(pairs: list[Pair], done: Calls, exhaustive: Calls | None) -> dict[str, Any]:
    """What one method reached on one set."""
    reference: list[Call | None] = [*exhaustive.calls] if exhaustive else [None] * len(pairs)
    rows = list(zip(pairs, done.calls, reference, strict=True))
    milliseconds = 1000 * np.array([call.seconds for call in done.calls])
    proven = [call.value["proven"] for call in done.calls if call.value and "proven" in call.value]
    found: dict[str, Any] = {
        "pairs": {kind: sum(pair.kind == kind for pair in pairs) for kind in KINDS},
        "share_right": {
            kind: _share(
                [right for p, c, e in rows if p.kind == kind and (right := is_right(p, c, e)) is not None]
            )
            for kind in KINDS
        },
        "share_below_exhaustive": _share([is_lower(c, e) for p, c, e in rows if np.isnan(p.known)]),
        "wrong": [
            {
                "kind": p.kind,
                "title": p.reference.title,
                "rmsd": c.value and c.value["rmsd"],
                "why": c.failure,
            }
            for p, c, e in rows
            if is_right(p, c, e) is False
        ],
        "slowest": pairs[int(milliseconds.argmax())].reference.title,
        "share_proven": _share(proven),
        "not_proven": sorted(
            {p.reference.title for p, c, _ in rows if c.value and not c.value.get("proven", 1)}
        ),
        "results_that_do_not_hold": sum(bool(c.value) and not c.value.get("holds", True) for c in done.calls),
        "over_time": sum(call.failure.startswith("over ") for call in done.calls),
        "failed": sum(bool(call.failure) and not call.failure.startswith("over ") for call in done.calls),
        "peak_memory_MB": done.memory,
        "peak_memory_before_MB": done.memory_before,
    }
    for name, value in zip(("median", "p95", "max"), np.percentile(milliseconds, [50, 95, 100]), strict=True):
        found[f"ms_{name}"] = float(value)
    return found


def without_incomplete(pairs: list[Pair], done: Calls, warm: Pair, limit: float) -> Calls:
    """The calls, with those as failed that did not try all isomorphisms."""
    examples = {pair.reference.title: pair for pair in pairs}
    counted = measure_apart(COUNT, list(examples.values()), warm, limit)
    complete = dict(zip(examples, [bool(call.value) for call in counted.calls], strict=True))
    return replace(
        done,
        calls=[
            call if complete[pair.reference.title] else replace(call, value=None, failure="not exhaustive")
            for pair, call in zip(pairs, done.calls, strict=True)
        ],
    )


def compare(
    name: str, pairs: list[Pair], methods: list[str], warm: Pair, limit: float, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """All methods on one set."""
    rows = []
    exhaustive: Calls | None = None
    for method in sorted(methods, key=lambda m: m != EXHAUSTIVE):
        done = measure_apart(METHODS[method], pairs, warm, limit)
        if done.missing:
            say(f"{method} is left out: {done.missing}")
            continue
        if method == EXHAUSTIVE:
            exhaustive = without_incomplete(pairs, done, warm, limit)
        row = {"set": name, "method": method, **figures(pairs, done, exhaustive)}
        if method in BATCHES:
            batch = measure_apart(BATCHES[method], [pairs], [warm], BATCH_LIMIT)
            row["batch_failure"] = batch.calls[0].failure
            row["batch_ms"] = 1000 * batch.calls[0].seconds / len(pairs)
            row["batch_peak_memory_MB"] = batch.memory
            same = zip(batch.calls[0].value or [], done.calls, strict=False)
            row["batch_differs"] = sum(
                c.value is not None and abs(b["rmsd"] - c.value["rmsd"]) > SAME for b, c in same
            )
        rows.append(row)
        say(line(row))
    return sorted(rows, key=lambda row: methods.index(row["method"]))


HEAD = (
    "| set | method | exact | noisy | mirror | conformers | lower | proven | ms median / p95 / max | batch ms "
    "| over time | failed | MB |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def line(row: dict[str, Any]) -> str:
    """One row of the table."""

    def percent(share: float | None) -> str:
        return "" if share is None else f"{100 * share:.1f} %".replace("100.0", "100")

    shares = [
        *(row["share_right"][kind] for kind in KINDS),
        row["share_below_exhaustive"],
        row["share_proven"],
    ]
    batch = f"{row['batch_ms']:.2f}" if "batch_ms" in row else ""
    memory = max(row["peak_memory_MB"], row.get("batch_peak_memory_MB", 0.0))
    return (
        f"| {row['set']} | {row['method']} | {' | '.join(map(percent, shares))} "
        f"| {row['ms_median']:.2f} / {row['ms_p95']:.1f} / {row['ms_max']:.0f} | {batch} | {row['over_time']} "
        f"| {row['failed']} | {memory:.0f} |"
    )


def versions() -> dict[str, str]:
    """Of what was compared."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("molgiae", "rdkit", "spyrmsd", "irmsd", "rmsd", "ase", "numpy", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def main() -> None:
    """Make the pairs, measure, print a table, write JSON."""
    from sets import add_arguments, from_ase, sets_of

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument(
        "--copies", type=int, default=4, help="of each symmetric molecule, of each kind (default 4)"
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--limit", type=float, default=10.0, help="CPU seconds for one pair (default 10)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warm = pairs_of([[from_ase("CH3Cl")]], 1, options.seed)[0]
    rows = []
    for name, ensembles in sets_of(options).items():
        pairs = pairs_of(ensembles, options.copies if name == "symmetric" else 1, options.seed)
        rows += compare(
            name, pairs, options.methods, warm, options.limit, lambda text: print(text, flush=True)
        )
    print("\n".join([HEAD, *map(line, rows)]))
    if options.json:
        options.json.write_text(json.dumps({"versions": versions(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

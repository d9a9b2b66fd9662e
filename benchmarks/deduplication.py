"""Removal of duplicate conformers: molgiae beside irmsd, CREGEN, RDKit GetBestRMS and prism-pruner.

    pip install irmsd prism-pruner
    python benchmarks/deduplication.py molecules.smi --json deduplication.json

Ensembles of drug-like molecules: distinct minima (exhaustive all-atom RMSD of any two and of their mirror images
above `--apart`), each with one duplicate: 0.01 A of noise in another pose, atoms in the same order, with equivalent
atoms exchanged, or in an arbitrary order (bonds shuffled too). An ensemble is right if exactly one of each is
kept. In a fourth column the minima stand beside their mirror images, of which all must be kept. Large ensembles,
half of them embeddings of one molecule and half noisy copies, are for time; a method that must not see another
order of atoms is told so by leaving it out. Times are CPU time of the call alone, on the library's own objects.
At last `molgiae dedup`, file to file, on ever more conformers, and on the frames of trajectories without bonds
(`--frames ethanol.xyz`), where atoms are matched within elements. prism-pruner needs Python 3.12: methods that are not
installed are left out by name.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from apart import Calls, Peer, measure_apart

from molgiae.data.conformer import Conformer

if TYPE_CHECKING:
    from rdkit.Chem import Mol

# ruff: noqa: PLC0415 - each process imports only the library it measures

THRESHOLD = 0.125
"""Angstrom, the default of CREGEN."""
NOISE = 0.01
SAME_ORDER, EXCHANGED, ANY_ORDER, MIRRORS = COLUMNS = (
    "same order",
    "automorphism",
    "arbitrary order",
    "mirror copies kept",
)


@dataclass(frozen=True)
class Task:
    """One ensemble.

    Attributes:
        column: of `COLUMNS`.
        conformers: shuffled.
        origin: for each the conformer it is a copy of; one of each is to be kept.
    """

    column: str
    conformers: list[Conformer]
    origin: list[int]


# Methods: kept or not, for each conformer


def _groups_kept(_: Any, groups: Any) -> list[bool]:
    """The first of each group."""
    first = np.unique(np.asarray(groups), return_index=True)[1]
    kept = np.zeros(len(groups), bool)
    kept[first] = True
    return kept.tolist()


def _mask(_: Any, mask: Any) -> list[bool]:
    return np.asarray(mask, bool).tolist()


def _load_molgiae() -> object:
    import molgiae.matching.copies
    from molgiae.commands.warmup import warmup

    warmup()  # kernels are loaded, not compiled, while calls are timed
    return molgiae.matching.copies


def _conformers(task: Task) -> list[Conformer]:
    return task.conformers


def _molgiae(conformers: list[Conformer]) -> Any:
    from molgiae.matching.copies import Rule, find_duplicates

    return find_duplicates(conformers, Rule(THRESHOLD)).into < 0


def _load_irmsd() -> object:
    import irmsd

    return irmsd


def _arrays(task: Task) -> tuple[list[Any], list[Any]]:
    return (
        [c.atomic_number.astype(np.int32) for c in task.conformers],
        [np.ascontiguousarray(c.position) for c in task.conformers],
    )


def _irmsd(arrays: tuple[list[Any], list[Any]]) -> Any:
    import irmsd

    return irmsd.sorter_irmsd(*arrays, len(arrays[0][0]), THRESHOLD, iinversion=2)[0]


def _cregen(arrays: tuple[list[Any], list[Any]]) -> Any:
    """CREGEN as irmsd has it; all energies equal, so that geometry alone decides."""
    from irmsd.api.sorter_exposed import cregen_raw

    numbers, positions = arrays
    if any((z != numbers[0]).any() for z in numbers):
        raise ValueError("another order of atoms")
    return cregen_raw(numbers, positions, [0.0] * len(numbers), len(numbers[0]), rthr=THRESHOLD)[0]


def _load_rdkit() -> object:
    import sets
    from rdkit.Chem import rdMolAlign

    return sets, rdMolAlign


def _mols(task: Task) -> list[Mol]:
    from sets import to_rdkit

    return [to_rdkit(c) for c in task.conformers]


def _get_best_rms(mols: list[Mol]) -> list[bool]:
    """Each is kept that is not within the threshold of one kept before."""
    from rdkit.Chem import rdMolAlign

    kept: list[Mol] = []
    mask = []
    for mol in mols:
        mask.append(all(rdMolAlign.GetBestRMS(mol, other) >= THRESHOLD for other in kept))
        if mask[-1]:
            kept.append(mol)
    return mask


def _load_prism() -> object:
    import prism_pruner.pruner

    return prism_pruner.pruner


def _stack(task: Task) -> tuple[Any, Any]:
    from molgiae.data.elements import SYMBOLS

    first = task.conformers[0]
    if any((c.atomic_number != first.atomic_number).any() for c in task.conformers):
        return None, None
    return np.stack([c.position for c in task.conformers]), np.array(
        [SYMBOLS[z] for z in first.atomic_number]
    )


def _prism(stack: tuple[Any, Any]) -> Any:
    """All three modes, with their own thresholds."""
    from prism_pruner.pruner import prune

    if stack[0] is None:
        raise ValueError("another order of atoms")
    return prune(*stack, rot_corr_rmsd_pruning=True)[1]


METHODS: dict[str, Peer] = {
    "molgiae": Peer(_load_molgiae, _conformers, _molgiae, _mask),
    "irmsd": Peer(_load_irmsd, _arrays, _irmsd, _groups_kept),
    "CREGEN (irmsd)": Peer(_load_irmsd, _arrays, _cregen, _groups_kept),
    "RDKit GetBestRMS": Peer(_load_rdkit, _mols, _get_best_rms, _mask),
    "prism-pruner": Peer(_load_prism, _stack, _prism, _mask),
}


# Ensembles


def posed(c: Conformer, rng: np.random.Generator) -> Conformer:
    """Another pose, the same order."""
    from scipy.spatial.transform import Rotation
    from sets import with_position

    turn = Rotation.random(random_state=int(rng.integers(2**31)))
    return with_position(c, turn.apply(c.position) + rng.normal(0.0, 10.0, 3))


def duplicate(c: Conformer, column: str, rng: np.random.Generator) -> Conformer:
    """A noisy copy in another pose."""
    from sets import automorphism_permuted, mirrored, noisy, scrambled

    copy = noisy(c, rng, NOISE)
    if column == EXCHANGED:
        copy = automorphism_permuted(copy, rng)
    if column == ANY_ORDER:
        return scrambled(copy, rng).conformer
    return posed(mirrored(copy) if column == MIRRORS else copy, rng)


def with_duplicates(minima: list[Conformer], column: str, rng: np.random.Generator) -> Task:
    """Each conformer and one duplicate, shuffled."""
    both = minima + [duplicate(c, column, rng) for c in minima]
    origin = np.arange(len(both)) % (len(both) if column == MIRRORS else len(minima))
    order = rng.permutation(len(both))
    return Task(column, [both[k] for k in order], origin[order].tolist())


def is_apart(a: Conformer, b: Conformer, least: float) -> bool:
    """Whether the all-atom RMSD over all isomorphisms is above `least`.

    That of the heavy atoms, times the root of their share, is a lower bound and has far fewer isomorphisms.
    """
    from rdkit import Chem
    from rdkit.Chem import rdMolAlign
    from sets import to_rdkit

    one, other = to_rdkit(a), to_rdkit(b)
    heavy = rdMolAlign.GetBestRMS(Chem.RemoveHs(one), Chem.RemoveHs(other))
    share = one.GetNumHeavyAtoms() / one.GetNumAtoms()
    return heavy * np.sqrt(share) > least or rdMolAlign.GetBestRMS(one, other) > least


def distinct(ensemble: list[Conformer], least: float) -> list[Conformer]:
    """Conformers of which any two, and any one and the mirror image of any one, are apart."""
    from sets import mirrored

    kept: list[Conformer] = []
    for c in ensemble:
        image = mirrored(c)
        if is_apart(c, image, least) and all(
            is_apart(c, other, least) and is_apart(image, other, least) for other in kept
        ):
            kept.append(c)
    return kept


def small_ensembles(
    smi: Path, molecules: int, conformers: int, least: float, seed: int
) -> list[list[Conformer]]:
    """Distinct chiral minima of drug-like molecules, at least two of each."""
    from sets import drug_like

    found = []
    for ensemble in drug_like(smi, 2 * molecules, seed, kept=conformers, tries=2 * conformers):
        apart = distinct(ensemble, least)
        if len(apart) > 1:
            found.append(apart)
        if len(found) == molecules:
            break
    return found


def embeddings(c: Conformer, size: int, seed: int) -> list[Conformer]:
    """So many ETKDGv3 embeddings of the molecule of a conformer, not optimised."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom
    from sets import conformer_of, to_rdkit

    mol = to_rdkit(c)
    Chem.AssignStereochemistryFrom3D(mol)
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed + 1
    ids = rdDistGeom.EmbedMultipleConfs(mol, size, parameters)
    return [conformer_of(mol, k, c.title) for k in ids]


def turned(c: Conformer, size: int, rng: np.random.Generator) -> Iterator[Conformer]:
    """So many geometries with every torsion about a rotatable bond at random; atoms may overlap."""
    from rdkit import Chem
    from rdkit.Chem import rdMolTransforms
    from sets import to_rdkit, with_position

    mol = to_rdkit(c)
    rotatable = Chem.MolFromSmarts("[*]~[!$(*#*)&!D1;!#1]-&!@[!$(*#*)&!D1;!#1]~[*]")
    torsions = {match[1:3]: match for match in mol.GetSubstructMatches(rotatable, maxMatches=10_000)}
    geometry = mol.GetConformer()
    for _ in range(size):
        for torsion, angle in zip(
            torsions.values(), rng.uniform(-180.0, 180.0, len(torsions)).tolist(), strict=True
        ):
            rdMolTransforms.SetDihedralDeg(geometry, *torsion, angle)
        yield with_position(c, geometry.GetPositions())


# Figures


def is_right(task: Task, kept: list[bool]) -> bool:
    """Whether exactly one of each origin is kept."""
    return sorted(np.array(task.origin)[kept].tolist()) == sorted(set(task.origin))


def figures(tasks: list[Task], done: Calls) -> dict[str, Any]:
    """Of one method, per column."""
    found: dict[str, Any] = {
        "peak_memory_MB": done.memory,
        "peak_memory_before_MB": done.memory_before,
        "columns": {},
    }
    for column in dict.fromkeys(task.column for task in tasks):
        rows = [(t, c) for t, c in zip(tasks, done.calls, strict=True) if t.column == column]
        seconds = [c.seconds for _, c in rows if not c.failure]
        found["columns"][column] = {
            "ensembles": len(rows),
            "conformers": int(np.median([len(t.conformers) for t, _ in rows])),
            "share_right": float(np.mean([not c.failure and is_right(t, c.value) for t, c in rows])),
            "kept": [sum(c.value) if c.value else None for _, c in rows],
            "copies_kept": [
                sum(c.value) - len(set(np.array(t.origin)[c.value].tolist())) if c.value else None
                for t, c in rows
            ],
            "failures": sorted({c.failure for _, c in rows if c.failure}),
            "seconds_median": float(np.median(seconds)) if seconds else None,
            "seconds_max": float(np.max(seconds)) if seconds else None,
        }
    return found


def compare(
    tasks: list[Task], methods: list[str], warm: Task, limit: float, orders: bool
) -> list[dict[str, Any]]:
    """All methods on the same ensembles.

    Args:
        tasks: the ensembles.
        methods: of `METHODS`.
        warm: an ensemble that does not count.
        limit: seconds for one ensemble.
        orders: whether to print shares of ensembles that are right, otherwise what was kept.
    """
    rows = []
    for method in methods:
        done = measure_apart(METHODS[method], tasks, warm, limit)
        if done.missing:
            print(f"{method} is left out: {done.missing}", flush=True)
            continue
        rows.append({"method": method, **figures(tasks, done)})
        print(line(rows[-1], orders), flush=True)
    return rows


def line(row: dict[str, Any], orders: bool) -> str:
    """One row of a table."""
    cells = []
    for column in row["columns"].values():
        time_text = "" if column["seconds_median"] is None else f"{1000 * column['seconds_median']:.1f} ms"
        if column["failures"] and column["seconds_median"] is None:
            cells.append(column["failures"][0].split(": ")[-1])
        elif orders:
            cells.append(f"{100 * column['share_right']:.0f} %, {time_text}")
        else:
            kept = ", ".join("-" if k is None else str(k) for k in column["kept"])
            missed = ", ".join("-" if k is None else str(k) for k in column["copies_kept"])
            cells.append(f"{time_text}, kept {kept}, copies among them {missed}")
    return f"| {row['method']} | {' | '.join(cells)} | {row['peak_memory_MB']:.0f} |"


def header(tasks: list[Task]) -> str:
    """First two lines of a table."""
    columns = list(dict.fromkeys(task.column for task in tasks))
    return f"| method | {' | '.join(columns)} | MB |\n|---|{'---:|' * (len(columns) + 1)}"


# From file to file


def write_many(path: Path, sources: list[Conformer], size: int, seed: int) -> None:
    """An SDF of so many records: geometries by turning about bonds, each followed by a scrambled noisy copy."""
    from sets import noisy, scrambled

    rng = np.random.default_rng(seed)
    share = -(-size // (2 * len(sources)))
    with path.open("w") as file:
        for k, source in enumerate(sources):
            for j, c in enumerate(turned(source, share, rng)):
                copy = scrambled(noisy(c, rng, NOISE), rng).conformer
                for made in (c, copy):
                    body = made.text.split("\n", 1)[1].rstrip("\n")
                    file.write(f"{k} {j}\n{body}\n$$$$\n")


def _load_command() -> object:
    import molgiae.commands.dedup

    return molgiae.commands.dedup


def _itself(task: Any) -> Any:
    return task


def _deduplicate(task: tuple[str, str]) -> Any:
    from molgiae.commands.dedup import deduplicate

    started = time.perf_counter()
    result = deduplicate(task[0], output=task[1], overwrite=True, threshold=THRESHOLD)
    return result, time.perf_counter() - started


def _summary(task: tuple[str, str], returned: Any) -> dict[str, Any]:
    """Counts, and how often two copies were kept (titles are those of the origin)."""
    result, seconds = returned
    titles: list[str] = []
    with open(task[1]) as file:
        first = True
        for text in file:
            if first:
                titles.append(text)
            first = text.startswith("$$$$")
    return {
        "wall_seconds": seconds,
        "read": result.read,
        "kept": result.kept,
        "copies_kept": len(titles) - len(set(titles)),
        "unproven": result.unproven,
        "rejected": result.rejected,
    }


def _counts(task: tuple[str, str], returned: Any) -> dict[str, Any]:
    return {"read": returned[0].read, "kept": returned[0].kept, "rejected": returned[0].rejected}


COMMAND = Peer(_load_command, _itself, _deduplicate, _summary)
FRAMES = Peer(_load_command, _itself, _deduplicate, _counts)


def scaling(sources: list[Conformer], sizes: list[int], limit: float, seed: int) -> list[dict[str, Any]]:
    """Time and memory of `molgiae dedup` over the number of conformers."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm.sdf", Path(folder) / "warm_unique.sdf"
        write_many(warm[0], sources[:1], 10, seed)
        for size in sizes:
            for name, chosen in (("one", sources[:1]), ("many", sources[: max(1, size // 100)])):
                task = Path(folder) / "many.sdf", Path(folder) / "unique.sdf"
                write_many(task[0], chosen, size, seed)
                done = measure_apart(COMMAND, [tuple(map(str, task))], tuple(map(str, warm)), limit)
                call = done.calls[0]
                rows.append(
                    {
                        "molecules": len(chosen),
                        "conformers": size,
                        "set": name,
                        "cpu_seconds": call.seconds,
                        "failure": call.failure,
                        "peak_memory_MB": done.memory,
                        **(call.value or {}),
                    }
                )
                print(scaling_line(rows[-1]), flush=True)
    return rows


SCALING_HEAD = (
    "| molecules | conformers | kept | copies among them | CPU s | MB |\n|---:|---:|---:|---:|---:|---:|"
)


def scaling_line(row: dict[str, Any]) -> str:
    """One row of the table."""
    return (
        f"| {row['molecules']} | {row['conformers']} | {row.get('kept', row['failure'])} "
        f"| {row.get('copies_kept', '')} | {row['cpu_seconds']:.1f} | {row['peak_memory_MB']:.0f} |"
    )


def of_frames(files: list[Path], limit: float) -> list[dict[str, Any]]:
    """Time of `molgiae dedup` on the frames of trajectories, and how many of its verdicts are proven."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            output, table = (
                Path(folder) / f"{path.stem}.xyz",
                Path(folder) / f"{path.stem}_unique_duplicates.csv",
            )
            task = str(path), str(output.with_stem(f"{path.stem}_unique"))
            done = measure_apart(FRAMES, [task], task, limit)
            call = done.calls[0]
            with table.open(newline="") as file:
                proven = [row["proven"] == "1" for row in csv.DictReader(file)]
            rows.append(
                {
                    "file": path.name,
                    "cpu_seconds": call.seconds,
                    "proven": sum(proven),
                    "peak_memory_MB": done.memory,
                    **call.value,
                }
            )
            print(
                f"| {path.name} | {len(proven)} | {call.value['kept']} | {sum(proven)} | {call.seconds:.2f} |",
                flush=True,
            )
    return rows


def main() -> None:
    """Make the ensembles, measure, print tables, write JSON."""
    from sets import drug_like

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("smi", type=Path, help="drug-like molecules, one SMILES a line")
    parser.add_argument("--molecules", type=int, default=30, help="ensembles (default 30)")
    parser.add_argument("--conformers", type=int, default=10, help="minima of each, at most (default 10)")
    parser.add_argument(
        "--apart", type=float, default=0.25, help="least RMSD of minima, angstrom (default 0.25)"
    )
    parser.add_argument("--large", type=int, default=1000, help="conformers of a large ensemble; 0 for none")
    parser.add_argument("--large-molecules", type=int, default=3, help="large ensembles (default 3)")
    parser.add_argument(
        "--scaling",
        type=int,
        nargs="*",
        default=[1000, 10_000, 100_000],
        help="conformers, file to file (default 1000 10000 100000)",
    )
    parser.add_argument("--frames", type=Path, nargs="*", default=[], help="trajectories in XYZ")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument(
        "--limit", type=float, default=300.0, help="CPU seconds for one ensemble (default 300)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    small = small_ensembles(options.smi, options.molecules, options.conformers, options.apart, options.seed)
    tasks = [with_duplicates(minima, column, rng) for column in COLUMNS for minima in small]
    print(
        f"{len(small)} ensembles of {sum(map(len, small)) / len(small):.1f} minima\n{header(tasks)}",
        flush=True,
    )
    report: dict[str, Any] = {"small": compare(tasks, options.methods, tasks[0], options.limit, True)}
    if options.large:
        large = [
            with_duplicates(embeddings(minima[0], options.large // 2, options.seed), column, rng)
            for column in (SAME_ORDER, ANY_ORDER)
            for minima in small[: options.large_molecules]
        ]
        print(f"\nlarge ensembles of {options.large}\n{header(large)}", flush=True)
        report["large"] = compare(large, options.methods, tasks[0], options.limit, False)
    if options.scaling and "molgiae" in options.methods:
        molecules = max(1, max(options.scaling) // 100)
        sources = [e[0] for e in drug_like(options.smi, molecules, options.seed, kept=1, tries=1)]
        print(f"\n{SCALING_HEAD}", flush=True)
        report["scaling"] = scaling(sources, options.scaling, 20 * options.limit, options.seed)
    if options.frames:
        print("\n| frames | read | kept | proven | CPU s |\n|---|---:|---:|---:|---:|", flush=True)
        report["frames"] = of_frames(options.frames, options.limit)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

r"""Make training data for the model `drug`: conformers of molecules like those that users bring, by class.

    python benchmarks/qm9_smiles.py qm9.npz smiles.csv.gz qm9.smi --split train --molecules 5000
    python benchmarks/drug_data.py --drugs drugs/train.smi --zinc zinc/train.smi --qm9 qm9.smi \
        --without drugs/test.smi zinc/test.smi perhalogenated.sdf -o made

Of each class of `CLASSES`, CLASS.smi has the molecules, CLASS.sdf conformers by `molgiae conformers` for training and
valid_CLASS.sdf those of about `VALIDATION` of the molecules; `counts.json` says how many of what. Force fields are
MMFF94s, for what that does not know UFF, and for the rest none. Stretched and displaced copies of all classes are in
displaced.sdf. Molecules of the files after --without are not made, whatever their charges or stereochemistry. The
same seed makes the same molecules; a run that was interrupted goes on, and a class that is finished is left alone.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from known_molecules import INORGANIC, IONS, RADICALS, ZWITTERIONS, halides
from large_molecules import amides, amino_acids, cyclic_peptides, macrocycles, peptides
from made_molecules import (
    IONIC,
    OPEN,
    REACTIONS,
    changed,
    edited,
    halogenated,
    skeletons,
    substituted,
    zwitterions,
)
from rdkit import Chem, RDLogger
from rdkit.Chem.MolStandardize import rdMolStandardize
from sdf_records import is_sound, records_of, write_displaced

from molgiae.commands.conformers import generate_conformers
from molgiae.config import MAX_ATOMS, ForceField
from molgiae.data.elements import SYMBOLS

ELEMENTS = frozenset((1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53))
FORCE_FIELDS: tuple[ForceField, ...] = "mmff94s", "uff", "none"
NEXT_MAY_DO = "--force-field", "converged"
"""What a reason to reject a molecule says if the next force field can help."""
VALIDATION = 3
"""Percent of the molecules."""
LARGE_ATOMS = 128
MISSES = 2000
"""Molecules in a row that are known already, after which there are no more."""
PIECES_OF = 3000
"""Molecules of each list of which pieces are made."""
Random = np.random.Generator


@dataclass(frozen=True)
class Sources:
    """Lists of molecules, in an order drawn at random."""

    drugs: list[str]
    zinc: list[str]
    qm9: list[str]

    @cached_property
    def parents(self) -> list[str]:
        """Small molecules and pieces of large ones."""
        return skeletons(text for part in (self.drugs, self.zinc, self.qm9) for text in part[:PIECES_OF])

    @cached_property
    def molecules(self) -> list[Chem.Mol]:
        """Of drugs and as many of ZINC."""
        found = (Chem.MolFromSmiles(text) for text in (*self.drugs, *self.zinc[: len(self.drugs)]))
        return [molecule for molecule in found if molecule is not None]


@dataclass(frozen=True)
class Class:
    """Molecules of a kind.

    Attributes:
        make: yields SMILES, more than needed.
        number: of molecules at most, None for the length of the list of drugs.
        conformers: of each at most.
        time_limit: seconds for a molecule.
    """

    make: Callable[[Sources, Random], Iterator[str]]
    number: int | None
    conformers: int = 1
    time_limit: float = 30.0


def _known(text: str) -> Callable[[Sources, Random], Iterator[str]]:
    return lambda sources, rng: iter(text.split())


def _of_drugs(kind: str, sources: Sources, rng: Random) -> Iterator[str]:
    return changed(sources.molecules, REACTIONS[kind])


CLASSES = {
    "drugs": Class(lambda s, rng: iter(s.drugs), None, 4),
    "peptides": Class(lambda s, rng: peptides(rng), 300, time_limit=20.0),
    "cyclic_peptides": Class(lambda s, rng: cyclic_peptides(rng), 80, time_limit=20.0),
    "macrocycles": Class(lambda s, rng: macrocycles(rng), 140, time_limit=20.0),
    "large": Class(lambda s, rng: amides(s.molecules, rng), 320, time_limit=20.0),
    "inorganic": Class(_known(INORGANIC), 1000, 2),
    "ions": Class(lambda s, rng: chain(IONS.split(), edited(s.parents, IONIC, rng)), 600),
    "zwitterions": Class(
        lambda s, rng: chain(ZWITTERIONS.split(), amino_acids(), zwitterions(s.parents, rng)), 300, 2
    ),
    "radicals": Class(lambda s, rng: chain(RADICALS.split(), edited(s.parents, OPEN, rng)), 400),
    "halides": Class(lambda s, rng: iter(halides()), 2000),
    "halogenated": Class(lambda s, rng: halogenated(s.parents, rng), 1300),
    **{kind: Class(partial(_of_drugs, kind), 80) for kind in REACTIONS},
    "substituted": Class(lambda s, rng: substituted(s.parents, rng), 5000),
    "zinc": Class(lambda s, rng: iter(s.zinc), 1000),
}
"""Name to how it is made; a molecule belongs to the first class that makes it."""


def plain(smiles: str) -> str | None:
    """Return SMILES without charges that protons make, and without stereochemistry."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return None
    neutral = rdMolStandardize.Uncharger().uncharge(rdMolStandardize.FragmentParent(molecule))
    return Chem.MolToSmiles(neutral, isomericSmiles=False)


def read_smiles(path: Path) -> list[str]:
    """Return the SMILES of a list, of the column of that name in a table, or of the molecules of an SDF."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [row["smiles"] for row in csv.DictReader(file)]
    if path.suffix == ".sdf":
        return [Chem.MolToSmiles(molecule) for molecule in Chem.SDMolSupplier(str(path)) if molecule]
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]


def is_usable(molecule: Chem.Mol | None) -> bool:
    """Return whether it is one molecule of `ELEMENTS` that is not too large."""
    return (
        molecule is not None
        and 0 < molecule.GetNumAtoms() <= LARGE_ATOMS
        and {atom.GetAtomicNum() for atom in molecule.GetAtoms()} <= ELEMENTS
        and len(Chem.GetMolFrags(molecule)) == 1
        and Chem.AddHs(molecule).GetNumAtoms() <= min(LARGE_ATOMS, MAX_ATOMS)
    )


def new_molecules(made: Iterator[str], number: int, known: set[str], left_out: Set[str]) -> Iterator[str]:
    """Yield canonical SMILES of usable molecules that are not known, and make them known; none that is left out."""
    misses = found = 0
    while found < number and misses < MISSES:
        text = next(made, None)
        if text is None:
            return
        molecule = Chem.MolFromSmiles(text)
        smiles = Chem.MolToSmiles(molecule) if is_usable(molecule) else ""
        misses += 1
        if smiles and smiles not in known and plain(smiles) not in left_out:
            known.add(smiles)
            misses, found = 0, found + 1
            yield smiles


def is_validation(smiles: str) -> bool:
    """Return whether a molecule is for validation: as all its ions and stereoisomers are.

    Molecules of `known_molecules.py` are not: perchlorate stands for no others, so that it would be missing.
    """
    parent = plain(smiles) or smiles
    drawn = int(hashlib.sha256(parent.encode()).hexdigest(), 16) % 100 < VALIDATION
    return drawn and parent not in named()


@cache
def named() -> frozenset[str | None]:
    """Return the plain form of the molecules that are listed by name."""
    return frozenset(plain(text) for text in (INORGANIC + IONS + ZWITTERIONS + RADICALS).split())


def make_conformers(listed: Path, kind: Class, seed: int) -> list[Path]:
    """Make conformers of a list with one force field after the other; return the files."""
    made: list[Path] = []
    left: list[str] = []
    for field in FORCE_FIELDS:
        part = listed
        if made:
            part = listed.with_suffix(f".{field}.smi")
            _write(part, "".join(left))
        output = listed.with_suffix(f".{field}.sdf")
        summary = generate_conformers(
            str(part), output, number=kind.conformers, force_field=field, seed=seed,
            time_limit=kind.time_limit, jobs=1, resume=True,
        )  # fmt: skip
        print(
            f"{output.name}: {summary.conformers} of {summary.written}, {summary.rejected} rejected",
            flush=True,
        )
        made.append(output)
        left = list(_left(part, summary.rejected_in)) if summary.rejected_in else []
        if not left:
            break
    return made


def _left(listed: Path, rejected: str) -> Iterator[str]:
    """Yield the lines of a list that were rejected for a reason that another force field may mend."""
    with open(rejected, newline="", encoding="utf-8") as file:
        titles = {
            row["title"] for row in csv.DictReader(file) if any(word in row["reason"] for word in NEXT_MAY_DO)
        }
    for line in listed.read_text().splitlines(keepends=True):
        if line.split(maxsplit=1)[1].strip() in titles:
            yield line


def _write(path: Path, text: str) -> bool:
    """Write a file unless it is as it should be already; return whether it was."""
    if path.exists() and path.read_text() == text:
        return True
    path.write_text(text)
    return False


def split(made: Sequence[Path], smiles: dict[str, str], training: Path, validation: Path) -> int:
    """Write the sound records of files into two, by the molecules that their titles name; return how many are not."""
    held = {title for title, text in smiles.items() if is_validation(text)}
    parts: dict[bool, list[str]] = {False: [], True: []}
    unsound = 0
    for record in (record for path in made for record in records_of(path)):
        if is_sound(record):
            parts[record.partition("\n")[0] in held].append(record)
        else:
            unsound += 1
    validation.write_text("".join(parts[True]))
    unfinished = training.with_suffix(".part")
    unfinished.write_text("".join(parts[False]))
    unfinished.rename(training)
    return unsound


def counts_of(path: Path) -> dict[str, Any]:
    """Count the molecules, conformers, atoms and elements of an SDF, and molecules by element."""
    titles, sizes, elements = set(), [], Counter[str]()
    for record in records_of(path):
        lines = record.splitlines()
        atoms = int(lines[3][:3])
        symbols = Counter(line[31:34].strip() for line in lines[4 : 4 + atoms])
        if lines[0] not in titles:
            elements.update(symbols.keys())
        titles.add(lines[0])
        sizes.append(atoms)
    if not sizes:
        return {"molecules": 0, "conformers": 0}
    return {
        "molecules": len(titles),
        "conformers": len(sizes),
        "atoms": {"least": min(sizes), "median": median(sizes), "most": max(sizes)},
        "molecules_with": dict(sorted(elements.items(), key=lambda item: SYMBOLS.index(item[0]))),
    }


def write_counts(output: Path, names: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
    """Write counts.json: how it was made, and of each file what it holds and its share of all conformers."""
    counts = {
        f"{prefix}{name}": counts_of(output / f"{prefix}{name}.sdf")
        for prefix in ("", "valid_")
        for name in names
    }
    for prefix in ("", "valid_"):
        total = sum(counts[f"{prefix}{name}"]["conformers"] for name in names)
        for name in names:
            row = counts[f"{prefix}{name}"]
            row["share"] = round(row["conformers"] / max(total, 1), 5)
    (output / "counts.json").write_text(json.dumps({"made": options, "files": counts}, indent=1) + "\n")
    return counts


def main() -> None:
    """Make all classes, displaced copies and counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("drugs", "zinc", "qm9"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="SMILES, one a line")
    parser.add_argument("--without", type=Path, nargs="*", default=[], help="lists, tables and SDF")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory")
    parser.add_argument("--classes", nargs="*", choices=CLASSES, default=list(CLASSES))
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies all numbers of molecules")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    rng = np.random.default_rng(options.seed)
    lists = [read_smiles(path) for path in (options.drugs, options.zinc, options.qm9)]
    sources = Sources(*([part[i] for i in rng.permutation(len(part))] for part in lists))
    left_out = {plain(text) or text for path in options.without for text in read_smiles(path)}
    print(f"{len(left_out)} molecules left out", flush=True)
    known: set[str] = set()
    options.output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for k, name in enumerate(CLASSES):
        kind, listed = CLASSES[name], options.output / f"{name}.smi"
        made = kind.make(sources, np.random.default_rng((options.seed, k)))
        number = max(1, round(options.scale * (kind.number or len(sources.drugs))))
        smiles = {
            f"{name} {i}": text for i, text in enumerate(new_molecules(made, number, known, left_out), 1)
        }
        same = _write(listed, "".join(f"{text}\t{title}\n" for title, text in smiles.items()))
        training, validation = options.output / f"{name}.sdf", options.output / f"valid_{name}.sdf"
        if name not in options.classes or (same and training.exists()):
            continue
        unsound = split(make_conformers(listed, kind, options.seed), smiles, training, validation)
        seconds = time.monotonic() - started
        print(f"{name}: {len(smiles)} molecules, {unsound} conformers unsound, {seconds:.0f} s", flush=True)
    names = [name for name in CLASSES if (options.output / f"{name}.sdf").exists()]
    for j, prefix in enumerate(("", "valid_")):
        files = [options.output / f"{prefix}{name}.sdf" for name in names]
        write_displaced(
            files, options.output / f"{prefix}displaced.sdf", np.random.default_rng((options.seed, 99, j))
        )
    told = {key: str(value) for key, value in vars(options).items() if key in ("scale", "seed")}
    counts = write_counts(options.output, [*names, "displaced"], told)
    print(sum(row["conformers"] for row in counts.values()), "conformers in", options.output)


if __name__ == "__main__":
    main()

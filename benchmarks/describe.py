"""What the parts of an embedding describe: properties, overlays, RMSDs, smooth paths, molecules; beside baselines.

    python benchmarks/describe.py described --qm9 qm9.npz --qm9-smiles smiles.csv.gz --qm9-model qm9 \
        --zinc conformers_test.npz --zinc-smiles test.smi --esol esol.csv --drug-model drug

Writes described/table.md, whose first table it prints, and a JSON file for each of the data. Data that are not named
are left out. What has its JSON file is not measured again, so that an interrupted run goes on: take a new directory for
another model. Conformers of ESOL (one of each molecule) and ensembles of some molecules of QM9 and ZINC are made first,
in the same directory. All of it takes about an hour on two cores, most of it for exact overlays; --conformers, --pairs
and --no-top make it short.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from qm9_smiles import molecules_of, read_smiles
from rdkit import Chem

from molgiae.commands.conformers import generate_conformers
from molgiae.commands.evaluate import evaluate
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.npz import read_npz
from molgiae.data.toolkits import at_positions, from_rdkit
from molgiae.evaluation.report import Report, figure, markdown, percent, ratio
from molgiae.evaluation.sections import Settings

MODEL = "MODEL"
"""Stands for the name of the model in the name of a subject."""
SMOOTH = f"{MODEL}, smooth parts"
PEERS = ("composition", "sorted distances", "USR", "USRCAT", "SOAP", "Morgan counts")
TARGETS = ("H", "gap", "mu", "alpha")
LABELS = (1000, 1725)
ENSEMBLES = {"qm9": 200, "zinc": 100}
"""Molecules of which there are ensembles, of up to 20 conformers."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: what is measured.
        bar: what is to be reached.
        case: data it is measured on.
        path: of the figure in the report.
        part: name of the part that is meant for it.
        form: how it is written.
    """

    what: str
    bar: str
    case: str
    path: str
    part: str
    form: Callable[[Any], str] = ratio


def _milli(value: float) -> str:
    return figure(1000 * value)


def learned() -> list[Row]:
    """The rows of properties."""
    bars = {"H": (120, 95), "gap": (330, 290), "mu": (0.65, 0.60), "alpha": (0.55, 0.50)}
    units = {"H": "meV", "gap": "meV", "mu": "D", "alpha": "a0^3"}
    return [
        Row(
            f"QM9 {target}, {size} labels: MAE ({units[target]})",
            f"<= {bar:g}",
            "qm9",
            f"features/{target}, {size} labels/mae",
            "features",
            _milli if units[target] == "meV" else ratio,
        )
        for size, k in zip(LABELS, (0, 1), strict=True)
        for target, bar in ((target, bars[target][k]) for target in TARGETS)
    ]


def described(case: str, name: str, *, spearman: str, same: str, parts: list[str]) -> list[Row]:
    """The rows of RMSDs, mirror images, smooth parts and neighbours."""
    smooth = [
        Row(label, "0 %", case, path + figure, part, percent)
        for part in parts
        for what, path in (
            ("0.01 Å of noise", "smoothness/0.01/jumps"),
            ("0.05 Å of noise", "smoothness/0.05/jumps"),
            ("bond to hydrogen stretched", "scans/stretch/jumps"),
            ("bond turned", "scans/torsion/jumps"),
        )
        for label, figure in (
            (f"{name}: jumps of {part}, {what}", ""),
            ("... of the exact distance", "_exact"),
        )
    ]
    ensembles = f"{case} ensembles"
    return [
        Row(f"{name} ensembles: Spearman with RMSD", spearman, ensembles, "conformers/spearman", "shape"),
        Row(f"{name} ensembles: slope of RMSD", "0.95 to 1.05", ensembles, "conformers/slope", "shape"),
        Row(
            f"{name}: mirror images at a third of the RMSD", ">= 99 %", case, "mirror/apart", "shape", percent
        ),
        Row("... with a methyl group turned", ">= 99 %", case, "mirror/methyl_apart", "shape", percent),
        *smooth,
        Row(
            f"{name}: nearest neighbour of the same molecule",
            same,
            ensembles if case == "qm9" else case,
            "neighbours/same",
            "smooth parts",
            percent,
        ),
    ]


def rows(reports: dict[str, Report]) -> list[Row]:
    """The lines of the table, those of which there are figures."""
    parts = sorted(
        {
            name.partition(", ")[2]
            for report in reports.values()
            for name in report.sections.get("smoothness", {})
            if name.startswith(f"{report.model}, ") and not name.endswith(", detail")
        }
    )
    every = [
        *learned(),
        *(
            Row(f"ESOL: {key.upper()} (log mol/l)", "below all", "esol", path, "features")
            for key in ("mae", "rmse")
            for path in _paths(reports.get("esol"), key)
        ),
        Row("ZINC: Spearman with exact shape Tanimoto", ">= 0.90", "zinc", "overlay/spearman", "overlay"),
        Row("... with shape + color", ">= 0.75", "zinc", "overlay/spearman_color", "overlay + color"),
        Row("... exact top 10 among the first 100", ">= 90 %", "zinc", "overlay/found", "overlay", percent),
        *described("qm9", "QM9", spearman=">= 0.85", same=">= 97 %", parts=parts),
        *described("zinc", "ZINC", spearman=">= 0.86", same=">= 90 %", parts=parts),
    ]
    return [row for row in every if row.case in reports and any(cells(row, reports[row.case]))]


def _paths(report: Report | None, key: str) -> list[str]:
    return (
        [path for path in report.rows if path.startswith("features/") and path.endswith(key)]
        if report
        else []
    )


def cells(row: Row, report: Report) -> list[str]:
    """The figures of a row: of its part, the smooth parts, the whole embedding and the peers; empty for none."""
    subjects = (f"{report.model}, {row.part}", f"{report.model}, smooth parts", report.model, *PEERS)
    found = [report.figure(row.path, subject) for subject in subjects]
    return ["" if value is None else row.form(value) for value in found]


def table(reports: dict[str, Report]) -> str:
    """The table in markdown."""
    head = ["", "bar", "its part", "smooth parts", "whole", *PEERS]
    return markdown(head, [[row.what, row.bar, *cells(row, reports[row.case])] for row in rows(reports)])


# Data


def with_bonds(npz: Path, smiles: Path) -> ConformerBlock:
    """The conformers of ZINC with the molecules that they were made of, whose atoms stand in the same order."""
    lines = [line.split()[0] for line in smiles.read_text().splitlines() if line.strip()]
    return ConformerBlock.of([_bonded(c, lines[int(c.title.split()[-1])]) for c in read_npz(npz)])


def _bonded(conformer: Conformer, smiles: str) -> Conformer:
    molecule = Chem.RWMol(Chem.AddHs(Chem.MolFromSmiles(smiles)))
    if [atom.GetAtomicNum() for atom in molecule.GetAtoms()] != conformer.atomic_number.tolist():
        raise ValueError(f"{conformer.title}: its atoms are not those of {smiles}")
    made = from_rdkit(at_positions(molecule, conformer.position))
    text = Chem.MolToMolBlock(molecule, includeStereo=False) + "$$$$\n"
    return replace(conformer, bonds=made.bonds, charge=made.charge, text=text)


def ensembles(folder: Path, case: str, molecules: list[str], seed: int) -> Path:
    """An SDF of up to 20 conformers each of some molecules, lines of SMILES and title; made unless it is there."""
    path, listed = folder / f"{case}_ensembles.sdf", folder / f"{case}_ensembles.smi"
    if not path.exists():
        chosen = np.random.default_rng(seed).permutation(len(molecules))[: ENSEMBLES[case]]
        listed.write_text("".join(f"{molecules[k]}\n" for k in np.sort(chosen)))
        generate_conformers(listed, path, number=20, progress=True)
    return path


def measure(options: argparse.Namespace) -> dict[str, Report]:
    """The reports by the name of the data."""
    settings = Settings(
        conformers=options.conformers,
        labels=LABELS,
        overlay_pairs=options.pairs,
        search=not options.no_top,
        scans=options.scans,
        mirror_distances=1000,
        pairs=options.rmsd_pairs,
        seed=options.seed,
    )
    folder: Path = options.output
    reports: dict[str, Report] = {}
    each = ["mirror", "smoothness", "scans"]

    def report(case: str, data: Any, model: str, sections: list[str], **arguments: Any) -> None:
        kept = folder / f"{case}.json"
        if kept.exists():
            reports[case] = Report(**json.loads(kept.read_text()))
            return
        reports[case] = evaluate(
            data, model, sections=sections, settings=settings, progress=True, **arguments
        )
        reports[case].save(kept)

    if options.qm9:
        data = {"split": options.split, "targets": TARGETS}
        report("qm9", options.qm9, options.qm9_model, ["features", *each], **data)
    if options.qm9 and options.qm9_smiles:
        smiles = read_smiles(options.qm9_smiles)
        chosen = sorted(molecules_of(options.qm9, options.split) & set(smiles))
        made = ensembles(folder, "qm9", [f"{smiles[k]}\tgdb {k}" for k in chosen], options.seed)
        report("qm9 ensembles", made, options.qm9_model, ["conformers", "neighbours"])
    if options.zinc:
        block = with_bonds(options.zinc, options.zinc_smiles)
        report("zinc", block, options.drug_model, ["overlay", *each, "neighbours"])
        lines = options.zinc_smiles.read_text().split("\n")
        molecules = [f"{line.split()[0]}\tzinc {k}" for k, line in enumerate(lines) if line.strip()]
        made = ensembles(folder, "zinc", molecules, options.seed)
        report("zinc ensembles", made, options.drug_model, ["conformers"])
    if options.esol:
        made = folder / "esol.sdf"
        if not made.exists():
            generate_conformers(options.esol, made, number=10, keep=1, progress=True)
        learn = {"targets": [options.esol_target], "table": options.esol}
        report("esol", made, options.drug_model, ["features"], **learn)
    return reports


def main() -> None:
    """Measure, print the table, write it with those of all reports."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="directory")
    parser.add_argument("--qm9", type=Path, help="npz file")
    parser.add_argument("--qm9-smiles", type=Path, help="csv of gdb_index and SMILES, for ensembles")
    parser.add_argument("--split", default="test", help="of QM9")
    parser.add_argument("--zinc", type=Path, help="npz file of conformers")
    parser.add_argument("--zinc-smiles", type=Path, help="their molecules, a SMILES a line")
    parser.add_argument("--esol", type=Path, help="csv of title, smiles and a property")
    parser.add_argument("--esol-target", default="log_solubility")
    parser.add_argument("--qm9-model", default="qm9")
    parser.add_argument("--drug-model", default="drug")
    parser.add_argument("--conformers", type=int, help="most of each file; all by default")
    parser.add_argument("--pairs", type=int, default=20_000, help="for exact overlays")
    parser.add_argument("--rmsd-pairs", type=int, default=10_000)
    parser.add_argument("--scans", type=int, default=100, help="conformers whose bonds are moved")
    parser.add_argument("--no-top", action="store_true", help="leave out the best overlays of 50 queries")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.zinc and not options.zinc_smiles:
        parser.error("--zinc needs --zinc-smiles")
    options.output.mkdir(parents=True, exist_ok=True)
    reports = measure(options)
    found = "\n\n".join([table(reports), *(report.table() for report in reports.values())])
    (options.output / "table.md").write_text(found + "\n")
    print(table(reports))


if __name__ == "__main__":
    main()

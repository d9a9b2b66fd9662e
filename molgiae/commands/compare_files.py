"""From files to files: the comparison of two ensembles as tables of molecules and of conformers."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.compare import Comparison, check_threshold, compared
from molgiae.commands.outcomes import OutcomeWithTable
from molgiae.commands.run import Options, not_both_stdin, read_all, summarise
from molgiae.config import Distinction
from molgiae.data.conformer import ConformerBlock
from molgiae.data.inputs import listed
from molgiae.data.partial import PartialFile
from molgiae.data.readers import Inputs
from molgiae.data.tables import Field, check_table, write_table
from molgiae.errors import ConfigError
from molgiae.matching.copies import THRESHOLD
from molgiae.matching.coverage import Coverage
from molgiae.matching.matrix import Pairing
from molgiae.matching.pairs import Match
from molgiae.output.files import rejected_table
from molgiae.properties.columns import Energy

SIDES = ("A", "B")
TOTAL = "total"

MOLECULE_FIELDS = (
    Field(
        "molecule", int, "1", "Number of the molecule, in the order of its first conformer; 0 for the total."
    ),
    Field("title", str, "text", "Title of its first conformer in B, or in A where there is none."),
    Field("formula", str, "text", "Molecular formula."),
    Field("a", int, "1", "Conformers of A; of the total the sum, as are the next three."),
    Field("b", int, "1", "Conformers of B."),
    Field("only_a", int, "1", "Conformers of A that B has not, within the threshold."),
    Field("only_b", int, "1", "Conformers of B that A has not, within the threshold."),
    Field("cov_r", float, "1", "Share of B that is in A (recall); of the total the mean over molecules."),
    Field(
        "mat_r",
        float,
        "angstrom",
        "Mean RMSD of B to the nearest of A; of the total the mean over molecules.",
    ),
    Field("cov_p", float, "1", "Share of A that is in B (precision); of the total the mean over molecules."),
    Field(
        "mat_p",
        float,
        "angstrom",
        "Mean RMSD of A to the nearest of B; of the total the mean over molecules.",
    ),
    Field("proven", bool, "1", "Whether all these RMSDs are proven to be the least."),
)
CONFORMER_FIELDS = (
    Field("ensemble", str, "text", "A or B."),
    Field("source", str, "text", "File of the record."),
    Field("record", int, "1", "Number of the record."),
    Field("title", str, "text", "Title of the record."),
    Field("molecule", int, "1", "Number of the molecule, as in the table of molecules."),
    Field("in_other", bool, "1", "Whether the other ensemble has it, within the threshold."),
    Field("rmsd", float, "angstrom", "Least RMSD to a conformer of the other ensemble."),
    Field("proven", bool, "1", "Whether it is proven that none is nearer."),
    Field("nearest_source", str, "text", "File of the nearest conformer of the other ensemble."),
    Field("nearest_record", int, "1", "Number of its record."),
    Field("nearest_title", str, "text", "Title of its record."),
    Field("energy", float, "as energy_unit says", "Energy of the record."),
    Field("energy_unit", str, "text", "Unit of the energies of the record; empty where nothing tells it."),
    Field(
        "relative_energy",
        float,
        "as energy_unit says",
        "Energy above the lowest of the molecule, same ensemble.",
    ),
    Field("nearest_energy", float, "as nearest_energy_unit says", "Energy of the nearest conformer."),
    Field("nearest_energy_unit", str, "text", "Unit of its energies."),
    Field("nearest_relative_energy", float, "as nearest_energy_unit says", "The same above its lowest."),
)


@dataclass
class ComparisonSummary(OutcomeWithTable):
    """What `compare_files` did; read = conformers of A and B + rejected.

    Attributes:
        table: with a row for each conformer of A and B; empty if none was written.
        threshold: angstrom.
        molecules: a row for each, as in the table.
        total: the row of the total.
        shared: molecules that both have.
        only_a: molecules that A alone has.
        only_b: molecules that B alone has.
        conformers: a row for each of A and B, as in their table.
    """

    table: str = ""
    threshold: float = THRESHOLD
    molecules: list[dict[str, Any]] = field(default_factory=list)
    total: dict[str, Any] = field(default_factory=dict)
    shared: int = 0
    only_a: int = 0
    only_b: int = 0
    conformers: list[dict[str, Any]] = field(default_factory=list)


def compare_files(
    a: Inputs,
    b: Inputs,
    options: Options | None = None,
    *,
    threshold: float = THRESHOLD,
    match: Match | None = "bonds",
    heavy: bool = False,
    allow_reflection: bool = False,
    ignore: Collection[Distinction] = (),
    energy: str | None = None,
    **changes: Any,
) -> ComparisonSummary:
    """Do what `compare` does, from files to files.

    Args:
        a: files, directories, ``-`` for standard input; one or several.
        b: the same.
        options: of the command; the output is a table of molecules in CSV, TSV, JSON or HDF5, with one of conformers
            beside it, none by default.
        threshold: as of `compare`, as are the following.
        match: how atoms are matched.
        heavy: leave hydrogens out.
        allow_reflection: allow mirror images.
        ignore: differences that do not matter.
        energy: property that holds the energy.
        **changes: fields of `Options` by name.

    Raises:
        ConfigError: if an option is wrong.
        MolgiaeError: whatever else keeps an output from being written.
    """
    started = time.monotonic()
    options = (options or Options()).for_a_run(**changes)
    check_threshold(threshold)
    names, others = listed(a), listed(b)
    not_both_stdin(names, others)
    output = None if options.output is None else Path(options.output)
    table = None if output is None else output.with_name(f"{output.stem}_conformers{output.suffix}")
    for path in (output, table):
        if path is not None:
            _not_an_input(path, [*names, *others])
            check_table(path, overwrite=options.overwrite)
            PartialFile(rejected_table(path), overwrite=options.overwrite)
    ensembles = read_all(names, options, keep_text=True), read_all(others, options, keep_text=True)
    found = compared(ensembles, Pairing(match, allow_reflection, heavy, ignore), threshold, energy, options)
    summary = _summary(found, output, table)
    rejected = [*ensembles[0].rejected, *ensembles[1].rejected]
    if output is not None and table is not None:
        about = {"command": options.command, "threshold": f"{threshold} angstrom"}
        rows = [*summary.molecules, summary.total]
        for path, fields, values in (
            (output, MOLECULE_FIELDS, rows),
            (table, CONFORMER_FIELDS, summary.conformers),
        ):
            cells = [list(row.values()) for row in values]
            write_table(path, fields, cells, about, overwrite=options.overwrite)
    summarise(summary, rejected, output, options, started)
    summary.read = sum(map(len, ensembles)) + summary.rejected
    summary.notes += _notes(found)
    return summary


def _not_an_input(path: Path, names: Sequence[str]) -> None:
    if path.exists() and any(os.path.exists(name) and path.samefile(name) for name in names):
        raise ConfigError(f"{path}: is an input, too; name another output with --output")


def _summary(found: Comparison, output: Path | None, table: Path | None) -> ComparisonSummary:
    rows = [_molecule_row(k, m.title, m.formula, m.coverage) for k, m in enumerate(found.molecules, 1)]
    sizes = [tuple(map(len, m.rows)) for m in found.molecules]
    return ComparisonSummary(
        output=str(output or ""),
        table=str(table or ""),
        threshold=found.threshold,
        molecules=rows,
        total=_molecule_row(0, TOTAL, "", found.total),
        shared=sum(a > 0 and b > 0 for a, b in sizes),
        only_a=sum(not b for _, b in sizes),
        only_b=sum(not a for a, _ in sizes),
        conformers=list(_conformer_rows(found)),
    )


def _molecule_row(number: int, title: str, formula: str, coverage: Coverage) -> dict[str, Any]:
    c = asdict(coverage)
    values = (
        *(number, title, formula, coverage.generated, coverage.references),
        coverage.generated - coverage.covered_generated,
        coverage.references - coverage.covered_references,
        *(c[name] for name in ("cov_r", "mat_r", "cov_p", "mat_p", "proven")),
    )
    return dict(zip((f.name for f in MOLECULE_FIELDS), values, strict=True))


def _conformer_rows(found: Comparison) -> Iterator[dict[str, Any]]:
    """Yield the cells of all conformers, those of A first."""
    numbers = [np.zeros(len(block), np.int64) for block in found.ensembles]
    for k, molecule in enumerate(found.molecules, 1):
        for number, rows in zip(numbers, molecule.rows, strict=True):
            number[rows] = k
    relative = [_above_lowest(e, n) for e, n in zip(found.energies, numbers, strict=True)]
    for side, block in enumerate(found.ensembles):
        nearest, other = found.nearest[side], 1 - side
        inside = nearest.within(found.threshold)
        for m, names in enumerate(_names(block)):
            at = int(nearest.which[m])
            values = (
                *(SIDES[side], *names, int(numbers[side][m]), bool(inside[m])),
                None if isnan(nearest.rmsd[m]) else float(nearest.rmsd[m]),
                bool(nearest.proven[m]) if at >= 0 else None,
                *(_name(found.ensembles[other], at) if at >= 0 else (None,) * 3),
                *_of_energy(found.energies[side][m], relative[side][m]),
                *(_of_energy(found.energies[other][at], relative[other][at]) if at >= 0 else (None,) * 3),
            )
            yield dict(zip((f.name for f in CONFORMER_FIELDS), values, strict=True))


def _names(block: ConformerBlock) -> Iterator[tuple[str, int, str]]:
    return (_name(block, m) for m in range(len(block)))


def _name(block: ConformerBlock, m: int) -> tuple[str, int, str]:
    return block.source[m], int(block.record[m]), block.title[m]


def _of_energy(
    energy: Energy | None, relative: float | None
) -> tuple[float | None, str | None, float | None]:
    return (None, None, None) if energy is None else (energy.value, energy.unit, relative)


def _above_lowest(energies: list[Energy | None], molecule: NDArray[np.int64]) -> list[float | None]:
    """Return each energy above the lowest of its molecule and unit."""
    lowest: dict[tuple[int, str], float] = {}
    keys = [None if e is None else (int(k), e.unit) for e, k in zip(energies, molecule, strict=True)]
    for energy, key in zip(energies, keys, strict=True):
        if energy is not None and key is not None:
            lowest[key] = min(energy.value, lowest.get(key, energy.value))
    return [
        None if energy is None or key is None else energy.value - lowest[key]
        for energy, key in zip(energies, keys, strict=True)
    ]


def _notes(found: Comparison) -> list[str]:
    """Say what keeps molecules of one formula apart, where each is in one ensemble alone."""
    alone = [[m.formula for m in found.molecules if not len(m.rows[1 - side])] for side in (0, 1)]
    shared = sorted(set(alone[0]) & set(alone[1]))
    if not shared:
        return []
    return [
        f"of {', '.join(shared[:3])} both have molecules, but of other bonds, isotopes, charge or multiplicity; "
        "--ignore and --match atoms take them for the same"
    ]

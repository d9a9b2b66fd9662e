"""The command that compares two ensembles of the same molecules: which conformers of one are in the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.run import Options, read_all
from molgiae.config import Distinction
from molgiae.data.conformer import ConformerBlock
from molgiae.data.given import Given
from molgiae.data.readers import OnError
from molgiae.errors import ConfigError, ConformerError
from molgiae.matching.copies import THRESHOLD
from molgiae.matching.coverage import Coverage, Nearest, coverage_of, nearest_of_each, total_of
from molgiae.matching.matrix import Pairing, Pairs
from molgiae.matching.molecules import hill
from molgiae.matching.pairs import Match
from molgiae.parallel.threads import cores
from molgiae.properties.columns import ENERGY, Energy, energy_of, is_energy_alone


@dataclass(frozen=True, slots=True)
class ComparedMolecule:
    """One molecule of two ensembles.

    Attributes:
        title, formula: what it is called.
        rows: (a,) and (b,) its conformers in the first and the second ensemble.
        coverage: of both; the first is what was generated, the second the reference.
    """

    title: str
    formula: str
    rows: tuple[NDArray[np.int64], NDArray[np.int64]]
    coverage: Coverage


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """Two ensembles, A of M and B of N conformers, beside each other.

    Attributes:
        ensembles: A and B.
        nearest: of each conformer of A the nearest of B, and the other way round.
        energies: of each conformer, None where its record has none.
        molecules: of both, in the order of the first conformers, A before B.
        total: over molecules.
        threshold: angstrom.
    """

    ensembles: tuple[ConformerBlock, ConformerBlock]
    nearest: tuple[Nearest, Nearest]
    energies: tuple[list[Energy | None], list[Energy | None]]
    molecules: list[ComparedMolecule]
    total: Coverage
    threshold: float

    def __repr__(self) -> str:
        a, b = map(len, self.ensembles)
        shares = ", ".join(
            f"{name} {getattr(self.total, name)}" for name in ("cov_r", "mat_r", "cov_p", "mat_p")
        )
        return f"Comparison({a} and {b} conformers of {len(self.molecules)} molecules; {shares})"

    @property
    def only(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Conformers of A that B has not, and of B that A has not."""
        first, second = (np.flatnonzero(~side.within(self.threshold)) for side in self.nearest)
        return first, second


def compare(
    a: Given,
    b: Given,
    *,
    threshold: float = THRESHOLD,
    match: Match | None = "bonds",
    heavy: bool = False,
    allow_reflection: bool = False,
    ignore: Collection[Distinction] = (),
    energy: str | None = None,
    format: str | None = None,
    on_error: OnError = "stop",
) -> Comparison:
    """Say which conformers of A are in B and how well each covers the other, molecule by molecule.

    Molecules are told by formula and bonds, whatever the titles and the order of the atoms.

    Args:
        a: files, a block, conformers, RDKit molecules with all of theirs, or ASE atoms; what was generated.
        b: the same; the reference of recall.
        threshold: largest RMSD of two that are called the same, angstrom.
        match: as of `molgiae.rmsd_matrix`, as are the next three; "bonds", perceived from distances where
            records have none, tells isomers apart.
        heavy: leave hydrogens out of the RMSD.
        allow_reflection: whether a conformer may be mirrored.
        ignore: differences that do not make two molecules distinct: isotopes, charge, multiplicity.
        energy: property that holds the energy, see `molgiae.properties.columns.energy_of`; by default "energy" where
            records have it.
        format: of files, "sdf" or "xyz"; None to go by name and content.
        on_error: "skip" leaves bad records out; "stop" raises.

    Raises:
        ConfigError: if no record has the energy that was named, or the threshold is negative.
        ConformerError: for the first bad record.

    Examples:
        >>> found = molgiae.compare(mol, molgiae.from_rdkit(mol, "all")[:2])
        >>> found.total.cov_r, found.only[0].tolist(), found.molecules[0].formula
        (1.0, [], 'C2H6O')
    """
    check_threshold(threshold)
    options = Options(format=format, on_error=on_error)
    ensembles = read_all(a, options, keep_text=True), read_all(b, options, keep_text=True)
    return compared(ensembles, Pairing(match, allow_reflection, heavy, ignore), threshold, energy, options)


def compared(
    ensembles: tuple[ConformerBlock, ConformerBlock],
    pairing: Pairing,
    threshold: float,
    energy: str | None,
    options: Options,
) -> Comparison:
    """Do what `compare` does, with a progress bar if that is wanted."""
    first, second = (_energies(block, energy or ENERGY) for block in ensembles)
    if energy is not None and not any((*first, *second)):
        raise ConfigError(f"no record has a property '{energy}' for --energy")
    pairs = Pairs(*ensembles, pairing)
    with options.bar("compare", len(pairs), "pairs") as bar:
        nearest = nearest_of_each(pairs, cores(), bar.update)
    molecules = [
        ComparedMolecule(*_called(ensembles, rows), rows, coverage_of(nearest, rows, threshold))
        for rows in _by_molecule(pairs.molecule)
    ]
    total = total_of([molecule.coverage for molecule in molecules])
    return Comparison(ensembles, nearest, (first, second), molecules, total, threshold)


def check_threshold(threshold: float) -> None:
    """Raise a ConfigError for an RMSD that cannot be."""
    if not threshold >= 0:
        raise ConfigError(f"threshold {threshold}: must be 0 or more, in angstrom")


def _energies(block: ConformerBlock, name: str) -> list[Energy | None]:
    found: list[Energy | None] = []
    for conformer in block:
        try:
            energy = energy_of(conformer, name)
        except ConformerError:
            found.append(None)
        else:
            found.append(energy._replace(unit=energy.unit or energy.default_unit))
    return found


def _by_molecule(
    molecule: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the conformers of each molecule in both ensembles."""
    every = np.concatenate(molecule)
    first, second = (_split(side, int(every.max(initial=-1)) + 1) for side in molecule)
    for number in dict.fromkeys(every.tolist()):
        yield first[number], second[number]


def _split(molecule: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Return the conformers of each of so many molecules."""
    return np.split(
        np.argsort(molecule, kind="stable"), np.cumsum(np.bincount(molecule, minlength=size))[:-1]
    )


def _called(ensembles: Sequence[ConformerBlock], rows: Sequence[NDArray[np.int64]]) -> tuple[str, str]:
    """Return title and formula of a molecule."""
    firsts = [ensembles[side][int(rows[side][0])] for side in (1, 0) if len(rows[side])]
    titles = (c.title for c in firsts if c.title and not is_energy_alone(c))
    return next(titles, ""), hill(firsts[0])

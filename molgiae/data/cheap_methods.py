"""Cheap quantum chemistry of a conformer as it stands: GFN-xTB by tblite, MMFF94s by RDKit.

GFN2-xTB: Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 2019, 15, 1652. GFN1-xTB: Grimme, Bannwarth, Shushkov,
ibid. 2017, 13, 1989. MMFF94s: Halgren, J. Comput. Chem. 1999, 20, 720. Solvents by ALPB:
Ehlert, Stahn, Spicher, Grimme, J. Chem. Theory Comput. 2021, 17, 4250.

To add a method, give it a row in `METHODS`; commands, files and fine-tuning go by these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer
from molgiae.errors import ConfigError, ConformerError

Floats = NDArray[np.float64]

BOHR, HARTREE, DEBYE = 0.529177210903, 27.211386245988, 2.541746473
"""Angstrom, eV and debye for one atomic unit; CODATA 2018."""
KCAL_PER_MOL = HARTREE / 627.509474
"""eV for one kcal/mol."""
FIELD = 2e-3
"""Electric field of the differences that make polarizabilities, atomic units."""
LOST_CHARGE = 1e-3
"""Elementary charges by which those of the atoms may miss the charge of the molecule."""

QUANTITIES = {"energy": "eV", "gap": "eV", "dipole": "D", "polarizability": "a0^3"}
"""What is known of a conformer as a whole, with units; the dipole is given by its length."""
SOLVATION = "solvation_"
"""Before the name of a solvent: what the energy is there less that of the vacuum, eV."""
SOLVENTS = (
    "water", "octanol", "hexane", "toluene", "benzene", "chcl3", "ch2cl2", "ether", "thf", "dioxane", "ethylacetate",
    "acetone", "acetonitrile", "dmf", "dmso", "methanol", "ethanol",
)  # fmt: skip
"""Names of the solvents that have parameters."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What a method finds of a conformer with n atoms; NaN for what it does not tell.

    Attributes:
        energy: total energy, eV.
        forces: (n, 3) eV/angstrom.
        charges: (n,) partial charges, elementary charges.
        dipole: (3,) dipole moment, debye; that of an ion is about the mean of the positions of its atoms.
        gap: lowest empty less highest filled level, eV.
        polarizability: mean of the three diagonal elements, cubic bohr.
        solvation: by the name of the solvent, its energy in it less that in vacuum, as it stands, eV.
    """

    energy: float
    forces: Floats
    charges: Floats
    dipole: Floats
    gap: float = nan
    polarizability: float = nan
    solvation: dict[str, float] = field(default_factory=dict)

    @property
    def numbers(self) -> dict[str, float]:
        """What `QUANTITIES` names."""
        return {
            "energy": self.energy,
            "gap": self.gap,
            "dipole": float(np.linalg.norm(self.dipole)),
            "polarizability": self.polarizability,
        }


@dataclass(frozen=True, slots=True)
class Method:
    """A cheap method.

    Attributes:
        prefix: of the names of its results in files. That of MMFF94s is not its name: ``mmff94s_energy`` is what
            `molgiae conformers` writes, in kcal/mol.
        gives: what it tells of `QUANTITIES`.
        package: that has to be installed.
        compute: of a conformer, with its polarizability or without, in vacuum and some solvents; raises a
            ConformerError.
        solvents: that it knows.
    """

    prefix: str
    gives: tuple[str, ...]
    package: str
    compute: Callable[[Conformer, bool, Sequence[str]], Computed]
    solvents: tuple[str, ...] = ()


def method_named(name: str) -> Method:
    """Return the method of a name.

    Raises:
        ConfigError: there is none, or the package that it needs is not installed.
    """
    if name not in METHODS:
        raise ConfigError(f"method '{name}' is unknown; use one of {', '.join(METHODS)}")
    method = METHODS[name]
    if find_spec(method.package) is None:
        raise ConfigError(
            f'method {name} needs {method.package}; install it with pip install "molgiae[labels]"'
        )
    return method


def _by_tblite(
    model: str, conformer: Conformer, with_polarizability: bool, solvents: Sequence[str]
) -> Computed:
    """Compute by GFN-xTB; levels are filled by the multiplicity of `Conformer.state`."""
    # where the molecule stands is nothing to its energy, but to the dipole of an ion and in a field
    position = conformer.position - conformer.position.mean(axis=0)
    charge, multiplicity = conformer.state
    solved = partial(_solved, model, conformer.atomic_number, position, charge, multiplicity - 1)
    try:
        found = solved()
        polarizability = _polarizability(solved) if with_polarizability else nan
        energy = found.get("energy")
        solvation = {name: (solved(solvent=name).get("energy") - energy) * HARTREE for name in solvents}
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConformerError(
            f"{model} fails: {reason}; look at its elements, its geometry, charge {charge} and multiplicity "
            f"{multiplicity}"
        ) from error
    charges, forces = found.get("charges"), -found.get("gradient")
    numbers = [energy, *solvation.values()]
    if not (
        np.isfinite(numbers).all() and np.isfinite(forces).all() and abs(charges.sum() - charge) < LOST_CHARGE
    ):
        raise ConformerError(
            f"{model} finds no state of charge {charge} and multiplicity {multiplicity}; correct these"
        )
    level, electrons = found.get("orbital-energies"), found.get("orbital-occupations").sum()
    filled = round((electrons + multiplicity - 1) / 2)  # by electrons of the spin that is in the majority
    gap = (level[filled] - level[filled - 1]) * HARTREE if 0 < filled < len(level) else nan
    return Computed(
        energy=energy * HARTREE,
        forces=forces * HARTREE / BOHR,
        charges=charges,
        dipole=found.get("dipole") * DEBYE,
        gap=gap,
        polarizability=polarizability,
        solvation=solvation,
    )


def _solved(
    model: str,
    z: NDArray[np.uint8],
    position: Floats,
    charge: int,
    unpaired: int,
    field: Floats | None = None,
    solvent: str | None = None,
) -> Any:
    """Return what tblite finds, in an electric field (3,) of atomic units or a solvent if there is one."""
    from tblite.interface import Calculator  # noqa: PLC0415
    from tblite.library import ffi  # noqa: PLC0415

    calculator = Calculator(model, z.astype(np.int64), position / BOHR, charge=charge, uhf=unpaired)
    calculator.set("verbosity", 0)
    if field is not None:
        # tblite 0.8 takes a pointer here
        calculator.add("electric-field", ffi.cast("double*", field.ctypes.data))
    if solvent is not None:
        calculator.add("alpb-solvation", solvent)
    return calculator.singlepoint()


def _polarizability(solved: Callable[..., Any]) -> float:
    """Return the mean of the three diagonal elements, cubic bohr, by central differences of dipole moments."""
    total = 0.0
    for axis, along in enumerate(FIELD * np.eye(3)):
        there, back = (solved(field=sign * along).get("dipole")[axis] for sign in (1, -1))
        total += (there - back) / (2 * FIELD)
    return total / 3


def _by_mmff94s(conformer: Conformer, with_polarizability: bool, solvents: Sequence[str]) -> Computed:
    """Compute by MMFF94s, which tells energy and forces and needs bonds."""
    from rdkit.Chem import rdForceFieldHelpers  # noqa: PLC0415

    from molgiae.data.toolkits import to_rdkit  # noqa: PLC0415

    if not conformer.has_bonds:
        raise ConformerError("MMFF94s needs bonds, and the record has none; give SDF, or use method gfn2")
    molecule = to_rdkit(conformer)
    if molecule is None:
        raise ConformerError("MMFF94s needs orders of bonds, which cannot be told; correct bonds or charge")
    if any(atom.GetTotalNumHs() for atom in molecule.GetAtoms()):
        raise ConformerError("MMFF94s needs all hydrogens, and some are missing; add them with their places")
    constants = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule, mmffVariant="MMFF94s")
    if constants is None:
        raise ConformerError("MMFF94s has no parameters for some of its atoms; use method gfn2")
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(
        molecule, constants, ignoreInterfragInteractions=False
    )
    n = len(conformer)
    return Computed(
        energy=field.CalcEnergy() * KCAL_PER_MOL,
        forces=-np.array(field.CalcGrad()).reshape(n, 3) * KCAL_PER_MOL,
        charges=np.full(n, nan),
        dipole=np.full(3, nan),
    )


_OF_GFN = ("energy", "gap", "dipole", "polarizability")

METHODS: dict[str, Method] = {
    "gfn2": Method("gfn2", _OF_GFN, "tblite", partial(_by_tblite, "GFN2-xTB"), SOLVENTS),
    "gfn1": Method("gfn1", _OF_GFN, "tblite", partial(_by_tblite, "GFN1-xTB"), SOLVENTS),
    "mmff94s": Method("mmff94s_point", ("energy",), "rdkit", _by_mmff94s),
}
"""The methods by name."""

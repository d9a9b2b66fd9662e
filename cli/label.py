"""molgiae label: cheap quantum chemistry as data of the records."""

from __future__ import annotations

from typing import Literal

from typer import Argument, Context, Option

from .options import AllowRejected, Jobs, Json, Output, Overwrite, Quiet, ResumeFile, run_options
from .printing import finish_run, resumable


def label(
    context: Context,
    inputs: list[str] = Argument(
        help="SDF or XYZ files, also .gz; directories of them; - for standard input; HDF5 files of molgiae; or npz "
        "files.",
        show_default=False,
    ),
    output: Output = None,
    method: Literal["gfn2", "gfn1", "mmff94s"] = Option(
        "gfn2", help="GFN2-xTB or GFN1-xTB, which need tblite, or the force field MMFF94s, which needs bonds."
    ),
    polarizability: bool = Option(
        False, "--polarizability", help="Compute polarizabilities, too: six times as long as all else."
    ),
    polarizability_every: int | None = Option(
        None, min=1, help="Compute that of one conformer in so many.", show_default="1"
    ),
    solvents: list[str] = Option(
        [],
        "--solvent",
        help="Compute the energy in this solvent less that in vacuum, by ALPB; may be repeated.",
    ),
    number: int | None = Option(
        None, "--number", "-n", min=1, help="Conformers, drawn at random.", show_default="all"
    ),
    split: Literal["train", "validation", "test"] | None = Option(
        None, help="Split of a QM9 npz file.", show_default="all"
    ),
    displace: float = Option(
        0.0,
        min=0,
        help="Displace every other conformer, by a standard deviation between 0 and this, angstrom.",
        show_default="none",
    ),
    seed: int = Option(0, min=0, help="Seed of the draw and of displacements."),
    time_limit: float = Option(60.0, help="Seconds after which a conformer is given up."),
    jobs: Jobs = None,
    resume: ResumeFile = False,
    overwrite: Overwrite = False,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compute conformers as they stand by cheap quantum chemistry: energy, forces, charges, dipole moment, gap.

    Charge and multiplicity are those of the record; no multiplicity is the lowest one. What is written goes by the
    name of the output:

    \b
    .sdf   the record as it was read, and gfn2_energy (eV), gfn2_gap (eV), gfn2_dipole
           (debye, its length) and the charges of the atoms, atom.dprop.gfn2_charge
    .xyz   extended XYZ as ASE reads it: energy (eV), forces (eV/angstrom), charges,
           dipole (its vector, in e angstrom as ASE has it), gfn2_gap (eV)
    .csv   a row for each record: energy, gap and length of the dipole moment (debye)
    .npz   arrays for molgiae pretrain --labels

    --solvent adds gfn2_solvation_water (eV) and the like to each of them, of the geometry as it stands; solvents are
    water, octanol, hexane, toluene, benzene, chcl3, ch2cl2, ether, thf, dioxane, ethylacetate, acetone, acetonitrile,
    dmf, dmso, methanol and ethanol. Polarizabilities are in cubic bohr, dipole moments of ions about the mean of their
    atoms. MMFF94s tells energy (mmff94s_point_energy, eV) and forces alone.

    \b
    molgiae label conformers.sdf -o labelled.sdf
    molgiae label conformers.sdf --solvent water --solvent octanol -o solvated.csv
    molgiae label trajectory.xyz --method gfn1 --polarizability -o labelled.xyz
    molgiae label qm9.npz --split train --number 50000 --displace 0.1 --polarizability-every 7 -o labels.npz
    """
    from molgiae.commands.label import label

    with resumable():
        summary = label(
            inputs,
            run_options(context),
            method=method,
            polarizability_every=polarizability_every or int(polarizability),
            solvents=solvents,
            number=number,
            split=split,
            displace=displace,
            seed=seed,
            jobs=jobs,
            time_limit=time_limit,
            resume=resume,
        )
    finish_run(context, summary, "labelled")

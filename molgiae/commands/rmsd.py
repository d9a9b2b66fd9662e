"""The command that measures the RMSDs of all pairs of conformers: a square matrix, or one with references."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from molgiae.commands.outcomes import OutcomeWithTable
from molgiae.commands.run import Options, not_both_stdin, output_path, read_all, summarise
from molgiae.config import Distinction
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.given import Given
from molgiae.data.inputs import listed
from molgiae.data.partial import PartialFile
from molgiae.data.readers import Inputs, OnError
from molgiae.errors import ConfigError
from molgiae.matching.matrix import Pairing, Pairs, RmsdMatrix
from molgiae.matching.pairs import Match
from molgiae.output.files import rejected_table
from molgiae.output.matrices import MatrixFile
from molgiae.parallel.memory import physical_memory
from molgiae.parallel.threads import cores

BYTES = 17
"""Of memory for a pair: its RMSD, once more where it is written or clustered, and whether it is proven."""


@dataclass
class RmsdSummary(OutcomeWithTable):
    """What `write_rmsd_matrix` did; read = conformers + references + rejected.

    Attributes:
        conformers: rows of the matrix.
        references: columns of it, where these are others; 0 if there are none.
        molecules: how many there are.
        pairs: that have an RMSD; a conformer with itself is none.
        proven: of these, how many RMSDs are proven to be the least.
        rmsd_min: least RMSD, angstrom; None where there is no pair.
        rmsd_median: median.
        rmsd_max: largest.
        proven_table: table of what is proven, beside a CSV; empty for other formats.
    """

    conformers: int = 0
    references: int = 0
    molecules: int = 0
    pairs: int = 0
    proven: int = 0
    rmsd_min: float | None = None
    rmsd_median: float | None = None
    rmsd_max: float | None = None
    proven_table: str = ""


def rmsd_matrix(
    conformers: Given,
    reference: Given | None = None,
    *,
    match: Match | None = None,
    heavy: bool = False,
    allow_reflection: bool = False,
    ignore: Collection[Distinction] = (),
    format: str | None = None,
    on_error: OnError = "stop",
) -> RmsdMatrix:
    """Return the least RMSDs of all pairs of conformers of one molecule, whatever the order of their atoms.

    Args:
        conformers: files, a block, conformers, RDKit molecules with all of theirs, or ASE atoms; one or several.
        reference: the same; by default conformers are compared with each other.
        match: "bonds": only matchings that put bonds on bonds; "atoms": all within elements; None: "bonds" where
            all conformers of a formula have them, otherwise "atoms".
        heavy: leave hydrogens out of the RMSD; they still say which of the other atoms are equivalent.
        allow_reflection: whether a conformer may be mirrored.
        ignore: differences that do not make two molecules distinct: isotopes, charge, multiplicity.
        format: of files, "sdf" or "xyz"; None to go by name and content.
        on_error: "skip" leaves bad records out, so that rows are not those of the file any more; "stop" raises.

    Returns:
        an object with ``rmsd`` and ``proven``, (M, N), NaN for pairs of different molecules.

    Raises:
        ConformerError: for the first bad record.

    Examples:
        >>> matrix = molgiae.rmsd(mol)
        >>> matrix.rmsd.round(2).tolist(), bool(matrix.proven.all())
        ([[0.0, 0.22, 0.11], [0.22, 0.0, 0.14], [0.11, 0.14, 0.0]], True)
    """
    options = Options(format=format, on_error=on_error)
    rows = read_all(conformers, options)
    columns = None if reference is None else read_all(reference, options)
    return measured(rows, columns, Pairing(match, allow_reflection, heavy, ignore), options)


rmsd = rmsd_matrix


def measured(
    rows: ConformerBlock, columns: ConformerBlock | None, pairing: Pairing, options: Options
) -> RmsdMatrix:
    """Superpose all pairs on all cores, with a progress bar if that is wanted.

    Raises:
        ConfigError: if memory does not hold the matrix.
    """
    m, n = len(rows), len(rows if columns is None else columns)
    needed, there = m * n * BYTES, physical_memory()
    if needed > there:
        raise ConfigError(
            f"the RMSDs of {m} x {n} conformers take {needed / 1e9:.1f} GB of memory, there are {there / 1e9:.1f}: "
            "leave out copies first (molgiae dedup), give fewer molecules at a time, or cluster by a part of the "
            "embeddings (molgiae cluster --by shape)"
        )
    pairs = Pairs(rows, columns, pairing)
    with options.bar("rmsd", len(pairs), "pairs") as bar:
        return pairs.matrix(cores(), bar.update)


def write_rmsd_matrix(
    inputs: Inputs,
    options: Options | None = None,
    *,
    reference: Inputs | None = None,
    condensed: bool = False,
    match: Match | None = None,
    heavy: bool = False,
    allow_reflection: bool = False,
    ignore: Collection[Distinction] = (),
    **changes: Any,
) -> RmsdSummary:
    """Do what `rmsd_matrix` does, from files to a file.

    Args:
        inputs: files, directories, ``-`` for standard input; one or several.
        options: of the command; the output is npz, HDF5, CSV or TSV by its name, see `molgiae.output.matrices`.
        reference: the same; by default conformers are compared with each other.
        condensed: write each pair once.
        match: as of `rmsd_matrix`, as are the following.
        heavy: leave hydrogens out.
        allow_reflection: allow mirror images.
        ignore: differences that do not matter.
        **changes: fields of `Options` by name.

    Raises:
        ConfigError: if options contradict each other.
        MolgiaeError: whatever else keeps the output from being written.
    """
    started = time.monotonic()
    options = (options or Options()).for_a_run(**changes)
    names, others = listed(inputs), [] if reference is None else listed(reference)
    not_both_stdin(names, others)
    if condensed and others:
        raise ConfigError("a matrix with references has no condensed form; leave one of the two out")
    path = output_path([*names, *others], options, "_rmsd.npz", ("npz", "HDF5", "tables"))
    file = MatrixFile(path, condensed=condensed, overwrite=options.overwrite)
    PartialFile(rejected_table(path), overwrite=options.overwrite)  # finds out before the work
    rows = read_all(names, options)
    columns = read_all(others, options) if others else None
    matrix = measured(rows, columns, Pairing(match, allow_reflection, heavy, ignore), options)
    file.write(matrix, options.command)
    rejected = [*rows.rejected, *(columns.rejected if columns is not None else ())]
    return _summary(matrix, RmsdSummary(str(path)), file, rejected, options, started)


def _summary(
    matrix: RmsdMatrix,
    summary: RmsdSummary,
    file: MatrixFile,
    rejected: Sequence[Rejected],
    options: Options,
    started: float,
) -> RmsdSummary:
    """Fill a summary."""
    rmsd, proven = matrix.compared()
    summary.conformers = len(matrix.rows)
    summary.references = 0 if matrix.is_square else len(matrix.columns)
    summary.molecules = len(np.unique(np.concatenate(matrix.molecule)))
    summary.pairs, summary.proven = len(rmsd), int(proven.sum())
    if len(rmsd):
        summary.rmsd_min, summary.rmsd_median, summary.rmsd_max = (
            float(value) for value in (rmsd.min(), np.median(rmsd), rmsd.max())
        )
    summary.proven_table = str(file.proven_table or "")
    summarise(summary, rejected, file.path, options, started)
    summary.read = summary.conformers + summary.references + summary.rejected
    return summary

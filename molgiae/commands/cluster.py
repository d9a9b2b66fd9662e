"""The command that clusters conformers: by RMSD within each molecule, or by a part of their embeddings."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Collection, Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.clustered import (
    FIELDS,
    FORMATS,
    Clustered,
    Clustering,
    Floats,
    Read,
    enumerated,
    notes_on,
    numbered_clusters,
    results_of,
    sink_of,
)
from molgiae.commands.clusters import (
    NONE,
    Matrix,
    Vectors,
    butina,
    check_sizes,
    hdbscan,
    k_means,
)
from molgiae.commands.rmsd import measured
from molgiae.commands.run import (
    Options,
    begun,
    beside,
    in_memory,
    like_input,
    output_path,
    read_all,
    run,
    stop_at_rejected,
)
from molgiae.config import TEMPERATURE, Distinction
from molgiae.data.blocks import Result, joined
from molgiae.data.conformer import ConformerBlock
from molgiae.data.given import Given, Taken, names_of
from molgiae.data.readers import Inputs
from molgiae.data.spool import rows_of_blocks
from molgiae.data.tables import check_table, write_table
from molgiae.data.writers import structure_suffix
from molgiae.errors import ConfigError
from molgiae.matching.matrix import Pairing
from molgiae.matching.molecules import formula_of, hill
from molgiae.matching.pairs import Match
from molgiae.output.files import is_table
from molgiae.parts import COLOR_SHARE
from molgiae.properties.averaging import Energies, check_temperature

if TYPE_CHECKING:
    from molgiae.data.given import Objects

By = Literal["rmsd", "shape", "overlay", "features"]
BYS: tuple[By, ...] = get_args(By)

THRESHOLD, MIN_SIZE = 1.0, 5
"""Angstrom of RMSD, and least members of a cluster of HDBSCAN."""


@dataclass(frozen=True)
class How:
    """How conformers are compared and clustered, as of `cluster`; None for what was not given."""

    by: By
    threshold: float | None
    k: int | None
    min_size: int | None
    seed: int
    pairing: Pairing
    atoms: bool = True
    """Whether the conformers are written, or their names alone."""

    def check(self) -> None:
        """Raise a ConfigError for what cannot be."""
        if self.by not in BYS:
            raise ConfigError(f"{self.by!r} is nothing to cluster by; use one of {', '.join(BYS)}")
        by_rmsd = self.by == "rmsd"
        own = {"--threshold": self.threshold, "-k": self.k, "--min-size": self.min_size}
        misplaced = [
            name for name, value in own.items() if value is not None and (name == "--threshold") != by_rmsd
        ]
        if misplaced:
            other = "--threshold" if by_rmsd else "-k or --min-size"
            raise ConfigError(f"{misplaced[0]} does not go with --by {self.by}, which takes {other}")
        check_sizes(self.k, self.min_size)
        if self.threshold is not None and not self.threshold >= 0:
            raise ConfigError(f"threshold {self.threshold}: must be 0 or more, in angstrom")


@overload
def cluster(inputs: Inputs, options: Options | None = None, **how: Any) -> Clustering: ...
@overload
def cluster(
    inputs: Objects, options: Options | None = None, *, output: None = None, **how: Any
) -> Clustered: ...
@overload
def cluster(inputs: Objects, options: Options | None = None, **how: Any) -> Clustering: ...
def cluster(
    inputs: Given,
    options: Options | None = None,
    *,
    by: By = "rmsd",
    threshold: float | None = None,
    k: int | None = None,
    min_size: int | None = None,
    match: Match | None = None,
    heavy: bool = False,
    allow_reflection: bool = False,
    ignore: Collection[Distinction] = (),
    energy: str | None = None,
    energy_unit: str | None = None,
    temperature: float = TEMPERATURE,
    seed: int = 0,
    table: str | os.PathLike[str] | None = None,
    representatives: str | os.PathLike[str] | None = None,
    **changes: Any,
) -> Clustering | Clustered:
    """Cluster conformers; write each with its cluster, and a table of clusters with representatives and populations.

    Files come to files; objects as a result with the columns ``cluster`` and ``representative``, and `clusters`.

    A representative is the conformer of lowest energy, or without energies the medoid, whose distances to the others
    sum to the least. A population is the sum of Boltzmann weights, or the share of the conformers of the molecule.

    Args:
        inputs: as of `molgiae.embed`.
        options: of the command; the output is SDF or XYZ, with ``molgiae_cluster`` and ``molgiae_representative`` as
            properties, and of representatives ``molgiae_cluster_size`` and ``molgiae_population``, or CSV, TSV or
            HDF5.
        by: "rmsd": the conformers of each molecule by symmetry-corrected RMSD, see `molgiae.rmsd_matrix`, and Butina.
            "shape", "overlay", "features": all conformers by Euclidean distance of these parts of their embeddings,
            of "overlay" with color, stored or computed as of `molgiae.select`, and HDBSCAN or k-means.
        threshold: of Butina, RMSD in angstrom; 1 by default.
        k: clusters of k-means; None for HDBSCAN.
        min_size: least members of a cluster of HDBSCAN; 5 by default.
        match: as of `molgiae.rmsd_matrix`, as are the following.
        heavy: leave hydrogens out of the RMSD.
        allow_reflection: whether a conformer may be mirrored.
        ignore: differences that do not make two molecules distinct.
        energy: property of the records that holds their energies, as of `molgiae.predict`; by embeddings, conformers
            have to be of one formula then.
        energy_unit: of that property, likewise.
        temperature: of Boltzmann weights, kelvin.
        seed: of k-means.
        table: CSV, JSON or HDF5 file of clusters; by default CSV, named after the output.
        representatives: file to write them to, in the formats of the output.
        **changes: fields of `Options` by name.

    Raises:
        CheckpointError: if embeddings are of unlike models.
        ConfigError: if options contradict each other, or no record has the energy.
        ConformerError: for the first rejected record, if that is what the options want.
        MolgiaeError: whatever else keeps the output from being written.

    Examples:
        >>> found = molgiae.cluster(mol, threshold=0.15)
        >>> found["cluster"].tolist(), [round(one.population, 2) for one in found.clusters]
        ([1, 1, 1], [1.0])
        >>> molgiae.cluster("conformers.sdf", output="clustered.sdf").molecules
        40
    """
    started = time.monotonic()
    taken, options = begun(inputs, options, changes)
    how = How(by, threshold, k, min_size, seed, Pairing(match, allow_reflection, heavy, ignore))
    how.check()
    check_temperature(temperature)
    if energy is None and energy_unit is not None:
        raise ConfigError("--energy-unit is that of a property of the records; name it with --energy")
    energies = None if energy is None else Energies.choose((), energy, energy_unit)
    names = names_of(taken)
    reader = _by_rmsd if by == "rmsd" else _by_embedding
    if in_memory(taken, options):
        if table or representatives:
            raise ConfigError("tables and representatives go with an output; name that, too")
        with tempfile.TemporaryFile() as file:
            found = reader(taken, how, options, energies, False, file)
            numbers, rows = numbered_clusters(found, energies, temperature)
            every = joined(list(results_of(found, *numbers)))
            return Clustered(every.block, every.columns, clusters=rows)
    output = output_path(names, options, f"_clustered{like_input(names)}", FORMATS)
    table = Path(table) if table is not None else beside(output, "_clusters.csv")
    check_table(table, overwrite=options.overwrite)
    chosen = None
    if representatives is not None:
        chosen = output_path(names, replace(options, output=representatives), "", FORMATS)
    _check_distinct([*names, output, table, *([chosen] if chosen is not None else [])])
    how = replace(how, atoms=not all(is_table(path) for path in (output, chosen or output)))
    keep_text = energies is not None or any(structure_suffix(path) for path in (output, chosen or output))
    with tempfile.TemporaryFile() as file:
        found = reader(taken, how, options, energies, keep_text, file)
        (order, medoids), rows = numbered_clusters(found, energies, temperature)
        by_number = {row.cluster: row for row in rows}
        sink = sink_of(output, by_number, options, found.model)
        reps = None if chosen is None else sink_of(chosen, by_number, options, found.model)
        summary = run(
            results_of(found, order, medoids), lambda result: result, sink, options, "write", found.model
        )
        if reps is not None:
            with reps:
                reps.write(
                    rows_of_blocks(enumerated(results_of(found, order, medoids, rejected=False)), medoids)
                )
    about = {"command": options.command, "by": by, "temperature": f"{temperature:g} K"}
    write_table(table, FIELDS, [astuple(row) for row in rows], about, overwrite=options.overwrite)
    result = Clustering(**vars(summary), by=by, table=str(table), representatives=str(chosen or ""))
    result.clusters, result.unproven = rows, found.unproven
    result.molecules = int(found.molecule.max(initial=-1)) + 1
    result.unclustered = int((found.label == NONE).sum())
    result.notes = [*notes_on(energies, temperature, result), *result.notes]
    result.seconds = time.monotonic() - started
    return result


def _check_distinct(paths: list[str | Path]) -> None:
    """Raise a ConfigError if a file is named twice."""
    seen: set[Path] = set()
    for path in paths:
        whole = Path(path).resolve()
        if whole in seen:
            raise ConfigError(f"{path}: is named twice among inputs and outputs; give each a name of its own")
        seen.add(whole)


def _by_rmsd(
    taken: Taken, how: How, options: Options, energies: Energies | None, keep_text: bool, file: IO[bytes]
) -> Read:
    """Read conformers, and cluster those of each molecule by RMSD."""
    block = read_all(taken, options, keep_text=keep_text)
    if energies is not None:
        if len(block):
            energies.require(block)
        block = block.reject({m: reason for m, c in enumerate(block) if (reason := energies.fault(c))})
    stop_at_rejected(block, options)
    rejected, block = block.rejected, replace(block, rejected=[])
    matrix = measured(block, None, how.pairing, options)
    molecule, threshold = matrix.molecule[0], THRESHOLD if how.threshold is None else how.threshold
    label, n = np.full(len(block), NONE), 0
    for number in range(int(molecule.max(initial=-1)) + 1):
        rows = np.flatnonzero(molecule == number)
        label[rows] = n + butina(matrix.rmsd[np.ix_(rows, rows)], threshold)
        n = int(label.max()) + 1
    _, proven = matrix.compared()
    result = Result(block, {})
    return Read(
        lambda: [(0, result)], rejected, molecule, label, Matrix(matrix.rmsd), None, int((~proven).sum())
    )


def _by_embedding(
    taken: Taken, how: How, options: Options, energies: Energies | None, keep_text: bool, file: IO[bytes]
) -> Read:
    """Read conformers, and cluster all of them by a part of their embeddings."""
    from molgiae.commands.embedded import OneModel, Pool  # noqa: PLC0415 (loads torch)

    part: Literal["shape", "overlay", "features"] = how.by  # type: ignore[assignment]
    names = names_of(taken)
    model = OneModel(names, options, part, atoms=how.atoms)
    pool = Pool(file, ", ".join(names))
    pool.fill(model, taken, options, keep_text=keep_text, energies=energies)
    if energies is not None:
        _check_one_formula(result.block for _, result in pool.blocks())
    if how.k is not None and how.k > len(pool) > 0:
        raise ConfigError(f"{how.k} clusters of {len(pool)} conformers: ask for fewer with -k")
    vectors = _vectors(pool.embedding, [p.columns for p in pool.parts])
    with options.bar("cluster", len(pool)) as bar:
        size = how.min_size or MIN_SIZE
        label = hdbscan(vectors, size) if how.k is None else k_means(vectors, how.k, how.seed)
        bar.update(len(pool))
    molecule = np.zeros(len(pool), np.int64)
    return Read(
        pool.blocks, pool.rejected, molecule, label, Vectors(vectors), replace(model.model, workers=1)
    )


def _vectors(embedding: NDArray[np.float32], columns: list[slice]) -> Floats:
    """Return what is compared, (n, D): of color, which follows overlay, a share, as in searches."""
    weights = (1.0, COLOR_SHARE**0.5)[: len(columns)]
    parts = [w * embedding[:, c].astype(np.float64) for w, c in zip(weights, columns, strict=True)]
    return np.hstack(parts) if parts else np.empty((len(embedding), 0))


def _check_one_formula(blocks: Iterable[ConformerBlock]) -> None:
    first = None
    for block in blocks:
        for conformer in block:
            first = first or conformer
            if formula_of(conformer) != formula_of(first):
                raise ConfigError(
                    f"energies of unlike molecules cannot be compared: {hill(first)} and {hill(conformer)}; leave out "
                    "--energy, or cluster the molecules by RMSD or one by one"
                )

"""The command that clusters conformers: by RMSD within each molecule, or by a part of their embeddings."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.annotated import annotate
from molgiae.commands.clusters import (
    NONE,
    Distances,
    Matrix,
    Vectors,
    butina,
    hdbscan,
    k_means,
    representative,
)
from molgiae.commands.rmsd import measured
from molgiae.commands.run import (
    Options,
    Summary,
    begun,
    beside,
    in_memory,
    like_input,
    output_path,
    read_all,
    run,
    sink_for,
    stop_at_rejected,
)
from molgiae.config import TEMPERATURE, Distinction
from molgiae.data.blocks import Columns, Result, joined
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.given import Given, Taken, names_of
from molgiae.data.readers import Inputs
from molgiae.data.spool import rows_of_blocks
from molgiae.data.tables import check_table, column, fields_of, write_table
from molgiae.data.writers import StructureWriter, structure_suffix
from molgiae.errors import ConfigError
from molgiae.matching.matrix import Pairing
from molgiae.matching.molecules import formula_of, hill
from molgiae.matching.pairs import Match
from molgiae.output.files import ModelInUse, Sink
from molgiae.parts import COLOR_SHARE
from molgiae.properties.averaging import Energies, check_temperature, weights_of
from molgiae.properties.units import conversion

if TYPE_CHECKING:
    from molgiae.data.given import Objects

By = Literal["rmsd", "shape", "overlay", "features"]
BYS: tuple[By, ...] = get_args(By)

THRESHOLD, MIN_SIZE = 1.0, 5
"""Angstrom of RMSD, and least members of a cluster of HDBSCAN."""
FORMATS = ("HDF5", "tables", "structures")
COLUMNS = ("cluster", "representative")
HEADINGS = ("source", "record", "title", *COLUMNS)
ENERGY_UNIT = "kcal/mol"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cluster:
    """One row of the table of clusters, a column for each field."""

    cluster: int = column("1", "number of the cluster, from 1")
    size: int = column("1", "conformers in it")
    population: float = column(
        "1", "share of its conformers in those of their molecule, Boltzmann weights where there are energies"
    )
    source: str = column("text", "file of its representative")
    record: int = column("1", "number of its representative in its source, from 1")
    title: str = column("text", "title of its representative")
    radius: float = column(
        "1", "largest distance of its conformers to the representative; of RMSDs in angstrom"
    )
    relative_energy: float | None = column(
        ENERGY_UNIT, "energy of the representative above the lowest of its molecule"
    )


FIELDS = fields_of(Cluster)


@dataclass
class Clustering(Summary):
    """What `cluster` did.

    Attributes:
        by: what was compared.
        table: file of the table of clusters.
        representatives: file of their representatives; empty if none was asked for.
        molecules: how many were clustered, each by itself; 1 where embeddings are compared.
        unclustered: conformers that are in no cluster.
        unproven: RMSDs that are not proven to be the least.
        clusters: those of the first molecule by population, then those of the next.
    """

    by: str = ""
    table: str = ""
    representatives: str = ""
    molecules: int = 0
    unclustered: int = 0
    unproven: int = 0
    clusters: list[Cluster] = field(default_factory=list)


@dataclass(frozen=True, slots=True, repr=False)
class Clustered(Result):
    """Conformers with the columns ``cluster``, from 1, 0 for none, and ``representative``; and their clusters."""

    clusters: list[Cluster] = field(default_factory=list)


@dataclass(frozen=True)
class How:
    """How conformers are compared and clustered, as of `cluster`; None for what was not given."""

    by: By
    threshold: float | None
    k: int | None
    min_size: int | None
    seed: int
    pairing: Pairing

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
        if self.k is not None and self.min_size is not None:
            raise ConfigError("-k is of k-means and --min-size of HDBSCAN; give one of them")
        if self.threshold is not None and not self.threshold >= 0:
            raise ConfigError(f"threshold {self.threshold}: must be 0 or more, in angstrom")
        if self.k is not None and self.k < 1:
            raise ConfigError(f"{self.k} clusters: ask for at least 1")
        if self.min_size is not None and self.min_size < 2:
            raise ConfigError(f"clusters of {self.min_size}: ask for at least 2")


@dataclass
class Read:
    """Conformers that were read, and their clusters.

    Attributes:
        blocks: yields results, each with the number of its first conformer.
        rejected: records that were rejected.
        molecule: (n,) numbers from 0.
        label: (n,) clusters from 0, or `NONE`; in a cluster are conformers of one molecule number.
        distances: of the conformers.
        model: that embedded them; None where none takes part.
        unproven: RMSDs that are not proven to be the least.
    """

    blocks: Callable[[], Iterable[tuple[int, Result]]]
    rejected: list[Rejected]
    molecule: Ints
    label: Ints
    distances: Distances
    model: ModelInUse | None = None
    unproven: int = 0


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
            numbers, rows = _numbered_clusters(found, energies, temperature)
            every = joined(list(_results(found, *numbers)))
            return Clustered(every.block, every.columns, clusters=rows)
    output = output_path(names, options, f"_clustered{like_input(names)}", FORMATS)
    table = Path(table) if table is not None else beside(output, "_clusters.csv")
    check_table(table, overwrite=options.overwrite)
    chosen = None
    if representatives is not None:
        chosen = output_path(names, replace(options, output=representatives), "", FORMATS)
    _check_distinct([*names, output, table, *([chosen] if chosen is not None else [])])
    keep_text = energies is not None or any(structure_suffix(path) for path in (output, chosen or output))
    with tempfile.TemporaryFile() as file:
        found = reader(taken, how, options, energies, keep_text, file)
        (order, medoids), rows = _numbered_clusters(found, energies, temperature)
        by_number = {row.cluster: row for row in rows}
        sink = _sink(output, by_number, options, found.model)
        reps = None if chosen is None else _sink(chosen, by_number, options, found.model)
        summary = run(
            _results(found, order, medoids), lambda result: result, sink, options, "write", found.model
        )
        if reps is not None:
            with reps:
                reps.write(
                    rows_of_blocks(_enumerated(_results(found, order, medoids, rejected=False)), medoids)
                )
    about = {"command": options.command, "by": by, "temperature": f"{temperature:g} K"}
    write_table(table, FIELDS, [astuple(row) for row in rows], about, overwrite=options.overwrite)
    result = Clustering(**vars(summary), by=by, table=str(table), representatives=str(chosen or ""))
    result.clusters, result.unproven = rows, found.unproven
    result.molecules = int(found.molecule.max(initial=-1)) + 1
    result.unclustered = int((found.label == NONE).sum())
    result.notes = [*_notes(energies, temperature, result), *result.notes]
    result.seconds = time.monotonic() - started
    return result


def _numbered_clusters(
    found: Read, energies: Energies | None, temperature: float
) -> tuple[tuple[Ints, Ints], list[Cluster]]:
    """Return cluster (n,) and representatives, and the table of clusters."""
    energy_of = _energies(found, energies)
    weight = weights_of(found.molecule, energy_of, temperature)
    order, medoids = _numbered(found, weight, energy_of)
    return (order, medoids), _table(found, order, medoids, weight, energy_of)


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
    model = OneModel(names, options, part)
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


def _energies(found: Read, energies: Energies | None) -> Floats | None:
    """Return (n,) energies above the lowest of each molecule, eV; None if there are none."""
    if energies is None:
        return None
    nothing = np.empty((0, 0))
    parts = [energies.of(result.block, nothing) for _, result in found.blocks()]
    energy = np.concatenate(parts)
    lowest = np.full(int(found.molecule.max(initial=-1)) + 1, np.inf)
    np.minimum.at(lowest, found.molecule, energy)
    return energy - lowest[found.molecule]


def _numbered(found: Read, weight: Floats, energy: Floats | None) -> tuple[Ints, Ints]:
    """Return (n,) the number of the cluster of each conformer, from 1 or 0 for none, and the representatives."""
    clusters = [np.flatnonzero(found.label == k) for k in range(int(found.label.max(initial=NONE)) + 1)]
    clusters = [rows for rows in clusters if len(rows)]
    first = np.unique(found.molecule, return_index=True)[1]
    clusters.sort(
        key=lambda rows: (first[found.molecule[rows[0]]], -round(float(weight[rows].sum()), 9), rows[0])
    )
    number = np.zeros(len(found.label), np.int64)
    for k, rows in enumerate(clusters, 1):
        number[rows] = k
    return number, np.array([representative(rows, found.distances, energy) for rows in clusters], np.int64)


def _table(found: Read, number: Ints, medoids: Ints, weight: Floats, energy: Floats | None) -> list[Cluster]:
    """Return the rows of the table of clusters."""
    block, table = rows_of_blocks(found.blocks(), medoids).block, []
    for k, row in enumerate(medoids.tolist(), 1):
        rows, record = np.flatnonzero(number == k), block[k - 1]
        relative = None if energy is None else float(energy[row]) * conversion("eV", ENERGY_UNIT)
        table.append(
            Cluster(
                *(k, len(rows), float(weight[rows].sum()), record.source, record.record, record.title),
                radius=float(found.distances.to(row, rows).max()),
                relative_energy=relative,
            )
        )
    return table


def _enumerated(results: Iterable[Result]) -> Iterator[tuple[int, Result]]:
    """Yield results, each with the number of its first conformer."""
    first = 0
    for result in results:
        yield first, result
        first += len(result)


def _results(found: Read, number: Ints, medoids: Ints, *, rejected: bool = True) -> Iterator[Result]:
    """Yield all conformers with their clusters; with the first of them the rejected records, if these are wanted."""
    is_representative = np.zeros(len(number), np.uint8)
    is_representative[medoids] = 1
    waiting = list(found.rejected) if rejected else []
    for first, result in found.blocks():
        rows = slice(first, first + len(result))
        columns: Columns = {"cluster": number[rows], "representative": is_representative[rows]}
        yield Result(replace(result.block, rejected=waiting), {**result.columns, **columns})
        waiting = []


def _sink(path: Path, clusters: dict[int, Cluster], options: Options, model: ModelInUse | None) -> Sink:
    """Return where conformers go, by the name of the output."""
    domain = () if model is None else ("in_domain", "domain_reason")

    def cells(result: Result, m: int) -> dict[str, object]:
        block = result.block
        row: dict[str, object] = {"source": block.source[m], "record": int(block.record[m])}
        row["title"] = block.title[m]
        return row | {name: result[name][m] for name in (*COLUMNS, *domain)}

    def record(writer: StructureWriter, result: Result, m: int) -> None:
        number = int(result["cluster"][m])
        own = {f"molgiae_{name}": str(int(result[name][m])) for name in COLUMNS}
        if result["representative"][m]:
            own["molgiae_cluster_size"] = str(clusters[number].size)
            own["molgiae_population"] = f"{clusters[number].population:.6g}"
        annotate(writer, result.block[m], own)

    columns, table = (*COLUMNS, *domain), ((*HEADINGS, *domain), cells)
    return sink_for(path, options, columns, record, table=table, model=model)


def _notes(energies: Energies | None, temperature: float, result: Clustering) -> list[str]:
    found = []
    if energies is not None:
        found.append(f"Boltzmann weights at {temperature:g} K by {energies.described()}")
    if result.unclustered:
        found.append(f"{result.unclustered} conformers are in no cluster (cluster is 0)")
    if result.unproven:
        found.append(f"{result.unproven} RMSDs are not proven to be the least")
    return found

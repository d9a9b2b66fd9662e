"""Clusters of conformers as a table, with representatives and populations, and conformers with their clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.annotated import annotate
from molgiae.commands.clusters import NONE, Distances, representative
from molgiae.commands.outcomes import Summary
from molgiae.commands.run import Options, sink_for
from molgiae.data.blocks import Columns, Result
from molgiae.data.conformer import Rejected
from molgiae.data.hdf5.decoded import DECODED_COLUMNS
from molgiae.data.spool import rows_of_blocks
from molgiae.data.tables import column, fields_of
from molgiae.data.writers import StructureWriter
from molgiae.output.files import ModelInUse, Sink
from molgiae.properties.averaging import Energies, weights_of
from molgiae.properties.units import conversion

Rows = TypeVar("Rows", bound=Sized)

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


def numbered_clusters(
    found: Read, energies: Energies | None, temperature: float
) -> tuple[tuple[Ints, Ints], list[Cluster]]:
    """Return cluster (n,) and representatives, and the table of clusters."""
    energy_of = _energies(found, energies)
    weight = weights_of(found.molecule, energy_of, temperature)
    order, medoids = _numbered(found, weight, energy_of)
    return (order, medoids), _table(found, order, medoids, weight, energy_of)


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


def enumerated(results: Iterable[Rows]) -> Iterator[tuple[int, Rows]]:
    """Yield results or blocks, each with the number of its first conformer."""
    first = 0
    for result in results:
        yield first, result
        first += len(result)


def results_of(found: Read, number: Ints, medoids: Ints, *, rejected: bool = True) -> Iterator[Result]:
    """Yield all conformers with their clusters; with the first of them the rejected records, if these are wanted."""
    is_representative = np.zeros(len(number), np.uint8)
    is_representative[medoids] = 1
    waiting = list(found.rejected) if rejected else []
    for first, result in found.blocks():
        rows = slice(first, first + len(result))
        columns: Columns = {"cluster": number[rows], "representative": is_representative[rows]}
        yield Result(replace(result.block, rejected=waiting), {**result.columns, **columns})
        waiting = []


def sink_of(path: Path, clusters: dict[int, Cluster], options: Options, model: ModelInUse | None) -> Sink:
    """Return where conformers go, by the name of the output."""
    domain = (
        () if model is None else ("in_domain", "domain_reason", *(DECODED_COLUMNS if model.checks else ()))
    )

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


def notes_on(energies: Energies | None, temperature: float, result: Clustering) -> list[str]:
    """Say by what weights clusters are populated, and what is in none or not proven."""
    found = []
    if energies is not None:
        found.append(f"Boltzmann weights at {temperature:g} K by {energies.described()}")
    if result.unclustered:
        found.append(f"{result.unclustered} conformers are in no cluster (cluster is 0)")
    if result.unproven:
        found.append(f"{result.unproven} RMSDs are not proven to be the least")
    return found

"""The command that finds the conformers of a file whose embeddings are nearest to a query, and their RMSD."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import astuple, dataclass, field, fields
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.run import Options, Outcome, Reasons, read, stop_at_rejected
from molgiae.config import Distinction
from molgiae.data.conformer import Conformer
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.inputs import listed
from molgiae.data.readers import Inputs
from molgiae.data.tables import Field, check_table, write_table
from molgiae.errors import ConfigError
from molgiae.matching import superpose_pairs
from molgiae.matching.molecules import difference, ignoring
from molgiae.matching.pairs import Match
from molgiae.model.embedder import Embedder
from molgiae.model.shipped import model_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROWS, QUERIES = 1 << 15, 256
"""Embeddings of the file and queries that are compared at once: constant memory, whatever the size of the file."""
HITS = 10


def _column(unit: str, description: str) -> Any:
    return field(metadata={"unit": unit, "description": description})


@dataclass(frozen=True, slots=True)
class Hit:
    """One row of the result, a column of the table for each field; None where there is no RMSD."""

    query_source: str = _column("text", "file of the query")
    query_record: int = _column("1", "number of the query in its source, from 1")
    query_title: str = _column("text", "title of the query")
    rank: int = _column("1", "1 for the nearest")
    row: int = _column("1", "conformer of the embedding file, from 0")
    source: str = _column("text", "file the hit was read from")
    record: int = _column("1", "number of the hit in its source, from 1")
    title: str = _column("text", "title of the hit")
    distance: float = _column("1", "Euclidean distance of the embeddings")
    relation: str = _column("text", "of hit and query: same molecule, same formula, or other")
    rmsd: float | None = _column(
        "angstrom", "symmetry-corrected RMSD of all atoms, where hit and query can be superposed"
    )
    proven: bool | None = _column("1", "1: no matching of the atoms has a lesser RMSD")


FIELDS = tuple(
    Field(column.name, next(iter(get_args(kind)), kind), **column.metadata)
    for column, kind in zip(fields(Hit), get_type_hints(Hit).values(), strict=True)
)


@dataclass
class Search(Outcome):
    """What `search` found.

    Attributes:
        file: the embedding file.
        conformers: conformers in the file.
        queries: queries searched for; read = queries + rejected.
        model: name of the model of the file.
        model_sha256: sha256 of its checkpoint.
        hits: those of the first query by rank, then those of the second, and so on.
    """

    file: str = ""
    conformers: int = 0
    queries: int = 0
    model: str = ""
    model_sha256: str = ""
    hits: list[Hit] = field(default_factory=list)


def search(
    queries: Inputs,
    file: str | os.PathLike[str],
    options: Options | None = None,
    *,
    k: int = HITS,
    model: str | None = None,
    match: Match = "bonds",
    ignore: Collection[Distinction] = (),
    **changes: Any,
) -> Search:
    """Find the conformers of a file whose embeddings are nearest to that of each query; all of them are compared.

    Args:
        queries: SDF, XYZ or HDF5 files, directories, ``-`` for standard input; one or several.
        file: HDF5 written by `molgiae embed`.
        options: of the command; the output is a table in CSV, JSON or HDF5, none by default.
        k: hits for each query.
        model: name or path of the model of the file; by default what the file says.
        match: atoms matched for the RMSD: by "bonds", perceived from distances where none are known, or "atoms"
            within elements.
        ignore: differences that do not make hit and query distinct: isotopes, charge, multiplicity.
        **changes: fields of `Options` by name.

    Raises:
        CheckpointError: if the model is not that of the file, or not to be found.
        ConfigError: if the file holds no embeddings, or not the part in which distances are taken.
        ConformerError: for the first rejected query, if that is what the options want.
        MolgiaeError: if a file cannot be read or written.
    """
    started = time.monotonic()
    options = (options or Options()).for_a_run(**changes)
    if k < 1:
        raise ConfigError(f"{k} hits: ask for at least 1")
    if options.output is not None:
        check_table(options.output, overwrite=options.overwrite)
    with EmbeddingFile(file) as stored:
        embedder = _model_of(stored, model, options)
        result = Search(
            os.fspath(options.output or ""),
            file=os.fspath(file),
            conformers=len(stored),
            model=str(stored.attributes["model"]),
            model_sha256=embedder.checkpoint.sha256,
        )
        reasons = Reasons()
        wanted, embeddings = _embedded(queries, embedder, options, reasons)
        columns = search_columns(stored, embedder)
        with options.bar("search", len(stored)) as bar:
            rows, distances = nearest(stored, embeddings[:, columns], k, columns, bar.update)
        result.hits = _hits(stored, wanted, rows, distances, match, ignore)
    result.queries, result.rejected, result.reasons = len(wanted), reasons.total, reasons.most_common()
    result.read = result.queries + result.rejected
    result.notes = options.notes.lines()
    result.seconds = time.monotonic() - started
    if options.output is not None:
        about = {"command": options.command, "model": result.model, "model_sha256": result.model_sha256}
        values = [astuple(hit) for hit in result.hits]
        write_table(options.output, FIELDS, values, about, overwrite=options.overwrite)
    return result


def _model_of(file: EmbeddingFile, model: str | None, options: Options) -> Embedder:
    """Return the model of a file, with the parts of the embedding that are in the file."""
    embedder = Embedder(
        model_of(file, model),
        device=options.device,
        batch_size=options.batch_size,
        parts=[part.name for part in file.parts],
    )
    if embedder.parts != file.parts:
        raise ConfigError(
            f"{file.path}: its parts have not the columns of the model; make it with molgiae embed"
        )
    return embedder


def search_columns(file: EmbeddingFile, embedder: Embedder) -> slice:
    """Return the columns in which distances are taken: the shape part where the model has one, else all.

    Raises:
        ConfigError: if the file lacks this part.
    """
    has_shape = any(part.name == "shape" for part in embedder.model.config.parts)
    return file.part("shape").columns if has_shape else slice(0, file.dimension)


def nearest(
    file: EmbeddingFile,
    queries: NDArray[np.floating],
    k: int,
    columns: slice,
    advance: Callable[[int], object] = lambda rows: None,
) -> tuple[Ints, Floats]:
    """Find the k nearest rows of each query by Euclidean distance; every row of the file is compared.

    Args:
        file: with embeddings.
        queries: (Q, d) of these columns.
        k: at most so many.
        columns: d columns of the embedding.
        advance: called with numbers of rows that were looked at.

    Returns:
        rows (Q, k), nearest first, among equals the lower row first; distances (Q, k).
    """
    targets = np.asarray(queries, np.float64)
    rows, distances = np.empty((len(targets), 0), np.int64), np.empty((len(targets), 0))
    for first in range(0, len(file) if len(targets) else 0, ROWS):
        part = file.column("embedding", first, first + ROWS)[:, columns].astype(np.float64)
        square, most = np.square(part).sum(axis=1), min(k, len(part))
        found = np.concatenate(
            [
                np.argpartition(square - 2 * targets[q : q + QUERIES] @ part.T, most - 1, axis=1)[:, :most]
                for q in range(0, len(targets), QUERIES)
            ]
        )
        apart = np.linalg.norm(part[found] - targets[:, None], axis=2)
        rows, distances = np.hstack([rows, found + first]), np.hstack([distances, apart])
        order = np.lexsort((rows, distances), axis=1)[:, :k]
        rows = np.take_along_axis(rows, order, axis=1)
        distances = np.take_along_axis(distances, order, axis=1)
        advance(len(part))
    return rows, distances


def _embedded(
    queries: Inputs, embedder: Embedder, options: Options, reasons: Reasons
) -> tuple[list[Conformer], NDArray[np.float32]]:
    """Return the queries that the model takes, and their embeddings (Q, D)."""
    conformers: list[Conformer] = []
    embeddings = [np.empty((0, embedder.dimension), np.float32)]
    for block in read(listed(queries), options, None):
        result = embedder.embed(block)
        stop_at_rejected(result.block, options)
        reasons.add(bad.reason for bad in result.block.rejected)
        conformers += result.block
        embeddings.append(result["embedding"])
    return conformers, np.concatenate(embeddings)


def _hits(
    file: EmbeddingFile,
    queries: list[Conformer],
    rows: Ints,
    distances: Floats,
    match: Match,
    ignore: Collection[Distinction],
) -> list[Hit]:
    stored = {row: ignoring(file.conformer(row), ignore) for row in np.unique(rows).tolist()}
    queries = [ignoring(query, ignore) for query in queries]
    pairs = [
        (query, stored[row]) for query, found in zip(queries, rows.tolist(), strict=True) for row in found
    ]
    same = [p for p, (query, hit) in enumerate(pairs) if not difference(query, hit)]
    found = superpose_pairs([pairs[p][0] for p in same], [pairs[p][1] for p in same], match=match)
    superposed = {
        p: (float(found.rmsd[s]), bool(found.proven[s])) for s, p in enumerate(same) if not found.reason[s]
    }
    hits = []
    for p, (query, hit) in enumerate(pairs):
        q, rank = divmod(p, rows.shape[1])
        row, distance = int(rows[q, rank]), float(distances[q, rank])
        of_query, of_hit = ((c.source, c.record, c.title) for c in (query, hit))
        relation = _relation(query, hit, p in superposed, match)
        measured = superposed.get(p, (None, None))
        hits.append(Hit(*of_query, rank + 1, row, *of_hit, distance, relation, *measured))
    return hits


def _relation(query: Conformer, hit: Conformer, superposed: bool, match: Match) -> str:
    """Name what hit and query share; of one formula are all of the same elements, whatever isotopes and charge."""
    if not np.array_equal(np.sort(query.atomic_number), np.sort(hit.atomic_number)):
        return "other"
    return "molecule" if match == "bonds" and superposed else "formula"

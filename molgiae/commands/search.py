"""The command that finds the conformers of a file that are nearest to a query, and compares them exactly."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.hits import (
    FIELDS,
    Candidate,
    Hit,
    by_overlay,
    by_rmsd,
    candidates_for,
    hit_of,
    lay,
    said_of,
    superpose,
)
from molgiae.commands.nearest import By, Molecules, Nearest, measure_of, nearest
from molgiae.commands.outcomes import Outcome, Reasons
from molgiae.commands.run import Options, read, stop_at_rejected
from molgiae.config import Distinction
from molgiae.data.conformer import Conformer
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.hdf5.opening import open as open_stored
from molgiae.data.inputs import listed
from molgiae.data.overlay import Shape
from molgiae.data.readers import Inputs
from molgiae.data.tables import check_table, write_table
from molgiae.data.toolkits import with_table
from molgiae.data.writers import StructureWriter, structure_suffix
from molgiae.errors import ConfigError
from molgiae.matching.pairs import Match
from molgiae.model.embedder import Embedder
from molgiae.model.shipped import model_of

HITS = 10
EXACT = ("shape", "overlay")
"""What candidates are compared by exactly, before they are ranked."""
OF_EACH = 3
"""Conformers of a molecule that are compared exactly where its best hit alone is wanted."""
BATCH = 32
"""Queries whose candidates are held in memory together."""


@dataclass
class Search(Outcome):
    """What `search` found.

    Attributes:
        file: the embedding file.
        conformers: conformers in the file.
        queries: queries searched for; read = queries + rejected.
        model: name of the model of the file.
        model_sha256: sha256 of its checkpoint.
        by: what was compared; empty for the whole embedding.
        poses: file of the superposed hits; empty if none was asked for.
        hits: those of the first query by rank, then those of the second, and so on.
    """

    file: str = ""
    conformers: int = 0
    queries: int = 0
    model: str = ""
    model_sha256: str = ""
    by: str = ""
    poses: str = ""
    hits: list[Hit] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        k: hits for each query.
        by: what of the embedding is compared.
        match: atoms matched for the RMSD.
        ignore: differences that do not make hit and query distinct.
        per_molecule: whether only the best hit of each molecule is wanted.
    """

    k: int
    by: By | None
    match: Match
    ignore: Collection[Distinction]
    per_molecule: bool


def search(
    queries: Inputs,
    file: str | os.PathLike[str],
    options: Options | None = None,
    *,
    k: int = HITS,
    by: By | None = None,
    poses: str | os.PathLike[str] | None = None,
    model: str | None = None,
    match: Match = "bonds",
    ignore: Collection[Distinction] = (),
    per_molecule: bool = False,
    **changes: Any,
) -> Search:
    """Find the conformers of a file that are nearest to each query; all of them are compared.

    By shape and by overlay, more candidates than asked for (`molgiae.commands.hits.candidates_for`) are compared
    exactly with the query and ranked by that.

    Args:
        queries: SDF, XYZ or HDF5 files, directories, ``-`` for standard input; one or several.
        file: HDF5 written by `molgiae embed`, or a directory of parts.
        options: of the command; the output is a table in CSV, JSON or HDF5, or the hits as SDF or XYZ with the fields
            of `Hit` as properties, ``-`` for SDF to standard output; none by default.
        k: hits for each query.
        by: "shape": Euclidean distance of the shape parts, then RMSD: conformers of the molecule of the query come
            first. "overlay": Tanimoto of the overlay and color parts, then the exact overlay. "features": Euclidean
            distance. "all": that of all smooth parts over their spreads in the file. None: "shape" where
            the model makes that part, else the whole embedding.
        poses: SDF or XYZ of each query and its hits superposed on it, with the fields of `Hit` as properties.
        model: name or path of the model of the file; by default what the file says.
        match: atoms matched for the RMSD: by "bonds", perceived from distances where none are known, or "atoms"
            within elements.
        ignore: differences that do not make hit and query distinct: isotopes, charge, multiplicity.
        per_molecule: the best hit of each title alone, as of `molgiae.select`; conformers without a title are molecules
            of their own. Of each the three conformers that are nearest by embeddings are compared exactly.
        **changes: fields of `Options` by name.

    Raises:
        CheckpointError: if the model is not that of the file, or not to be found.
        ConfigError: if the file holds no embeddings, or not the part that is compared.
        ConformerError: for the first rejected query, if that is what the options want.
        MolgiaeError: if a file cannot be read or written.
    """
    started = time.monotonic()
    options = (options or Options()).for_a_run(**changes)
    if k < 1:
        raise ConfigError(f"{k} hits: ask for at least 1")
    as_structures = options.output is not None and structure_suffix(options.output) is not None
    if options.output is not None and not as_structures:
        check_table(options.output, overwrite=options.overwrite)
    wanted = Wanted(k, by, match, ignore, per_molecule)
    with contextlib.ExitStack() as stack:
        stored = stack.enter_context(open_stored(file))
        writer = None if poses is None else StructureWriter(poses, overwrite=options.overwrite)
        if as_structures:
            hits = StructureWriter(options.output or "", overwrite=options.overwrite)
        if not stored.has_atoms and (poses is not None or as_structures):
            stored.block(0, 0)  # says that there are no atoms
        result = Search(os.fspath(options.output or ""), file=os.fspath(file), conformers=len(stored))
        result.poses = os.fspath(poses or "")
        reasons = Reasons()
        _run(result, queries, stored, model, wanted, options, reasons, writer and stack.enter_context(writer))
        if as_structures:
            with hits:
                for hit in result.hits:
                    hits.write(with_table(stored.conformer(hit.row)), properties=said_of(hit))
    result.rejected, result.reasons = reasons.total, reasons.most_common()
    result.read = result.queries + result.rejected
    without = [] if stored.has_atoms else [f"{file}: holds no atoms; hits are ranked by embeddings alone"]
    result.notes = [*stored.notes(), *without, *options.notes.lines()]
    result.seconds = time.monotonic() - started
    if options.output is not None and not as_structures:
        about = {"command": options.command, "model": result.model, "model_sha256": result.model_sha256}
        values = [astuple(hit) for hit in result.hits]
        write_table(options.output, FIELDS, values, about, overwrite=options.overwrite)
    return result


def _run(
    result: Search,
    queries: Inputs,
    stored: Embeddings,
    model: str | None,
    wanted: Wanted,
    options: Options,
    reasons: Reasons,
    writer: StructureWriter | None,
) -> None:
    """Fill the result, and write the poses."""
    embedder = _model_of(stored, model, options)
    result.model, result.model_sha256 = str(stored.attributes["model"]), embedder.checkpoint.sha256
    of_model = [part.name for part in embedder.model.config.parts]
    by = wanted.by or ("shape" if "shape" in of_model else None)
    measure = measure_of(stored, by, of_model)
    conformers, embeddings = _embedded(queries, embedder, options, reasons)
    result.queries, result.by = len(conformers), by or ""
    wanted = replace(wanted, by=by)
    is_exact = by in EXACT and stored.has_atoms
    most, each = (candidates_for(wanted.k), OF_EACH) if is_exact else (wanted.k, 1)
    molecules = Molecules.by_title(stored, each) if wanted.per_molecule else None
    with options.bar("search", len(stored)) as bar:
        found = nearest(stored, embeddings, most, measure, bar.update, molecules)
    with options.bar("compare", len(conformers)) as bar:
        for ranked in _ranked(stored, conformers, found, wanted, molecules):
            hits = [hit_of(candidate, rank, wanted.match, stored) for rank, candidate in enumerate(ranked, 1)]
            result.hits += hits
            if writer is not None:
                _write_poses(writer, ranked, hits)
            bar.update()


def _model_of(file: Embeddings, model: str | None, options: Options) -> Embedder:
    """Return the model of a file, with the parts of the embedding that are in the file."""
    embedder = Embedder(
        model_of(file, model),
        device=options.device,
        batch_size=options.batch_size,
        parts=[part.name for part in file.parts],
        check=False,
    )
    if embedder.parts != file.parts:
        raise ConfigError(
            f"{file.path}: its parts have not the columns of the model; make it with molgiae embed"
        )
    return embedder


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


def _ranked(
    file: Embeddings,
    queries: list[Conformer],
    found: Nearest,
    wanted: Wanted,
    molecules: Molecules | None,
) -> Iterator[list[Candidate]]:
    """Yield the hits of each query, compared exactly."""
    for first in range(0, len(queries), BATCH):
        batch = slice(first, first + BATCH)
        read = file.block if file.has_atoms else file.labels
        stored = {row: read(row, row + 1)[0] for row in np.unique(found.rows[batch]).tolist()}
        columns = (found.rows, found.distances, found.tanimotos)
        candidates = [
            [Candidate(query, stored[values[0]], *values) for values in zip(*rows, strict=True)]
            for query, *rows in zip(
                queries[batch], *(column[batch].tolist() for column in columns), strict=True
            )
        ]
        if not file.has_atoms:
            yield from (_best(row, molecules)[: wanted.k] for row in candidates)
            continue
        shapes: dict[int, Shape] = {}
        if wanted.by == "shape":
            superpose([c for row in candidates for c in row], wanted.match, wanted.ignore)
            candidates = [_best(sorted(row, key=by_rmsd), molecules)[: wanted.k] for row in candidates]
        if wanted.by == "overlay":
            lay([c for row in candidates for c in row], shapes)
            candidates = [_best(sorted(row, key=by_overlay), molecules)[: wanted.k] for row in candidates]
        if wanted.by != "shape":
            superpose([c for row in candidates for c in row], wanted.match, wanted.ignore)
        yield from candidates


def _best(ranked: list[Candidate], molecules: Molecules | None) -> list[Candidate]:
    """Return the first of each molecule, or all."""
    if molecules is None:
        return ranked
    first: dict[int, Candidate] = {}
    for candidate in ranked:
        first.setdefault(int(molecules.number[candidate.row]), candidate)
    return list(first.values())


def _write_poses(writer: StructureWriter, candidates: list[Candidate], hits: list[Hit]) -> None:
    """Write a query as it was read, of rank 0, and its hits superposed on it."""
    for candidate, hit in zip(candidates, hits, strict=True):
        if hit.rank == 1:
            writer.write(with_table(candidate.query), properties={"rank": "0"})
        position, rotation = candidate.position
        writer.write(
            with_table(candidate.conformer), position=position, rotation=rotation, properties=said_of(hit)
        )

"""Candidates of a search, compared exactly with their query, by RMSD or overlay; and the hits that become of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from math import inf, isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.config import Distinction
from molgiae.data.conformer import Conformer
from molgiae.data.hdf5.decoded import DECODED_FORMULA, decoded_rmsd_in
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.overlay import Overlay, Shape, overlay, shape_of
from molgiae.data.tables import column, fields_of
from molgiae.matching import superpose_pairs
from molgiae.matching.molecules import difference, ignoring
from molgiae.matching.pairs import Match

Floats = NDArray[np.float64]

PER_HIT, BESIDE = 5, 50
"""So many candidates for each hit that is asked for, and so many more, are compared exactly before they are ranked."""
SAME_RMSD = 6
"""Decimals of an RMSD, in angstrom, beyond which hits are equally near."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One row of the result, a column of the table for each field; None where there is no RMSD."""

    query_source: str = column("text", "file of the query")
    query_record: int = column("1", "number of the query in its source, from 1")
    query_title: str = column("text", "title of the query")
    rank: int = column("1", "1 for the nearest")
    row: int = column("1", "conformer of the embedding file, from 0")
    source: str = column("text", "file the hit was read from")
    record: int = column("1", "number of the hit in its source, from 1")
    title: str = column("text", "title of the hit")
    distance: float = column("1", "Euclidean distance of the parts of the embeddings that were compared")
    estimate: float | None = column(
        "1", "by overlay: Tanimoto of overlay and color parts, estimate of the combination"
    )
    combination: float | None = column(
        "1", "by overlay: mean of shape and color Tanimoto; of shape alone without color"
    )
    shape_tanimoto: float | None = column("1", "by overlay: overlap of Gaussian densities of heavy atoms")
    color_tanimoto: float | None = column("1", "by overlay: of points of pharmacophores, at the same pose")
    relation: str = column("text", "of hit and query: same molecule, same formula, or other")
    rmsd: float | None = column(
        "angstrom", "symmetry-corrected RMSD of all atoms, where hit and query can be superposed"
    )
    proven: bool | None = column("1", "1: no matching of the atoms has a lesser RMSD")
    in_domain: bool | None = column("1", "1: the file says that the hit is in the domain of the model")
    decoded_rmsd: float | None = column(
        "angstrom", "RMSD of what the decoder gives back of the hit, as the file says"
    )
    decoded_formula: bool | None = column(
        "1", "1: the decoder gives back all elements of the hit, as the file says"
    )


FIELDS = fields_of(Hit)


@dataclass(slots=True)
class Candidate:
    """A row of the file that may be a hit of a query.

    Attributes:
        query, conformer: as read.
        row: of the file.
        distance, tanimoto: by embeddings, as of `molgiae.commands.nearest.Nearest`.
        rmsd: angstrom; NaN where it was not asked for, or they cannot be superposed.
        proven: whether no matching of the atoms has a lesser one.
        overlay: exact, where it was asked for.
        rotation, translation: motion of the superposition of least RMSD.
    """

    query: Conformer
    conformer: Conformer
    row: int
    distance: float
    tanimoto: float
    rmsd: float = nan
    proven: bool = False
    overlay: Overlay | None = None
    rotation: Floats | None = None
    translation: Floats | None = None

    @property
    def position(self) -> tuple[Floats, Floats]:
        """Positions (n, 3) on the query, angstrom, and the rotation (3, 3): by overlay, else by RMSD if there is one.

        Where there is neither, shapes are overlaid.
        """
        rotation, translation = self.rotation, self.translation
        if self.overlay is not None or rotation is None or translation is None:
            shapes = [shape_of(c, color=False) for c in (self.query, self.conformer)]
            found = self.overlay or overlay(shapes[0], shapes[1], "shape")
            rotation, translation = found.rotation, found.translation
        return self.conformer.position @ rotation.T + translation, rotation

    @property
    def relation(self) -> str:
        """What hit and query share; of one formula are all of the same elements, whatever isotopes and charge.

        It is "unknown" where the file of the hit holds no atoms.
        """
        if not len(self.conformer):
            return "unknown"
        first, second = (np.sort(c.atomic_number) for c in (self.query, self.conformer))
        return "formula" if np.array_equal(first, second) else "other"


def candidates_for(k: int) -> int:
    """Return how many candidates are compared exactly where k hits are asked for."""
    return PER_HIT * k + BESIDE


def superpose(candidates: Sequence[Candidate], match: Match, ignore: Collection[Distinction]) -> None:
    """Give candidates of the same formula as their query their RMSD."""
    same = [c for c in candidates if not difference(c.query, c.conformer, ignore)]
    seen: dict[int, Conformer] = {}  # conformers of several pairs are one object for `superpose_pairs`
    queries, hits = (
        [seen.setdefault(id(c), ignoring(c, ignore)) for c in side]
        for side in ([c.query for c in same], [c.conformer for c in same])
    )
    found = superpose_pairs(queries, hits, match=match)
    for p, candidate in enumerate(same):
        if not found.reason[p]:
            candidate.rmsd, candidate.proven = float(found.rmsd[p]), bool(found.proven[p])
            candidate.rotation, candidate.translation = found.rotation[p], found.translation[p]


def by_rmsd(candidate: Candidate) -> tuple[float, float]:
    """Return what ranks a hit: its RMSD, and after all that have one, its distance."""
    rmsd = inf if isnan(candidate.rmsd) else round(candidate.rmsd, SAME_RMSD)
    return rmsd, candidate.distance


def lay(candidates: Sequence[Candidate], shapes: dict[int, Shape]) -> None:
    """Give candidates their overlay.

    Args:
        candidates: any.
        shapes: of conformers by their identity; those that lack are added.
    """
    for candidate in candidates:
        for conformer in (candidate.query, candidate.conformer):
            if id(conformer) not in shapes:
                shapes[id(conformer)] = shape_of(conformer)
        candidate.overlay = overlay(shapes[id(candidate.query)], shapes[id(candidate.conformer)])


def by_overlay(candidate: Candidate) -> tuple[float, float]:
    """Return what ranks a hit: its combined Tanimoto, the largest first, and after all that have one, its estimate."""
    value = nan if candidate.overlay is None else candidate.overlay.combination
    return (inf if isnan(value) else -value), -candidate.tanimoto


def hit_of(candidate: Candidate, rank: int, match: Match, stored: Embeddings) -> Hit:
    """Return the row of the result for a candidate of a file."""

    def said(name: str | None) -> Any:
        """What the file says of the hit, None where it says nothing."""
        row = candidate.row
        return stored.column(name, row, row + 1).tolist()[0] if name in stored.columns else None

    def flag(name: str) -> bool | None:
        value = said(name)
        return None if value is None else bool(value)

    query, hit, laid = candidate.query, candidate.conformer, candidate.overlay
    is_superposed = candidate.rotation is not None
    return Hit(
        *(query.source, query.record, query.title, rank, candidate.row, hit.source, hit.record, hit.title),
        distance=candidate.distance,
        estimate=_known(candidate.tanimoto),
        combination=None if laid is None else _known(laid.combination),
        shape_tanimoto=None if laid is None else _known(laid.shape_tanimoto),
        color_tanimoto=None if laid is None else _known(laid.color_tanimoto),
        relation="molecule" if match == "bonds" and is_superposed else candidate.relation,
        rmsd=_known(candidate.rmsd),
        proven=candidate.proven if is_superposed else None,
        in_domain=flag("in_domain"),
        decoded_rmsd=said(decoded_rmsd_in(stored.columns)),
        decoded_formula=flag(DECODED_FORMULA),
    )


def _known(value: float) -> float | None:
    return None if isnan(value) else value


def said_of(hit: Hit) -> dict[str, str]:
    """Return what a record of a hit says of it, beside its title."""
    return {name: str(value) for name, value in asdict(hit).items() if value is not None and name != "title"}

"""Many conformers computed by a cheap method, in processes; the order of the results is theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.cheap_methods import QUANTITIES, Computed, method_named
from molgiae.data.cheap_worker import FIELDS, plain
from molgiae.data.conformer import ConformerBlock
from molgiae.errors import ConfigError
from molgiae.parallel.processes import NoAnswerError, Workers, in_order
from molgiae.parallel.progress import progress_bar
from molgiae.parallel.threads import free_cores

WORKER = "molgiae.data.cheap_worker"
CHUNK_ATOMS = 512
"""Atoms in a question: 0.1 s of molecules of nine heavy atoms, for which a pipe and JSON are nothing."""
TIME_LIMIT = 60.0
"""Seconds for one conformer."""

Floats = NDArray[np.float64]
Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Values:
    """What a cheap method finds of M conformers, each (M,), NaN where it fails or does not tell.

    Attributes:
        energy: eV.
        gap: eV.
        dipole: length of the dipole moment, debye.
        polarizability: cubic bohr.
        reason: M reasons why there is nothing; empty where all is well.
    """

    energy: Floats
    gap: Floats
    dipole: Floats
    polarizability: Floats
    reason: list[str]


def computed_values(
    block: ConformerBlock,
    method: str,
    *,
    polarizability: bool = False,
    jobs: int | None = None,
    time_limit: float = TIME_LIMIT,
    progress: bool = False,
) -> Values:
    """Compute M conformers as they stand.

    Args:
        block: the conformers.
        method: a name in `molgiae.data.cheap_methods.METHODS`.
        polarizability: compute it, too, which takes six times as long as all else.
        jobs: processes; None for as many as cores. The results do not depend on it.
        time_limit: seconds for one conformer.
        progress: show a bar on stderr.

    Raises:
        ConfigError: there is no such method, or a package that it needs is not installed.
    """
    ask = Question(method, polarizability_every=int(polarizability), time_limit=time_limit)
    rows: list[dict[str, float]] = []
    reasons: list[str] = []
    with progress_bar(desc=method, total=len(block), unit=" conformers", show=progress) as bar:
        for _, found in ask.answers(((chunk, None) for chunk in chunks([block])), jobs):
            for one in found:
                rows.append({} if "reason" in one else computed(one).numbers)
                reasons.append(one.get("reason", ""))
            bar.update(len(found))
    columns = {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in QUANTITIES}
    return Values(**columns, reason=reasons)


def chunks(blocks: Iterable[ConformerBlock]) -> Iterator[ConformerBlock]:
    """Cut blocks into some of about `CHUNK_ATOMS` atoms, rejected records of a block with its first conformers."""
    for block in blocks:
        edges = np.flatnonzero(np.diff(block.offset[:-1] // CHUNK_ATOMS)) + 1
        for start, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(block)], strict=True):
            yield replace(block.take(slice(start, stop)), rejected=[] if start else block.rejected)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of each conformer.

    Attributes:
        method: a name in `molgiae.data.cheap_methods.METHODS`.
        polarizability_every: one conformer in so many gets a polarizability; 0 for none.
        chemistry: whether each gets what `molgiae.data.atom_chemistry` tells of its atoms.
        solvents: in which each gets its energy, too.
        time_limit: seconds for one conformer.

    Raises:
        ConfigError: the method is not there, or does not tell what is wanted.
    """

    method: str = "gfn2"
    polarizability_every: int = 0
    chemistry: bool = False
    solvents: tuple[str, ...] = ()
    time_limit: float = TIME_LIMIT

    def __post_init__(self) -> None:
        method = method_named(self.method)
        if self.polarizability_every and "polarizability" not in method.gives:
            raise ConfigError(f"method {self.method} tells no polarizability; use gfn2")
        for solvent in self.solvents:
            if solvent not in method.solvents:
                known = f"use one of {', '.join(method.solvents)}" if method.solvents else "use method gfn2"
                raise ConfigError(f"method {self.method} knows no solvent '{solvent}'; {known}")
        if not self.time_limit > 0:
            raise ConfigError(f"time_limit={self.time_limit:g}: must be positive")

    def answers(
        self, asked: Iterable[tuple[ConformerBlock, list[Plain] | None]], jobs: int | None = None
    ) -> Iterator[tuple[ConformerBlock, list[Plain]]]:
        """Yield blocks and what was found of each of their conformers: fields of `Computed`, or a ``reason``.

        With `chemistry` the fields are joined by one of this name, (n, WIDTH).

        Args:
            asked: blocks, as of `chunks`, and what is already known of one, which is not computed again.
            jobs: processes; None for as many as cores.
        """
        jobs = jobs or free_cores()
        setup = {"method": self.method, "chemistry": self.chemistry, "solvents": self.solvents}
        workers = Workers(jobs, WORKER, setup, self.time_limit)
        with closing(in_order(workers, jobs, partial(self._answer, workers), self._numbered(asked))) as found:
            yield from found

    def _numbered(
        self, asked: Iterable[tuple[ConformerBlock, list[Plain] | None]]
    ) -> Iterator[tuple[int, ConformerBlock, list[Plain] | None]]:
        first = 0
        for block, known in asked:
            yield first, block, known
            first += len(block)

    def _answer(
        self, workers: Workers, item: tuple[int, ConformerBlock, list[Plain] | None]
    ) -> tuple[ConformerBlock, list[Plain]]:
        first, block, known = item
        if known is not None:
            return block, known
        every = self.polarizability_every
        asked = [
            plain({name: getattr(conformer, name) for name in FIELDS})
            | {"polarizability": bool(every) and m % every == 0}
            for m, conformer in enumerate(block, first)
        ]
        return block, _found(workers, asked)


def computed(found: Plain) -> Computed:
    """Return what was found of a conformer, from plain data."""
    fields: Plain = {name: np.array(found[name], np.float64) for name in ("forces", "charges", "dipole")}
    fields |= {name: found[name] for name in ("energy", "gap", "polarizability", "solvation")}
    return Computed(**fields)


def _found(workers: Workers, asked: list[Plain]) -> list[Plain]:
    """Return what was found of each conformer; those that cost a process its life are asked for one by one."""
    if not asked:
        return []
    try:
        return workers.ask({"conformers": asked})["found"]
    except NoAnswerError as error:
        if len(asked) == 1:
            return [{"reason": str(error)}]
        return [found for one in asked for found in _found(workers, [one])]

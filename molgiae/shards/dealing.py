"""De-duplication in shards: conformers are dealt out by molecule, so that all copies meet in one part.

First every share of the inputs becomes a file whose rows are sorted by the part that they are for; then each part reads
its rows of all these files, in the order of the input. Memory holds a share, and the largest set of conformers
that may be copies of each other.
"""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.dedup import Deduplication, deduplicate
from molgiae.commands.outcomes import Reasons, Summary
from molgiae.commands.run import Options, read, stop_at_rejected
from molgiae.config import Distinction
from molgiae.data.blocks import concatenate
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.hdf5.opening import open as open_stored
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.pieces import Share
from molgiae.matching.molecules import formula_of, ignoring, key_of, molecules_of
from molgiae.matching.pairs import Match
from molgiae.shards.part import Job, Plain

DEALT = ".dealt"
"""Folder of the files in between, in a directory of results; removed when all parts are made."""
OF_DEALING = ("format", "on_error", "match", "ignore")
"""Options of de-duplication that matter there."""


def deal(
    inputs: Sequence[str],
    options: Options | None = None,
    *,
    shards: int,
    match: Match | None = None,
    ignore: Collection[Distinction] = (),
    **changes: Any,
) -> Summary:
    """Write conformers sorted by the part that they are for, and beside the file where each part begins.

    Conformers of one formula are for one part; where bonds are matched in any case, those of one bond graph.

    Args:
        inputs: files and pieces.
        options: of the command.
        shards: number of parts.
        match: as of `molgiae.deduplicate`.
        ignore: likewise.
        **changes: fields of `Options`.
    """
    options = (options or Options()).for_a_run(**changes)
    path = Path(options.output or "")
    blocks = []
    with options.bar("deal") as bar:
        for block in read(list(inputs), options, path, keep_text=True) if inputs else ():
            stop_at_rejected(block, options)
            blocks.append(block)
            bar.update(len(block))
    block = concatenate(blocks) if blocks else ConformerBlock.of([])
    part = _parts_for(block, shards, match, ignore)
    order = np.argsort(part, kind="stable")
    starts = np.searchsorted(part[order], np.arange(shards + 1))
    with Hdf5Writer(
        path, columns=(), overwrite=options.overwrite, share=options.share, command=options.command
    ) as file:
        file.append(block.take(order))
        np.save(_starts_file(path), starts)
    reasons = Reasons()
    reasons.add(bad.reason for bad in block.rejected)
    return Summary(
        str(path),
        read=len(block) + len(block.rejected),
        rejected=reasons.total,
        reasons=reasons.most_common(),
        written=len(block),
        notes=options.notes.lines(),
    )


def _starts_file(path: Path) -> Path:
    return path.with_suffix(".npy")


def _parts_for(
    block: ConformerBlock, shards: int, match: Match | None, ignore: Collection[Distinction]
) -> NDArray[np.int64]:
    """Return the number, from 0, of the part that each conformer is for."""
    conformers = [ignoring(conformer, ignore) for conformer in block]
    keys = [repr(formula_of(conformer)).encode() for conformer in conformers]
    if match == "bonds":
        molecules = molecules_of(conformers)
        graphs = [key_of(graph) for graph in molecules.graph]
        keys = [key + graphs[molecule] for key, molecule in zip(keys, molecules.molecule, strict=True)]
    return np.array([zlib.crc32(hashlib.sha256(key).digest()) % shards for key in keys], np.int64)


class DealingJob(Job):
    """Dealing out inputs."""

    def is_ready(self, k: int) -> bool:
        """Return whether share k of the inputs is dealt out."""
        return self.is_made(k) and _starts_file(self.path(k)).exists()


class DedupJob(Job):
    """De-duplication in shards; its parts are made once all inputs are dealt out."""

    @cached_property
    def dealing(self) -> DealingJob:
        """The run that deals them out."""
        how = {name: value for name, value in self.how.items() if name in OF_DEALING}
        folder = str(Path(self.directory, DEALT))
        return DealingJob("deal", self.inputs, folder, self.shards, {**how, "shards": self.shards})

    @property
    def first(self) -> Job:
        """The run that deals them out."""
        return self.dealing

    @cached_property
    def _made_of(self) -> list[str]:
        return [self.dealing.key_of(k) for k in range(1, self.shards + 1)]

    def key_of(self, k: int) -> str:
        """Return the digest of what part k is made from: all inputs."""
        return self.digest([*self._made_of, k])

    @cached_property
    def _dealt(self) -> Embeddings:
        """What was dealt out, opened once for all parts that a process makes."""
        return open_stored(self.dealing.directory)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """(N, N + 1) rows of what was dealt out where the rows for each part begin in each file, and where they end."""
        starts = [np.load(_starts_file(self.dealing.path(i))) for i in range(1, self.shards + 1)]
        first = np.cumsum([0, *(int(of_file[-1]) for of_file in starts)])
        return np.stack(starts) + first[:-1, None]

    def make(self, k: int, names: Sequence[str] | None = None) -> Plain:
        """Make part k; the first lists all records that were rejected."""
        spans = [(a, b) for a, b in self._starts[:, k - 1 : k + 1].tolist() if a < b]
        blocks = [self._dealt.block(a, b) for a, b in spans]
        block = concatenate(blocks) if blocks else ConformerBlock.of([])
        if k == 1:
            block = replace(block, rejected=list(self._dealt.rejected()))
        how: Plain = {**self.how, "on_error": "skip", "output": self.path(k), "overwrite": True}
        share = Share(self.key_of(k), (), str(self.progress(k)))
        summary = deduplicate(block, **how, command=self.told([]), share=share)
        assert isinstance(summary, Deduplication)
        return summary.to_dict()

    def finish(self) -> None:
        """Remove what was dealt out."""
        shutil.rmtree(self.dealing.directory, ignore_errors=True)

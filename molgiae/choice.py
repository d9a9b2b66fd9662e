"""Which shipped model fits conformers: the smallest of those whose domain covers most of them, all if it can be.

Conformers pass once and a file may be huge, so the choice is made by a look: the first `LOOK` conformers, which are
kept until it is made, and if more follow a glimpse of places all over the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.catalogue import ShippedModel, by_default, catalogue
from molgiae.clouds import pack
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.glimpse import glimpse
from molgiae.domain import accepted, composition_in_domain, extent, extent_in_domain
from molgiae.errors import CheckpointError, MolgiaeError
from molgiae.inference import as_block, batches_by_size, reject_meaningless

LOOK = 4096
BATCH = 256


@dataclass(frozen=True)
class Choice:
    """A shipped model that was chosen, and why.

    Attributes:
        model: name.
        seen: conformers looked at.
        complete: whether there are no others.
        covered: how many of them lie in the domain of each candidate, smallest candidate first.
        accepted: how many of them each candidate can embed at all.
    """

    model: str
    seen: int
    complete: bool
    covered: dict[str, int]
    accepted: dict[str, int]

    @property
    def reason(self) -> str:
        """One line for the user."""
        here = self.covered[self.model]
        others = ", ".join(f"{name} {n}" for name, n in self.covered.items() if name != self.model)
        of = f"{self.seen} conformers" + ("" if self.complete else " looked at")
        if not self.seen:
            return f"auto chose {self.model}, the smallest shipped model: no conformer was legible"
        if here == self.seen:
            which = "the smallest shipped model" if others else "the shipped model"
            return f"auto chose {self.model}, {which} whose domain covers all {of}"
        if not here:
            return f"auto chose {self.model}, which takes {self.accepted[self.model]} of {of}; no domain covers any"
        beside = f" ({others})" if others else ""
        return f"auto chose {self.model}, whose domain covers most: {here} of {of}{beside}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"reason": self.reason, "seen": self.seen, "complete": self.complete, "covered": self.covered}


class Watch:
    """A choice, and whether the conformers that follow bear it out.

    Args:
        choice: made by a look.
        candidates: the models it was made of.
    """

    def __init__(self, choice: Choice, candidates: Sequence[ShippedModel]) -> None:
        self.choice = choice
        self._candidates = candidates
        self._passed = 0
        self._covered = dict.fromkeys(choice.covered, 0)

    def over(self, blocks: Iterable[ConformerBlock]) -> Iterator[ConformerBlock]:
        """The same blocks, counted if the look was not at all of them; distances are left out, they cost."""
        for block in blocks:
            if not self.choice.complete:
                self._passed += len(block)
                for model in self._candidates:
                    self._covered[model.name] += int(composition_in_domain(model.domain, block).sum())
            yield block

    def advice(self) -> list[str]:
        """A line if another model would have covered more of the conformers that have passed."""
        best = max(self._covered, key=lambda name: self._covered[name])
        mine = self._covered[self.choice.model]
        if self._covered[best] <= mine:
            return []
        return [
            f"of all {self._passed} conformers the domain of {best} would cover {self._covered[best]}, that of "
            f"{self.choice.model} {mine}: the look at {self.choice.seen} missed it; use --model {best}"
        ]


def choose(conformers: ConformerBlock | Iterable[Conformer]) -> Choice:
    """The shipped model for conformers in memory.

    Args:
        conformers: a block, or any iterable of conformers.

    Raises:
        CheckpointError: if no model is shipped, or one is damaged.
    """
    candidates = _candidates()
    return _choice(candidates, [as_block(conformers)], complete=True)


def choose_by_look(
    blocks: Iterable[ConformerBlock], inputs: Sequence[str], format: str | None = None
) -> tuple[Watch, Iterator[ConformerBlock]]:
    """The shipped model for a stream, and the same stream.

    Args:
        blocks: of conformers, read from the inputs.
        inputs: files, directories and ``-``.
        format: of structure files; None to go by name and content.

    Returns:
        the choice, and all of the blocks. An error in reading those that were looked at is raised when it is the
        turn of the block where it occurred.

    Raises:
        CheckpointError: if no model is shipped, or one is damaged.
        MolgiaeError: if there is no block at all.
    """
    candidates, stream = _candidates(), iter(blocks)
    seen: list[ConformerBlock] = []
    failure: MolgiaeError | None = None
    complete = False
    while not complete and sum(map(len, seen)) < LOOK:
        try:
            seen.append(next(stream))
        except StopIteration:
            complete = True
        except MolgiaeError as error:
            if not seen:
                raise
            failure, complete = error, True
    elsewhere = [] if complete else glimpse(inputs, format)
    watch = Watch(_choice(candidates, [*seen, *elsewhere], complete=complete), candidates)
    return watch, watch.over(_replayed(seen, stream, failure))


def _replayed(
    seen: list[ConformerBlock], rest: Iterator[ConformerBlock], failure: MolgiaeError | None
) -> Iterator[ConformerBlock]:
    while seen:
        yield seen.pop(0)
    if failure is not None:
        raise failure
    yield from rest


def _candidates() -> list[ShippedModel]:
    candidates = by_default(catalogue())
    if not candidates:
        raise CheckpointError(
            "no model is shipped with this molgiae; name the path of a checkpoint with --model"
        )
    return candidates


def _choice(
    candidates: Sequence[ShippedModel], blocks: Iterable[ConformerBlock], *, complete: bool
) -> Choice:
    meaningful = [block for block in map(reject_meaningless, blocks) if len(block)]
    covered, takes = ({model.name: 0 for model in candidates} for _ in range(2))
    for block in meaningful:
        inside = _in_domains(candidates, block)
        for model, flags in zip(candidates, inside, strict=True):
            covered[model.name] += int(flags.sum())
            takes[model.name] += int(accepted(model.config, block).sum())
    # max takes the first of equals, the smallest
    best = max(covered, key=lambda name: (covered[name], takes[name]))
    return Choice(best, sum(map(len, meaningful)), complete, covered, takes)


def _in_domains(models: Sequence[ShippedModel], block: ConformerBlock) -> NDArray[np.bool_]:
    """(models, M) as `molgiae.domain.in_domain`, with distances taken once, of conformers that may pass."""
    inside = np.stack([composition_in_domain(model.domain, block) for model in models])
    possible = np.flatnonzero(inside.any(axis=0))
    for rows in batches_by_size(block.n_atoms[possible], BATCH):
        part = block.take(possible[rows])
        extents = extent(pack(part.atomic_number, part.position, part.offset))
        for model, flags in zip(models, inside, strict=True):
            flags[possible[rows]] &= extent_in_domain(model.domain, extents)
    return inside

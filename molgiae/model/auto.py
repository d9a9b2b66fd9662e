"""Which shipped model fits conformers: the smallest of those whose domain covers most of them, all if it can be.

One file gets one model, as embeddings of different models are not compared. Conformers that another model would hold
as well or alone are counted, and the user is told how to embed them with it (`Choice.elsewhere`).

Conformers pass once and a file may be huge, so the choice is made by a look: the first `CONFORMERS_LOOKED_AT`, which
are kept until it is made, and if more follow a glimpse of places all over the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from molgiae.data.blocks import as_block
from molgiae.data.bond_geometry import Bonding
from molgiae.data.checks import reject_meaningless
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.elements import SYMBOLS
from molgiae.data.inputs import glimpse
from molgiae.errors import CheckpointError, MolgiaeError
from molgiae.model.domain import COMPOSITION, accepted, in_domain
from molgiae.model.shipped import ShippedModel, by_default, catalogue

CONFORMERS_LOOKED_AT = 4096


@dataclass(frozen=True)
class Choice:
    """A shipped model that was chosen, and why.

    Attributes:
        model: name.
        seen: conformers looked at.
        complete: whether there are no others.
        covered: how many of them lie in the domain of each candidate, smallest candidate first.
        accepted: how many of them the chosen model can embed at all.
        beyond: how many of them lie in the domain of each candidate and not in that of the chosen one.
        limits: what the chosen model takes.
    """

    model: str
    seen: int
    complete: bool
    covered: dict[str, int]
    accepted: int
    beyond: dict[str, int]
    limits: str

    @property
    def _seen(self) -> str:
        return f"{self.seen} conformers" + ("" if self.complete else " looked at")

    @property
    def reason(self) -> str:
        """Why this model was chosen, one line for the user."""
        here, chose = self.covered[self.model], f"auto chose {self.model}"
        others = ", ".join(f"{name} {n}" for name, n in self.covered.items() if name != self.model)
        if not self.seen:
            return f"{chose}, the smallest shipped model: no conformer was legible"
        if here == self.seen:
            which = "the smallest shipped model" if others else "the shipped model"
            return f"{chose}, {which} whose domain covers all {self._seen}"
        if not here:
            takes = f"which takes {self.accepted} of {self._seen} ({self.limits})"
            return f"{chose}, {takes}; no domain covers any"
        beside = f" ({others})" if others else ""
        return f"{chose}, whose domain covers most: {here} of {self._seen}{beside}"

    def elsewhere(self) -> list[str]:
        """Return a line for each other candidate that holds conformers better: of a smaller domain, or alone."""
        names = list(self.covered)
        smaller = names[: names.index(self.model)]
        lines = []
        for name in names:
            held, alone = self.covered[name], self.beyond[name]
            if name == self.model or not (alone or (held and name in smaller)):
                continue
            line = f"{held} of {self._seen} are in the domain of {name}"
            line += f", {alone} of them outside of that of {self.model}" if alone else ""
            line += ", which is narrower and keeps them better" if name in smaller else ""
            lines.append(
                f"{line}: for these run again with --model {name} and another --output; its in_domain tells which"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {k: getattr(self, k) for k in ("reason", "seen", "complete", "covered", "beyond")}


class Watch:
    """A choice made by a look, and whether the conformers that follow bear it out."""

    def __init__(self, choice: Choice, candidates: Sequence[ShippedModel]) -> None:
        self.choice = choice
        self._candidates = candidates
        self._passed = 0
        self._covered = dict.fromkeys(choice.covered, 0)

    def over(self, blocks: Iterable[ConformerBlock]) -> Iterator[ConformerBlock]:
        """Yield the same blocks, counted if the look was not at all of them; distances are left out, they cost."""
        for block in blocks:
            if not self.choice.complete:
                self._passed += len(block)
                for model in self._candidates:
                    inside = in_domain(model.domain, block, rules=COMPOSITION)
                    self._covered[model.name] += int(inside.sum())
            yield block

    def advice(self) -> list[str]:
        """Return a line if another model would have covered more of the conformers that have passed."""
        best = max(self._covered, key=lambda name: self._covered[name])
        mine = self._covered[self.choice.model]
        if self._covered[best] <= mine:
            return []
        return [
            f"of all {self._passed} conformers the domain of {best} would cover {self._covered[best]}, that of "
            f"{self.choice.model} {mine}: the look at {self.choice.seen} missed it; use --model {best}"
        ]


def choose(conformers: ConformerBlock | Iterable[Conformer]) -> Choice:
    """Return the shipped model for conformers in memory.

    Raises:
        CheckpointError: if no model is shipped, or one is damaged.
    """
    return _choice(_candidates(), [as_block(conformers)], complete=True)


def choose_by_look(
    blocks: Iterable[ConformerBlock], inputs: Sequence[str], format: str | None = None
) -> tuple[Watch, Iterator[ConformerBlock]]:
    """Return the shipped model for a stream of conformers read from inputs, and the same stream.

    An error in reading blocks that were looked at is raised when it is the turn of the block where it occurred.

    Raises:
        CheckpointError: if no model is shipped, or one is damaged.
        MolgiaeError: if there is no block at all.
    """
    candidates, stream = _candidates(), iter(blocks)
    seen: list[ConformerBlock] = []
    failure: MolgiaeError | None = None
    complete = False
    while not complete and sum(map(len, seen)) < CONFORMERS_LOOKED_AT:
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
    inside, taken = np.zeros((len(candidates), 0), bool), np.zeros(len(candidates), int)
    for block in meaningful:
        bonding = Bonding(block)  # once for all candidates
        flags = [in_domain(model.domain, block, bonding) for model in candidates]
        inside = np.concatenate([inside, flags], axis=1)
        taken += [accepted(model.config, block).sum() for model in candidates]
    covered = inside.sum(axis=1)
    # max takes the first of equals, the smallest; where no model takes any, the limits of the largest say most
    best = max(range(len(candidates)), key=lambda k: (covered[k], taken[k]))
    if inside.shape[1] and not taken[best]:
        best = len(candidates) - 1
    names, config = [model.name for model in candidates], candidates[best].config
    beyond = (inside & ~inside[best]).sum(axis=1)
    return Choice(
        model=names[best],
        seen=inside.shape[1],
        complete=complete,
        covered=dict(zip(names, covered.tolist(), strict=True)),
        accepted=int(taken[best]),
        beyond=dict(zip(names, beyond.tolist(), strict=True)),
        limits=f"{' '.join(SYMBOLS[z] for z in config.elements)}, up to {config.max_atoms} atoms",
    )

"""What composition explains of a property is taken off before learning, and put back on prediction.

Energies are measured from free atoms (a table) and then from the least squares of what is left on the numbers of atoms;
other extensive properties from the least squares alone; intensive ones from their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from molgiae.config import MAX_ATOMIC_NUMBER
from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import SYMBOLS
from molgiae.errors import ConfigError
from molgiae.properties.targets import Target

Floats = NDArray[np.float64]
Kind = Literal["auto", "atoms", "composition", "mean", "none"]

MIN_SINGULAR_VALUE = 1e-10
"""Singular values of the counts smaller than this times the largest count as zero."""


def composition(block: ConformerBlock, elements: Sequence[int]) -> Floats:
    """Return (M, E) atoms of each element in each conformer."""
    counts = np.empty((len(block), len(elements)))
    for column, z in enumerate(elements):
        counts[:, column] = block.count(block.atomic_number == z)
    return counts


@dataclass(frozen=True, eq=False)
class References:
    """offset + counts @ coefficient, for T targets.

    Attributes:
        kind: for each target what was done: "atoms" (table and least squares, or the table alone where that was asked
            for), "composition", "mean" or "none".
        elements: E atomic numbers, ascending.
        coefficient: (E, T) for each atom, in the units of the targets.
        offset: (T,).
        seen: the elements that were in the training set; where others occur, a prediction has no ground.
    """

    kind: tuple[str, ...]
    elements: tuple[int, ...]
    coefficient: Floats
    offset: Floats
    seen: tuple[int, ...]

    def of(self, block: ConformerBlock) -> Floats:
        """Return (M, T) what composition explains; atoms of elements without coefficient count nothing."""
        return self.offset + composition(block, self.elements) @ self.coefficient

    def unseen(self, block: ConformerBlock) -> NDArray[np.bool_]:
        """Return (M,) whether a conformer has an element that was not in the training set."""
        return composition(block, self.seen).sum(axis=1) < block.n_atoms

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else list(value)
            for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return references of plain data.

        Raises:
            ConfigError: if an element is none.
        """
        elements, seen = (tuple(int(z) for z in data[name]) for name in ("elements", "seen"))
        if unknown := [z for z in (*elements, *seen) if not 1 <= z <= MAX_ATOMIC_NUMBER]:
            raise ConfigError(f"references of atomic number {unknown[0]}: expected 1 to {MAX_ATOMIC_NUMBER}")
        return cls(
            tuple(data["kind"]),
            elements,
            np.array(data["coefficient"], np.float64).reshape(len(elements), len(data["kind"])),
            np.array(data["offset"], np.float64),
            seen,
        )


def fit_references(
    block: ConformerBlock, values: Floats, targets: Sequence[Target], kind: Kind = "auto"
) -> References:
    """Fit to a training set.

    Least squares are of minimum norm: where numbers of atoms depend on each other, as among isomers, the
    atoms share what they explain, and predictions hold for compositions like those fitted.

    Args:
        block: M training conformers.
        values: (M, T) in the units of the T targets, NaN where missing.
        targets: T targets.
        kind: of all targets; "auto" as this module says. The "mean" of energies with a table is that of what binds
            the atoms: nobody should be beaten who does not know that carbon weighs more than hydrogen.

    Raises:
        ConfigError: "atoms" was asked for a target without table, or for elements that are not in it.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"references '{kind}': expected one of {', '.join(get_args(Kind))}")
    seen = np.unique(block.atomic_number).tolist()
    elements = tuple(sorted({*seen, *(z for target in targets for z in target.references or {})}))
    counts = composition(block, elements)
    kinds = tuple(_kind_of(target, kind) for target in targets)
    coefficient, offset = np.zeros((len(elements), len(targets))), np.zeros(len(targets))
    for t, (target, chosen) in enumerate(zip(targets, kinds, strict=True)):
        if chosen == "atoms" or (chosen == "mean" and set(seen) <= set(target.references or {})):
            coefficient[:, t] = _table(target, elements, seen, needed=kind == "atoms")
        known = np.isfinite(values[:, t])
        rest = values[known, t] - counts[known] @ coefficient[:, t]
        if chosen == "mean":
            offset[t] = rest.mean() if len(rest) else 0.0
        elif chosen == "composition" or (chosen == "atoms" and kind == "auto"):
            slope, offset[t] = _least_squares(counts[known], rest)
            coefficient[:, t] += slope
    return References(kinds, elements, coefficient, offset, tuple(seen))


def _kind_of(target: Target, kind: Kind) -> str:
    if target.odd or target.binary:
        return "none"  # what changes its sign has no mean, and a probability is no sum
    if kind != "auto":
        return kind
    if target.references is not None:
        return "atoms"
    return "composition" if target.extensive else "mean"


def _least_squares(counts: Floats, values: Floats) -> tuple[Floats, float]:
    """Return coefficients (E,) and constant of the least squares of minimum norm about the mean composition."""
    if not len(values):
        return np.zeros(counts.shape[1]), 0.0
    middle, mean = counts.mean(axis=0), values.mean()
    slope = np.linalg.lstsq(counts - middle, values - mean, rcond=MIN_SINGULAR_VALUE)[0]
    return slope, float(mean - middle @ slope)


def _table(target: Target, elements: Sequence[int], seen: Sequence[int], needed: bool) -> Floats:
    table = target.references or {}
    if needed and (absent := [SYMBOLS[z] for z in seen if z not in table]):
        lacks = f"of {', '.join(absent)}" if table else "at all"
        raise ConfigError(
            f"{target.name} has no energies of free atoms {lacks}; use references by composition"
        )
    return np.array([table.get(z, 0.0) for z in elements])

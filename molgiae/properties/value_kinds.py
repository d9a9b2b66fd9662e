"""What values turn out to be when they are looked at: total energies or others, numbers or classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import ConformerBlock
from molgiae.errors import ConfigError
from molgiae.properties.targets import KNOWN, Target
from molgiae.properties.units import UNITS, conversion

Floats = NDArray[np.float64]
Kinds = tuple[tuple[Target, ...], list[str]]
"""The targets as they are found to be, and what is to be said of that."""

TOTAL_ENERGY_RATIO = 0.95, 1.1
"""Bounds of total energies over those of the free atoms."""
MOST = 0.9
"""Share of the records within these bounds that makes their energies total ones."""


def classes_by_values(values: Floats, targets: Sequence[Target], classify: bool | None, where: str) -> Kinds:
    """Make targets that are not known binary where their values (M, T) are 0 and 1, or as was asked.

    Raises:
        ConfigError: classes were asked for of other values, or of what adds up or changes its sign in the mirror.
    """
    found, notes = list(targets), []
    for t, target in enumerate(targets):
        column = values[np.isfinite(values[:, t]), t]
        strange = column[(column != 0) & (column != 1)]
        adds_up = target.extensive or target.odd
        if target.name in KNOWN or classify is False or (classify is None and (adds_up or len(strange))):
            continue
        if len(strange):
            raise ConfigError(f"{where}: classes of {target.name} are 0 and 1, and it has {strange[0]:g}")
        if adds_up:
            raise ConfigError(
                f"{where}: {target.name} is to be 0 or 1, which neither adds up nor changes its sign"
            )
        found[t] = replace(target, binary=True)
        if classify is None:
            notes.append(
                f"all values of {target.name} are 0 or 1: its probability is learned (--no-classify for a number)"
            )
    return tuple(found), notes


def energies_by_size(
    block: ConformerBlock, values: Floats, targets: Sequence[Target], units: Sequence[str], where: str
) -> Kinds:
    """Take references from energies that are not a little below those of the free atoms, as total energies are.

    Values are (M, T) in the units of the targets; `units` are those in which they were read.

    Raises:
        ConfigError: they would be total energies in another unit than was said or assumed.
    """
    found, notes = list(targets), []
    for t, (target, unit) in enumerate(zip(targets, units, strict=True)):
        ratio = _ratio_to_atoms(block, values[:, t], target.references or {})
        if not len(ratio) or _are_total(ratio):
            continue
        like = next((name for name in UNITS["energy"] if _are_total(ratio * conversion(name, unit))), None)
        if like:
            raise ConfigError(
                f"{where}: units disagree: {target.name} is read as {unit}, but its values have the size of total "
                f"energies in {like}; say --unit {like}"
            )
        found[t] = replace(target, references=None)
        notes.append(
            f"{target.name} is no total energy like that of the table ({np.median(ratio):.3g} times that of the free "
            "atoms): referenced to the composition of the training set alone"
        )
    return tuple(found), notes


def _are_total(ratio: Floats) -> bool:
    low, high = TOTAL_ENERGY_RATIO
    return bool(np.mean((ratio > low) & (ratio < high)) > MOST)


def _ratio_to_atoms(block: ConformerBlock, values: Floats, atoms: Mapping[int, float]) -> Floats:
    """Return values over the sums of free atoms, where all of these are known."""
    energy = np.full(256, np.nan)
    energy[list(atoms)] = list(atoms.values())
    ratio = values / np.bincount(block.owner, energy[block.atomic_number], len(block))
    return ratio[np.isfinite(ratio)]

"""The difference to a cheap method is learned in place of a property, and the method is added back on prediction.

What a method lacks of the truth is smoother than the truth, and takes fewer labels (Ramakrishnan, Dral, Rupp and von
Lilienfeld, J. Chem. Theory Comput. 11, 2087, 2015). Values that `molgiae label` has put into the records are taken from
there; others are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from molgiae.data.cheap_methods import QUANTITIES, method_named
from molgiae.data.cheap_values import computed_values
from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.errors import ConfigError
from molgiae.properties.columns import properties_of
from molgiae.properties.labels import Labelled
from molgiae.properties.targets import Target
from molgiae.properties.units import conversion

Floats = NDArray[np.float64]

COUNTERPARTS = {"gap": "gap", "dipole": "dipole", "polarisability": "polarizability"}
"""What a method tells, by the names of known targets; of energies that add up over atoms it is the energy."""


def quantity_of(target: Target, method: str) -> str:
    """Return what a method tells that stands for a target.

    Raises:
        ConfigError: there is nothing, or the method or what it needs is not there.
    """
    found = "energy" if target.energy and target.extensive else COUNTERPARTS.get(target.name, "")
    if found not in method_named(method).gives:
        raise ConfigError(
            f"--baseline {method} tells nothing like {target.name}: it has {', '.join(method_named(method).gives)}; "
            "energies by a column need --extensive and a unit"
        )
    return found


def cheap_values(
    block: ConformerBlock, targets: Sequence[Target], method: str, *, progress: bool = False
) -> tuple[Floats, dict[int, str]]:
    """Return what a method says of M conformers, (M, T) in the units of T targets, and why it says nothing of some.

    Raises:
        ConfigError: a target has no counterpart.
    """
    names = [quantity_of(target, method) for target in targets]
    keys = [f"{method_named(method).prefix}_{name}" for name in names]
    values = np.array([[_recorded(c, key) for key in keys] for c in block], np.float64).reshape(-1, len(keys))
    missing = np.flatnonzero(np.isnan(values).any(axis=1))
    reasons: dict[int, str] = {}
    if len(missing):
        polarizability = "polarizability" in names
        found = computed_values(block.take(missing), method, polarizability=polarizability, progress=progress)
        values[missing] = np.stack([getattr(found, name) for name in names], axis=1)
        reasons = {int(m): reason for m, reason in zip(missing, found.reason, strict=True) if reason}
    factors = [conversion(QUANTITIES[n], t.unit) for n, t in zip(names, targets, strict=True)]
    return values * factors, reasons


def _recorded(conformer: Conformer, key: str) -> float:
    """Return the value that a record holds; NaN for none."""
    try:
        return float(properties_of(conformer).get(key, "nan"))
    except ValueError:
        return np.nan


def with_baseline(labelled: Labelled, method: str, *, progress: bool = False) -> Labelled:
    """Return conformers with what a method says of them; those of which it says nothing are listed as missing.

    Raises:
        ConfigError: a target has no counterpart, or the method says nothing of any conformer.
    """
    cheap, reasons = cheap_values(labelled.block, labelled.targets, method, progress=progress)
    lost: list[Rejected] = [labelled.block.rejection(m, reason) for m, reason in reasons.items()]
    kept = np.setdiff1d(np.arange(len(labelled)), list(reasons))
    if not len(kept):
        raise ConfigError(f"--baseline {method} fails for all {len(labelled)} records: {lost[0].reason}")
    found = replace(labelled, baseline=method, cheap=cheap).take(kept)
    return replace(found, missing=(*labelled.missing, *lost))


def with_cheap_values(
    block: ConformerBlock, targets: Sequence[Target], method: str
) -> tuple[ConformerBlock, Floats]:
    """Return conformers, and what a method says of them; those of which it says nothing are rejected."""
    cheap, reasons = cheap_values(block, targets, method)
    kept = np.setdiff1d(np.arange(len(block)), list(reasons))
    return block.reject(reasons), cheap[kept]

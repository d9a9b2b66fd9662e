"""Which conformers may be of one molecule: nuclides, charge and spin, which are more than a formula on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from molgiae.config import Distinction
from molgiae.data.conformer import NATURAL, Conformer
from molgiae.data.elements import SYMBOLS

Formula = tuple[bytes, tuple[int, int]]
"""Sorted elements and isotopes; charge and multiplicity."""


def formula_of(conformer: Conformer) -> Formula:
    """Return what two conformers must have in common before their bonds are compared."""
    return np.sort(conformer.species).tobytes(), conformer.state


def ignoring(conformer: Conformer, ignored: Collection[Distinction]) -> Conformer:
    """Return the conformer as it looks when some distinctions are not made."""
    if not ignored:
        return conformer
    return replace(
        conformer,
        isotope=NATURAL if "isotopes" in ignored else conformer.isotope,
        charge=0 if "charge" in ignored else conformer.charge,
        multiplicity=1 if "multiplicity" in ignored else conformer.state[1],
    )


def difference(conformer: Conformer, reference: Conformer, ignored: Collection[Distinction] = ()) -> str:
    """Return why a conformer cannot be of the molecule of a reference; empty if its formula is the same."""
    first, second = ignoring(conformer, ignored), ignoring(reference, ignored)
    if formula_of(first) == formula_of(second):
        return ""
    if not np.array_equal(np.sort(first.atomic_number), np.sort(second.atomic_number)):
        return f"formula {hill(conformer)} differs from that of the reference, {hill(reference)}"
    if not np.array_equal(np.sort(first.species), np.sort(second.species)):
        return "isotopes differ from those of the reference; --ignore isotopes takes them for the same"
    name, k = ("charge", 0) if first.charge != second.charge else ("multiplicity", 1)
    return (
        f"{name} {first.state[k]} differs from that of the reference, {second.state[k]}; "
        f"--ignore {name} takes them for the same"
    )


def hill(conformer: Conformer) -> str:
    """Return the molecular formula in Hill order: carbon, hydrogen, the others by the alphabet."""
    count = Counter(SYMBOLS[z] for z in conformer.atomic_number.tolist())
    first = [s for s in ("C", "H") if "C" in count and s in count]
    rest = sorted(set(count) - set(first))
    return "".join(s + (str(count[s]) if count[s] > 1 else "") for s in [*first, *rest])

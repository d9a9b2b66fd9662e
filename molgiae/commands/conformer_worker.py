"""``python -m molgiae.commands.conformer_worker``: makes conformers of the molecules that come in as lines of JSON.

A process of its own, because nothing else can stop RDKit when it hangs, or outlive it when it crashes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from molgiae.config import ConformerSearch
from molgiae.data.conformer import Conformer
from molgiae.data.etkdg import be_silent, embed_and_minimise
from molgiae.data.writers import sdf_record
from molgiae.errors import ConformerError
from molgiae.matching import kabsch
from molgiae.matching.copies import Rule, find_duplicates
from molgiae.parallel.processes import serve


def answer(question: dict[str, Any], search: ConformerSearch) -> dict[str, Any]:
    """Return the conformers of one molecule, or why there are none.

    Args:
        question: ``text``, ``is_smiles`` and ``title`` of `molgiae.data.molecule_files.Molecule`.
        search: how to make them.

    Returns:
        ``sdf``, the text of all records, and ``written``, how many these are; or the ``reason``.
    """
    try:
        found = embed_and_minimise(question["text"], question["is_smiles"], question["title"], search)
    except ConformerError as error:
        return {"reason": error.reason}
    kept = selected(found, search)
    numbered = (
        replace(conformer, properties={**conformer.properties, "conformer": str(number)})
        for number, conformer in enumerate(kept, 1)
    )
    return {"sdf": "".join(sdf_record(c, None) for c in numbered), "written": len(kept)}


def selected(conformers: Sequence[Conformer], search: ConformerSearch) -> list[Conformer]:
    """Return conformers within the energy window and apart from each other, as many as are wanted, lowest energy first.

    They are of one molecule, in one order of atoms, and are given lowest energy first.
    """
    kept = list(conformers)
    if search.energy_window is not None:
        energy = [float(c.properties[f"{search.force_field}_energy"]) for c in kept]
        kept = [c for c, e in zip(kept, energy, strict=True) if e <= energy[0] + search.energy_window]
    if search.prune > 0:
        # mirror images stay
        near = _apart_as_numbered(kept, search.prune)
        into = find_duplicates(near, Rule(threshold=search.prune)).into
        kept = [conformer for conformer, copy_of in zip(near, into, strict=True) if copy_of < 0]
    return kept[: search.keep]


def _apart_as_numbered(conformers: list[Conformer], reach: float) -> list[Conformer]:
    """Leave out conformers that lie on an earlier one atom by atom, which is quick and leaves little to compare."""
    position = np.stack([conformer.position for conformer in conformers])
    kept: list[int] = []
    for k in range(len(conformers)):
        if not kept or kabsch(position[kept], position[k : k + 1].repeat(len(kept), 0))[2].min() > reach:
            kept.append(k)
    return [conformers[k] for k in kept]


def answering(setup: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return `answer` of a search."""
    be_silent()
    return partial(answer, search=ConformerSearch.from_dict(setup))


if __name__ == "__main__":
    serve(answering)

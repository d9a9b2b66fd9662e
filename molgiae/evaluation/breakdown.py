"""Where reconstructions are good and where not: by number of atoms, and by element."""

from __future__ import annotations

import numpy as np

from molgiae.data.elements import SYMBOLS
from molgiae.evaluation.report import Figures
from molgiae.model.embedder import Result
from molgiae.training.metrics import Reconstruction

BIN = 10
"""Numbers of atoms in one row: up to 9, 10 to 19, and so on."""


def by_atoms(predicted: Reconstruction, solved: Reconstruction) -> dict[str, Figures]:
    """Figures of conformers of about one size.

    Args:
        predicted: M conformers, as predicted.
        solved: the same, with solved RMSD.

    Returns:
        for ``"10-19"`` atoms and so on, smallest first, `conformers`, the summary of `Reconstruction`, and
        `solved_rmsd_mean`.
    """
    which = predicted.n_atoms // BIN
    figures: dict[str, Figures] = {}
    for size in np.unique(which).tolist():
        part, same = predicted.take(which == size), solved.take(which == size)
        figures[f"{max(size * BIN, 1)}-{size * BIN + BIN - 1}"] = {
            "conformers": len(part.n_atoms),
            **part.summary(),
            "solved_rmsd_mean": float(same.rmsd.mean()),
        }
    return figures


def by_element(result: Result, predicted: Reconstruction) -> dict[str, Figures]:
    """Figures of the atoms of each element, and of the conformers that have such.

    Args:
        result: with reconstruction, M conformers.
        predicted: the same.

    Returns:
        for each symbol, by atomic number, `conformers` that have the element, their `rmsd_mean` and
        `formula_accuracy`; of its `atoms` the root mean square `displacement` as predicted, angstrom, and
        `type_accuracy`.
    """
    block = result.block
    owner = np.repeat(np.arange(len(block)), block.n_atoms)
    square = np.square(result["reconstructed_position"] - block.position).sum(axis=1)
    right = result["reconstructed_atomic_number"] == block.atomic_number
    figures: dict[str, Figures] = {}
    for element in np.unique(block.atomic_number).tolist():
        atoms = block.atomic_number == element
        with_it = predicted.take(np.isin(np.arange(len(block)), owner[atoms]))
        figures[SYMBOLS[element]] = {
            "conformers": len(with_it.n_atoms),
            "rmsd_mean": float(with_it.rmsd.mean()),
            "formula_accuracy": float(with_it.formula_right.mean()),
            "atoms": int(atoms.sum()),
            "displacement": float(np.sqrt(square[atoms].mean())),
            "type_accuracy": float(right[atoms].mean()),
        }
    return figures

"""What comes back from an embedding: positions as predicted and as solved, elements, formula; and how fast."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from molgiae.data.blocks import Result
from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import SYMBOLS
from molgiae.evaluation.descriptors import with_atoms
from molgiae.evaluation.report import Figures, Track
from molgiae.matching import superpose
from molgiae.model.cloud import batches, squared_deviation
from molgiae.model.embedder import Embedder
from molgiae.training.metrics import Reconstruction

WORST = 10
"""Reconstructions that the report shows atom by atom."""
REPEATS = 3
"""Runs of which the fastest is the throughput."""
LENGTHS_APART = 32
"""Numbers of a nested code between two rows of the table by length."""
MOST_KINDS = 20
"""More kinds than this in titles are names."""
NUMBERED = re.compile(r"[\s_-]*\d+$")
"""A number at the end of a title."""
SIZES_IN_A_ROW = 10
"""Numbers of atoms in one row of the table by size: up to 9, 10 to 19, and so on."""


def reconstruction(embedder: Embedder, block: ConformerBlock, *, track: Track = iter) -> Figures:
    """Reconstruct every conformer and compare.

    As predicted: the group action of the conformer puts the decoded canonical element into its pose and order, and
    atom i is compared with the slot it was given, whatever element that slot predicts. As solved: from there, slots
    are assigned anew to the atoms of the element of the atom they were given, and superposed by a proper Kabsch
    rotation, in turn until nothing changes; this never uses the predicted elements either.

    Returned are the summary of `training.metrics.Reconstruction`; with the prefix ``solved_`` the same of the solved
    RMSD; `by_atoms`, `by_charge`, `by_kind`, `by_element` and `by_length`; `worst`, the conformers with the largest
    RMSD, and their coordinates; `series`, both RMSD (angstrom) and n_atoms of each.
    """
    result = embedder.embed(block, reconstruct=True)
    right = result["reconstructed_atomic_number"] == block.atomic_number
    types_right = np.add.reduceat(right, block.offset[:-1], dtype=np.int64)
    formula_right = result["decoded_formula"] == 1
    predicted = Reconstruction(result["rmsd"], types_right, formula_right, block.n_atoms)
    rmsd = np.fromiter(track(solved_rmsd(result)), dtype=np.float64, count=len(block))
    solved = Reconstruction(rmsd, types_right, formula_right, block.n_atoms)
    return {
        **predicted.summary(),
        **{f"solved_{key}": value for key, value in solved.summary().items() if key.startswith("rmsd")},
        "by_atoms": by_row(predicted, solved, block.n_atoms // SIZES_IN_A_ROW, _sizes),
        "by_charge": by_row(predicted, solved, block.charge, "{:+d}".format),
        "by_kind": by_row(predicted, solved, kinds(block.title), str),
        "by_length": by_length(embedder, result),
        "by_element": by_element(result, predicted),
        "worst": [
            _described(result, m)
            | {"solved_rmsd": float(rmsd[m]), "types_wrong": int(block.n_atoms[m] - types_right[m])}
            for m in np.argsort(-result["rmsd"])[:WORST].tolist()
        ],
        "series": {
            "rmsd": np.round(result["rmsd"], 6).tolist(),
            "solved_rmsd": np.round(rmsd, 6).tolist(),
            "n_atoms": block.n_atoms.tolist(),
        },
    }


def by_row(
    predicted: Reconstruction, solved: Reconstruction, row: NDArray[Any], name: Callable[[Any], str]
) -> dict[str, Figures]:
    """Return, for each row that conformers (M,) are in, their number, summary and mean solved RMSD; none for one."""
    found = np.unique(row).tolist()
    figures: dict[str, Figures] = {}
    for each in found if len(found) > 1 else ():
        part, same = predicted.take(row == each), solved.take(row == each)
        figures[name(each)] = {
            "conformers": len(part.n_atoms),
            **part.summary(),
            "solved_rmsd_mean": float(same.rmsd.mean()),
        }
    return figures


def _sizes(k: int) -> str:
    """Return how a row of sizes is called, as in ``10-19``."""
    return f"{max(k * SIZES_IN_A_ROW, 1)}-{(k + 1) * SIZES_IN_A_ROW - 1}"


def kinds(titles: Sequence[str]) -> NDArray[np.str_]:
    """Return (M,) what titles say beside a number at their end, as in ``peptide 12``; all the same without kinds."""
    found = np.array([NUMBERED.sub("", title) for title in titles])
    most = min(MOST_KINDS, len(titles) // 2)
    return found if len(np.unique(found)) <= most else np.full(len(found), "")


@torch.no_grad()
def by_length(embedder: Embedder, result: Result) -> dict[str, Figures]:
    """Return, for so many first numbers of an embedding, what they give back; none if a model needs all of them."""
    model, block = embedder.model, result.block
    if not model.nested:
        return {}
    z = block.atomic_number[_canonical_order(result)]
    forms = list(batches(z, result["canonical_position"], block.offset, embedder.batch_size))
    parts = torch.from_numpy(result["embedding"]).split(embedder.batch_size)
    figures: dict[str, Figures] = {}
    for length in [
        *range(model.least, model.config.embedding_dim, LENGTHS_APART),
        model.config.embedding_dim,
    ]:
        rows = []
        for x, part in zip(forms, parts, strict=True):
            found = model.decode(part[:, :length].to(embedder.device)).to("cpu")
            right = found.z == torch.nn.functional.pad(x.z, (0, found.z.shape[1] - x.z.shape[1]))
            rmsd = squared_deviation(found.pos, x).sqrt().double()
            rows.append((rmsd, (right & (found.z > 0)).sum(dim=1), right.all(dim=1)))
        columns = [torch.cat(column).numpy() for column in zip(*rows, strict=True)]
        figures[str(length)] = Reconstruction(columns[0], columns[1], columns[2], block.n_atoms).summary()
    return figures


def by_element(result: Result, predicted: Reconstruction) -> dict[str, Figures]:
    """Return the figures of the atoms of each element, and of the conformers that have such, by atomic number.

    For each symbol `conformers` that have the element, their `rmsd_mean` and `formula_accuracy`; of its `atoms` the
    root mean square `displacement` as predicted, angstrom, and `type_accuracy`.
    """
    block = result.block
    square = np.square(result["reconstructed_position"] - block.position).sum(axis=1)
    right = result["reconstructed_atomic_number"] == block.atomic_number
    figures: dict[str, Figures] = {}
    for element in np.unique(block.atomic_number).tolist():
        atoms = block.atomic_number == element
        with_it = predicted.take(np.bincount(block.owner[atoms], minlength=len(block)) > 0)
        figures[SYMBOLS[element]] = {
            "conformers": len(with_it.n_atoms),
            "rmsd_mean": float(with_it.rmsd.mean()),
            "formula_accuracy": float(with_it.formula_right.mean()),
            "atoms": int(atoms.sum()),
            "displacement": float(np.sqrt(square[atoms].mean())),
            "type_accuracy": float(right[atoms].mean()),
        }
    return figures


def _described(result: Result, m: int) -> Figures:
    """Return one conformer and its reconstruction, as report and plots show them."""
    block = result.block
    atoms = block.atoms_of(m)
    return {
        "title": block.title[m] or f"record {block.record[m]}",
        "n_atoms": int(block.n_atoms[m]),
        "rmsd": float(result["rmsd"][m]),
        "pose_defined": str(result["pose_defined"][m]),
        "atomic_number": block.atomic_number[atoms].tolist(),
        "position": np.round(block.position[atoms], 4).tolist(),
        "reconstructed_atomic_number": result["reconstructed_atomic_number"][atoms].tolist(),
        "reconstructed_position": np.round(result["reconstructed_position"][atoms], 4).tolist(),
    }


def solved_rmsd(result: Result) -> Iterator[float]:
    """Yield the RMSD of each reconstruction after assignment and proper Kabsch from the prediction, angstrom."""
    still = (np.eye(3), np.zeros(3))
    decoded = with_atoms(result.block, result["reconstructed_position"])
    for given, predicted in zip(result.block, decoded, strict=True):
        z = given.atomic_number.astype(np.int64)
        yield superpose(z, given.position, z, predicted.position, [still])[1]


def canonical_reconstruction(result: Result) -> Figures:
    """Return the same figures of a code that keeps the canonical coordinates: exact, by the group action."""
    block = result.block
    owner = block.owner
    placed = np.einsum("nij,nj->ni", result["rotation"][owner], result["canonical_position"])
    placed += result["translation"][owner]
    square = np.square(placed - block.position[_canonical_order(result)]).sum(axis=1)
    rmsd = np.sqrt(np.add.reduceat(square, block.offset[:-1]) / block.n_atoms)
    everything = np.ones(len(block), dtype=bool)
    summary = Reconstruction(rmsd, block.n_atoms, everything, block.n_atoms).summary()
    return {key: value for key, value in summary.items() if key.startswith("rmsd")}


@torch.no_grad()
def throughput(embedder: Embedder, block: ConformerBlock, size: int, *, track: Track = iter) -> Figures:
    """Return conformers per second of the model alone, eta and psi: no files, no packing; the best of `REPEATS`.

    The block is cut or repeated to `size` conformers.
    """
    chosen = np.resize(np.arange(len(block)), size)
    part = block.take(chosen[np.argsort(block.n_atoms[chosen], kind="stable")])
    rows = part.atomic_number, part.position, part.offset
    packed = [x.to(embedder.device) for x in batches(*rows, embedder.batch_size)]
    seconds = []
    for _ in track(range(REPEATS)):
        started = time.perf_counter()
        for x in packed:
            embedder.model.encode(x)
        if embedder.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return {
        "conformers_per_second": len(part) / min(seconds),
        "device": torch.cuda.get_device_name() if embedder.device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "batch_size": embedder.batch_size,
    }


def _canonical_order(result: Result) -> NDArray[np.int64]:
    """Return (N,) the row of the block that stands at each place of the canonical order."""
    return np.asarray(result.block.offset[result.block.owner] + result["permutation"])

"""What comes back from an embedding: positions as predicted and as solved, elements, formula; and how fast."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from molgiae.canonical.cloud import Cloud, pack
from molgiae.data.conformer import ConformerBlock
from molgiae.evaluation.breakdown import by_atoms, by_element
from molgiae.evaluation.descriptors import Floats
from molgiae.evaluation.report import Figures, Track
from molgiae.matching import superpose
from molgiae.model.embedder import Embedder, Result
from molgiae.training.metrics import Reconstruction

WORST = 10
REPEATS = 3


def reconstruction(embedder: Embedder, block: ConformerBlock, *, track: Track = iter) -> Figures:
    """Reconstruct every conformer and compare.

    As predicted: the group action of the conformer puts the decoded canonical element into its pose and order,
    and atom i is compared with the slot it was given, whatever element that slot predicts. As solved: from
    there, slots are assigned anew to the atoms of the element of the atom they were given, and superposed by a
    proper Kabsch rotation, in turn until nothing changes; this never uses the predicted elements either.

    Args:
        embedder: the model.
        block: M conformers it accepts.
        track: progress.

    Returns:
        the summary of `training.metrics.Reconstruction`; with the prefix ``solved_`` the same of the solved RMSD;
        `by_atoms` and `by_element`, see `molgiae.evaluation.breakdown`; `worst`, the conformers with the largest
        RMSD, and their coordinates; `series`, both RMSD (angstrom) and n_atoms of each.
    """
    result = embedder.embed(block, reconstruct=True)
    right = result["reconstructed_atomic_number"] == block.atomic_number
    types_right = np.add.reduceat(right, block.offset[:-1], dtype=np.int64)
    formula_right = all_slots_right(embedder, result)
    predicted = Reconstruction(result["rmsd"], types_right, formula_right, block.n_atoms)
    rmsd = np.fromiter(track(solved_rmsd(result)), dtype=np.float64, count=len(block))
    solved = Reconstruction(rmsd, types_right, formula_right, block.n_atoms)
    return {
        **predicted.summary(),
        **{f"solved_{key}": value for key, value in solved.summary().items() if key.startswith("rmsd")},
        "by_atoms": by_atoms(predicted, solved),
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


def _described(result: Result, m: int) -> Figures:
    """One conformer and its reconstruction, as report and plots show them."""
    block = result.block
    atoms = slice(int(block.offset[m]), int(block.offset[m + 1]))
    return {
        "title": block.title[m] or f"record {block.record[m]}",
        "n_atoms": int(block.n_atoms[m]),
        "rmsd": float(result["rmsd"][m]),
        "pose_defined": result["pose_defined"][m].decode(),
        "atomic_number": block.atomic_number[atoms].tolist(),
        "position": np.round(block.position[atoms], 4).tolist(),
        "reconstructed_atomic_number": result["reconstructed_atomic_number"][atoms].tolist(),
        "reconstructed_position": np.round(result["reconstructed_position"][atoms], 4).tolist(),
    }


def solved_rmsd(result: Result) -> Iterator[float]:
    """RMSD of each reconstruction after assignment and proper Kabsch from the prediction, angstrom."""
    still = (np.eye(3), np.zeros(3))
    block = result.block
    for m, conformer in enumerate(block):
        atoms = slice(int(block.offset[m]), int(block.offset[m + 1]))
        z = conformer.atomic_number.astype(np.int64)
        predicted: Floats = result["reconstructed_position"][atoms]
        yield superpose(z, conformer.position, z, predicted, [still]).rmsd


@torch.no_grad()
def all_slots_right(embedder: Embedder, result: Result) -> np.ndarray:
    """(M,) bool, whether the embedding alone gives the formula: every slot right, the empty ones too."""
    block, right = result.block, []
    for start in range(0, len(block), embedder.batch_size):
        rows = slice(start, start + embedder.batch_size)
        offset = block.offset[start : start + embedder.batch_size + 1]
        atoms = slice(int(offset[0]), int(offset[-1]))
        given = pack(block.atomic_number[atoms], block.position[atoms], offset - offset[0]).z
        order = _padded(result["permutation"][atoms], offset - offset[0], given.shape)
        z = given.gather(1, order)
        decoded = embedder.model.decode(
            torch.from_numpy(result["embedding"][rows]).to(embedder.device)
        ).z.cpu()
        z = torch.nn.functional.pad(z, (0, decoded.shape[1] - z.shape[1]))
        right.append((decoded == z).all(dim=1).numpy())
    return np.concatenate(right)


def _padded(permutation: np.ndarray, offset: np.ndarray, shape: torch.Size) -> Tensor:
    """(B, n) permutations that leave padding where it is."""
    order = np.tile(np.arange(shape[1]), (shape[0], 1))
    order[np.arange(shape[1]) < np.diff(offset)[:, None]] = permutation
    return torch.from_numpy(order)


def canonical_reconstruction(result: Result) -> Figures:
    """The same figures of a code that keeps the canonical coordinates themselves: exact, by the group action."""
    block = result.block
    owner = np.repeat(np.arange(len(block)), block.n_atoms)
    placed = np.einsum("nij,nj->ni", result["rotation"][owner], result["canonical_position"])
    placed += result["translation"][owner]
    order = result["permutation"] + block.offset[:-1][owner]
    square = np.square(placed - block.position[order]).sum(axis=1)
    rmsd = np.sqrt(np.add.reduceat(square, block.offset[:-1]) / block.n_atoms)
    everything = np.ones(len(block), dtype=bool)
    summary = Reconstruction(rmsd, block.n_atoms, everything, block.n_atoms).summary()
    return {key: value for key, value in summary.items() if key.startswith("rmsd")}


@torch.no_grad()
def throughput(embedder: Embedder, block: ConformerBlock, size: int, *, track: Track = iter) -> Figures:
    """Conformers per second of the model alone, eta and psi: no files, no packing; the best of `REPEATS`.

    Args:
        embedder: the model, its device and batch size.
        block: conformers it accepts.
        size: how many to time; the block is cut or repeated.
        track: progress.
    """
    chosen = np.resize(np.arange(len(block)), size)
    part = block.take(chosen[np.argsort(block.n_atoms[chosen], kind="stable")])
    batches = [
        _batch(part, start, start + embedder.batch_size).to(embedder.device)
        for start in range(0, len(part), embedder.batch_size)
    ]
    seconds = []
    for _ in track(range(REPEATS)):
        started = time.perf_counter()
        for batch in batches:
            embedder.model.encode(batch)
        if embedder.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return {
        "conformers_per_second": len(part) / min(seconds),
        "device": torch.cuda.get_device_name() if embedder.device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "batch_size": embedder.batch_size,
    }


def _batch(block: ConformerBlock, start: int, stop: int) -> Cloud:
    part = block.take(np.arange(start, min(stop, len(block))))
    return pack(part.atomic_number, part.position, part.offset)

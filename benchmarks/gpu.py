"""A GPU beside the CPU: agreement, conformers a second of the model alone and end to end, memory.

    python benchmarks/gpu.py conformers.npz --model drug --json gpu.json
    python benchmarks/gpu.py qm9.npz --split test --model qm9 --device cpu   # what can be checked without a GPU

The data are conformers of an npz file (`molgiae/data/npz.py` says with which keys). Neither RDKit nor ASE is needed.
The model alone gets canonical forms that lie on the device; end to end is from conformers in memory to arrays of
embeddings and group actions, canonical forms included, which are made on the CPU. Last comes a bound: the arithmetic of
the matrix products in the encoder, and how many conformers a second it would take if the device did nothing else, as
fast as it multiplies large matrices.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from molgiae.data.conformer import ConformerBlock
from molgiae.data.npz import read_npz
from molgiae.evaluation.report import markdown
from molgiae.model.cloud import Cloud, batches
from molgiae.model.embedder import DEVICES, Embedder, choose_device
from molgiae.nn.linear import Linear

SIZES = (64, 256, 1024, 4096)
"""Conformers of a batch."""
LARGE = 2048
"""Rows and columns of the matrices whose product is timed."""
PARTS = ("embedding", "rotation", "translation", "canonical_position")
"""Results that are compared with those of the CPU."""


def seconds(work: Callable[[], Any], device: str, repeats: int) -> float:
    """Return the least wall time of some runs, after one that does not count."""
    taken = []
    for _ in range(repeats + 1):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device != "cpu":
        torch.cuda.synchronize()


def peak(work: Callable[[], Any], device: str) -> float | None:
    """Return the most memory of the device that tensors took meanwhile, MiB; None on the CPU."""
    if device == "cpu":
        return None
    torch.cuda.reset_peak_memory_stats()
    work()
    synchronize(device)
    return torch.cuda.max_memory_allocated() / 2**20


def alone(embedder: Embedder, block: ConformerBlock, size: int) -> tuple[Callable[[], None], ...]:
    """Return what encodes all canonical forms of a block in batches, and what decodes their embeddings."""
    encoder, decoder = embedder.model.encoder, embedder.model.decoder
    order = np.argsort(block.n_atoms, kind="stable")
    sorted_block = block.take(order)
    clouds = [
        Cloud(x.z, x.pos.float()).to(embedder.device)
        for x in batches(sorted_block.atomic_number, sorted_block.position, sorted_block.offset, size)
    ]

    @torch.no_grad()
    def encode() -> list[torch.Tensor]:
        return [encoder.invariant(None, x) for x in clouds]

    embeddings = encode()

    @torch.no_grad()
    def decode() -> None:
        for embedding in embeddings:
            decoder(embedding)

    return encode, decode


def bound(embedder: Embedder, block: ConformerBlock, size: int, repeats: int) -> dict[str, float]:
    """Return the arithmetic of the encoder for a conformer and the speed of large matrix products, per second."""
    encoder, device = embedder.model.encoder, embedder.device
    done = 0
    for x in batches(block.atomic_number, block.position, block.offset, size):
        # counted where gradients are enabled: oneDNN, which serves without them, is not known to the counter
        with torch.enable_grad(), FlopCounterMode(display=False) as counter:
            encoder.invariant(None, x.centered().to(device, torch.float32))
        done += counter.get_total_flops()
    layer, large = Linear(LARGE, LARGE).to(device), torch.randn(LARGE, LARGE, device=device)
    with torch.no_grad():
        speed = 2 * LARGE**3 / seconds(lambda: layer(large), device, repeats)
    work = done / len(block)
    return {"operations": work, "operations_per_second": speed, "conformers_per_second": speed / work}


def deviations(found: Embedder, block: ConformerBlock) -> dict[str, float]:
    """Return the largest deviation of each result from that of the CPU; embeddings relative to the largest number."""
    reference = Embedder(found.checkpoint, device="cpu", batch_size=found.batch_size).embed(block)
    found.model.to(found.device)
    ours = found.embed(block)
    errors = {}
    for name in PARTS:
        there, expected = ours.columns[name], reference.columns[name]
        scale = np.abs(expected).max() if name == "embedding" else 1.0
        errors[name] = float(np.abs(there - expected).max() / scale)
    errors["permutation"] = float((ours.columns["permutation"] != reference.columns["permutation"]).mean())
    return errors


def main() -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="drug", help="shipped model or checkpoint")
    parser.add_argument("--split", help="of QM9, such as test; all by default")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--conformers", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = choose_device(options.device)
    block = read_npz(options.data, options.split).take(slice(0, options.conformers))
    name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"{len(block)} conformers of {block.n_atoms.mean():.1f} atoms, {name}, PyTorch {torch.__version__}")
    found: dict[str, Any] = {"device": name, "conformers": len(block), "model": options.model, "sizes": {}}
    for size in options.sizes:
        embedder = Embedder(options.model, device=device, batch_size=size)
        encode, decode = alone(embedder, block, size)
        rates = {
            what: len(block) / seconds(work, device, options.repeats)
            for what, work in (
                ("encode", encode),
                ("decode", decode),
                ("end to end", lambda e=embedder: e.embed(block)),
            )
        }
        found["sizes"][size] = rates | {"memory": peak(encode, device)}
    found["deviation"] = deviations(embedder, block.take(slice(0, 1024)))
    rows = [
        [
            str(size),
            *(f"{figures[what]:.0f}" for what in ("encode", "decode", "end to end")),
            _memory(figures),
        ]
        for size, figures in found["sizes"].items()
    ]
    print(markdown(["batch", "encode (1/s)", "decode (1/s)", "end to end (1/s)", "memory (MiB)"], rows))
    print("largest deviation from the CPU:", ", ".join(f"{k} {v:.2g}" for k, v in found["deviation"].items()))
    few = block.take(slice(0, 1024))
    found["bound"] = limit = bound(embedder, few.take(np.argsort(few.n_atoms)), 64, options.repeats)
    print(
        f"{limit['operations'] / 1e6:.1f} million operations a conformer in matrix products, "
        f"{limit['operations_per_second'] / 1e9:.0f} billion a second: "
        f"at most {limit['conformers_per_second']:.0f} conformers a second"
    )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def _memory(figures: dict[str, Any]) -> str:
    return "" if figures["memory"] is None else f"{figures['memory']:.0f}"


if __name__ == "__main__":
    main()

"""What a conformer costs by its number of atoms: canonical form, embedding, and a training step of each stage.

    python benchmarks/cost_by_size.py drug conformers.sdf made.sdf

Times are of one thread, the best of `--repeats`; for stages milliseconds of a whole step of 512 conformers, of which
each stage takes as many as it does in pretraining.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from molgiae.config import TrainConfig
from molgiae.data.blocks import concatenate
from molgiae.data.conformer import ConformerBlock
from molgiae.data.inputs import read_inputs
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.checkpoint import load
from molgiae.model.cloud import pack
from molgiae.model.domain import accepted
from molgiae.training import Data, Run
from molgiae.training.loop import Stage
from molgiae.training.pretraining import stages_of
from molgiae.training.task import Task

EDGES = (1, 11, 21, 31, 41, 51, 61, 81, 101, 129)
FEWEST = 20
"""Conformers of a size below which it is left out."""
BATCH = 512
ENCODED = 256


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The fastest of some runs, after one that does not count."""
    work()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def costs(model: ConformerAutoencoder, block: ConformerBlock, repeats: int) -> dict[str, float]:
    """Milliseconds of everything for conformers of about one size."""
    batch = block.take(np.resize(np.arange(len(block)), ENCODED))
    x = pack(batch.atomic_number, batch.position, batch.offset)
    row = {"conformers": len(block), "mean_atoms": float(block.n_atoms.mean())}
    with torch.no_grad():
        row["canonical"] = 1e3 * seconds(lambda: model.canonical(x), repeats) / ENCODED
        row["embedding"] = 1e3 * seconds(lambda: model.encode(x), repeats) / ENCODED
    model.requires_grad_(True)
    config = TrainConfig(batch_size=BATCH, components=False, mirror=False)
    with tempfile.TemporaryDirectory() as folder:
        data = Data(block, block, "", {})
        for make in stages_of(model):
            stage = make(Task(model, data, config, Run(Path(folder), progress=False)))
            optimizer = torch.optim.AdamW([p for group, _ in stage.groups for p in group])
            row[stage.name] = 1e3 * seconds(partial(step, stage, optimizer), repeats)
    return row


def step(stage: Stage, optimizer: torch.optim.Optimizer) -> None:
    """One step of training, all of it but the running mean."""
    optimizer.zero_grad()
    stage.loss(0).backward()
    optimizer.step()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a shipped model or a checkpoint")
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    blocks = [block for path in options.inputs for block in read_inputs(path, keep_text=False)]
    everything = concatenate(blocks)
    everything = everything.take(accepted(load(options.model).model.config, everything))
    rows = []
    print(
        "| atoms | canonical form (ms) | embedding (ms) | shape step (ms) | atoms step (ms) | autoencoder step (ms) |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for low, high in pairwise(EDGES):
        chosen = np.flatnonzero((everything.n_atoms >= low) & (everything.n_atoms < high))
        if len(chosen) < FEWEST:
            continue
        chosen = np.random.default_rng(0).permutation(chosen)[:BATCH]
        row = costs(load(options.model).model, everything.take(chosen), options.repeats)
        rows.append(row)
        cells = [f"{row[k]:.2f}" for k in ("canonical", "embedding")]
        cells += [f"{row[k]:.0f}" if k in row else "" for k in ("shape", "atoms", "autoencoder")]
        print(
            f"| {low} to {high - 1} (mean {row['mean_atoms']:.0f}) | " + " | ".join(cells) + " |", flush=True
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

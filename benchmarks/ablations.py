"""What each choice of the recipe is worth: short runs that differ in one thing, measured alike.

    python benchmarks/ablations.py qm9.npz conformers.sdf --test test_conformers.sdf -o ablations
    python benchmarks/ablations.py qm9.npz conformers.sdf --only "64 numbers" "32 numbers" --steps 3000 -o more

Every row is a pretraining run of so many steps of 512 conformers, evaluated on the validation molecules of the npz file
as predicted, with hard permutations, and if given on conformers of a force field that were not trained on. Seconds are
wall time; canonical forms are made once and count for the first row that needs them. Rows are kept in
OUTPUT/results.json; what is there is not run again. The network of Appendix D has a script of its own, `appendix_d.py`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from molgiae.commands.pretrain import pretrain
from molgiae.config import ModelConfig, TrainConfig
from molgiae.data.blocks import concatenate
from molgiae.data.inputs import read_inputs
from molgiae.model import checkpoint
from molgiae.model.cloud import Cloud
from molgiae.training import pretraining, reconstruct
from molgiae.training.task import Task

BASE = ModelConfig(
    embedding_dim=64, features_dim=0, shape_dim=0, atom_width=0, property_width=0, width=320, layers=2
)
RECIPE = TrainConfig(learning_rate=4e-3, distortion=0.02, type_weight=3.0, mirror=False)
make_forms = pretraining.canonical_forms

CASES: dict[str, tuple[ModelConfig, TrainConfig, bool]] = {
    # name: network, recipe, whether conformers beside those of the npz file are learned from
    "64 numbers": (BASE, RECIPE, True),
    "256 numbers": (replace(BASE, embedding_dim=256), RECIPE, True),
    "32 numbers": (replace(BASE, embedding_dim=32), RECIPE, True),
    "16 numbers": (replace(BASE, embedding_dim=16), RECIPE, True),
    "random start, not principal components": (BASE, replace(RECIPE, components=False), True),
    "no networks: principal components alone": (BASE, replace(RECIPE, learning_rate=1e-12), True),
    "mirror images, too": (BASE, replace(RECIPE, mirror=True), True),
    "minima alone, no other conformers": (BASE, RECIPE, False),
    "displacements up to 0.1 A": (BASE, replace(RECIPE, distortion=0.1), True),
    "types weigh 1, not 3": (BASE, replace(RECIPE, type_weight=1.0), True),
    "learning rate 0.001, not 0.004": (BASE, replace(RECIPE, learning_rate=1e-3), True),
    "half the width": (replace(BASE, width=160), RECIPE, True),
    "16 of the numbers are a shape part": (replace(BASE, shape_dim=16, atom_width=64), RECIPE, True),
}


FORMS: dict[tuple[str, bool], Cloud] = {}


def forms_once(task: Task) -> Cloud:
    """Canonical forms, made once for all rows of the same data; none depends on the weights."""
    key = (task.data.name, task.config.mirror)
    if key not in FORMS:
        FORMS[key] = make_forms(task)
    return FORMS[key]


def main() -> None:
    """Run what is missing, print the table."""
    pretraining.canonical_forms = forms_once
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="QM9 npz file")
    parser.add_argument("conformers", help="further training conformers, SDF")
    parser.add_argument("--test", help="conformers that were not trained on, SDF")
    parser.add_argument("--steps", type=int, default=1500, help="of the autoencoder")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--output", "-o", type=Path, default=Path("ablations"))
    options = parser.parse_args()

    options.output.mkdir(parents=True, exist_ok=True)
    kept = options.output / "results.json"
    found: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else {}
    for name in options.only:
        if name not in found:
            found[name] = measure(name, options)
            kept.write_text(json.dumps(found, indent=1) + "\n")
            print(row(name, found[name]), flush=True)
    print(f"\n{machine()}\n\n{HEADING}")
    print("\n".join(row(name, result) for name, result in found.items()))


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One run and its figures."""
    model, recipe, more = CASES[name]
    steps = options.steps
    config = replace(recipe, steps=steps, property_steps=1, atom_steps=steps, shape_steps=steps)
    folder = options.output / "runs" / "".join(c if c.isalnum() else "-" for c in name)
    inputs = [options.data, *([options.conformers] if more else [])]
    metrics = pretrain(
        inputs,
        folder,
        model,
        config,
        evaluate_every=steps,
        resume=True,
    )
    trained = checkpoint.load(str(folder)).model
    result = {
        key: metrics[key]
        for key in ("rmsd_mean", "rmsd_p50", "rmsd_p99", "type_accuracy", "formula_accuracy")
    }
    with (folder / "metrics.csv").open(newline="") as file:
        seconds = float(list(csv.DictReader(file))[-1]["seconds"])
    result |= {"seconds": seconds, "samples": metrics["step"] * config.batch_size}
    if options.test:
        block = concatenate(list(read_inputs(options.test, keep_text=False)))
        result["other_conformers"] = reconstruct(trained, block).summary()["rmsd_mean"]
    return result


HEADING = (
    "| | samples | s | RMSD, mean | median | 99 % | types | formula | other conformers |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def row(name: str, result: dict[str, Any]) -> str:
    """One line of the table; lengths in angstrom."""
    other = f"{result['other_conformers']:.4f}" if "other_conformers" in result else ""
    return (
        f"| {name} | {result['samples'] / 1000:.0f} k | {result['seconds']:.0f} | {result['rmsd_mean']:.4f} | "
        f"{result['rmsd_p50']:.4f} | {result['rmsd_p99']:.3f} | {result['type_accuracy']:.3%} | "
        f"{result['formula_accuracy']:.2%} | {other} |"
    )


def machine() -> str:
    """What it ran on."""
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()

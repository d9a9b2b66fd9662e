"""Networks of properties compared on held-back labels, and goals of pretraining, each after the same time of one core.

    python benchmarks/networks.py labels.npz more.npz -o networks --seconds 600
    python benchmarks/networks.py labels.npz -o networks --only denoising labels both --seconds 1800
    python benchmarks/learning_curves.py qm9.npz --model networks/both/model.safetensors --modes full -o both

Labels are those of `molgiae label`. Every network begins at random weights and takes as many steps as fit in the time,
which a few steps before tell. `NETWORKS` learn from labels; `GOALS` are networks of the shipped size that learn from
labels, from displaced atoms, or both, and are written as OUTPUT/NAME/model.safetensors, for `finetune` to start from.
Rows are kept in OUTPUT/results.json; what is there is not run again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from results import Results, markdown
from torch import Tensor, nn

from molgiae.config import TrainConfig
from molgiae.data.elements import COVALENT_RADIUS
from molgiae.model import checkpoint
from molgiae.nn.taught import TaughtNetwork
from molgiae.nn.tensor_messages import MIXED, EquivariantLayer, EquivariantNetwork
from molgiae.training import Run, Trainer
from molgiae.training.batches import drawn_by_size
from molgiae.training.labels import Labels, read_labels
from molgiae.training.loop import Stage
from molgiae.training.losses import denoising_loss
from molgiae.training.property_stage import standardize_sums, told_errors, weighted
from molgiae.training.teaching import validated

ROUNDS = 4
RECIPE = TrainConfig(warmup_steps=200, ema=0.999)
TRIAL = 12
"""Steps that are timed beforehand, of which the first third does not count."""
HELD = 1500
"""Conformers that are validated by."""
DENOISED = 1.0
"""Weight of the loss of displaced atoms beside that of labels."""


class Lengths(EquivariantLayer):
    """A layer that makes vectors and tensors of what it sees, and passes none on."""

    def forward(
        self, s: Tensor, v: Any, t: Any, radial: Tensor, harmonics: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As of `EquivariantLayer`, of atoms without vectors."""
        return super().forward(s, None, None, radial, harmonics)


def network(width: int, layers: int, passes: bool = True) -> TaughtNetwork:
    """Return a network at random weights."""
    atoms = EquivariantNetwork(width, layers, ROUNDS, torch.from_numpy(COVALENT_RADIUS))
    if not passes:
        atoms.layers = nn.ModuleList(Lengths(width, False) for _ in range(layers))
    return TaughtNetwork(atoms)


class Undoing(nn.Module):
    """A network that also reads off displacements, by a map of its own."""

    def __init__(self, taught: TaughtNetwork) -> None:
        super().__init__()
        self.taught = taught
        self.undo = nn.Linear(taught.atoms.sizes[0], MIXED)

    def displacement(self, z: Tensor, pos: Tensor) -> Tensor:
        """Return (B, n, 3), see `molgiae.training.losses.denoising_loss`."""
        s, v = self.taught.atoms(z, pos)
        return (v * self.undo(s)[:, :, None]).sum(dim=-1) * (z > 0)[..., None]


NETWORKS: dict[str, Callable[[], TaughtNetwork]] = {
    "128 features, 3 layers": lambda: network(128, 3),
    "64 features, 3 layers": lambda: network(64, 3),
    "192 features, 3 layers": lambda: network(192, 3),
    "128 features, 2 layers": lambda: network(128, 2),
    "128 features, 4 layers": lambda: network(128, 4),
    "128 features, 3 layers, no vectors passed on": lambda: network(128, 3, passes=False),
}
GOALS = {"labels": (True, False), "denoising": (False, True), "both": (True, True)}
"""Whether labels are learned, and displacements undone."""


def stage_of(model: Undoing, labels: Labels, rows: Tensor, steps: int, goal: tuple[bool, bool]) -> Stage:
    """Make the training of a network, which is told the labels of conformers (M,), undoes displacements, or both."""
    sizes, told, undoes = labels.sizes[rows], *goal

    def loss(step: int) -> Tensor:
        index = rows[drawn_by_size(sizes, RECIPE.property_batch, RECIPE.seed, step)]
        total = weighted(told_errors(model.taught, labels, index)) if told else torch.zeros(())
        if undoes:
            noise = torch.Generator().manual_seed(step)
            total = total + DENOISED * denoising_loss(
                model, labels.conformers(index), RECIPE.atom_noise, noise
            )
        return total

    return Stage(
        "", steps, [(list(model.parameters()), 1.0)], loss, RECIPE.warmup_steps, RECIPE.clip, max(steps // 5, 1),
        begin=lambda: standardize_sums(model.taught, labels),
    )  # fmt: skip


def main() -> None:
    """Train what is missing, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path, nargs="+")
    parser.add_argument("--only", nargs="+", default=[*NETWORKS, *GOALS], choices=[*NETWORKS, *GOALS])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--model", default="qm9", help="what the written models have beside the network")
    parser.add_argument("--output", "-o", type=Path, default=Path("networks"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    found = Results(options.output / "results.json")
    labels = read_labels(options.labels)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    count = min(HELD, len(labels) // 5)
    held, rows = order[:count], order[count:].sort().values
    held = held[labels.sizes[held].argsort()]
    for name in options.only:
        if not found.has(row=name, seconds_given=options.seconds):
            model, row = trained(name, labels, rows, options)
            errors = validated(model.taught.eval(), labels, held)
            found.add(row=name, seconds_given=options.seconds, **row, **errors)
            if name in GOALS:
                write(model.taught, options.model, options.output / name / "model.safetensors")
    print(table(found))


def trained(
    name: str, labels: Labels, rows: Tensor, options: argparse.Namespace
) -> tuple[Undoing, dict[str, Any]]:
    """Return the running mean of the weights after the time, and what is said of the training."""
    goal = GOALS.get(name, (True, False))
    torch.manual_seed(0)
    model = Undoing(NETWORKS.get(name, NETWORKS["128 features, 3 layers"])())
    trial = Undoing(deepcopy(model.taught))
    run = Run(options.output / name.replace(",", "").replace(" ", "_"))
    times = []
    timed = stage_of(trial, labels, rows, TRIAL, goal)
    timed.begin = lambda: times.append(time.perf_counter())
    inner = timed.loss

    def loss(step: int) -> Tensor:
        times.append(time.perf_counter())
        return inner(step)

    timed.loss = loss
    Trainer(trial, [lambda: timed], RECIPE, replace(run, directory=run.directory / "trial"), {}).fit()
    each = (times[-1] - times[1 + TRIAL // 3]) / (TRIAL - 1 - TRIAL // 3)
    steps = max(int(options.seconds / each), 1)
    trainer = Trainer(
        model, [lambda: stage_of(model, labels, rows, steps, goal)], RECIPE, run, {"training": {}}
    )
    started = time.perf_counter()
    trainer.fit()
    said = {
        "parameters": sum(p.numel() for p in model.taught.parameters()),
        "steps": steps,
        "seconds": round(time.perf_counter() - started),
    }
    return trainer.mean.module, said


def write(taught: TaughtNetwork, name: str, path: Path) -> None:
    """Write a model with another network of properties."""
    origin = checkpoint.load(name)
    encoder: Any = origin.model.encoder
    encoder.properties.load_state_dict(taught.state_dict())
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, origin.model, origin.domain, origin.provenance | {"properties": "networks.py"})


COLUMNS = {"energy": "energy, eV", "forces": "forces, eV/A", "gap": "gap, eV", "dipole": "dipole, D"}


def table(found: Results) -> str:
    """Return errors on held-back labels."""
    rows = [
        [
            row["row"],
            f"{row['parameters'] / 1e6:.2f}",
            str(row["steps"]),
            *(f"{row[key]:.3f}" for key in COLUMNS),
        ]
        for row in found.rows
    ]
    return markdown(["row", "million weights", "steps", *COLUMNS.values()], rows)


if __name__ == "__main__":
    main()

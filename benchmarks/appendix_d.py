"""What keeps the network of Appendix D from the figure of the paper: its parts are replaced one by one.

    python benchmarks/appendix_d.py qm9.npz -o appendix_d
    python benchmarks/appendix_d.py qm9.npz --only "as in the paper" --steps 8000 -o appendix_d

A row is a pretraining run of so many steps of 64 conformers with 256 numbers, all from the same conformers in the same
order, evaluated on the validation molecules as predicted: hard permutations, predicted rotations and translations. In
each row one part of the network makes room for another:

* mean pooling: the embedding is a dense network of the canonical form, not an average over atoms;
* the decoder: a dense network of all slots, not messages between atoms that start at learned positions;
* its start positions: a linear map of the embedding, not the same for all conformers;
* matching: gradients of the scores are those of Sinkhorn, not of SoftSort; or slots are assigned to atoms at
  least cost, as part of the prediction; or the order is that of the bond graph.

Mu, the network of the vectors, the translation and the scores, is that of Appendix D in all rows. Seconds are wall
time. Rows are kept in OUTPUT/results.json, runs are resumed, and curves are drawn to OUTPUT/curves.png.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from matchings import Matched
from results import Results, markdown
from torch import Tensor

from molgiae.commands.pretrain import pretrain
from molgiae.config import ModelConfig, TrainConfig
from molgiae.model.architectures import ARCHITECTURES, PooledEncoder
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.cloud import Cloud
from molgiae.model.learned import LearnedAutoencoder
from molgiae.nn.appendix_d import MessageDecoder, MessageEncoder
from molgiae.nn.linear import Linear
from molgiae.nn.slots import SlotDecoder, SlotEncoder
from molgiae.plots import axes
from molgiae.tensors import Embedding

DIM, WIDTH, LAYERS = 256, 64, 3
DENSE = 2
"""Residual blocks of dense networks, which are four times as wide."""
RECIPE = TrainConfig(learning_rate=1e-3, batch_size=64, warmup_steps=50, distortion=0.02, type_weight=3.0)
EVALUATIONS = 4


class DenseEncoder(PooledEncoder):
    """Mu of Appendix D; eta is a dense network of the canonical form."""

    def __init__(self, network: MessageEncoder, eta: SlotEncoder) -> None:
        super().__init__(network)
        self.eta = eta

    def invariant(self, shared: Tensor, canonical: Cloud) -> Embedding:
        """Return eta of the canonical form; pooled scalars are not looked at."""
        return self.eta(canonical.z, canonical.pos.to(self.eta.dtype))


class StartingDecoder(MessageDecoder):
    """Its start positions are a linear map of the embedding."""

    def __init__(self, elements: int, slots: int, embedding_dim: int, *sizes: int) -> None:
        super().__init__(elements, slots, embedding_dim, *sizes)
        self.place = Linear(embedding_dim, 3 * slots)

    def starts(self, embedding: Embedding) -> Tensor:
        """Return (B, S, 3) angstrom."""
        return self.start + self.place(embedding).unflatten(-1, (-1, 3))


def replaced(
    config: ModelConfig, eta: bool = False, delta: bool = False, start: bool = False
) -> ConformerAutoencoder:
    """Return the network of Appendix D with dense networks in place of what is named."""
    sizes = (config.max_atoms, config.embedding_dim, config.width, config.width // 4, config.layers)
    dense = (config.elements, config.max_atoms, 4 * config.width, DENSE)
    messages = MessageEncoder(*sizes)
    encoder = (
        DenseEncoder(messages, SlotEncoder(*dense, config.embedding_dim)) if eta else PooledEncoder(messages)
    )
    if delta:
        return LearnedAutoencoder(config, encoder, SlotDecoder(*dense, [config.embedding_dim], [1.0]))
    kind = StartingDecoder if start else MessageDecoder
    return ConformerAutoencoder(config, encoder, kind(len(config.elements), *sizes))


OTHERS: dict[str, Callable[[ModelConfig], ConformerAutoencoder]] = {
    "appendix-d, dense eta": partial(replaced, eta=True),
    "appendix-d, dense delta": partial(replaced, delta=True),
    "appendix-d, dense eta and delta": partial(replaced, eta=True, delta=True),
    "appendix-d, starts": partial(replaced, start=True),
    **{f"appendix-d, {how}": partial(Matched, how=how) for how in ("sinkhorn", "assignment", "fixed")},
}

ROWS = {
    "as in the paper": "appendix-d",
    "no mean pooling": "appendix-d, dense eta",
    "no messages in the decoder": "appendix-d, dense delta",
    "neither": "appendix-d, dense eta and delta",
    "start positions of the embedding": "appendix-d, starts",
    "Sinkhorn, not SoftSort": "appendix-d, sinkhorn",
    "exact assignment": "appendix-d, assignment",
    "order of the bond graph": "appendix-d, fixed",
}


def main() -> None:
    """Run what is missing, print the table, draw the curves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="QM9 npz file")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--output", "-o", type=Path, default=Path("appendix_d"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    ARCHITECTURES.update(OTHERS)
    results = Results(options.output / "results.json")
    for name in options.only:
        if not results.has(name=name, steps=options.steps):
            results.add(name=name, steps=options.steps, **measured(name, options))
    draw(results.rows, options.output / "curves.png")
    print("\n" + markdown(HEADING, map(cells, results.rows)))


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of a run, which is made or gone on with, and its curve."""
    folder = options.output / "runs" / f"{name} {options.steps}".replace(" ", "-")
    config = ModelConfig(ROWS[name], embedding_dim=DIM, width=WIDTH, layers=LAYERS)
    every = max(options.steps // EVALUATIONS, 1)
    recipe = replace(RECIPE, steps=options.steps)
    pretrain([options.data], folder, config, recipe, evaluate_every=every, resume=True)
    with (folder / "metrics.csv").open(newline="") as file:
        curve = list(csv.DictReader(file))
    last = {key: float(curve[-1][key]) for key in FIGURES}
    return last | {"curve": [[float(row["step"]), float(row["rmsd_mean"])] for row in curve]}


FIGURES = {"seconds": ".0f", "rmsd_mean": ".3f", "rmsd_p50": ".3f", "rmsd_p99": ".3f", "type_accuracy": ".2%"}
HEADING = ("network of Appendix D", "steps", "s", "RMSD, mean (Å)", "median", "99 %", "types")


def cells(row: dict[str, Any]) -> list[str]:
    """Return a line of the table."""
    return [row["name"], str(row["steps"]), *(format(row[key], how) for key, how in FIGURES.items())]


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the validation error of each run against its steps."""
    with axes(
        path, xlabel="steps of 64 conformers", ylabel="mean RMSD (Å)", xscale="log", yscale="log"
    ) as drawn:
        for row in rows:
            drawn.plot(*zip(*row["curve"], strict=True), marker="o", label=f"{row['name']}, {row['steps']}")


if __name__ == "__main__":
    main()

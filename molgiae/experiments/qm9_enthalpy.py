"""Few labels on the paper's own encoder (Appendix E.2.1): the enthalpy, pretrained by reconstruction or from scratch.

The encoder of an autoencoder of architecture ``learned``, with a small head on the features of its atoms, summed and
averaged, and on its embedding, is fitted as a whole. Two networks differ in nothing but the weights they start from.
What composition explains is taken off first, see `molgiae.properties.references`. Weights are those of the epoch with
the least error of validation molecules, of which there are a quarter as many as training molecules, or all there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molgiae.data.partial import PartialFile
from molgiae.evaluation.feature_learning import TEST_PART, read_targets
from molgiae.experiments import Bar, Findings, Setting, both, sized
from molgiae.model.architectures import build
from molgiae.model.autoencoder import Equivariant
from molgiae.model.checkpoint import Checkpoint, load
from molgiae.model.cloud import Cloud, pack
from molgiae.model.learned import LearnedAutoencoder
from molgiae.nn.features import TYPICAL
from molgiae.nn.linear import Linear
from molgiae.plots import blank, saved
from molgiae.properties.labels import Labelled
from molgiae.properties.references import fit_references

Ints = NDArray[np.int64]

TARGET = "enthalpy"
KINDS = ("pretrained", "scratch")
VALIDATION_PART = 1
MEV = 1000.0
QUIET = 0.1
"""Scale of the numbers of the embedding beside those of atoms at first: what they say of an energy is hard to find."""
CLIP = 1.0
"""Most that the gradient of a step is long."""
WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""


@dataclass(frozen=True)
class Config:
    """Sizes of the study, and the recipe of both networks."""

    shares: tuple[float, ...] = sized((0.05, 0.25), fast=(0.05,))  # of the labelled training molecules
    epochs: tuple[int, ...] = sized((20, 6), fast=(2,))  # for each of the shares; empty leaves the study out
    seeds: int = sized(3, fast=1)  # of the molecules, the batches and the random weights
    batch_size: int = 32
    learning_rate: float = 1e-3  # its peak; of 0.001 and 0.002 by validation molecules, 5 % of the labels
    test_molecules: int | None = sized(None, fast=50)  # None for all that have the property


CONFIG, FAST = both(Config)


class Regressor(nn.Module):
    """An encoder, and a head that says one number of each conformer.

    Args:
        model: its decoder takes no part.
    """

    def __init__(self, model: LearnedAutoencoder) -> None:
        super().__init__()
        self.model = model
        width, size = model.config.width, model.config.embedding_dim
        self.atom = Linear(width, width)
        self.even = nn.LayerNorm(size)
        nn.init.constant_(self.even.weight, QUIET)
        self.head = nn.Sequential(Linear(2 * width + size, 2 * width), nn.SiLU(), Linear(2 * width, 1))

    def forward(self, x: Cloud) -> Tensor:
        """Return (B,) of B conformers; one pass over the atoms gives features, group action and embedding.

        Gradients reach all but the group action, on which no property depends.
        """
        network = self.model.encoder.network
        pos = x.centered().pos.to(self.model.encoder.dtype)
        s, v = network.atoms(x.z, pos)
        vectors, shift, scores = network.mu(s, v, pos, x.mask)
        averages = network.averages(s, x.mask)
        with torch.no_grad():
            mu = Equivariant(vectors, x.centroid + shift, scores)
            canonical = self.model.undo(self.model.xi(self.model.complete(x, mu)[0]), x)
        eta = self.model.encoder.invariant(averages, canonical) / self.model.decoder.scale
        added = (nn.functional.silu(self.atom(s)) * x.mask[..., None]).sum(dim=1)
        pooled = [added / TYPICAL, added / x.mask.sum(dim=1, keepdim=True), self.even(eta)]
        found: Tensor = self.head(torch.cat(pooled, dim=-1))[:, 0]
        return found

    def learned(self) -> Iterator[nn.Parameter]:
        """Yield the weights that take part."""
        for name, weight in self.named_parameters():
            if not name.startswith("model.decoder"):
                weight.requires_grad_()
                yield weight


@dataclass(frozen=True)
class Case:
    """One fit."""

    kind: str  # of `KINDS`
    share: float
    epochs: int
    seed: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.kind}-{100 * self.share:g}-{self.seed}"

    def rows(self, split: NDArray[np.int8], test: int | None) -> tuple[Ints, Ints, Ints]:
        """Return the training molecules drawn, validation molecules in proportion, and the test molecules."""
        rng = np.random.default_rng(self.seed)
        train, validation = (rng.permutation(np.flatnonzero(split == part)) for part in (0, VALIDATION_PART))
        count = max(round(self.share * len(train)), 1)
        return train[:count], validation[: max(count // 4, 1)], np.flatnonzero(split == TEST_PART)[:test]


def cases(config: Config) -> list[Case]:
    """Return what is fitted, small shares first."""
    return [
        Case(kind, share, epochs, seed)
        for share, epochs in zip(config.shares, config.epochs, strict=False)
        for seed in range(config.seeds)
        for kind in KINDS
    ]


def study(checkpoint: Path, config: Config, setting: Setting) -> Findings:
    """Fit all cases that are not in the folder yet; find the table, with errors in meV, and the learning curves."""
    labelled = read_targets(setting.data, [TARGET])
    assert labelled.split is not None
    origin = load(str(checkpoint))
    folder = setting.folder / TARGET
    folder.mkdir(exist_ok=True)
    fits = [_kept(folder, case, labelled, origin, config, setting) for case in cases(config)]
    rows = []
    for share in config.shares[: len(config.epochs)]:
        for kind in KINDS:
            found = [fit for fit in fits if (fit["kind"], fit["share"]) == (kind, share)]
            errors = [fit["test_mae"] for fit in found]
            alike = {key: found[0][key] for key in ("kind", "share", "train", "test", "epochs")}
            rows.append(alike | {"mae": float(np.mean(errors)), "mae_each": errors})
    picture = draw(setting.folder / "enthalpy.png", fits)
    return Findings({"unit": "meV", "table": rows, "fits": fits}, bars(rows), (picture,))


def bars(table: list[dict[str, Any]]) -> tuple[Bar, ...]:
    """Ask, as the paper finds, whether the pretrained encoder is better than the one from scratch."""
    mae = {(row["kind"], row["share"]): row["mae"] for row in table}
    return tuple(
        Bar(
            f"MAE of H, pretrained, {100 * share:g} % of the labels, meV", value, mae["scratch", share], False
        )
        for (kind, share), value in mae.items()
        if kind == "pretrained"
    )


def _kept(
    folder: Path,
    case: Case,
    labelled: Labelled,
    origin: Checkpoint[Any],
    config: Config,
    setting: Setting,
) -> dict[str, Any]:
    """Return what is in the folder of a case of the same recipe, data and origin; else fit it, and write it there."""
    path = folder / f"{case.name}.json"
    recipe: dict[str, Any] = asdict(case) | {
        "batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "seed": case.seed + setting.seed,
        "test_molecules": config.test_molecules,
        "labelled": len(labelled),
        "origin": origin.sha256,
    }
    if path.exists() and (there := json.loads(path.read_text(encoding="utf-8")))["recipe"] == recipe:
        return dict(there["fit"])
    torch.manual_seed(setting.seed + case.seed)
    model = build(origin.model.config)
    if case.kind == "pretrained":
        model.load_state_dict(origin.model.state_dict())
    assert isinstance(model, LearnedAutoencoder)
    fit = asdict(case) | fitted(Regressor(model), case, labelled, config, setting)
    with PartialFile(path, overwrite=True).writing() as temporary:
        temporary.write_text(json.dumps({"recipe": recipe, "fit": fit}) + "\n", encoding="utf-8")
    return fit


def fitted(
    network: Regressor, case: Case, labelled: Labelled, config: Config, setting: Setting
) -> dict[str, Any]:
    """Fit a network; return sizes, the errors of validation molecules after each epoch and of the test set, in meV."""
    assert labelled.split is not None
    train, validation, test = case.rows(labelled.split, config.test_molecules)
    learned = labelled.take(train)
    references = fit_references(learned.block, learned.values, learned.targets)
    rest = learned.values - references.of(learned.block)
    middle, spread = float(rest.mean()), float(rest.std()) or 1.0

    def prepared(rows: Ints) -> tuple[Cloud, Tensor]:
        some = labelled.take(rows)
        y = (some.values - references.of(some.block))[:, 0]
        block = some.block
        x = pack(block.atomic_number, block.position, block.offset).to(setting.device)
        return x, torch.from_numpy((y - middle) / spread).float().to(setting.device)

    x, y = prepared(train)
    held = prepared(validation)
    network.to(setting.device)
    weights = list(network.learned())
    steps = -(-len(y) // config.batch_size) * case.epochs
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=max(steps, 2), pct_start=WARM_UP
    )
    curve, best = [], {}
    for _ in range(case.epochs):
        network.train()
        for index in torch.randperm(len(y)).split(config.batch_size):
            optimizer.zero_grad()
            loss = (network(_narrow(x[index])) - y[index]).abs().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, CLIP)
            optimizer.step()
            schedule.step()
        curve.append(spread * MEV * error(network, *held))
        if curve[-1] == min(curve):
            best = {name: t.detach().clone() for name, t in network.state_dict().items()}
    network.load_state_dict(best)
    tested = prepared(test)
    return {
        "train": len(train),
        "validation": len(validation),
        "test": len(test),
        "composition_mae": spread * MEV * float((tested[1] + middle / spread).abs().mean()),
        "validation_mae": curve,
        "test_mae": spread * MEV * error(network, *tested),
    }


@torch.no_grad()
def error(network: Regressor, x: Cloud, y: Tensor, size: int = 256) -> float:
    """Return the mean absolute error, in the units of y (M,)."""
    network.eval()
    parts = [(network(_narrow(x[k : k + size])) - y[k : k + size]).abs() for k in range(0, len(y), size)]
    return float(torch.cat(parts).mean())


def _narrow(x: Cloud) -> Cloud:
    """Return the conformers without columns in which all is padding."""
    return x.columns(int(x.mask.sum(dim=1).max()))


def draw(path: Path, fits: list[dict[str, Any]]) -> str:
    """Draw the errors of validation molecules after each epoch, a panel for each share, a line for each fit."""
    shares = sorted({fit["share"] for fit in fits})
    figure = blank(4.5 * len(shares) + 0.5, 3.6)
    for panel, share in zip(figure.subplots(1, len(shares), squeeze=False)[0], shares, strict=True):
        for k, kind in enumerate(KINDS):
            lines = [fit["validation_mae"] for fit in fits if (fit["kind"], fit["share"]) == (kind, share)]
            for number, line in enumerate(lines):
                panel.plot(range(1, len(line) + 1), line, color=f"C{k}", label="" if number else kind)
        panel.set(title=f"{100 * share:g} % of the labels", xlabel="epoch", yscale="log")
        panel.set_ylabel("MAE of H, validation (meV)")
        panel.grid(alpha=0.3, which="both")
        panel.legend()
    return saved(figure, path).name

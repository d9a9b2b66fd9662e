"""Sets of digits under S_n (Section 5.2, Appendix C): a Deep Sets encoder, sorted scores, a decoder by position.

The encoder gives each element a score; sorting them gives the permutation, and the canonical element is the set in
that order. Training sees the hard permutation, as in use, with the gradients of SoftSort. The loss compares in
canonical order: Eq. 3 is invariant. Of each batch it decodes some positions only, drawn anew every time.

Shrunk against the paper: fewer sets, see `Config`, and networks 64 wide.
"""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molgiae.errors import ConfigError
from molgiae.experiments import Bar, Findings, Setting, both, sized
from molgiae.experiments.autoencoders import classical, fit, parameters, relative_change
from molgiae.experiments.deep_sets import DeepSets, PositionDecoder, bottleneck
from molgiae.groups import Permutation, soft_sort
from molgiae.model.autoencoder import GroupInvariantAutoencoder
from molgiae.plots import axes, blank, saved

Digits = NDArray[np.uint8]
"""(M, n) the digits of M sets."""

Model = GroupInvariantAutoencoder[Tensor, Tensor, Permutation]
"""Of one-hot sets (B, n, classes); delta gives logits of that shape."""

LINES = {"invariant": "o-", "classical": "s--"}
"""How the kinds of autoencoder are drawn."""

KINDS = tuple(LINES)
EVALUATE_BATCH = 1000


@dataclass(frozen=True)
class Config:
    """Sizes of the study."""

    classes: int = 10  # digits there are
    sizes: tuple[int, ...] = sized((20, 30, 40), fast=(12, 16))  # n, digits of a set
    dims: tuple[int, ...] = sized((2, 4, 8, 12, 40), fast=(2, 12))  # D, numbers of an embedding
    sufficient: int = 12  # the one of `dims` at which the invariant autoencoder has to be perfect for every n
    train_sets: int = sized(300_000, fast=20_000)  # the paper has a million
    evenness: float = 3.0  # of the digits in these, see `uneven`
    test_sets: int = sized(20_000, fast=500)  # the paper has 100 000
    width: int = sized(64, fast=32)  # features of a hidden layer
    batch_size: int = 256  # sets in a step
    positions: int = 8  # decoded in a step
    steps: int = sized(2000, fast=150)
    learning_rate: float = 5e-3  # its peak
    tau: float = 0.1  # temperature of SoftSort, in the units of the scores
    few_classes: int = 3  # digits there are in the picture of the plane
    few_size: int = sized(30, fast=8)  # digits of a set there
    few_steps: int = sized(2000, fast=150)  # of training there


CONFIG, FAST = both(Config)


def draw(config: Config, n: int, generator: np.random.Generator) -> tuple[Digits, Digits]:
    """Draw training and test sets (M, n) of digits, no two of which, of either kind, are the same up to order.

    Digits of test sets are independent and uniform, those of training sets see `uneven`.

    Raises:
        ConfigError: if there are hardly so many sets of n digits.
    """
    wanted = config.train_sets + config.test_sets
    there_are = math.comb(n + config.classes - 1, n)
    if 4 * wanted > there_are:
        raise ConfigError(
            f"{wanted} distinct sets of {n} digits are wanted, there are {there_are}: "
            "ask for at most a quarter, or for larger sets"
        )
    labels = np.empty((0, n), dtype=np.uint8)
    while len(labels) < config.test_sets:
        more = generator.integers(config.classes, size=(config.test_sets, n), dtype=np.uint8)
        labels = distinct(np.concatenate([labels, more]), config.classes)
    labels = labels[: config.test_sets]
    while len(labels) < wanted:
        more = uneven(config.train_sets, n, config.classes, config.evenness, generator)
        labels = distinct(np.concatenate([labels, more]), config.classes)
    return labels[config.test_sets : wanted], labels[: config.test_sets]


def uneven(number: int, n: int, classes: int, evenness: float, generator: np.random.Generator) -> Digits:
    """Draw sets (number, n) of digits; those of each set have probabilities of its own, from a Dirichlet law.

    Uniform digits hardly ever show a set with many of one kind, and what is not shown is not learned. Evenness is the
    concentration of the law: the larger, the more uniform.
    """
    below = generator.dirichlet([evenness] * classes, size=number).cumsum(axis=1)
    place = generator.random((number, n))
    labels = np.zeros((number, n), dtype=np.uint8)
    for digit in range(classes - 1):
        labels += place > below[:, [digit]]
    return labels


def distinct(labels: Digits, classes: int) -> Digits:
    """Return the sets without those that an earlier one equals up to order; the others keep their places."""
    counts = composition(labels, classes)
    keys = counts @ (labels.shape[1] + 1) ** np.arange(classes, dtype=np.int64)
    return labels[np.sort(np.unique(keys, return_index=True)[1])]


def composition(labels: Digits, classes: int) -> NDArray[np.int64]:
    """Count how often each digit occurs in each set, (M, classes)."""
    return np.stack([(labels == digit).sum(axis=1) for digit in range(classes)], axis=1)


def all_compositions(n: int, classes: int, generator: np.random.Generator) -> Digits:
    """Return one set of n digits for every composition, in a random order of its elements."""
    labels = np.array(list(combinations_with_replacement(range(classes), n)), dtype=np.uint8)
    return generator.permuted(labels[::-1], axis=1)


def build(kind: str, n: int, classes: int, dim: int, width: int) -> Model:
    """Return an untrained autoencoder: invariant, or a classical one with as many layers and about as many weights."""
    encoder: nn.Module = DeepSets(classes, dim, width)
    if kind == "classical":
        encoder = classical(as_large_as(parameters(encoder), n * classes, dim), Permutation)
    return GroupInvariantAutoencoder(encoder, PositionDecoder(dim, n, classes, width), Permutation)


def as_large_as(weights: int, inputs: int, dim: int) -> nn.Sequential:
    """Return a network with about as many layers as `DeepSets` and as nearly as possible that number of weights."""

    def network(width: int) -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), bottleneck(inputs, dim, width, layers=2))

    def excess(width: int) -> int:
        with torch.device("meta"):
            return parameters(network(width)) - weights

    most = bisect(range(1, 1024), 0, key=excess)
    return network(min((max(most, 1), most + 1), key=lambda width: abs(excess(width))))


def one_hot(labels: Digits, classes: int, device: str) -> Tensor:
    """Return digits (M, n) as one-hot vectors (M, n, classes), float32."""
    return nn.functional.one_hot(torch.from_numpy(labels).to(device).long(), classes).float()


def loss(model: Model, x: Tensor, tau: float, positions: Tensor) -> Tensor:
    """Return the mean cross-entropy of x (B, n, classes) at some positions (K,) of the canonical order."""
    scores, shared = model.encoder.equivariant(x)
    canonical = model.undo(model.xi(scores), x)
    soft = soft_sort(scores, tau)[:, positions] @ x
    target = canonical[:, positions] + soft - soft.detach()
    logits = model.decoder(model.encoder.invariant(shared, canonical), positions)
    return -(target * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


def train(
    model: Model, labels: Digits, classes: int, steps: int, config: Config, setting: Setting, name: str
) -> None:
    """Train on batches drawn from the sets."""
    generator = np.random.default_rng(setting.seed)

    def next_loss() -> Tensor:
        batch = labels[generator.integers(len(labels), size=config.batch_size)]
        positions = torch.from_numpy(generator.permutation(labels.shape[1])[: config.positions])
        x = one_hot(batch, classes, setting.device)
        return loss(model, x, config.tau, positions.to(setting.device))

    fit(model, next_loss, steps, config.learning_rate, name=name, progress=setting.progress)


@torch.no_grad()
def accuracy(model: Model, labels: Digits, classes: int, device: str) -> float:
    """Return the share of the elements that the reconstruction, in the order of the input, gets right."""
    right = 0
    for start in range(0, len(labels), EVALUATE_BATCH):
        x = one_hot(labels[start : start + EVALUATE_BATCH], classes, device)
        right += int((model.reconstruct(x).argmax(dim=-1) == x.argmax(dim=-1)).sum())
    return right / labels.size


def learned_order(model: Model, classes: int, device: str) -> list[int]:
    """List the digits by their scores."""
    scores = model.encoder.equivariant(torch.eye(classes, device=device)[None])[0]
    return Permutation.from_equivariant(scores).index[0].tolist()


def run(config: Config, setting: Setting) -> Findings:
    """Sweep over set and embedding sizes, look at the canonical order and at the plane of compositions."""
    generator = np.random.default_rng(setting.seed)
    rows: list[dict[str, Any]] = []
    runs = len(config.sizes) * len(config.dims) * len(KINDS)
    for n in config.sizes:
        train_sets, test_sets = draw(config, n, generator)
        for dim, kind in product(config.dims, KINDS):
            torch.manual_seed(setting.seed * 1_000_003 + len(rows))
            model = build(kind, n, config.classes, dim, config.width).to(setting.device)
            name = f"{len(rows) + 1}/{runs} {kind}, n = {n}, D = {dim}"
            train(model, train_sets, config.classes, config.steps, config, setting, name)
            row = {"model": kind, "n": n, "dim": dim, "weights": parameters(model)}
            row["accuracy"] = accuracy(model, test_sets, config.classes, setting.device)
            if kind == "invariant":
                row["order"] = learned_order(model, config.classes, setting.device)
                if (n, dim) == (config.sizes[0], config.sufficient):
                    canonical, canonical_picture = canonical_order(model, test_sets, config, setting)
            rows.append(row)
    plane, plane_picture = composition_plane(config, setting, generator)
    figures = {
        "sweep": rows,
        "perfect_from": {kind: {str(n): perfect_from(rows, kind, n) for n in config.sizes} for kind in KINDS},
        "canonical": canonical,
        "plane": plane,
    }
    drawn = (draw_accuracy(setting.folder, rows), canonical_picture, plane_picture)
    return Findings(figures, bars(rows, canonical, config), drawn)


def perfect_from(rows: list[dict[str, Any]], kind: str, n: int) -> int | None:
    """Return the smallest embedding without a single wrong element."""
    dims = [row["dim"] for row in rows if row["model"] == kind and row["n"] == n and row["accuracy"] == 1]
    return min(dims, default=None)


def bars(rows: list[dict[str, Any]], canonical: dict[str, Any], config: Config) -> tuple[Bar, ...]:
    """Compare the table with what Figure 4 claims."""
    at = {
        kind: [row["accuracy"] for row in rows if row["model"] == kind and row["dim"] == config.sufficient]
        for kind in KINDS
    }
    where = f"embedding size {config.sufficient}"
    return (
        Bar(f"element accuracy at {where}, invariant, worst n", min(at["invariant"]), 1.0),
        Bar(f"element accuracy at {where}, classical, best n", max(at["classical"]), 0.95, at_least=False),
        Bar("canonical elements in the learned order", canonical["in_learned_order"], 1.0),
    )


def draw_accuracy(folder: Path, rows: list[dict[str, Any]]) -> str:
    """Draw Figure 4a: elements right against the size of the embedding, a line for each model and size of sets."""
    path = folder / "accuracy.png"
    sizes = sorted({row["n"] for row in rows})
    with axes(path, 7, 4.5, xlabel="size of the embedding", ylabel="elements right (%)") as drawn:
        for kind, (k, n) in product(KINDS, enumerate(sizes)):
            line = [row for row in rows if row["model"] == kind and row["n"] == n]
            dims, right = [row["dim"] for row in line], [100 * row["accuracy"] for row in line]
            drawn.plot(dims, right, LINES[kind], color=f"C{k}", label=f"{kind}, n = {n}")
    return path.name


@torch.no_grad()
def canonical_order(
    model: Model, labels: Digits, config: Config, setting: Setting
) -> tuple[dict[str, Any], str]:
    """Look at Figure 4b: one set in detail, and whether all decoded canonical elements list digits in one order."""
    order = learned_order(model, config.classes, setting.device)
    rank = torch.tensor(order, device=setting.device).argsort()
    x = one_hot(labels[:EVALUATE_BATCH], config.classes, setting.device)
    encoding = model.encode(x)
    decoded = model.decode(encoding.embedding).argmax(dim=-1)
    rising = (rank[decoded].diff(dim=1) >= 0).all(dim=1)
    g = Permutation.random(len(x), n=x.shape[1], generator=torch.Generator().manual_seed(setting.seed))
    shuffled = model.encode(g.to(setting.device).act(x)).embedding
    permutation = encoding.action[0].matrix.cpu()
    picture = draw_canonical(setting.folder, labels[0], decoded[0].cpu(), permutation, config.classes)
    return {
        "n": x.shape[1],
        "dim": config.sufficient,
        "learned_order": order,
        "in_learned_order": rising.double().mean().item(),
        "embedding_change_max": relative_change(shuffled, encoding.embedding).max().item(),
        "set": labels[0].tolist(),
        "decoded": decoded[0].tolist(),
        "permutation": encoding.action.index[0].tolist(),
    }, picture


def draw_canonical(folder: Path, digits: Digits, decoded: Tensor, permutation: Tensor, classes: int) -> str:
    """Draw a set (n,), its permutation matrix (n, n) P with P c = x, and its canonical element c (n,) as decoded."""
    figure = blank(8, 4)
    first, middle, last = figure.subplots(1, 3, width_ratios=[1, 2, 1])
    middle.imshow(permutation.numpy(), cmap="Greys")
    middle.set(title="permutation", xlabel="canonical place", ylabel="place in the input")
    for panel, column, title in ((first, digits, "set"), (last, decoded.numpy(), "canonical element")):
        panel.imshow(column[:, None], cmap="tab10", vmin=0, vmax=classes - 1, aspect="auto")
        for k, digit in enumerate(column.tolist()):
            panel.text(0, k, str(digit), ha="center", va="center", fontsize=7)
        panel.set(title=title, xticks=[], yticks=[])
    return saved(figure, folder / "canonical.png").name


def composition_plane(
    config: Config, setting: Setting, generator: np.random.Generator
) -> tuple[dict[str, Any], str]:
    """Look at Figure 4c: sets of few kinds of digits in two dimensions; every composition is there once."""
    classes, n = config.few_classes, config.few_size
    labels = all_compositions(n, classes, generator)
    torch.manual_seed(setting.seed)
    model = build("invariant", n, classes, 2, config.width).to(setting.device)
    train(model, labels, classes, config.few_steps, config, setting, f"plane of {classes} digits, n = {n}")
    with torch.no_grad():
        embedding = model.encode(one_hot(labels, classes, setting.device)).embedding.cpu().double()
    counts = torch.from_numpy(composition(labels, classes)).double()
    nearest = torch.cdist(embedding, embedding).fill_diagonal_(torch.inf).argmin(dim=1)
    # exchanging one element changes two counts by one
    exchanged = (counts - counts[nearest]).abs().sum(dim=1) / 2
    apart = torch.cdist(counts, counts, p=1) / 2
    figures = {
        "classes": classes,
        "n": n,
        "compositions": len(labels),
        "accuracy": accuracy(model, labels, classes, setting.device),
        "exchanged_to_nearest_mean": exchanged.mean().item(),
        "exchanged_to_nearest_max": exchanged.max().item(),
        "exchanged_to_any_mean": (apart.sum() / (len(labels) * (len(labels) - 1))).item(),
    }
    path = setting.folder / "plane.png"
    words = {"xlabel": "embedding 1", "ylabel": "embedding 2", "title": "coloured by composition"}
    with axes(path, 5, 4.5, grid=False, **words) as drawn:
        # red, green and blue are the shares of the three digits
        drawn.scatter(embedding[:, 0].tolist(), embedding[:, 1].tolist(), c=(counts / n).numpy(), s=16)
    return figures, path.name

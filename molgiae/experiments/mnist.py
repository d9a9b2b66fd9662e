"""Rotated MNIST under SO(2) (Section 5.1, Appendices B and E.1): trained on digits as they are, tested on rotated ones.

A digit is a function on the disc, held as coefficients of circular harmonics (`steerable2d`), which turn
exactly; only the step between pixels and coefficients feels the grid. A steerable network gives one vector, whose angle
is the group action; embedding and decoder are dense networks on the coefficients in the canonical orientation, where
any network is invariant. Every other row of the paper's table has the same dense networks and the same training: the
classical autoencoder without the action, the quotient autoencoder with the least error over rotations of its output,
and the equivariant one, steerable throughout, whose embedding of vectors is projected to invariants afterwards.

Training on upright digits alone tells a classical autoencoder nothing about others, and a quotient adds nothing. Both
are therefore shown rotated digits; the classical one is trained both ways.

Reconstruction leaves open which of the rotations of a digit is the canonical one, and a digit of another hand may get
another. Two rows have one more term of the loss, in which no label takes part: it draws the group action of training
digits to poses chosen before. "Synchronized" finds them from training digits that were rotated at random, by the
rotations that lay those which come near one another onto one another (`synchronization`); it is shown rotated digits.
"Upright" takes training digits as they are, which is upright: a hint that no other row has.

Shrunk against the paper: dense layers on 588 coefficients in place of seven steerable convolutions and six ordinary
ones, minutes on one core in place of six hours on a V100.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from molgiae.errors import MolgiaeError
from molgiae.evaluation.embedding_map import tsne
from molgiae.experiments import Bar, Findings, Setting, both, labelled, pictures, rotated_pictures, sized
from molgiae.experiments.autoencoders import (
    ActingAutoencoder,
    SeparateEncoder,
    classical,
    different_pairs,
    distances,
    fit,
    parameters,
)
from molgiae.experiments.deep_sets import bottleneck
from molgiae.experiments.labelled import Labelled, Labels, accuracies
from molgiae.experiments.rotated_pictures import distance_of_digits, random_angles, rotated
from molgiae.experiments.steerable2d import (
    DiscHarmonics,
    SteerableDecoder,
    SteerableVectors,
    best_turn,
    turned,
)
from molgiae.groups import SO2
from molgiae.model.autoencoder import Encoding
from molgiae.model.projections import PROJECTIONS, orbit_distance, project
from molgiae.nn.slots import LinearPlusResidual
from molgiae.tensors import Embedding

PIXELS = 28
EVALUATE_BATCH = 500
PAPER_ACCURACY = 0.90

DiscAutoencoder = ActingAutoencoder[SO2]
"""Of coefficients of functions on the disc, (B, M + 1, R, 2)."""


@dataclass(frozen=True)
class Kind:
    """An autoencoder of the comparison."""

    encoder: str  # "classical", "invariant" or "equivariant"
    rotated: bool = False  # whether it is shown rotated digits in training
    quotient: bool = False  # whether its error is the least over rotations of the output
    synchronized: bool = False  # whether group actions are drawn to poses that rotated digits share
    upright: bool = False  # whether the group action of training digits is drawn to the identity
    paper_loss: float | None = None  # reconstruction loss in the table of Appendix E.1
    paper_accuracy: float | None = None  # of the classifier there; None for the embedding of vectors itself


OURS, UPRIGHT = "invariant, synchronized", "invariant, upright"

KINDS = {
    "classical": Kind("classical"),
    "classical, shown rotated digits": Kind(
        "classical", rotated=True, paper_loss=0.0170, paper_accuracy=0.68
    ),
    "quotient": Kind("classical", rotated=True, quotient=True, paper_loss=0.0227, paper_accuracy=0.82),
    "equivariant": Kind("equivariant", paper_loss=0.0189),
    "invariant": Kind("invariant", paper_loss=0.0162, paper_accuracy=PAPER_ACCURACY),
    OURS: Kind("invariant", rotated=True, synchronized=True),
    UPRIGHT: Kind("invariant", upright=True),
}
SAME = {9: 6}
"""Digits that are others when rotated by 180 degrees."""

PAPER_PROJECTED = {"norms": 0.56, "angles": 0.53, "norms-angles": 0.67}
"""Accuracy of projections in the paper."""

PROJECTED = [name for name, row in PROJECTIONS.items() if SO2 in row.groups]
"""Projections of the equivariant embedding."""


@dataclass(frozen=True)
class Config:
    """Sizes of the study."""

    rings: int = 14  # R of the harmonics
    orders: int = sized(20, fast=12)  # M of the harmonics
    embedding_dim: int = 32  # D
    vectors: int = 16  # of the equivariant embedding; as many numbers
    width: int = sized(256, fast=96)  # features of the dense layers
    layers: int = sized(2, fast=1)  # residual blocks in encoder and decoder
    frame_width: int = sized(48, fast=16)  # channels of the steerable network that gives the group action
    steerable_width: int = sized(48, fast=16)  # of encoder and decoder of the equivariant autoencoder
    steerable_layers: int = sized(3, fast=2)  # of all these
    steerable_orders: int = sized(8, fast=5)  # of the encoders; the decoder has all
    train_digits: int | None = sized(None, fast=5000)  # most to learn from; None for all
    test_digits: int | None = sized(None, fast=1500)  # most to measure on; None for all
    batch_size: int = sized(256, fast=128)  # digits in a step
    steps: int = sized(4000, fast=80)
    learning_rate: float = 2e-3  # its peak
    upright: float = 0.01  # weight of 1 - cos of the angle between group action and identity, beside the loss
    synchronized: float = 6.0  # of that between group action and the pose that digits share
    landmarks: int = sized(10000, fast=1000)  # digits that all are compared with, for that
    matched: int = 5  # of them that are nearest
    rotations: int = 36  # of the quotient
    known: int = sized(1000, fast=500)  # embeddings that the classifier is shown
    neighbours: int = 5  # that vote
    repeats: int = sized(10, fast=3)  # draws of the known ones, over which accuracies are averaged
    pairs: int = sized(5000, fast=500)  # of digits whose distances are compared
    mapped: int = sized(2000, fast=200)  # digits in the picture of embeddings


CONFIG, FAST = both(Config)


def read(setting: Setting, config: Config, generator: torch.Generator) -> tuple[Labelled, Labelled]:
    """Read training and test digits, as many as asked for, drawn at random; pictures (M, 28, 28).

    Raises:
        MolgiaeError: if the file cannot be read, holds something else or too few digits.
    """

    def decoded(stored: Labels) -> Tensor:
        return torch.from_numpy(stored).float() / 255

    parts = labelled.read(setting.data, (PIXELS, PIXELS), "MNIST as npz", decoded)
    digits, test = (
        part[torch.randperm(len(part), generator=generator)[:number]]
        for part, number in zip(parts, (config.train_digits, config.test_digits), strict=True)
    )
    if len(test) <= config.known:
        raise MolgiaeError(f"{setting.data}: {len(test)} test digits, more than {config.known} are needed")
    return digits, test


def build(encoder: str, config: Config) -> DiscAutoencoder:
    """Return an untrained autoencoder."""
    shape = (config.orders + 1, config.rings, 2)
    numbers = math.prod(shape)

    def vectors(width: int, number: int) -> nn.Sequential:
        layers, orders = config.steerable_layers, config.steerable_orders
        return nn.Sequential(SteerableVectors(config.rings, width, layers, orders, number), nn.Flatten())

    def acting(encoder: nn.Module, decoder: nn.Module) -> DiscAutoencoder:
        return ActingAutoencoder(encoder, decoder, SO2, lambda g, x: turned(x, g.angle))

    if encoder == "equivariant":
        whole = classical(vectors(config.steerable_width, config.vectors), SO2)
        sizes = (config.steerable_width, config.steerable_layers, config.vectors)
        return acting(whole, SteerableDecoder(shape, *sizes))
    dim, width, layers = config.embedding_dim, config.width, config.layers
    network = nn.Sequential(nn.Flatten(), bottleneck(numbers, dim, width, layers))
    decoder = nn.Sequential(LinearPlusResidual(dim, width, layers, numbers), nn.Unflatten(1, shape))
    if encoder == "classical":
        return acting(classical(network, SO2), decoder)
    return acting(SeparateEncoder(vectors(config.frame_width, 1), network), decoder)


def reconstructed(
    model: DiscAutoencoder, disc: DiscHarmonics, picture: Tensor, rotations: int
) -> tuple[Encoding[Tensor, SO2], Tensor]:
    """Return embeddings and group actions, and reconstructions (B, n, n), of pictures (B, n, n).

    Of so many rotations of the output the nearest to the picture is taken; 1 for the output as it is.
    """
    encoding = model.encode(disc(picture))
    output = model.act(encoding.action, model.decode(encoding.embedding))
    if rotations > 1:
        output = turned(output, best_turn(disc.products(picture), output.detach(), rotations))
    return encoding, disc.picture(output)


def train(
    model: DiscAutoencoder, disc: DiscHarmonics, kind: str, digits: Labelled, config: Config, setting: Setting
) -> None:
    """Train on batches of the digits, rotated or not; the same digits in the same order for every kind."""
    generator = torch.Generator().manual_seed(setting.seed)
    about = KINDS[kind]
    pose, weight = torch.zeros(len(digits)), config.upright * about.upright
    if about.synchronized:
        how = (config.landmarks, config.matched, setting.seed, setting.progress)
        pose = rotated_pictures.canonical_angles(digits.x.to(setting.device), *how)
        weight = config.synchronized

    def loss() -> Tensor:
        chosen = torch.randint(len(digits), (config.batch_size,), generator=generator)
        angle = random_angles(config.batch_size, generator) * about.rotated
        x = (rotated(digits.x[chosen], angle) if about.rotated else digits.x[chosen]).to(setting.device)
        encoding, output = reconstructed(model, disc, x, config.rotations if about.quotient else 1)
        error = (output - x).square().mean()
        if weight:
            off = encoding.action.angle - (pose[chosen] + angle).to(setting.device)
            error = error + weight * (1 - off.cos()).mean()
        return error

    fit(model, loss, config.steps, config.learning_rate, name=kind, progress=setting.progress)


@torch.no_grad()
def measured(
    model: DiscAutoencoder, disc: DiscHarmonics, picture: Tensor, rotations: int, device: str
) -> tuple[Embedding, float]:
    """Return embeddings (M, D) of pictures, on the CPU, and the mean squared error of their pixels."""
    embeddings, squares = [], 0.0
    for part in picture.split(EVALUATE_BATCH):
        encoding, output = reconstructed(model, disc, part.to(device), rotations)
        embeddings.append(encoding.embedding.cpu())
        squares += (output.cpu() - part).square().sum().item()
    return torch.cat(embeddings), squares / picture.numel()


def accuracy(embedded: Labelled, config: Config, seed: int) -> dict[str, float]:
    """Measure a classifier that is shown some of the embeddings and asked for the others; and with no 9 but a 6."""
    merged = np.vectorize(lambda digit: SAME.get(digit, digit), otypes=[np.uint8])(embedded.label)
    found, of_merged = (
        accuracies(Labelled(embedded.x, label), None, config.known, config.neighbours, config.repeats, seed)
        for label in (embedded.label, merged)
    )
    return {
        "accuracy": float(np.mean(found)),
        "accuracy_sd": float(np.std(found)),
        "accuracy_6_or_9": float(np.mean(of_merged)),
    }


def study(
    embeddings: dict[str, Tensor], label: Labels, apart: Tensor, pair: Tensor, config: Config, seed: int
) -> list[dict[str, Any]]:
    """Compare projections of the equivariant embedding with the learned invariant one: what is kept, and distances.

    Embeddings are (M, D) by kind; of pairs (2, P) of the M digits, `apart` (P,) is the distance over all rotations.
    """
    z = embeddings["equivariant"].unflatten(1, (config.vectors, 2))
    orbits = orbit_distance(z[pair[0]], z[pair[1]], SO2)
    compared = {
        "the vectors themselves": z.flatten(1),
        **{name: project(name, z, SO2) for name in PROJECTED},
        "learned invariant": embeddings[OURS],
    }
    rows = []
    for name, s in compared.items():
        distance = distances(s, pair)
        row: dict[str, Any] = {"embedding": name, "numbers": s.shape[1]}
        row |= accuracy(Labelled(s, label), config, seed)
        row["paper_accuracy"] = PAPER_PROJECTED.get(name)
        if name != "learned invariant":  # lives in another space
            row["spearman_with_orbits_of_vectors"] = float(spearmanr(distance, orbits).statistic)
        row["spearman_with_orbits_of_digits"] = float(spearmanr(distance, apart).statistic)
        rows.append(row)
    return rows


def run(config: Config, setting: Setting) -> Findings:
    """Train every row of the table, embed rotated test digits, classify, compare distances, draw."""
    generator = torch.Generator().manual_seed(setting.seed)
    digits, test = read(setting, config, generator)
    angle = random_angles(len(test), generator)
    x, label = rotated(test.x, angle), test.label
    disc = DiscHarmonics(PIXELS, config.rings, config.orders).to(setting.device)
    rows: list[dict[str, Any]] = []
    models, embeddings = {}, {}
    for kind, about in KINDS.items():
        torch.manual_seed(setting.seed)
        models[kind] = model = build(about.encoder, config).to(setting.device)
        train(model, disc, kind, digits, config, setting)
        rotations = config.rotations if about.quotient else 1
        upright = measured(model, disc, test.x, rotations, setting.device)[1]
        embeddings[kind], error = measured(model, disc, x, rotations, setting.device)
        row = {"model": kind, "weights": parameters(model)}
        row |= {"reconstruction_loss": error, "reconstruction_loss_upright": upright}
        row |= accuracy(Labelled(embeddings[kind], label), config, setting.seed)
        rows.append(row | {"paper_loss": about.paper_loss, "paper_accuracy": about.paper_accuracy})
    symmetric = rotated_pictures.symmetry(models[OURS], disc, test.x[:1000], angle[:1000], setting.device)
    drawn = examples(models[OURS], disc, test, setting)
    disc.cpu()
    pair = different_pairs(len(test), config.pairs, generator)
    apart = distance_of_digits(disc, x[pair[0]], x[pair[1]])
    projections = study(embeddings, label, apart, pair, config, setting.seed)
    figures = {
        "train": len(digits),
        "test": len(test),
        "table": rows,
        "projections": projections,
        "pixels themselves": accuracy(Labelled(x.flatten(1), label), config, setting.seed),
        "loss_of_harmonics": (disc.picture(disc(x)) - x).square().mean().item(),
        "symmetry": symmetric,
    }
    points = {kind: tsne(z[: config.mapped], setting.seed) for kind, z in embeddings.items()}
    classes = {int(digit): str(digit) for digit in np.unique(label)}
    maps = pictures.maps(setting.folder / "maps.png", points, label[: config.mapped], classes)
    return Findings(figures, bars(rows, projections), (maps, drawn))


def bars(rows: list[dict[str, Any]], projections: list[dict[str, Any]]) -> tuple[Bar, ...]:
    """Ask for the first place in both columns of the table, and for the accuracy of the paper."""
    ours = next(row for row in rows if row["model"] == OURS)
    others = [row for row in rows if not row["model"].startswith("invariant")]
    projected = [row for row in projections if row["embedding"] in PROJECTED]
    accurate = max(row["accuracy"] for row in (*others, *projected))
    exact = min(row["reconstruction_loss"] for row in others)
    return (
        Bar("accuracy of the classifier, invariant", ours["accuracy"], PAPER_ACCURACY),
        Bar("the same less that of the best other row", ours["accuracy"] - accurate, 0.0),
        Bar(
            "reconstruction loss, invariant, over that of the best other row",
            ours["reconstruction_loss"] / exact,
            1.0,
            at_least=False,
        ),
    )


@torch.no_grad()
def examples(model: DiscAutoencoder, disc: DiscHarmonics, test: Labelled, setting: Setting) -> str:
    """Draw three rotations of the first test digit of each class."""
    first = test[test.first_of_each].x
    angle = torch.tensor([0.0, 1.0, 3.0]).repeat(len(first))
    x = rotated(first.repeat_interleave(3, dim=0), angle).to(setting.device)
    encoding = model.encode(disc(x))
    decoded = model.decode(encoding.embedding)
    output = disc.picture(model.act(encoding.action, decoded))
    shown = (x.cpu(), disc.picture(decoded).cpu(), output.cpu())
    return pictures.reconstructions(setting.folder / "reconstructions.png", *shown)

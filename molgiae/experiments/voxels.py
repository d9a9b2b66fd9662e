"""Voxels under SO(3) (Section 5.4): a steerable encoder, two vectors for the rotation, an ordinary decoder.

ModelNet10 stands in for ShapeNet. Its shapes are aligned, so all of them, of training too, are turned by random
rotations of 90 degrees, which grids stand without interpolation. The invariant autoencoder is compared with an
ordinary one by a nearest-neighbour classifier that is shown a thousand embeddings.

Shrunk against the paper: occupancies of 13^3 voxels; steerable kernels as large as the grid in place of a stack of
convolutions; a decoder of dense layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from molgiae.errors import MolgiaeError
from molgiae.evaluation.embedding_map import tsne
from molgiae.experiments import Bar, Findings, Setting, both, labelled, pictures, sized
from molgiae.experiments.autoencoders import ActingAutoencoder, classical, fit, parameters, relative_change
from molgiae.experiments.deep_sets import bottleneck
from molgiae.experiments.labelled import Labelled, Labels, accuracies
from molgiae.experiments.steerable3d import GridDecoder, SteerableEncoder
from molgiae.groups import SO3

CLASSES = (
    "bathtub", "bed", "chair", "desk", "dresser", "monitor", "night stand", "sofa", "table", "toilet",
)  # fmt: skip
FINE, SIZE = 30, 13
"""Voxels along an edge, of the file and as used: pairs are averaged, and the outermost, which are empty, cut off."""

KINDS = ("invariant", "classical")
EVALUATE_BATCH = 256
SOME = 100
"""Test shapes, about, whose symmetry is looked at."""

GAP = 0.18
"""Between the two accuracies in the paper, 0.81 and 0.63."""

DARKEST = 0.5
"""Share of full voxels along a line of sight from which it is drawn black; grey levels show hollows too."""

Model = ActingAutoencoder[SO3]
"""Of occupancies (B, n, n, n)."""


@dataclass(frozen=True)
class Config:
    """Sizes of the study; the ordinary encoder costs about as much for a step and has more weights."""

    embedding_dim: int = 32  # D
    highest: int = sized(4, fast=3)  # L, order of the highest spherical harmonics of the steerable encoder
    rings: int = 8  # its radial functions
    channels: int = sized(16, fast=8)  # of its hidden fields, of each order
    layers: int = sized(2, fast=1)  # how many it has
    features: int = sized(48, fast=24)  # numbers at each voxel in the hidden layers of the ordinary encoder
    width: int = sized(256, fast=128)  # features of the dense layers
    train_shapes: int | None = None  # most to learn from; None for all
    batch_size: int = 64  # shapes in a step
    steps: int = sized(2000, fast=100)
    learning_rate: float = 3e-3  # its peak
    known: int = 1000  # embeddings that the classifier is shown
    neighbours: int = 5  # that vote
    repeats: int = sized(20, fast=5)  # draws of the known ones, over which accuracies are averaged
    mapped: int = sized(900, fast=200)  # test shapes in the picture of embeddings


CONFIG, FAST = both(Config)


def read(path: Path) -> tuple[Labelled, Labelled]:
    """Read training and test shapes without empty ones, and without test shapes that are training shapes turned.

    The npz file has x_train and x_test (M, 30, 30, 4) uint8, 30 bits in the last axis, y_train and y_test (M,).
    Returned are occupancies (M, SIZE, SIZE, SIZE) and their `CLASSES`.

    Raises:
        MolgiaeError: if the file cannot be read or holds something else.
    """

    def decoded(bits: Labels) -> Tensor:
        return coarse(np.unpackbits(bits, axis=-1)[..., :FINE], path)

    def eighths(grid: Tensor) -> list[bytes]:
        return [row.tobytes() for row in (8 * grid.flatten(1)).to(torch.uint8).numpy()]

    packed = (FINE, FINE, (FINE + 7) // 8)
    parts = labelled.read(path, packed, "ModelNet10 as packed voxels", decoded)
    train, test = (part[part.x.flatten(1).any(dim=1)] for part in parts)
    every = torch.cat([train.x.flatten(1)[:, order] for order in voxel_orders(quarter_turns())])
    seen = set(eighths(every))
    return train, test[torch.tensor([row not in seen for row in eighths(test.x)])]


def coarse(fine: Labels, path: Path) -> Tensor:
    """Average (M, 30, 30, 30) of 0 and 1 over cubes of eight, to (M, SIZE, SIZE, SIZE).

    Raises:
        MolgiaeError: if a shape reaches the outermost cubes.
    """
    half = FINE // 2
    mean = fine.reshape(-1, half, 2, half, 2, half, 2).mean(axis=(2, 4, 6), dtype=np.float32)
    margin = (half - SIZE) // 2
    inner = mean[:, margin:-margin, margin:-margin, margin:-margin]
    if mean.sum(dtype=np.float64) != inner.sum(dtype=np.float64):
        raise MolgiaeError(f"{path}: shapes reach the margin of the grid; leave {2 * margin} voxels empty")
    return torch.from_numpy(np.ascontiguousarray(inner))


def quarter_turns() -> SO3:
    """Return the 24 rotations of a cube."""
    signed = [
        torch.diag(torch.tensor(signs))[list(order)]
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
    ]
    return SO3(torch.stack([matrix for matrix in signed if torch.det(matrix) > 0]).double())


def voxel_orders(turns: SO3) -> Tensor:
    """Return where each voxel of a turned grid comes from, (24, SIZE^3) int64."""
    place = torch.arange(SIZE) - SIZE // 2
    point = torch.cartesian_prod(place, place, place).double()
    x, y, z = (turns.inverse().act(point).round().long() + SIZE // 2).unbind(dim=-1)
    return (x * SIZE + y) * SIZE + z


def turned(grid: Tensor, orders: Tensor) -> Tensor:
    """Turn shapes (B, SIZE, SIZE, SIZE), each by its own row of `orders` (B, SIZE^3)."""
    return grid.flatten(1).gather(1, orders).view_as(grid)


def rotated(action: SO3, grid: Tensor) -> Tensor:
    """Return rho(g) x, (B, n, n, n): the value at p is that of x at R^-1 p, linearly interpolated, 0 outside."""
    n = grid.shape[-1]
    matrix = action.matrix.to(grid.dtype)
    place = torch.linspace(-1, 1, n, dtype=grid.dtype, device=grid.device)
    point = torch.cartesian_prod(place, place, place)
    # the first coordinate that grid_sample takes is that of the last axis
    source = (point @ matrix).flip(-1).view(len(grid), n, n, n, 3)
    return nn.functional.grid_sample(grid[:, None], source, align_corners=True)[:, 0]


def build(kind: str, config: Config, occupied: float) -> Model:
    """Return an untrained autoencoder; both kinds have the same decoder."""
    decoder = GridDecoder(config.embedding_dim, SIZE, config.width, occupied)
    if kind == "classical":
        # all its group elements are the identity
        return ActingAutoencoder(classical(ordinary(config), SO3), decoder, SO3, lambda g, x: x)
    sizes = (config.highest, config.rings, config.channels, config.layers, config.embedding_dim, config.width)
    return ActingAutoencoder(SteerableEncoder(SIZE, *sizes), decoder, SO3, rotated)


def ordinary(config: Config) -> nn.Sequential:
    """Return an encoder of three convolutions down to one voxel."""
    features = config.features
    layers: list[nn.Module] = [nn.Unflatten(1, (1, SIZE))]
    shapes = ((1, 5, 2, 2), (features, 3, 2, 1), (features, (SIZE + 3) // 4, 1, 0))
    for inputs, size, stride, padding in shapes:
        convolution = nn.Conv3d(inputs, features, size, stride, padding, bias=False)
        layers += [convolution, nn.BatchNorm3d(features), nn.SiLU()]
    last = bottleneck(features, config.embedding_dim, config.width, layers=1)
    return nn.Sequential(*layers, nn.Flatten(), last)


def train(model: Model, shapes: Labelled, config: Config, setting: Setting, name: str) -> None:
    """Train on batches of randomly turned shapes."""
    generator = torch.Generator().manual_seed(setting.seed)
    orders = voxel_orders(quarter_turns())

    def loss() -> Tensor:
        chosen = torch.randint(len(shapes), (config.batch_size,), generator=generator)
        turn = torch.randint(len(orders), (config.batch_size,), generator=generator)
        x = turned(shapes.x[chosen], orders[turn]).to(setting.device)
        y, shared = model.encoder.equivariant(x)
        output = model.act(model.xi(y), model.decoder(model.encoder.invariant(shared, x)))
        return (output - x).square().sum(dim=(1, 2, 3)).mean()

    fit(model, loss, config.steps, config.learning_rate, name=name, progress=setting.progress)


@torch.no_grad()
def measured(model: Model, grid: Tensor, device: str) -> tuple[Tensor, float]:
    """Return eta of shapes, (M, D) on the CPU, and the mean squared error of their voxels."""
    embeddings, errors = [], []
    for part in grid.to(device).split(EVALUATE_BATCH):
        encoding = model.encode(part)
        output = model.act(encoding.action, model.decode(encoding.embedding))
        embeddings.append(encoding.embedding.cpu())
        errors.append((output - part).square().mean(dim=(1, 2, 3)))
    return torch.cat(embeddings), torch.cat(errors).mean().item()


@torch.no_grad()
def symmetry(model: Model, grid: Tensor, device: str) -> dict[str, float]:
    """Measure how embedding and canonical form bear the 24 rotations of a cube, and the embedding any rotation.

    A canonical form is held if its voxels change by less than a hundredth of their norm. Rotations themselves are not
    compared: those of a symmetric shape may differ.
    """
    grid = grid.to(device)
    still = model.encode(grid)
    form, norm = model.undo(still.action, grid), grid.flatten(1).norm(dim=1)
    change, departure = [], []
    for order in voxel_orders(quarter_turns()).to(device):
        x = turned(grid, order.expand(len(grid), -1))
        moved = model.encode(x)
        change.append(relative_change(moved.embedding, still.embedding))
        departure.append((model.undo(moved.action, x) - form).flatten(1).norm(dim=1) / norm)
    g = SO3.random(len(grid), generator=torch.Generator().manual_seed(0)).to(device)
    anyhow = relative_change(model.encode(rotated(g, grid)).embedding, still.embedding)
    return {
        "embedding_change_max": torch.stack(change).max().item(),
        "embedding_change_any_rotation_median": anyhow.median().item(),
        "canonical_forms_held": (torch.stack(departure) < 0.01).all(dim=0).double().mean().item(),
    }


def run(config: Config, setting: Setting) -> Findings:
    """Train both autoencoders on the same turned shapes, embed the same turned shapes, classify, draw."""
    shapes, test = read(setting.data)
    generator = torch.Generator().manual_seed(setting.seed)
    shapes = shapes[torch.randperm(len(shapes), generator=generator)[: config.train_shapes]]
    orders = voxel_orders(quarter_turns())
    known, asked = (
        turned(part.x, orders[torch.randint(len(orders), (len(part),), generator=generator)])
        for part in (shapes, test)
    )

    def of_classifier(known: Tensor, asked: Tensor) -> dict[str, float]:
        embedded = Labelled(known, shapes.label), Labelled(asked, test.label)
        sizes = (config.known, config.neighbours, config.repeats)
        found = torch.tensor(accuracies(*embedded, *sizes, setting.seed))
        return {"accuracy": found.mean().item(), "accuracy_sd": found.std().item()}

    figures: dict[str, Any] = {"train": len(shapes), "test": len(test)}
    embeddings: dict[str, Tensor] = {}
    models: dict[str, Model] = {}
    for kind in KINDS:
        torch.manual_seed(setting.seed)
        models[kind] = model = build(kind, config, shapes.x.mean().item()).to(setting.device).eval()
        untrained = of_classifier(*(measured(model, grid, setting.device)[0] for grid in (known, asked)))
        train(model, shapes, config, setting, kind)
        z, error = measured(model, asked, setting.device)
        embeddings[kind] = z[: config.mapped]
        figures[kind] = {
            "weights": parameters(model),
            "mse": error,
            **of_classifier(measured(model, known, setting.device)[0], z),
            "accuracy_untrained": untrained["accuracy"],
        }
    figures["voxels themselves"] = of_classifier(known.flatten(1), asked.flatten(1))
    figures["mse_of_mean"] = (asked - known.mean(dim=0)).square().mean().item()
    invariant = models["invariant"]
    figures["symmetry"] = symmetry(invariant, test.x[:: max(len(test) // SOME, 1)], setting.device)
    gap = figures["invariant"]["accuracy"] - figures["classical"]["accuracy"]
    change = figures["symmetry"]["embedding_change_max"]
    bars = (
        Bar("accuracy of the classifier, invariant less classical", gap, GAP),
        Bar("change of the embedding under rotations of 90 degrees", change, 1e-4, at_least=False),
    )
    points = {kind: tsne(z, setting.seed) for kind, z in embeddings.items()}
    label, classes = test.label[: config.mapped], dict(enumerate(CLASSES))
    maps = pictures.maps(setting.folder / "maps.png", points, label, classes)
    return Findings(figures, bars, (maps, examples(invariant, test, setting)))


@torch.no_grad()
def examples(model: Model, test: Labelled, setting: Setting) -> str:
    """Draw the first shape of each class, as it is and turned, seen along the first axis."""
    first = test[test.first_of_each]
    orders = voxel_orders(quarter_turns())[torch.tensor([0, 13]).repeat(len(first))]
    x = turned(first.x.repeat_interleave(2, dim=0), orders).to(setting.device)
    encoding = model.encode(x)
    decoded = model.decode(encoding.embedding)
    given, drawn, output = (
        grid.mean(dim=1).cpu() for grid in (x, decoded, model.act(encoding.action, decoded))
    )
    names = [CLASSES[label] + how for label in first.label for how in ("", ", turned")]
    path = setting.folder / "reconstructions.png"
    return pictures.reconstructions(path, given, drawn, output, names, DARKEST)

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
from numpy.typing import NDArray
from torch import Tensor, nn

from molgiae.data.qm9 import open_npz
from molgiae.errors import ConfigError, MolgiaeError
from molgiae.evaluation.neighbours import check_tsne, knn_accuracy, tsne
from molgiae.experiments import voxels_figures
from molgiae.experiments.classical import ClassicalEncoder, parameters
from molgiae.experiments.contract import Bar, Findings, Setting
from molgiae.experiments.deep_sets import bottleneck
from molgiae.experiments.fitting import fit
from molgiae.experiments.steerable3d import GridDecoder, SteerableEncoder
from molgiae.groups import SO3
from molgiae.model.autoencoder import GroupInvariantAutoencoder

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


@dataclass(frozen=True)
class Config:
    """Sizes of the study.

    Attributes:
        embedding_dim: D.
        highest: L, order of the highest spherical harmonics of the steerable encoder.
        rings: its radial functions.
        channels: of its hidden fields, of each order.
        layers: how many it has.
        features: numbers at each voxel in the hidden layers of the ordinary encoder, which costs about as much for a
            step and has more weights.
        width: features of the dense layers.
        train_shapes: most to learn from; None for all.
        batch_size: shapes in a step.
        steps: of training.
        learning_rate: its peak.
        known: embeddings that the classifier is shown.
        neighbours: that vote.
        repeats: draws of the known ones, over which accuracies are averaged.
        mapped: test shapes in the picture of embeddings.
    """

    embedding_dim: int = 32
    highest: int = 4
    rings: int = 8
    channels: int = 16
    layers: int = 2
    features: int = 48
    width: int = 256
    train_shapes: int | None = None
    batch_size: int = 64
    steps: int = 2000
    learning_rate: float = 3e-3
    known: int = 1000
    neighbours: int = 5
    repeats: int = 20
    mapped: int = 900


CONFIG = Config()
FAST = Config(highest=3, channels=8, layers=1, features=24, width=128, steps=100, repeats=5, mapped=200)


@dataclass(frozen=True)
class Shapes:
    """Occupancies of voxels.

    Attributes:
        grid: (M, SIZE, SIZE, SIZE) float32, 0 to 1.
        label: (M,) which of `CLASSES`.
    """

    grid: Tensor
    label: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, keep: NDArray[Any]) -> Shapes:
        return Shapes(self.grid[torch.from_numpy(keep)], self.label[keep])


def read(path: Path) -> tuple[Shapes, Shapes]:
    """Training and test shapes without empty ones, and without test shapes that are training shapes turned.

    Args:
        path: npz file with x_train and x_test (M, 30, 30, 4) uint8, 30 bits in the last axis, y_train and y_test (M,).

    Raises:
        MolgiaeError: if the file cannot be read or holds something else.
    """
    parts = []
    with open_npz(path) as file:
        for part in ("train", "test"):
            bits, label = file[f"x_{part}"], file[f"y_{part}"]
            if bits.dtype != np.uint8 or bits.shape != (len(label), FINE, FINE, (FINE + 7) // 8):
                raise MolgiaeError(
                    f"{path}: x_{part} is {bits.dtype} {bits.shape}, expected uint8 (M, {FINE}, {FINE}, "
                    f"{(FINE + 7) // 8}) with a label for each; give ModelNet10 as packed voxels"
                )
            shapes = Shapes(coarse(np.unpackbits(bits, axis=-1)[..., :FINE], path), label)
            parts.append(shapes[shapes.grid.flatten(1).any(dim=1).numpy()])
    train, test = parts
    orders = voxel_orders(quarter_turns())
    seen = {row.tobytes() for order in orders for row in _eighths(train.grid.flatten(1)[:, order])}
    fresh = [row.tobytes() not in seen for row in _eighths(test.grid.flatten(1))]
    return train, test[np.array(fresh)]


def _eighths(grid: Tensor) -> NDArray[np.uint8]:
    return (8 * grid).to(torch.uint8).numpy()


def coarse(fine: NDArray[np.uint8], path: Path) -> Tensor:
    """(M, 30, 30, 30) of 0 and 1 to (M, SIZE, SIZE, SIZE) mean occupancies of cubes of eight.

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
    """The 24 rotations of a cube."""
    signed = [
        torch.diag(torch.tensor(signs))[list(order)]
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
    ]
    return SO3(torch.stack([matrix for matrix in signed if torch.det(matrix) > 0]).double())


def voxel_orders(turns: SO3) -> Tensor:
    """(24, SIZE^3) int64: where each voxel of a turned grid comes from."""
    place = torch.arange(SIZE) - SIZE // 2
    point = torch.cartesian_prod(place, place, place).double()
    x, y, z = (turns.inverse().act(point).round().long() + SIZE // 2).unbind(dim=-1)
    return (x * SIZE + y) * SIZE + z


def turned(grid: Tensor, orders: Tensor) -> Tensor:
    """Shapes (B, SIZE, SIZE, SIZE), each turned by its own row of `orders` (B, SIZE^3)."""
    return grid.flatten(1).gather(1, orders).view_as(grid)


def rotated(action: SO3, grid: Tensor) -> Tensor:
    """Rho(g) x on (B, n, n, n): the value at p is that of x at R^-1 p, linearly interpolated, 0 outside."""
    n = grid.shape[-1]
    matrix = action.matrix.to(grid.dtype)
    place = torch.linspace(-1, 1, n, dtype=grid.dtype, device=grid.device)
    point = torch.cartesian_prod(place, place, place)
    # the first coordinate that grid_sample takes is that of the last axis
    source = (point @ matrix).flip(-1).view(len(grid), n, n, n, 3)
    return nn.functional.grid_sample(grid[:, None], source, align_corners=True)[:, 0]


Model = GroupInvariantAutoencoder[Tensor, Tensor, SO3]
"""Of occupancies (B, n, n, n)."""


class VoxelAutoencoder(GroupInvariantAutoencoder[Tensor, Tensor, SO3]):
    """SO(3) acting on occupancies."""

    def act(self, action: SO3, x: Tensor) -> Tensor:
        """Rho(g) x."""
        return rotated(action, x)

    def undo(self, action: SO3, x: Tensor) -> Tensor:
        """Rho(g)^-1 x."""
        return rotated(action.inverse(), x)


class UnturnedAutoencoder(GroupInvariantAutoencoder[Tensor, Tensor, SO3]):
    """Of the classical autoencoder all group elements are the identity."""

    def act(self, action: SO3, x: Tensor) -> Tensor:
        """X."""
        return x

    def undo(self, action: SO3, x: Tensor) -> Tensor:
        """X."""
        return x


def build(kind: str, config: Config, occupied: float) -> Model:
    """An untrained autoencoder; both kinds have the same decoder."""
    decoder = GridDecoder(config.embedding_dim, SIZE, config.width, occupied)
    if kind == "classical":
        return UnturnedAutoencoder(ClassicalEncoder(ordinary(config), SO3), decoder, SO3)
    sizes = (config.highest, config.rings, config.channels, config.layers, config.embedding_dim, config.width)
    return VoxelAutoencoder(SteerableEncoder(SIZE, *sizes), decoder, SO3)


def ordinary(config: Config) -> nn.Sequential:
    """Three convolutions down to one voxel."""
    features = config.features
    layers: list[nn.Module] = [nn.Unflatten(1, (1, SIZE))]
    shapes = ((1, 5, 2, 2), (features, 3, 2, 1), (features, (SIZE + 3) // 4, 1, 0))
    for inputs, size, stride, padding in shapes:
        layers += [
            nn.Conv3d(inputs, features, size, stride, padding, bias=False),
            nn.BatchNorm3d(features),
            nn.SiLU(),
        ]
    return nn.Sequential(
        *layers, nn.Flatten(), bottleneck(features, config.embedding_dim, config.width, layers=1)
    )


def train(
    model: Model,
    shapes: Shapes,
    config: Config,
    setting: Setting,
    name: str,
) -> None:
    """Train on batches of randomly turned shapes."""
    generator = torch.Generator().manual_seed(setting.seed)
    orders = voxel_orders(quarter_turns())

    def loss() -> Tensor:
        chosen = torch.randint(len(shapes), (config.batch_size,), generator=generator)
        turn = torch.randint(len(orders), (config.batch_size,), generator=generator)
        x = turned(shapes.grid[chosen], orders[turn]).to(setting.device)
        y, shared = model.encoder.equivariant(x)
        output = model.act(model.xi(x, y), model.decoder(model.encoder.invariant(shared, x)))
        return (output - x).square().sum(dim=(1, 2, 3)).mean()

    fit(model, loss, config.steps, config.learning_rate, name=name, progress=setting.progress)


@torch.no_grad()
def embed(model: Model, grid: Tensor, device: str) -> Tensor:
    """Eta of shapes, (M, D) on the CPU."""
    return torch.cat([model.encode(part.to(device)).embedding.cpu() for part in grid.split(EVALUATE_BATCH)])


@torch.no_grad()
def errors(model: Model, grid: Tensor, device: str) -> Tensor:
    """Mean squared error of the voxels of each shape, (M,)."""
    return torch.cat(
        [
            (model.reconstruct(part.to(device)) - part.to(device)).square().mean(dim=(1, 2, 3)).cpu()
            for part in grid.split(EVALUATE_BATCH)
        ]
    )


def accuracies(
    known: Tensor, asked: Tensor, train: Shapes, test: Shapes, config: Config, seed: int
) -> Tensor:
    """Of the classifier, (repeats,): every time it is shown other training shapes, the same for all embeddings."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(config.repeats):
        shown = generator.permutation(len(train))[: config.known]
        found.append(knn_accuracy(known[shown], train.label[shown], asked, test.label, config.neighbours))
    return torch.tensor(found)


@torch.no_grad()
def symmetry(model: Model, grid: Tensor, device: str) -> dict[str, float]:
    """How embedding and canonical form of shapes bear the 24 rotations of a cube, and the embedding any rotation.

    A canonical form is held if its voxels change by less than a hundredth of their norm. Rotations themselves are not
    compared: those of a symmetric shape may differ.
    """
    grid = grid.to(device)
    still = model.encode(grid)
    form = model.undo(still.action, grid)
    change, departure = [], []
    for order in voxel_orders(quarter_turns()).to(device):
        x = turned(grid, order.expand(len(grid), -1))
        moved = model.encode(x)
        change.append((moved.embedding - still.embedding).norm(dim=1))
        departure.append((model.undo(moved.action, x) - form).flatten(1).norm(dim=1))
    g = SO3.random(len(grid), generator=torch.Generator().manual_seed(0)).to(device)
    anyhow = model.encode(rotated(g, grid)).embedding - still.embedding
    length, norm = still.embedding.norm(dim=1), grid.flatten(1).norm(dim=1)
    return {
        "embedding_change_max": (torch.stack(change) / length).max().item(),
        "embedding_change_any_rotation_median": (anyhow.norm(dim=1) / length).median().item(),
        "canonical_forms_held": (torch.stack(departure) / norm < 0.01).all(dim=0).double().mean().item(),
    }


def run(config: Config, setting: Setting) -> Findings:
    """Train both autoencoders on the same turned shapes, embed the same turned shapes, classify, draw."""
    if setting.data is None:
        raise ConfigError("voxels needs ModelNet10 as npz of packed voxels; name it with --data")
    check_tsne()
    train_shapes, test = read(setting.data)
    generator = torch.Generator().manual_seed(setting.seed)
    few = torch.randperm(len(train_shapes), generator=generator)[: config.train_shapes]
    train_shapes = train_shapes[few.numpy()]
    orders = voxel_orders(quarter_turns())

    def at_random(shapes: Shapes) -> Tensor:
        return turned(shapes.grid, orders[torch.randint(len(orders), (len(shapes),), generator=generator)])

    known, asked = at_random(train_shapes), at_random(test)
    figures: dict[str, Any] = {"train": len(train_shapes), "test": len(test)}
    embeddings: dict[str, Tensor] = {}
    models: dict[str, Model] = {}

    def measured(found: Tensor) -> dict[str, float]:
        return {"accuracy": found.mean().item(), "accuracy_sd": found.std().item()}

    for kind in KINDS:
        torch.manual_seed(setting.seed)
        model = build(kind, config, train_shapes.grid.mean().item()).to(setting.device)
        untrained = model.eval()
        before = [embed(untrained, grid, setting.device) for grid in (known, asked)]
        train(model, train_shapes, config, setting, kind)
        after = [embed(model, grid, setting.device) for grid in (known, asked)]
        models[kind], embeddings[kind] = model, after[1]
        figures[kind] = {
            "weights": parameters(model),
            "mse": errors(model, asked, setting.device).mean().item(),
            **measured(accuracies(after[0], after[1], train_shapes, test, config, setting.seed)),
            "accuracy_untrained": accuracies(before[0], before[1], train_shapes, test, config, setting.seed)
            .mean()
            .item(),
        }
    figures["voxels themselves"] = measured(
        accuracies(known.flatten(1), asked.flatten(1), train_shapes, test, config, setting.seed)
    )
    figures["mse_of_mean"] = (asked - known.mean(dim=0)).square().mean().item()
    figures["symmetry"] = symmetry(
        models["invariant"], test.grid[:: max(len(test) // SOME, 1)], setting.device
    )
    invariant, classical = (figures[kind]["accuracy"] for kind in KINDS)
    bars = (
        Bar("accuracy of the classifier, invariant less classical", invariant - classical, GAP),
        Bar(
            "change of the embedding under rotations of 90 degrees",
            figures["symmetry"]["embedding_change_max"],
            1e-4,
            at_least=False,
        ),
    )
    maps = {kind: tsne(embeddings[kind][: config.mapped], setting.seed) for kind in KINDS}
    pictures = (
        voxels_figures.maps(setting.folder, maps, test.label[: config.mapped], CLASSES),
        voxels_figures.reconstructions(setting.folder, *examples(models["invariant"], test, setting.device)),
    )
    return Findings(figures, bars, tuple(path.name for path in pictures))


@torch.no_grad()
def examples(model: Model, test: Shapes, device: str) -> tuple[list[str], Tensor, Tensor, Tensor]:
    """The first shape of each class, as it is and turned: names, inputs, decoded canonical elements, outputs."""
    first = np.array([np.flatnonzero(test.label == label)[0] for label in np.unique(test.label)])
    grid = test.grid[torch.from_numpy(first)].repeat_interleave(2, dim=0)
    orders = voxel_orders(quarter_turns())
    turn = torch.tensor([0, 13]).repeat(len(first))
    x = turned(grid, orders[turn]).to(device)
    encoding = model.encode(x)
    decoded = model.decode(encoding.embedding)
    names = [CLASSES[label] + how for label in test.label[first] for how in ("", ", turned")]
    return names, x.cpu(), decoded.cpu(), model.act(encoding.action, decoded).cpu()

"""Molecular graphs under S_n: a permutation-equivariant variational autoencoder and projections of its latents.

The first example of Hansen, Calissano and Feragen (ICML 2024, arXiv 2401.12588). A graph comes with its nodes in an
arbitrary order, and its latent, a vector for each node (`graph_autoencoder`), with them. Put to the test is whether
projections that lose nothing serve better than the latent as it comes: to predict properties of molecules, none of
which took part in training, and to find valid graphs between two. The order of the nodes in a file is not arbitrary;
that is measured, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molgiae.data.npz import open_npz, read_npz
from molgiae.errors import MolgiaeError
from molgiae.evaluation.distance_fidelity import rank_correlation
from molgiae.experiments import Bar, Findings, Setting, both, sized
from molgiae.experiments.autoencoders import different_pairs, distances, fit, parameters
from molgiae.experiments.graph_autoencoder import GraphAutoencoder
from molgiae.experiments.molecular_graphs import KINDS, Graphs, among_equals, graphs_of, valid
from molgiae.experiments.pictures import bars_of
from molgiae.experiments.probes import kernel_probe, linear_probe, neighbour_probe
from molgiae.experiments.projections import TARGETS
from molgiae.groups import Permutation
from molgiae.model.projections import PROJECTIONS, aligned, orbit_distance, project
from molgiae.plots import axes

ALL = [name for name, row in PROJECTIONS.items() if Permutation in row.groups]
COMPLETE = ("lexicographic", "sorted-products", "max-filter", "voronoi")
CROSS_SECTIONS = ("lexicographic", "voronoi")
"""Projections that choose one order of the nodes, and can therefore be decoded."""

RAW, FILE, COUNTS = "latents in an arbitrary order", "latents in the order of the file", "counts of atoms"
BEST = "nearest order of the second"

PANELS = {
    "linear_r2": "R², linear map",
    "neighbours_r2": "R², neighbours",
    "kernel_r2": "R², kernel",
    "spearman_with_orbits": "Spearman, orbits",
}
"""Columns of the table that are drawn, and their titles."""

SHARES = {
    "valid": "share of valid graphs on paths",
    "valid_of_these": "share of valid graphs among those on paths that are neither end",
}
"""Columns of the table of paths that are asked for, in words."""

MOVED = 1e-3
"""Relative distance of the orbits of two latents of one graph from which the encoder counts as not equivariant."""


@dataclass(frozen=True)
class Config:
    """Sizes of the study."""

    nodes: int = 9  # heavy atoms of every molecule; what most molecules of QM9 have
    features: int = 8  # F of the latent of a node
    width: int = sized(64, fast=32)  # of the networks
    layers: int = sized(6, fast=4)  # of messages; half as many of attention
    train_molecules: int | None = sized(None, fast=20_000)  # most to learn from; None for all of the split
    batch_size: int = sized(128, fast=64)
    steps: int = sized(7000, fast=300)
    learning_rate: float = 3e-3  # its peak
    divergence: float = 0.3  # weight of the divergence from the prior beside the error of reconstruction
    warm_up: float = 0.3  # share of the steps in which that weight rises
    neighbours: int = 5  # whose mean is predicted
    pairs: int = sized(5000, fast=300)  # of molecules whose distances are compared
    paths: int = sized(1000, fast=50)  # from a molecule to another
    points: int = 9  # between the two
    prior: int = sized(2000, fast=100)  # graphs decoded from random numbers


CONFIG, FAST = both(Config)


@dataclass(frozen=True)
class Data:
    """Graphs to learn from, and those with properties: of the validation split, then of the test split."""

    train: Graphs
    labelled: Graphs
    targets: Tensor  # (M, targets) of the labelled ones
    known: int  # labelled ones of the validation split


def read(path: Path, config: Config, seed: int) -> Data:
    """Read graphs, in the order of the file, and properties of those that are not learned from.

    Raises:
        MolgiaeError: if the file is missing, lacks an array, or has too few molecules of the size.
    """
    block = read_npz(path)
    with open_npz(path) as file:
        properties = np.stack([file[name] for name in TARGETS], axis=1).astype(np.float64)
        split = file["split"]
    train = np.random.default_rng(seed).permutation(np.flatnonzero(split == 0))[: config.train_molecules]
    has_all = np.isfinite(properties).all(axis=1)
    labelled = [np.flatnonzero((split == part) & has_all) for part in (1, 2)]
    rows = np.concatenate([train, *labelled])
    graphs, chosen = graphs_of(block.take(rows), config.nodes)
    learned, known = np.searchsorted(chosen, [len(train), len(train) + len(labelled[0])])
    if not learned or known - learned <= config.neighbours or known == len(graphs):
        raise MolgiaeError(
            f"{path}: {learned} molecules of {config.nodes} heavy atoms to learn from, {known - learned} with "
            f"properties to validate and {len(graphs) - known} to test; there are too few"
        )
    targets = torch.from_numpy(properties[rows[chosen[learned:]]])
    return Data(graphs[:learned], graphs[learned:], targets, int(known - learned))


def train(model: GraphAutoencoder, graphs: Graphs, config: Config, setting: Setting) -> None:
    """Train on batches of the graphs; the weight of the divergence rises."""
    generator, step = torch.Generator().manual_seed(setting.seed), count()
    number = among_equals(graphs)

    def loss() -> Tensor:
        rows = torch.randint(len(graphs), (config.batch_size,), generator=generator)
        noise = torch.randn(config.batch_size, config.nodes, config.features, generator=generator)
        risen = min(1.0, next(step) / (config.warm_up * config.steps))
        return model.loss(graphs[rows], number[rows], noise, config.divergence * risen)

    fit(model, loss, config.steps, config.learning_rate, "graphs", setting.progress)


@torch.no_grad()
def latents(model: GraphAutoencoder, graphs: Graphs) -> Tensor:
    """Return the means of the latents, (M, n, F) float64."""
    return model.encode(graphs, among_equals(graphs))[0].double()


@torch.no_grad()
def reconstruction(
    model: GraphAutoencoder, graphs: Graphs, config: Config, generator: torch.Generator
) -> dict[str, Any]:
    """Measure what comes back from means and samples of the posterior, and what comes from the prior."""
    number = among_equals(graphs)
    mean, log_variance = model.encode(graphs, number)
    noise = torch.randn(mean.shape, generator=generator)
    output, sampled = (model.decoded(mean + scale * (log_variance / 2).exp()) for scale in (0, noise))
    right, equal = output.same(graphs), (number > 0).any(dim=1)
    drawn = torch.randn(config.prior, *mean.shape[1:], generator=generator)

    def share(found: Tensor) -> float | None:
        return found.double().mean().item() if len(found) else None

    edges = torch.ones_like(graphs.bonded[0]).triu(1)
    g = Permutation.random(len(graphs), n=config.nodes, generator=generator)
    z, other = mean.double(), latents(model, graphs.moved(g))
    moved = orbit_distance(z, other, Permutation) / z.flatten(1).norm(dim=1)
    return {
        "graphs": len(graphs),
        "negative_elbo": model.loss(graphs, number, noise).item(),
        "divergence": (
            (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2 / len(graphs)
        ).item(),
        "nodes_right": share((output.kind == graphs.kind).flatten()),
        "edges_right": share((output.bonded == graphs.bonded)[:, edges].flatten()),
        "graphs_right": share(right),
        "graphs_right_sampled": share(sampled.same(graphs)),
        "with_equal_nodes": share(equal),
        "graphs_right_with_equal_nodes": share(right[equal]),
        "valid": float(valid(graphs).mean()),
        "valid_from_prior": float(valid(model.decoded(drawn)).mean()),
        "orbit_moved_by_order_median": moved.median().item(),
        "orbit_moved_by_order": share(moved > MOVED),
    }


Way = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From latents of two graphs each (B, n, F) to those between which the path is straight."""


def in_section(name: str) -> Way:
    """Return the way that brings both ends into a cross-section."""

    def brought(z: Tensor) -> Tensor:
        return project(name, z, Permutation).view_as(z)

    return lambda first, second: (brought(first), brought(second))


WAYS: dict[str, Way] = {
    RAW: lambda first, second: (first, second),
    **{name: in_section(name) for name in CROSS_SECTIONS},
    BEST: lambda first, second: (first, aligned(first, second, Permutation)),
}


def along(model: GraphAutoencoder, ends: tuple[Tensor, Tensor], points: int) -> tuple[list[Graphs], Tensor]:
    """Return graphs at points between two ends, each (B, n, F), point by point, and the lengths of the paths (B,)."""
    first, second = ends
    share = torch.linspace(0, 1, points + 2)[1:-1].tolist()
    return [model.decoded(first.lerp(second, t)) for t in share], (second - first).flatten(1).norm(dim=1)


def paths(
    model: GraphAutoencoder, z: Tensor, graphs: Graphs, config: Config, generator: torch.Generator
) -> list[dict[str, Any]]:
    """Go straight from graphs to others, and to themselves in another order, by every way.

    Args:
        model: that decodes.
        z: (M, n, F) latents in an arbitrary order, of graphs that come back from them.
        graphs: these, in that order.
        config: number of paths and of points.
        generator: draws pairs and orders.
    """
    i, j = different_pairs(len(z), config.paths, generator)
    orbits = orbit_distance(z[i], z[j], Permutation)
    itself = Permutation.random(len(i), n=z.shape[1], generator=generator).act(z[i])
    rows = []
    for name, way in WAYS.items():
        ends = way(z[i], z[j])
        between, length = along(model, ends, config.points)
        start, stop = (model.decoded(end) for end in ends)
        good = np.stack([valid(each) for each in between])
        other = np.stack([(~each.same(start) & ~each.same(stop)).numpy() for each in between])
        kept, astray = along(model, way(z[i], itself), config.points)
        start = model.decoded(way(z[i], itself)[0])
        rows.append(
            {
                "way": name,
                "valid": float(good.mean()),
                "valid_at": good.mean(axis=1).tolist(),
                "other_than_the_ends": float(other.mean()),
                "valid_of_these": float(good[other].mean()) if other.any() else None,
                "length_over_orbits": (length / orbits).mean().item(),
                "to_itself_same": float(np.mean([each.same(start).double().mean() for each in kept])),
                "to_itself_length_over_orbits": (astray / orbits).mean().item(),
            }
        )
    return rows


def study(
    z: Mapping[str, Tensor], kind: Tensor, data: Data, config: Config, seed: int
) -> list[dict[str, Any]]:
    """Compare latents (M, n, F), by their order, with projections of those in an arbitrary one."""
    generator = torch.Generator().manual_seed(seed)
    pair = different_pairs(len(kind), config.pairs, generator)
    orbits = orbit_distance(z[RAW][pair[0]], z[RAW][pair[1]], Permutation).numpy()
    moved = Permutation.random(len(kind), n=config.nodes, generator=generator).act(z[RAW])
    # validation molecules in the order of the file are alike, and the last ones choose a penalty
    order = torch.cat([torch.randperm(data.known, generator=generator), torch.arange(data.known, len(kind))])
    targets = data.targets[order]

    def row(name: str, s: Tensor, again: Tensor) -> dict[str, Any]:
        features = s[order]
        return {
            "embedding": name,
            "numbers": s.shape[1],
            "linear_r2": linear_probe(features, targets, data.known),
            "neighbours_r2": neighbour_probe(features, targets, data.known, config.neighbours),
            "kernel_r2": kernel_probe(features, targets, data.known),
            "spearman_with_orbits": rank_correlation(distances(s, pair).numpy(), orbits),
            "change_by_order_max": ((s - again).norm(dim=1) / s.norm(dim=1)).max().item(),
        }

    def projected(name: str) -> dict[str, Any]:
        return row(name, *(project(name, each, Permutation) for each in (z[RAW], moved)))

    counts = torch.nn.functional.one_hot(kind, len(KINDS)).sum(dim=1).double()
    return [
        row(RAW, z[RAW].flatten(1), moved.flatten(1)),
        row(FILE, z[FILE].flatten(1), moved.flatten(1)),
        *(projected(name) for name in ALL),
        row(COUNTS, counts, counts),
    ]


def run(config: Config, setting: Setting) -> Findings:
    """Train the autoencoder; measure reconstruction, projections of latents, and paths between them."""
    generator = torch.Generator().manual_seed(setting.seed)
    data = read(setting.data, config, setting.seed)
    torch.manual_seed(setting.seed)
    model = GraphAutoencoder(config.nodes, config.features, config.width, config.layers)
    train(model, data.train, config, setting)
    g = Permutation.random(len(data.labelled), n=config.nodes, generator=generator)
    graphs, z = data.labelled.moved(g), latents(model, data.labelled)
    by_order = {FILE: z, RAW: g.act(z)}
    rows = study(by_order, graphs.kind, data, config, setting.seed)
    asked, z = graphs[data.known :], by_order[RAW][data.known :]
    right = model.decoded(z).same(asked)
    found = reconstruction(model, asked, config, generator)
    ways = paths(model, z[right], asked[right], config, generator) if right.sum() > 1 else []
    figures = {
        "train": len(data.train),
        "known": data.known,
        "asked": len(asked),
        "weights": parameters(model),
        "reconstruction": found,
        "projections": rows,
        "paths": ways,
    }
    pictures = (
        bars_of(setting.folder / "graphs.png", rows, PANELS),
        draw(setting.folder / "paths.png", ways),
    )
    return Findings(figures, bars(rows, ways), pictures)


def bars(rows: list[dict[str, Any]], ways: list[dict[str, Any]]) -> tuple[Bar, ...]:
    """Ask whether projections are invariant, and the claims of the paper: those that lose nothing serve better."""
    of = {row["embedding"]: row for row in rows}
    change = max(of[name]["change_by_order_max"] for name in ALL)
    better = (
        Bar(
            f"{title}, worst complete projection less {RAW}",
            min(of[name][key] for name in COMPLETE) - of[RAW][key],
            0.0,
        )
        for key, title in PANELS.items()
    )
    way = {row["way"]: row for row in ways}
    on_paths = (
        Bar(f"{title}, {name} less {RAW}", way[name][key] - way[RAW][key], 0.0)
        for key, title in SHARES.items()
        for name in (*CROSS_SECTIONS, BEST)
        if ways and None not in (way[name][key], way[RAW][key])
    )
    return (
        Bar("relative change of a projection when nodes are permuted, worst", change, 1e-6, at_least=False),
        *better,
        *on_paths,
    )


def draw(path: Path, ways: list[dict[str, Any]]) -> str:
    """Draw the share of valid graphs along the paths."""
    with axes(path, xlabel="share of the path", ylabel="valid graphs (%)", ylim=(0, 100)) as drawn:
        for way in ways:
            share = np.linspace(0, 1, len(way["valid_at"]) + 2)[1:-1]
            drawn.plot(share, 100 * np.array(way["valid_at"]), ".-", label=way["way"])
    return path.name

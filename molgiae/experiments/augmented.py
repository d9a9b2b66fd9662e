"""Rotated MNIST: latents of an ordinary autoencoder that is shown rotated digits are as ambiguous as equivariant ones.

The third finding of Hansen, Calissano and Feragen (ICML 2024, arXiv 2401.12588). No group acts on the latents of an
ordinary autoencoder, but the rotations of a digit have latents, an orbit z(g x), and training with rotated digits
shows it all of them. Measured is how far an orbit spreads, and what is gained where a projection makes one invariant
vector of it, as of an equivariant latent: the mean over the rotations, the z(g x) nearest to a random reference, or
overlaps with random templates, max over g of <w, z(g x)>. Beside it stands the invariant autoencoder. Both are rows
of `mnist`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molgiae.evaluation.embedding_map import tsne
from molgiae.experiments import Bar, Findings, Setting, both, mnist, pictures, sized
from molgiae.experiments.autoencoders import different_pairs
from molgiae.experiments.labelled import Labelled
from molgiae.experiments.mnist import KINDS, PIXELS, UPRIGHT, DiscAutoencoder
from molgiae.experiments.rotated_pictures import distance_of_digits, random_angles, rotated
from molgiae.experiments.steerable2d import DiscHarmonics

ORDINARY = "classical, shown rotated digits"
RAW = "latent in a random pose"


@dataclass(frozen=True)
class Config:
    """Sizes of the study; training and networks are those of `mnist`."""

    mnist: mnist.Config = sized(  # noqa: RUF009
        replace(mnist.CONFIG, steps=1200, test_digits=3000), fast=replace(mnist.FAST, test_digits=800)
    )
    rotations: int = sized(36, fast=12)  # of a digit, its orbit
    templates: int = 64  # of the overlaps
    decoded: int = sized(500, fast=50)  # digits that are decoded halfway between two of their rotations


CONFIG, FAST = both(Config)


def mean_of(z: Tensor, templates: Tensor) -> Tensor:
    """Return the mean over the rotations, (M, D)."""
    return z.mean(dim=1)


def nearest(z: Tensor, templates: Tensor) -> Tensor:
    """Return the latent that has the largest product with the first template, (M, D)."""
    return z[torch.arange(len(z)), (z @ templates[0]).argmax(dim=1)]


def overlaps(z: Tensor, templates: Tensor) -> Tensor:
    """Return the largest product of any rotation with each template, (M, templates)."""
    return (z @ templates.mT).amax(dim=1)


PROJECTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": mean_of,
    "voronoi": nearest,
    "max-filter": overlaps,
}
"""From orbits (M, rotations, D) and random templates (T, D) to invariant vectors."""


def orbits(
    model: DiscAutoencoder, disc: DiscHarmonics, picture: Tensor, angle: Tensor, rotations: int, device: str
) -> Tensor:
    """Return latents (M, rotations, D) of digits (M, n, n), turned by their angles (M,) and then in equal steps."""
    steps = (2 * math.pi * k / rotations for k in range(rotations))
    turned = (mnist.measured(model, disc, rotated(picture, angle + step), 1, device)[0] for step in steps)
    return torch.stack(list(turned), dim=1)


def spread(z: Tensor, label: mnist.Labels, pairs: int, generator: torch.Generator) -> dict[str, float]:
    """Measure distances of rotations of a digit beside those of digits; latents are (M, rotations, D)."""
    pair = different_pairs(len(z), pairs, generator)
    turn = torch.randint(z.shape[1], pair.shape, generator=generator)
    first, second = z[pair[0], turn[0]], z[pair[1], turn[1]]
    alike = torch.from_numpy(label[pair[0]] == label[pair[1]])
    apart, own = (first - second).norm(dim=1), (first - z[pair[0], turn[1]]).norm(dim=1)
    query, found = (
        z[:, 0],
        z[torch.arange(len(z)), torch.randint(1, z.shape[1], (len(z),), generator=generator)],
    )
    itself = torch.cdist(query, found).argmin(dim=1) == torch.arange(len(z))
    return {
        "rotations_of_a_digit": own.mean().item(),
        "digits_of_one_class": apart[alike].mean().item(),
        "digits_of_other_classes": apart[~alike].mean().item(),
        "spread": (own.mean() / apart[~alike].mean()).item(),
        "nearest_is_the_same_digit": itself.double().mean().item(),
    }


@torch.no_grad()
def halfway(
    model: DiscAutoencoder, disc: DiscHarmonics, picture: Tensor, z: Tensor, device: str
) -> dict[str, float]:
    """Decode latents of two rotations of digits (M, n, n) and the point between: relative distance over all rotations.

    Latents are (M, rotations, D), of which the first and the one a third of a turn further are taken.
    """
    first, second = z[:, 0], z[:, z.shape[1] // 3]
    found = {}
    for name, point in {"decoded_error": first, "halfway_error": (first + second) / 2}.items():
        output = disc.picture(model.decode(point.to(device)))
        error = distance_of_digits(disc, picture.to(device), output)
        found[name] = (error.cpu() / picture.flatten(1).norm(dim=1)).mean().item()
    return found


def run(config: Config, setting: Setting) -> Findings:
    """Train both autoencoders; measure the orbits of test digits and classify by their projections."""
    generator = torch.Generator().manual_seed(setting.seed)
    sizes = config.mnist
    digits, test = mnist.read(setting, sizes, generator)
    angle = random_angles(len(test), generator)
    templates = torch.randn(config.templates, sizes.embedding_dim, generator=generator)
    disc = DiscHarmonics(PIXELS, sizes.rings, sizes.orders).to(setting.device)
    rows: list[dict[str, Any]] = []
    spreads, points = {}, {}
    for kind in (ORDINARY, UPRIGHT):
        torch.manual_seed(setting.seed)
        model = mnist.build(KINDS[kind].encoder, sizes).to(setting.device)
        mnist.train(model, disc, kind, digits, sizes, setting)
        z = orbits(model, disc, test.x, angle, config.rotations, setting.device)
        spreads[kind] = spread(z, test.label, sizes.pairs, generator)
        spreads[kind] |= halfway(model, disc, test.x[: config.decoded], z[: config.decoded], setting.device)
        vectors = {RAW: z[:, 0]} | {name: function(z, templates) for name, function in PROJECTIONS.items()}
        for name, s in vectors.items():
            row = {"model": kind, "embedding": name, "numbers": s.shape[1]}
            rows.append(row | mnist.accuracy(Labelled(s, test.label), sizes, setting.seed))
        points[kind] = tsne(z[test.first_of_each].flatten(0, 1), setting.seed)
    classes = np.unique(test.label)
    label = np.repeat(test.label[test.first_of_each], config.rotations)
    drawn = pictures.maps(setting.folder / "orbits.png", points, label, {int(k): str(k) for k in classes})
    figures = {"train": len(digits), "test": len(test), "spread": spreads, "table": rows}
    return Findings(figures, bars(rows, spreads), (drawn,))


def bars(rows: list[dict[str, Any]], spreads: dict[str, dict[str, float]]) -> tuple[Bar, ...]:
    """Ask for the claims of the paper: latents of rotations spread, and projections of them serve better."""
    accurate = {row["embedding"]: row["accuracy"] for row in rows if row["model"] == ORDINARY}
    wider = spreads[ORDINARY]["spread"] / spreads[UPRIGHT]["spread"]
    return (
        Bar("spread of the rotations of a digit, ordinary over invariant", wider, 1.0),
        *(
            Bar(
                f"accuracy of the classifier, ordinary, {name} less {RAW}",
                accurate[name] - accurate[RAW],
                0.0,
            )
            for name in PROJECTIONS
        ),
    )

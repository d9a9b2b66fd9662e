"""The overlay parts of an embedding: inner products are overlap volumes of two conformers, superposed.

Molecules are compared as densities: a Gaussian on every heavy atom (Grant, Gallardo and Pickup, J. Comput. Chem. 17,
1653, 1996), and on every pharmacophore feature. The largest overlap over all motions, V_ab, is an inner product of
densities that know no pose, and two vectors u with <u_a, u_b> = V_ab, |u_a|^2 = V_aa serve it: squared distances are
those of the densities, V_aa + V_bb - 2 V_ab, and Tanimoto similarities are those of the vectors.

The vectors are made of what the density is about its centroid: moments, Gaussian-type radial functions times
spherical harmonics, weighted by channels that are learned from the places of the atoms. Products of moments of one rank
are invariants (the power spectrum), and so are triple products (the bispectrum), which say how moments of several ranks
lie to each other; the odd ones tell mirror images apart. Sums over pairs of atoms of functions of distance say how far
channels lie from each other.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor, nn

from molgiae.nn.linear import Linear
from molgiae.nn.vectors import separations
from molgiae.tensors import AtomicNumbers, Embedding, Positions

CHANNELS, PRODUCTS, TRIPLES, HIDDEN = 16, 128, 24, 640
"""Channels of density, products of moments of one rank, triple products of a kind, hidden features."""

COUPLED = (
    (1, 1, 1), (1, 1, 2), (1, 2, 2), (2, 2, 2), (1, 2, 3), (1, 3, 3), (2, 2, 3), (2, 2, 4),
    (2, 3, 3), (1, 3, 4), (2, 3, 4), (2, 4, 4), (3, 3, 4),
)  # fmt: skip
"""Ranks of three moments whose product is an invariant; where their sum is odd, mirror images have its negative."""

WIDTHS = (1.0, 1.5, 2.2, 3.0, 4.0, 5.2, 6.6, 8.5)
"""Of the Gaussians about the centroid, angstrom."""

RANKS = 5
"""Spherical harmonics of rank 0 to 4."""

STEPS = tuple(1.5 + 1.25 * k for k in range(12))
STEEP = 1.2
"""Distances, angstrom, about which a function of pairs rises from 0 to 1, and half the width of the rise."""

RADIUS, KAPPA = 1.7, math.pi / 2 * (6 / math.pi) ** (2 / 3)
"""Of the Gaussians of RDKit's rdGaussianShape: angstrom, and what makes their self-overlap that of a sphere."""

COLOR = 10.0
"""Volume of a few pharmacophore features, cubic angstrom."""

PAIRED = 8
"""Channels whose distances from each other are looked at."""


class OverlayEncoder(nn.Module):
    """Conformers to vectors of one or two parts, of shape and of color, see `molgiae.training.overlays.overlay_loss`.

    The square length of the first is the volume of the density, by its formula. That of the second is learned.

    Args:
        width: features of a place.
        sizes: numbers of each part.
    """

    def __init__(self, width: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.channel = nn.Sequential(Linear(width, width), nn.SiLU(), Linear(width, CHANNELS - 1))
        sent = CHANNELS * len(WIDTHS)
        mixed = 2 * PRODUCTS
        self.mix = nn.ModuleList(Linear(sent, mixed, bias=False) for _ in range(1, RANKS))
        uses = [sum(ranks.count(rank) for ranks in COUPLED) for rank in range(1, RANKS)]
        self.triple = nn.ModuleList(Linear(sent, use * TRIPLES, bias=False) for use in uses)
        for ranks in COUPLED:
            self.register_buffer(_name(ranks), coupling(*ranks), persistent=False)
        invariants = sent + PRODUCTS * (RANKS - 1) + len(COUPLED) * TRIPLES + PAIRED * len(STEPS) + CHANNELS
        self.norm = nn.LayerNorm(invariants)
        self.volume = Linear(invariants, 1)
        self.straight = Linear(invariants, sum(sizes))
        self.bent = nn.Sequential(
            Linear(invariants, HIDDEN),
            nn.SiLU(),
            Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            Linear(HIDDEN, sum(sizes)),
        )

    def forward(self, z: AtomicNumbers, pos: Positions, places: Tensor) -> tuple[Embedding, ...]:
        """Return vectors (B, size), angstrom^1.5, of each part; of conformers without heavy atoms, too.

        Args:
            z: (B, n) atomic numbers, 0 marks padding.
            pos: (B, n, 3) angstrom, in any pose and order.
            places: (B, n, F) of the atoms.
        """
        z, pos, places = _heavy_atoms(z, pos, places)
        heavy = (z > 0).to(pos.dtype)
        count = heavy.sum(dim=1, keepdim=True)
        weight = (
            torch.cat([torch.ones_like(heavy)[..., None], self.channel(places)], dim=-1) * heavy[..., None]
        )
        centered = (pos - (pos * heavy[..., None]).sum(dim=1, keepdim=True) / count[..., None]) * heavy[
            ..., None
        ]
        moments = _moments(centered, weight)
        features = [
            weight.sum(dim=1) / 10,
            moments[0][:, 0] / 5,
            *(_products(mix(of_rank)) for mix, of_rank in zip(self.mix, moments[1:], strict=True)),
            *self._triples(moments[1:]),
            _of_pairs(weight[..., :PAIRED], centered) / count,
        ]
        invariants = self.norm(torch.cat(features, dim=-1))
        raw = self.straight(invariants) + self.bent(invariants)
        volumes = self_overlap(centered, heavy), COLOR * nn.functional.softplus(self.volume(invariants)[:, 0])
        return tuple(
            nn.functional.normalize(part, dim=-1) * volume.sqrt()[:, None]
            for part, volume in zip(raw.split(self.sizes, dim=-1), volumes, strict=False)
        )

    def _triples(self, moments: list[Tensor]) -> list[Tensor]:
        """Return (B, TRIPLES) invariants of three moments, for each of `COUPLED`, grown no faster than the root."""
        mixed = [
            iter(mix(of_rank).split(TRIPLES, dim=-1))
            for mix, of_rank in zip(self.triple, moments, strict=True)
        ]
        found = []
        for ranks in COUPLED:
            a, b, c = (next(mixed[rank - 1]) for rank in ranks)
            pairs = (a[:, :, None] * b[:, None]).flatten(1, 2)
            table = getattr(self, _name(ranks)).to(pairs.dtype).flatten(0, 1).mT
            found.append(((table @ pairs) * c).sum(dim=1))
        return [x / (x.square() + 1).pow(1 / 3) for x in found]


def _name(ranks: tuple[int, int, int]) -> str:
    return "coupling_{}_{}_{}".format(*ranks)


@functools.cache
def coupling(first: int, second: int, third: int) -> Tensor:
    """Return the trilinear invariant (2 l + 1 for each rank l) of harmonics as `_harmonics` gives them, float64.

    It is the only one, up to a factor, that rotations leave as it is (Wigner's 3j symbols, of real harmonics), and it
    is found as just that. Its first large entry is positive.
    """
    points = torch.from_numpy(np.random.default_rng(0).standard_normal((64, 3)))
    square = 1e-9 * np.eye((2 * first + 1) * (2 * second + 1) * (2 * third + 1))
    for x, y, z in ((0.3, -1.1, 0.7), (-0.9, 0.4, 1.3)):
        turn = torch.linalg.matrix_exp(points.new_tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]]))
        before, after = (_harmonics(p) for p in (points, points @ turn.mT))
        one, two, three = (
            np.linalg.lstsq(np.stack(before[rank], axis=1), np.stack(after[rank], axis=1), rcond=None)[0].T
            for rank in (first, second, third)
        )
        changed = np.kron(np.kron(one, two), three) - np.eye(len(square))
        square += changed.T @ changed
    found = 1.0 + np.arange(len(square)) % 7
    for _ in range(3):  # inverse iteration
        found = np.linalg.solve(square, found)
        found /= np.linalg.norm(found)
    found *= np.sign(found[np.abs(found) > 0.3 * np.abs(found).max()][0])
    return torch.from_numpy(found.reshape(2 * first + 1, 2 * second + 1, 2 * third + 1))


def self_overlap(pos: Positions, heavy: Tensor) -> Tensor:
    """Return (B,) the overlap of densities with themselves, cubic angstrom; pos (B, n, 3), heavy (B, n) 0 or 1."""
    overlap = torch.exp(separations(pos)[1] * (-KAPPA / (2 * RADIUS**2)))
    return 4 / 3 * math.pi * RADIUS**3 * (heavy[:, None] @ overlap @ heavy[..., None])[:, 0, 0]


def _heavy_atoms(z: Tensor, pos: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the same without hydrogens, padded anew; conformers of hydrogens alone keep them."""
    heavy = z > 1
    heavy = torch.where(heavy.any(dim=1, keepdim=True), heavy, z > 0)
    most = int(heavy.sum(dim=1).max())
    order = heavy.long().argsort(dim=1, descending=True, stable=True)[:, :most]
    z = (z * heavy).gather(1, order)
    of_pos, of_places = (order[..., None].expand(-1, -1, of.shape[2]) for of in (pos, places))
    return z, pos.gather(1, of_pos), places.gather(1, of_places)


def _moments(pos: Tensor, weight: Tensor) -> list[Tensor]:
    """Return, for each rank l, (B, 2 l + 1, C widths) sums over atoms of weights, radial functions and harmonics."""
    square = pos.square().sum(dim=-1)[..., None]
    width = torch.tensor(WIDTHS, dtype=pos.dtype, device=pos.device)
    radial = torch.exp(-square / (2 * width**2))
    harmonics = _harmonics(pos)
    of_atoms = (weight[..., None] * radial[:, :, None]).flatten(2)
    moments = torch.stack([component for rank in harmonics for component in rank], dim=1) @ of_atoms
    of_ranks = moments.unflatten(2, (-1, len(WIDTHS))).split([len(rank) for rank in harmonics], dim=1)
    return [of_rank.div(width**rank).flatten(2) for rank, of_rank in enumerate(of_ranks)]


def _harmonics(pos: Tensor) -> list[list[Tensor]]:
    """Return solid harmonics r^l Y_lm, each (B, n), up to a common factor of each rank."""
    x, y, z = pos.unbind(dim=-1)
    xx, yy, zz = x * x, y * y, z * z
    rr = xx + yy + zz
    return [
        [torch.ones_like(x)],
        [x, y, z],
        [3**0.5 * x * y, 3**0.5 * y * z, 3**0.5 * x * z, 3**0.5 / 2 * (xx - yy), (3 * zz - rr) / 2],
        [
            (5 / 8) ** 0.5 * y * (3 * xx - yy),
            15**0.5 * x * y * z,
            (3 / 8) ** 0.5 * y * (5 * zz - rr),
            z * (5 * zz - 3 * rr) / 2,
            (3 / 8) ** 0.5 * x * (5 * zz - rr),
            15**0.5 / 2 * z * (xx - yy),
            (5 / 8) ** 0.5 * x * (xx - 3 * yy),
        ],
        [
            35**0.5 / 2 * x * y * (xx - yy),
            (35 / 8) ** 0.5 * y * z * (3 * xx - yy),
            5**0.5 / 2 * x * y * (7 * zz - rr),
            (5 / 8) ** 0.5 * y * z * (7 * zz - 3 * rr),
            (35 * zz * zz - 30 * zz * rr + 3 * rr * rr) / 8,
            (5 / 8) ** 0.5 * x * z * (7 * zz - 3 * rr),
            5**0.5 / 4 * (xx - yy) * (7 * zz - rr),
            (35 / 8) ** 0.5 * x * z * (xx - 3 * yy),
            35**0.5 / 8 * (xx * (xx - 3 * yy) - yy * (3 * xx - yy)),
        ],
    ]


def _products(moments: Tensor) -> Tensor:
    """Map (B, 2 l + 1, 2 C) to (B, C) scalar products, grown no faster than the root."""
    a, b = moments.chunk(2, dim=-1)
    product = (a * b).sum(dim=1)
    return product / (1 + product.abs()).sqrt()


def _of_pairs(weight: Tensor, pos: Tensor) -> Tensor:
    """Return (B, C steps) sums over pairs of heavy atoms of products of weights and smooth steps of their distance."""
    distance = (separations(pos)[1] + 1e-6).sqrt()
    step = torch.tensor(STEPS, dtype=pos.dtype, device=pos.device)[:, None, None]
    # weights are 0 where padded
    functions = torch.sigmoid((step - distance[:, None]) * (2 / STEEP))
    gathered = (functions.flatten(1, 2) @ weight).unflatten(1, (-1, pos.shape[1]))
    return (gathered * weight[:, None]).sum(dim=2).flatten(1)

"""Invariant projections of equivariant latents (Hansen, Calissano and Feragen, ICML 2024, arXiv 2401.12588).

Latents z and g z stand for the same thing, so distances, neighbours and averages of latents mislead. A projection s has
s(g z) = s(z); it is complete if s(z) = s(z') only for z' = g z, and isometric if |s(z) - s(z')| is the distance of the
orbits, min over g of |z - g z'|, which `orbit_distance` computes exactly. None but sorting is both.

Latents are (B, V, d): V vectors of the plane or of space, on which SO(2) or SO(3) acts together; or n points with F
features, (B, n, F), that S_n permutes. Those of a model are V vectors of space that turn with a conformer and heed
neither its place nor the order of its atoms: of slots models the weighted sums of positions from which the shape part
is made, of appendix-d the mean vectors of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.data.blocks import Result
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.hdf5.schema import PROJECTION, Column
from molgiae.errors import ConfigError, ShapeError
from molgiae.groups import SO2, SO3, Group, Permutation
from molgiae.model.cloud import batches_by_size, pack
from molgiae.model.embedder import Embedder

LatentGroup = type[Group[Any]]
"""SO2, SO3 or Permutation."""

TEMPLATES_PER_NUMBER = 2
"""Random max-filters for each number of a latent: so many that are generic separate all orbits."""

ROTATIONS: tuple[LatentGroup, ...] = (SO2, SO3)
ALL_GROUPS: tuple[LatentGroup, ...] = (*ROTATIONS, Permutation)


@dataclass(frozen=True)
class Projection:
    """A row of the table.

    Attributes:
        name: of the projection.
        groups: of the latents it takes.
        complete: what it keeps, in words.
        unit: of its numbers, for latents in angstrom.
        function: latents (B, V, d) and their group to (B, P).
    """

    name: str
    groups: tuple[LatentGroup, ...]
    complete: str
    unit: str
    function: Callable[[Tensor, LatentGroup], Tensor]


class ProjectingEmbedder:
    """A model in use that adds a projection of its latents as the column ``projection``.

    Args:
        embedder: the model.
        name: in `PROJECTIONS`, for SO(3).

    Raises:
        ConfigError: if there is no such projection, or the model has no equivariant latent.
    """

    def __init__(self, embedder: Embedder, name: str) -> None:
        self.embedder, self.name = embedder, name
        hydrogen = ConformerBlock.of([Conformer(np.ones(1, np.uint8), np.zeros((1, 3)))])
        try:
            latent = self.latents(hydrogen)
        except ConfigError as error:
            raise ConfigError(f"{embedder.checkpoint.name}: {error}") from None
        self.vectors = latent.shape[1]
        self.size = project(name, latent, SO3).shape[1]

    @property
    def column(self) -> Column:
        """The dataset of the HDF5 file."""
        row = PROJECTIONS[self.name]
        about = f"invariant projection {row.name} of {self.vectors} equivariant vectors; {row.complete}"
        return replace(PROJECTION, axes=f"M {self.size}", unit=row.unit, description=about)

    def embed(self, block: ConformerBlock) -> Result:
        """Return what `Embedder.embed` does, with one column more."""
        result = self.embedder.embed(block)
        return replace(result, columns=result.columns | {"projection": self.projections(result.block)})

    def projections(self, block: ConformerBlock) -> NDArray[np.float32]:
        """Return (M, P) projections of conformers that the model takes."""
        found = np.empty((len(block), self.size), dtype=np.float32)
        for chosen in batches_by_size(block.n_atoms, self.embedder.batch_size):
            found[chosen] = project(self.name, self.latents(block.take(chosen)), SO3).cpu().numpy()
        return found

    @torch.no_grad()
    def latents(self, block: ConformerBlock) -> Tensor:
        """Return (M, V, 3) latents, angstrom, of conformers that the model takes."""
        x = pack(block.atomic_number, block.position, block.offset).to(self.embedder.device)
        latent: Tensor = self.embedder.model.encoder.latent(x)
        return latent


def project(name: str, z: Tensor, group: LatentGroup) -> Tensor:
    """Return a projection of latents, in float64.

    Args:
        name: in `PROJECTIONS`.
        z: (B, V, 2) for SO2, (B, V, 3) for SO3, (B, n, F) for Permutation.
        group: that acts on them.

    Returns:
        (B, P); P depends on the projection and on V.

    Raises:
        ConfigError: if there is no such projection, or not for this group.
        ShapeError: if z has other axes.
    """
    if name not in PROJECTIONS:
        raise ConfigError(f"there is no projection {name!r}; there are {', '.join(PROJECTIONS)}")
    row = PROJECTIONS[name]
    if group not in row.groups:
        fitting = ", ".join(other.name for other in PROJECTIONS.values() if group in other.groups)
        raise ConfigError(f"projection {name!r} is not for {group.__name__}; use one of {fitting}")
    axis = group.dimension if issubclass(group, SO2 | SO3) else None
    if z.ndim != 3 or not z.shape[1] or (axis and z.shape[2] != axis):
        raise ShapeError(
            f"latents of {group.__name__} have shape {tuple(z.shape)}, expected (B, V, {axis or 'F'})"
        )
    return row.function(z.double(), group)


def aligned(reference: Tensor, z: Tensor, group: LatentGroup) -> Tensor:
    """Return the g z (B, V, d) that is nearest to a reference, (V, d) or (B, V, d) for one each."""
    if issubclass(group, Permutation):
        return z.gather(1, _matching(reference.to(z.dtype) @ z.mT)[..., None].expand_as(z))
    y = _covariance(reference, z)
    if issubclass(group, SO2):
        return SO2.from_equivariant(torch.stack(_turning(y), dim=-1)).act(z)
    u, _, vh = torch.linalg.svd(y)
    sign = torch.ones_like(y[..., 0])
    sign[..., 2] = torch.where(torch.linalg.det(u @ vh) < 0, -1.0, 1.0)
    return SO3((u * sign[..., None, :]) @ vh).act(z)


def overlap(reference: Tensor, z: Tensor, group: LatentGroup) -> Tensor:
    """Return (...,) the largest product of a reference with any g z: max over g of <w, g z> (Cahill et al. 2022).

    Both are (..., V, d), broadcast with each other.
    """
    if issubclass(group, Permutation):
        first, second = torch.broadcast_tensors(reference, z)
        if z.shape[-1] == 1:  # the rearrangement inequality
            return (first.sort(dim=-2).values * second.sort(dim=-2).values).sum(dim=(-2, -1))
        products = first @ second.mT
        return products.gather(-1, _matching(products)[..., None]).sum(dim=(-2, -1))
    y = _covariance(reference, z)
    if issubclass(group, SO2):
        return torch.hypot(*_turning(y))
    values, sign = torch.linalg.svdvals(y), torch.linalg.det(y).sign()
    return values[..., 0] + values[..., 1] + torch.where(sign < 0, -1.0, 1.0) * values[..., 2]


def orbit_distance(first: Tensor, second: Tensor, group: LatentGroup) -> Tensor:
    """Return (...,) the distance of two orbits, min over g of |z - g z'|, exactly; z and z' are (..., V, d)."""
    first, second = first.double(), second.double()
    squares = first.square().sum(dim=(-2, -1)) + second.square().sum(dim=(-2, -1))
    return (squares - 2 * overlap(first, second, group)).clamp_min(0).sqrt()


def _covariance(reference: Tensor, z: Tensor) -> Tensor:
    """Return (..., d, d) sums over vectors of w_i z_j."""
    return reference.mT.to(z.dtype) @ z


def _turning(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, up to one factor, of the rotation of the plane that best aligns."""
    return y[..., 0, 0] + y[..., 1, 1], y[..., 1, 0] - y[..., 0, 1]


def _matching(products: Tensor) -> Tensor:
    """Return (..., n) int64 which point of z belongs to each of a reference, by their products (..., n, n)."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 (slow to import, and seldom needed)

    rows = products.detach().cpu().flatten(0, -3).numpy()
    found = np.array([linear_sum_assignment(row, maximize=True)[1] for row in rows], np.int64)
    return torch.from_numpy(found).view(products.shape[:-1]).to(products.device)


def sorting(z: Tensor, group: LatentGroup) -> Tensor:
    """Return each feature sorted by itself, (B, n F).

    For one feature complete and isometric (rearrangement inequality). With more it forgets which values belong to the
    same point.
    """
    return z.sort(dim=1).values.flatten(1)


def moments(z: Tensor, group: LatentGroup) -> Tensor:
    """Return mean and products of features, summed over the points, (B, F + F (F + 1) / 2).

    Incomplete: so few numbers leave open which points they are of.
    """
    i, j = torch.triu_indices(z.shape[2], z.shape[2])
    return torch.cat([z.mean(dim=1), (z.mT @ z)[:, i, j] / z.shape[1]], dim=1)


def lexicographic(z: Tensor, group: LatentGroup) -> Tensor:
    """Return the points in the order of their first feature, equal ones of the next, and so on, (B, n F).

    Complete, for every z; jumps where points exchange their places.
    """
    for feature in reversed(range(z.shape[2])):
        order = z[..., feature].argsort(dim=1, stable=True)
        z = z.gather(1, order[..., None].expand_as(z))
    return z.flatten(1)


def sorted_products(z: Tensor, group: LatentGroup) -> Tensor:
    """Return <w, sort(z a)> of random a (F) and w (n), (B, 2 n F + 1): points sorted along a direction, and weighted.

    Complete, for every z, with probability 1 over a and w (Dym and Gortler 2022, arXiv 2205.02956); Lipschitz.
    """
    n, features = z.shape[1:]
    number = TEMPLATES_PER_NUMBER * n * features + 1
    a, w = _random(features, number).to(z), _random(n, number).to(z)
    a, w = a / a.norm(dim=0), w / w.norm(dim=0)
    return ((z @ a).sort(dim=1).values * w).sum(dim=1)


def norms(z: Tensor, group: LatentGroup) -> Tensor:
    """Return the lengths of the vectors, (B, V). Incomplete: the angles between the vectors are lost."""
    return torch.linalg.vector_norm(z, dim=-1)


def angles(z: Tensor, group: LatentGroup) -> Tensor:
    """Return the angles from the first vector to each other one, (B, V - 1), radians; jumps where a vector passes zero.

    Of the plane -pi to pi, of space 0 to pi; an angle with a vector of length zero is 0. Incomplete: lengths are lost,
    and in space the angles among the others.
    """
    first, other = z[:, :1], z[:, 1:]
    dot = (first * other).sum(dim=-1)
    if issubclass(group, SO2):
        return torch.atan2(first[..., 0] * other[..., 1] - first[..., 1] * other[..., 0], dot)
    cross = torch.linalg.cross(first.expand_as(other), other, dim=-1)
    return torch.atan2(torch.linalg.vector_norm(cross, dim=-1), dot)


def norms_and_angles(z: Tensor, group: LatentGroup) -> Tensor:
    """Return norms and angles side by side, (B, 2 V - 1): the complete invariants of the paper.

    Complete for SO(2) where the first vector is not zero; not for SO(3).
    """
    return torch.cat([norms(z, group), angles(z, group)], dim=1)


def gram(z: Tensor, group: LatentGroup) -> Tensor:
    """Return scalar products of all pairs of vectors and products with a sign, (B, V (V + 1) / 2 + d (V - d) + 1).

    Complete, for every z. Scalar products determine z up to rotations and reflections. The determinants of all d of
    the V vectors are then known up to one common sign, which is left open where all of them that are looked at
    vanish; so many random combinations, determinants of W z, as are appended here vanish together only where z lies in
    a hyperplane, and there reflections do nothing: their common zeros on the Grassmannian, of dimension d (V - d),
    are none.
    """
    vectors, d = z.shape[1:]
    i, j = torch.triu_indices(vectors, vectors)
    products = [(z @ z.mT)[:, i, j]]
    if vectors >= d:
        mixing = _random(d * (vectors - d) + 1, d, vectors).to(z) / vectors**0.5
        products.append(torch.linalg.det(mixing @ z[:, None]))
    return torch.cat(products, dim=1)


def max_filters(z: Tensor, group: LatentGroup) -> Tensor:
    """Return overlaps with random templates w, max over g of <w, g z>, (B, 2 V d); the templates are of unit length.

    Complete, for every z, with probability 1 over the templates (Mixon and Qaddura 2022, arXiv 2212.11156); Lipschitz.
    """
    templates = _random(TEMPLATES_PER_NUMBER * z.shape[1] * z.shape[2], *z.shape[1:]).to(z)
    templates = templates / torch.linalg.vector_norm(templates, dim=(-2, -1), keepdim=True)
    return torch.cat([overlap(templates, part[:, None], group) for part in z.split(64)])


def voronoi(z: Tensor, group: LatentGroup) -> Tensor:
    """Return the g z nearest to a random reference, (B, V d): in the Voronoi cell of the reference among its images.

    Complete wherever only one g z is nearest, which is everywhere but on a set of measure zero; there it jumps, as
    every cross-section has to somewhere.
    """
    return aligned(_random(*z.shape[1:]).to(z), z, group).flatten(1)


PROJECTIONS = {
    row.name: row
    for row in (
        Projection("sorting", (Permutation,), "complete for one feature a point", "", sorting),
        Projection("moments", (Permutation,), "incomplete: of second order alone", "", moments),
        Projection("lexicographic", (Permutation,), "complete", "", lexicographic),
        Projection("sorted-products", (Permutation,), "complete", "", sorted_products),
        Projection("norms", ROTATIONS, "incomplete: lengths alone", "angstrom", norms),
        Projection("angles", ROTATIONS, "incomplete: angles to the first vector alone", "radian", angles),
        Projection(
            "norms-angles",
            ROTATIONS,
            "complete for SO(2) where the first vector is not zero; incomplete for SO(3)",
            "angstrom, then radian",
            norms_and_angles,
        ),
        Projection("gram", ROTATIONS, "complete", "square angstrom, then cubic angstrom", gram),
        Projection("max-filter", ALL_GROUPS, "complete", "angstrom", max_filters),
        Projection("voronoi", ALL_GROUPS, "complete but for a set of measure zero", "angstrom", voronoi),
    )
}
"""Name to projection."""


@lru_cache
def _random(*shape: int) -> Tensor:
    """Return standard normal numbers, the same for every call and machine."""
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))

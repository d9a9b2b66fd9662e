"""Steerable convolutions of space (Weiler, Geiger, Welling, Boomsma and Cohen, NeurIPS 2018).

A field has channels of order l = 0 (scalars), 1 (vectors) and 2; one of order l has 2 l + 1 components that turn
among themselves when space is rotated, by Wigner's D. Kernels are spherical harmonics times radial functions with
learned weights, so that a rotated input gives the rotated output: exactly for the 24 rotations that map a cubic grid
to itself, and about so for others.

Components are those of real spherical harmonics in the order y z x of order 1, as usual.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate
from math import log

import torch
from torch import Tensor, nn

from molgiae.nn.deep_sets import bottleneck
from molgiae.nn.slots import LinearPlusResidual
from molgiae.shapes import Embedding

HIGHEST = 2
"""Order of the highest harmonics, in kernels and of fields."""

Channels = tuple[int, ...]
"""How many channels of order 0, 1, ... a field has."""

SHORTEST = 1e-3
"""Floor of the lengths that scalars learn of."""


def harmonics(order: int, direction: Tensor) -> Tensor:
    """Real spherical harmonics, mean square 1 over the sphere.

    Args:
        order: l, at most `HIGHEST`.
        direction: (..., 3) unit vectors.

    Returns:
        (..., 2 l + 1).
    """
    x, y, z = direction.unbind(dim=-1)
    parts = {
        0: [torch.ones_like(x)],
        1: [y, z, x],
        2: [x * y, y * z, (3 * z**2 - 1) / 12**0.5, x * z, (x**2 - y**2) / 2],
    }[order]
    return (1.0, 3**0.5, 15**0.5)[order] * torch.stack(parts, dim=-1)


def wigner(order: int, rotation: Tensor) -> Tensor:
    """D with harmonics(R u) = D harmonics(u); (3, 3) to orthogonal (2 l + 1, 2 l + 1), float64."""
    u = _directions(4 * order + 4)
    before, after = harmonics(order, u), harmonics(order, u @ rotation.double().mT)
    return torch.linalg.lstsq(before, after).solution.mT


@lru_cache
def coupling(first: int, second: int, third: int) -> Tensor:
    """The one tensor (2 l1 + 1, 2 l2 + 1, 2 l3 + 1) that no rotation changes: Clebsch-Gordan coefficients.

    Found as what two rotations, which generate all, leave alone; of norm sqrt(2 l3 + 1), its sign by convention.
    The orders have to satisfy the triangle inequality.
    """
    orders = (first, second, third)
    size = [2 * order + 1 for order in orders]
    change = []
    for axes in _directions(4).view(2, 2, 3):
        rotation = torch.linalg.qr(torch.cat([axes, torch.linalg.cross(*axes)[None]]).mT).Q
        rotation = rotation * torch.linalg.det(rotation)
        a, b, c = (wigner(order, rotation) for order in orders)
        change.append(torch.kron(torch.kron(a, b), c))
    stacked = torch.cat([each - torch.eye(len(each), dtype=each.dtype) for each in change])
    kept = torch.linalg.svd(stacked).Vh[-1]
    kept = kept * kept[kept.abs() > kept.abs().max() / 2][0].sign() * size[2] ** 0.5
    return kept.view(size)


def _directions(number: int) -> Tensor:
    """Some directions in no special position."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(number, 3, dtype=torch.float64, generator=generator)
    return points / torch.linalg.vector_norm(points, dim=-1, keepdim=True)


def components(channels: Channels, first: int = 0) -> list[int]:
    """How many numbers the channels of each order, from the first on, have at a point."""
    return [(2 * order + 1) * number for order, number in enumerate(channels, first)]


class SteerableConv(nn.Module):
    """A convolution with a steerable kernel; a linear map of fields that commutes with rotations.

    Args:
        inputs: channels of the field.
        outputs: channels of the result.
        size: of the kernel, voxels along an edge.
        stride: of the convolution.
        padding: zeros around the field.
    """

    def __init__(
        self, inputs: Channels, outputs: Channels, size: int, *, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.shape = (sum(components(outputs)), sum(components(inputs)), size, size, size)
        self.starts = [[0, *accumulate(components(channels))] for channels in (outputs, inputs)]
        self.bias = nn.Parameter(torch.zeros(outputs[0]))
        self.weights = nn.ParameterDict()
        shapes = _shapes(size)
        for target, to in enumerate(outputs):
            for source, from_ in enumerate(inputs):
                if not to * from_:
                    continue
                basis = torch.cat(
                    [
                        torch.einsum("abc,rbxyz->rcaxyz", coupling(source, order, target), shapes[order])
                        for order in range(abs(source - target), min(source + target, HIGHEST) + 1)
                    ]
                )
                basis = basis[basis.abs().flatten(1).amax(dim=1) > 0]
                key = f"{source} to {target}"
                basis = basis / basis.square().sum(dim=(2, 3, 4, 5)).mean(dim=1).sqrt().view(
                    -1, 1, 1, 1, 1, 1
                )
                fan = len(basis) * sum(1 for number in inputs if number) * from_
                self.weights[key] = nn.Parameter(torch.randn(to, from_, len(basis)) / fan**0.5)
                self.register_buffer(f"basis {key}", basis.float(), persistent=False)

    def kernel(self) -> Tensor:
        """(components out, components in, size, size, size)."""
        full = self.bias.new_zeros(self.shape)
        for key, weight in self.weights.items():
            source, target = int(key[0]), int(key[-1])
            block = torch.einsum("oir,rcaxyz->ociaxyz", weight, self.get_buffer(f"basis {key}"))
            rows = slice(*self.starts[0][target : target + 2])
            columns = slice(*self.starts[1][source : source + 2])
            full[rows, columns] = block.flatten(0, 1).flatten(1, 2)
        return full

    def forward(self, field: Tensor) -> Tensor:
        """(B, components in, X, Y, Z) to (B, components out, X', Y', Z')."""
        bias = nn.functional.pad(self.bias, (0, self.shape[0] - len(self.bias)))
        return nn.functional.conv3d(field, self.kernel(), bias, self.stride, self.padding)


def _shapes(size: int) -> list[Tensor]:
    """Harmonics times radial functions on a cubic grid; of each order (rings, 2 l + 1, size, size, size).

    The radial functions are Gaussians a voxel apart, from the middle of the grid to the middle of its faces.
    """
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    offset = torch.stack(torch.meshgrid(place, place, place, indexing="ij"), dim=-1)
    distance = torch.linalg.vector_norm(offset, dim=-1)
    centre = place[place >= 0, None, None, None]
    radial = torch.exp(-((distance - centre) ** 2))
    found = []
    for order in range(HIGHEST + 1):
        # in the middle there is no direction
        angular = harmonics(order, offset / distance.clamp(min=0.5)[..., None]).movedim(-1, 0)
        angular = angular * ((distance > 0) | (order == 0))
        found.append(radial[:, None] * angular)
    return found


class Gated(nn.Module):
    """A steerable convolution, a batch norm of scalars, and a gate: scalars bend themselves and scale the others.

    Args:
        inputs: channels of the field.
        outputs: channels of the result.
        size: of the kernel, voxels along an edge.
        stride: of the convolution.
        padding: zeros around the field.
    """

    def __init__(
        self, inputs: Channels, outputs: Channels, size: int, *, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        gates = sum(outputs[1:])
        self.parts = [outputs[0], gates, sum(components(outputs[1:], first=1))]
        self.conv = SteerableConv(
            inputs, (outputs[0] + gates, *outputs[1:]), size, stride=stride, padding=padding
        )
        self.norm = nn.BatchNorm3d(outputs[0] + gates)
        order = torch.repeat_interleave(torch.arange(1, len(outputs)), torch.tensor(outputs[1:]))
        self.register_buffer("repeats", 2 * order + 1, persistent=False)

    repeats: Tensor

    def forward(self, field: Tensor) -> Tensor:
        """(B, components in, X, Y, Z) to (B, components out, X', Y', Z')."""
        own, gate, others = self.conv(field).split(self.parts, dim=1)
        own, gate = self.norm(torch.cat([own, gate], dim=1)).split(self.parts[:2], dim=1)
        scale = gate.sigmoid().repeat_interleave(self.repeats, dim=1)
        return torch.cat([nn.functional.silu(own), scale * others], dim=1)


class SteerableEncoder(nn.Module):
    """Eta and mu of a scalar field on a grid: steerable convolutions down to one point, the middle of the grid.

    There, lengths of the channels and of learned mixtures of them are invariant, and two mixtures of the vectors are
    what a rotation is made of.

    Args:
        size: voxels along an edge of the grid, odd: strides of two then keep the middle.
        channels: of the hidden fields, of orders 0, 1 and 2.
        embedding_dim: D.
        width: features of the hidden layer between the invariants and the embedding.
    """

    def __init__(self, size: int, channels: Channels, embedding_dim: int, width: int) -> None:
        super().__init__()
        self.channels = channels
        half = (size + 1) // 2
        quarter = (half + 1) // 2
        self.layers = nn.Sequential(
            Gated((1,), channels, 5, stride=2, padding=2),
            Gated(channels, channels, 3, stride=2, padding=1),
            Gated(channels, channels, quarter),
        )
        self.mixtures = nn.ModuleList(nn.Linear(number, 2 * number, bias=False) for number in channels[1:])
        self.vectors = nn.Linear(channels[1], 2, bias=False)
        self.whole = bottleneck(channels[0] + 2 * sum(channels[1:]), embedding_dim, width, layers=1)

    def equivariant(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mu.

        Args:
            x: (B, size, size, size); axis k of the grid is coordinate axis k of space.

        Returns:
            vectors (B, 2, 3), and invariants (B, F) for `invariant`.
        """
        middle = self.layers(x[:, None])[..., 0, 0, 0]
        scalars, *others = middle.split(components(self.channels), dim=1)
        fields = [
            part.unflatten(1, (number, -1)) for part, number in zip(others, self.channels[1:], strict=True)
        ]
        lengths = [
            (mix(field.mT).square().sum(dim=1) + SHORTEST**2).sqrt()
            for mix, field in zip(self.mixtures, fields, strict=True)
        ]
        # harmonics of order 1 are y, z, x
        vectors = self.vectors(fields[0].mT).mT[..., [2, 0, 1]]
        return vectors, torch.cat([scalars, *lengths], dim=1)

    def invariant(self, shared: Tensor, canonical: Tensor) -> Embedding:
        """Eta, from the invariants."""
        return self.whole(shared)


class GridDecoder(nn.Module):
    """Delta: dense layers to the occupancy of every voxel, 0 to 1.

    Args:
        embedding_dim: D.
        size: voxels along an edge of the grid.
        width: features of a hidden layer.
        occupied: mean occupancy of the data, from which training starts.
    """

    def __init__(self, embedding_dim: int, size: int, width: int, occupied: float) -> None:
        super().__init__()
        self.size = size
        self.network = LinearPlusResidual(embedding_dim, width, 2, size**3)
        nn.init.zeros_(self.network.linear.bias)
        nn.init.constant_(self.network.down.bias, log(occupied / (1 - occupied)))

    def forward(self, embedding: Embedding) -> Tensor:
        """(B, D) to (B, size, size, size)."""
        return self.network(embedding).sigmoid().unflatten(1, (self.size,) * 3)

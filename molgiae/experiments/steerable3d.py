"""A steerable network of grids: spherical harmonics, and products of fields that turn as their factors do.

Steerable kernels are spherical harmonics times radial functions (Weiler, Geiger, Welling, Boomsma and Cohen, NeurIPS
2018). Here they are as large as the grid and stand in its middle, so that what follows is a network of fields at one
point: channels of order l = 0 (scalars), 1 (vectors), ... whose 2 l + 1 components turn among themselves by Wigner's D.
Its nonlinearities are Clebsch-Gordan products (Kondor, Lin and Trivedi, NeurIPS 2018) and gates. A rotated input gives
the rotated output: exactly for the 24 rotations that map a cubic grid to itself, for others up to the resolution.

Components are those of real spherical harmonics by m = -l ... l: those of order 1 are y, z, x. e3nn has harmonics and
couplings too: where it is installed a test compares them, but three short functions are no reason to require it.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import factorial, log, prod

import torch
from torch import Tensor, nn

from molgiae.experiments.deep_sets import bottleneck
from molgiae.nn.slots import LinearPlusResidual
from molgiae.tensors import Embedding

Fields = Tensor
"""(B, channels, (L + 1)^2) as many channels of every order up to L; order l is at l^2 ... (l + 1)^2."""

MIN_ROOT_MEAN_SQUARE = 1e-2
"""Of a channel that scalars learn of, in units of its spread over the data: keeps the gradient finite."""

NUDGE = (3e-7, 5e-7, 8e-7)
"""Where a vector points that symmetry makes zero: anywhere; beside others it is round-off."""

MIN_LEARNED_LENGTH = 1e-3
"""Of vectors whose direction is learned from: gradients of shorter ones would be those of round-off."""

MOMENTUM = 0.1
"""Weight of a batch in the running squares of `Spread`."""


def harmonics(order: int, direction: Tensor) -> Tensor:
    """Return real spherical harmonics of order l, mean square 1 over the sphere, by recursion of Legendre functions.

    Unit vectors (..., 3) to (..., 2 l + 1).
    """
    x, y, z = direction.unbind(dim=-1)
    cosine, sine = torch.ones_like(x), torch.zeros_like(x)
    found: dict[int, Tensor] = {}
    for m in range(order + 1):
        before, legendre = torch.zeros_like(z), torch.full_like(z, prod(range(1, 2 * m, 2)))
        for k in range(m + 1, order + 1):
            before, legendre = legendre, ((2 * k - 1) * z * legendre - (k + m - 1) * before) / (k - m)
        scale = ((2 * order + 1) * (2 - (m == 0)) * factorial(order - m) / factorial(order + m)) ** 0.5
        found[m], found[-m] = scale * legendre * cosine, scale * legendre * (sine if m else cosine)
        cosine, sine = x * cosine - y * sine, x * sine + y * cosine
    return torch.stack([found[m] for m in range(-order, order + 1)], dim=-1)


def wigner(order: int, rotation: Tensor) -> Tensor:
    """Return D with harmonics(R u) = D harmonics(u), of R (3, 3): orthogonal (2 l + 1, 2 l + 1), float64."""
    u = _directions(4 * order + 4)
    before, after = harmonics(order, u), harmonics(order, u @ rotation.double().mT)
    return torch.linalg.lstsq(before, after).solution.mT


@lru_cache
def coupling(first: int, second: int, third: int) -> Tensor:
    """Return the one tensor (2 l1 + 1, 2 l2 + 1, 2 l3 + 1) that no rotation changes: Clebsch-Gordan coefficients.

    Found as what two rotations in no special position leave alone; of norm sqrt(2 l3 + 1), its sign by convention.
    The orders have to satisfy the triangle inequality.
    """
    orders = (first, second, third)
    size = [2 * order + 1 for order in orders]
    square = torch.zeros(2 * (prod(size),), dtype=torch.float64)
    for axes in _directions(4).view(2, 2, 3):
        frame = torch.linalg.qr(torch.cat([axes, torch.linalg.cross(*axes)[None]]).mT).Q
        a, b, c = (wigner(order, frame * torch.linalg.det(frame)) for order in orders)
        change = torch.kron(torch.kron(a, b), c) - torch.eye(len(square), dtype=torch.float64)
        square += change.mT @ change
    kept = torch.linalg.eigh(square).eigenvectors[:, 0]
    largest = kept[kept.abs() > kept.abs().max() - 1e-6][0]
    return (kept * largest.sign() * size[2] ** 0.5).view(size)


def _directions(number: int) -> Tensor:
    """Return (number, 3) directions in no special position."""
    generator = torch.Generator().manual_seed(0)
    return nn.functional.normalize(torch.randn(number, 3, dtype=torch.float64, generator=generator), dim=-1)


def spans(highest: int) -> list[slice]:
    """Return where the components of each order are."""
    return [slice(order**2, (order + 1) ** 2) for order in range(highest + 1)]


def kernels(size: int, highest: int, rings: int) -> Tensor:
    """Return harmonics times Gaussians of the distance from the middle, (size^3, rings, (L + 1)^2), float64.

    Voxel (i, j, k) is at x, y, z = i, j, k. The Gaussians reach from the middle to the corners and are as wide as they
    are apart; each kernel is a unit vector.
    """
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    offset = torch.cartesian_prod(place, place, place)
    distance = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
    centre = torch.linspace(0, distance.max().item(), rings, dtype=torch.float64)
    radial = torch.exp(-(((distance - centre) / (centre[1] - centre[0])) ** 2))
    direction = offset / distance.clamp(min=0.5)
    parts = []
    for order in range(highest + 1):
        # in the middle there is no direction
        angular = harmonics(order, direction) * ((distance > 0) | (order == 0))
        block = radial[:, :, None] * angular[:, None]
        parts.append(block / block.square().sum(dim=0, keepdim=True).mean(dim=2, keepdim=True).sqrt())
    return torch.cat(parts, dim=2)


class Mix(nn.Module):
    """A linear map of channels for each order up to L."""

    def __init__(self, highest: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.spans = spans(highest)
        self.weight = nn.Parameter(torch.randn(highest + 1, outputs, inputs) / inputs**0.5)

    def forward(self, fields: Fields) -> Fields:
        """Map (B, inputs, ...) to (B, outputs, ...)."""
        parts = [weight @ fields[..., span] for weight, span in zip(self.weight, self.spans, strict=True)]
        return torch.cat(parts, dim=-1)


def squares(fields: Fields, highest: int) -> Tensor:
    """Return the mean square of each channel and order, (..., L + 1), which no rotation changes."""
    parts = [fields[..., span].square().mean(dim=-1) for span in spans(highest)]
    return torch.stack(parts, dim=-1)


class Spread(nn.Module):
    """A batch norm for fields: channels are divided by their root mean square over the batch, in use over batches."""

    def __init__(self, highest: int, channels: int) -> None:
        super().__init__()
        self.highest = highest
        self.register_buffer("running", torch.ones(channels, highest + 1))
        order = torch.arange(highest + 1)
        self.register_buffer("order", order.repeat_interleave(2 * order + 1), persistent=False)

    running: Tensor
    order: Tensor

    def forward(self, fields: Fields) -> Fields:
        """Map fields to the same shape."""
        square = self.running
        if self.training:
            square = squares(fields, self.highest).mean(dim=0)
            self.running.lerp_(square.detach(), MOMENTUM)
        return fields / (square + 1e-8).sqrt()[:, self.order]


class Product(nn.Module):
    """Products of two mixtures of the channels, added up over all couplings of their orders with learned weights."""

    def __init__(self, highest: int, channels: int) -> None:
        super().__init__()
        orders, places, full = range(highest + 1), spans(highest), (highest + 1) ** 2
        blocks = []
        for a, b, c in product(orders, orders, orders):
            if abs(a - b) <= c <= a + b:
                block = torch.zeros(full, full, full, dtype=torch.float64)
                block[places[a], places[b], places[c]] = coupling(a, b, c)
                blocks.append(block.flatten(0, 1))
        self.register_buffer("couplings", torch.stack(blocks).float(), persistent=False)
        self.weight = nn.Parameter(torch.randn(len(blocks)))

    couplings: Tensor

    def forward(self, first: Fields, second: Fields) -> Fields:
        """Multiply channel by channel; the shape stays."""
        table = torch.tensordot(self.weight, self.couplings, dims=1)
        return (first[..., :, None] * second[..., None, :]).flatten(2) @ table


class Layer(nn.Module):
    """Products beside a linear map, and a gate: a network of the scalars scales every channel of every order."""

    def __init__(self, highest: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Sequential(Mix(highest, inputs, outputs), Spread(highest, outputs)) for _ in range(2)
        )
        self.product, self.spread = Product(highest, outputs), Spread(highest, outputs)
        self.join = nn.Sequential(Mix(highest, 2 * outputs, outputs), Spread(highest, outputs))
        self.gate = nn.Sequential(
            nn.Linear(outputs, 2 * outputs), nn.SiLU(), nn.Linear(2 * outputs, outputs * (highest + 1))
        )

    def forward(self, fields: Fields) -> Fields:
        """Map (B, inputs, ...) to (B, outputs, ...)."""
        first = self.first(fields)
        products = self.spread(self.product(first, self.second(fields)))
        joined = self.join(torch.cat([first, products], dim=1))
        gate = self.gate(joined[..., 0]).unflatten(1, (joined.shape[1], -1))
        return 2 * gate.sigmoid()[..., self.spread.order] * joined


class SteerableEncoder(nn.Module):
    """Eta and mu of a scalar field on a grid.

    Lengths of channels, before the layers and after, are invariant. A rotation is made of two mixtures of the last
    vectors, each stretched along the axes of a mixture of the fields of order 2: all vectors of a shape with an axis of
    symmetry lie on that axis, and of nearly such a shape what does not is noise. Axes of a field of order 2 are still
    defined where the symmetry is two-fold; which of their ends a stretched vector points to is then for the noise to
    say, and makes no difference to the shape. The dense layer before the embedding has `width` features.
    """

    def __init__(
        self, size: int, highest: int, rings: int, channels: int, layers: int, embedding_dim: int, width: int
    ) -> None:
        super().__init__()
        self.highest = highest
        self.register_buffer("kernels", kernels(size, highest, rings).float(), persistent=False)
        self.begin = Spread(highest, rings)
        self.layers = nn.Sequential(
            *(Layer(highest, channels if k else rings, channels) for k in range(layers))
        )
        self.mix = Mix(highest, channels, channels)
        self.vectors = nn.Linear(channels, 2, bias=False)
        self.stretches = nn.Linear(channels, 2, bias=False)
        self.register_buffer("tensor", coupling(1, 1, 2).float(), persistent=False)
        self.whole = bottleneck((rings + channels) * (highest + 1) + channels, embedding_dim, width, layers=1)

    kernels: Tensor
    tensor: Tensor

    def fields(self, x: Tensor) -> Fields:
        """Map (B, size, size, size) to what the kernels see, (B, rings, (L + 1)^2)."""
        return (x.flatten(1) @ self.kernels.flatten(1)).unflatten(1, self.kernels.shape[1:])

    def equivariant(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, size, size, size) to mu, vectors (B, 2, 3), and invariants (B, F) for `invariant`.

        Axis k of the grid is coordinate axis k of space.
        """
        seen = self.begin(self.fields(x))
        last = self.layers(seen)
        lengths = [
            (squares(part, self.highest) + MIN_ROOT_MEAN_SQUARE**2).sqrt().flatten(1)
            for part in (seen, self.mix(last))
        ]
        vectors = self.vectors(last[..., 1:4].mT).mT
        stretches = self.stretches(last[..., 4:9].mT).mT @ self.tensor.flatten(0, 1).mT
        first, second = stretches.unflatten(-1, (3, 3)).unbind(dim=1)
        space = torch.eye(3, dtype=x.dtype, device=x.device).expand_as(first)
        one = stretched(first, vectors[:, 0], space)
        two = stretched(second, vectors[:, 1], space - one[:, :, None] * one[:, None, :])
        y = torch.stack([one, two], dim=1)
        # components of order 1 are y, z, x
        return y[..., [2, 0, 1]], torch.cat([*lengths, last[..., 0]], dim=1)

    def invariant(self, shared: Tensor, canonical: Tensor) -> Embedding:
        """Return eta, (B, D), of the invariants."""
        return self.whole(shared)


def stretched(stretch: Tensor, vectors: Tensor, within: Tensor) -> Tensor:
    """Return directions (B, 3) of exp(S) v: of v where it means something, else about an end of the first axis of S.

    S (B, 3, 3) is symmetric, v (B, 3) in units of its spread; nothing is learned from where it is noise. Directions
    have to lie where projectors (B, 3, 3) point.
    """
    inside = (within @ (vectors + vectors.new_tensor(NUDGE))[:, :, None])[..., 0]
    noise = torch.linalg.vector_norm(inside.detach(), dim=1, keepdim=True) < MIN_LEARNED_LENGTH
    direction = nn.functional.normalize(torch.where(noise, inside.detach(), inside), dim=1)
    power = torch.matrix_exp(within @ stretch @ within)
    return nn.functional.normalize((within @ power @ direction[:, :, None])[..., 0], dim=1)


class GridDecoder(nn.Module):
    """Delta: dense layers to the occupancy of every voxel, 0 to 1; training starts from the mean occupancy."""

    def __init__(self, embedding_dim: int, size: int, width: int, occupied: float) -> None:
        super().__init__()
        self.size = size
        self.network = LinearPlusResidual(embedding_dim, width, 2, size**3)
        nn.init.zeros_(self.network.linear.bias)
        nn.init.constant_(self.network.down.bias, log(occupied / (1 - occupied)))

    def forward(self, embedding: Embedding) -> Tensor:
        """Map (B, D) to (B, size, size, size)."""
        return self.network(embedding).sigmoid().unflatten(1, (self.size,) * 3)

"""A steerable network of functions in a ball: products of fields that turn as their factors do.

Its input are coefficients of spherical harmonics (`ball`), as if of steerable kernels (Weiler, Geiger, Welling, Boomsma
and Cohen, NeurIPS 2018) as large as the ball: what follows is a network of fields at one point, channels of order l = 0
(scalars), 1 (vectors), ... whose 2 l + 1 components turn among themselves by Wigner's D. Its nonlinearities are
Clebsch-Gordan products (Kondor, Lin and Trivedi, NeurIPS 2018) and gates. Coefficients turned by any rotation give the
output turned.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import prod

import torch
from torch import Tensor, nn

from molgiae.experiments.ball import Ball, Wigner, spans
from molgiae.experiments.deep_sets import bottleneck
from molgiae.tensors import Embedding

Fields = Tensor
"""(B, channels, (L + 1)^2) as many channels of every order up to L; order l is at l^2 ... (l + 1)^2."""

MIN_ROOT_MEAN_SQUARE = 1e-2
"""Of a channel that scalars learn of, in units of its spread over the data: keeps the gradient finite."""

NUDGE = (3e-7, 5e-7, 8e-7)
"""Where a vector points that symmetry makes zero: anywhere; beside others it is round-off."""

MIN_LEARNED_LENGTH = 1e-3
"""Of vectors whose direction is learned from: gradients of shorter ones would be those of round-off."""

MIN_TRUSTED_LENGTH = 0.1
"""Of vectors after the stretch, in units of their spread, at which a canonical form is trusted by half."""

MAX_STRETCH = 12.0
"""Of logarithms of stretches; single precision ends at 44."""

MOMENTUM = 0.1
"""Weight of a batch in the running squares of `Spread`."""


@lru_cache
def coupling(first: int, second: int, third: int) -> Tensor:
    """Return the one tensor (2 l1 + 1, 2 l2 + 1, 2 l3 + 1) that no rotation changes: Clebsch-Gordan coefficients.

    Found as what two rotations in no special position leave alone; of norm sqrt(2 l3 + 1), its sign by convention.
    The orders have to satisfy the triangle inequality.
    """
    orders = (first, second, third)
    size, wigner = [2 * order + 1 for order in orders], Wigner(max(orders))
    square = torch.zeros(2 * (prod(size),), dtype=torch.float64)
    for axes in _directions(4).view(2, 2, 3):
        frame = torch.linalg.qr(torch.cat([axes, torch.linalg.cross(*axes)[None]]).mT).Q
        matrices = wigner(frame * torch.linalg.det(frame))
        a, b, c = (matrices[order] for order in orders)
        change = torch.kron(torch.kron(a, b), c) - torch.eye(len(square), dtype=torch.float64)
        square += change.mT @ change
    kept = torch.linalg.eigh(square).eigenvectors[:, 0]
    largest = kept[kept.abs() > kept.abs().max() - 1e-6][0]
    return (kept * largest.sign() * size[2] ** 0.5).view(size)


def _directions(number: int) -> Tensor:
    """Return (number, 3) directions in no special position."""
    generator = torch.Generator().manual_seed(0)
    return nn.functional.normalize(torch.randn(number, 3, dtype=torch.float64, generator=generator), dim=-1)


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
    """Eta and mu of functions in a ball, given as coefficients.

    A rotation is made of two mixtures of the last vectors, each stretched along the axes of a mixture of the fields of
    order 2: all vectors of a shape with an axis of symmetry lie on that axis, and of nearly such a shape what does not
    is noise. Axes of a field of order 2 are still defined where the symmetry is two-fold; which of their ends a
    stretched vector points to is then for the noise to say, and makes no difference to the shape.

    Eta is a dense network of canonical coefficients and of invariants: lengths of channels, before the layers and
    after, and scalars. Canonical coefficients count the less the shorter the vectors are: where symmetry makes them
    zero, so that noise says how the shape is turned, only invariants are left, and where vectors change their sides eta
    does not jump.

    Args:
        ball: whose coefficients they are.
        highest: L, order of the highest spherical harmonics that are looked at.
        channels: of its hidden fields, of each order.
        layers: how many it has.
        embedding_dim: D.
        width: features of the dense layer before the embedding.
    """

    def __init__(
        self, ball: Ball, highest: int, channels: int, layers: int, embedding_dim: int, width: int
    ) -> None:
        super().__init__()
        self.ball, self.highest = ball, highest
        rings = ball.shapes[0][0]
        self.begin = Spread(highest, rings)
        self.layers = nn.Sequential(
            *(Layer(highest, channels if k else rings, channels) for k in range(layers))
        )
        self.mix = Mix(highest, channels, channels)
        self.vectors = nn.Linear(channels, 2, bias=False)
        self.stretches = nn.Linear(channels, 2, bias=False)
        self.register_buffer("tensor", coupling(1, 1, 2).float(), persistent=False)
        invariants = (rings + channels) * (highest + 1) + channels
        self.whole = bottleneck(ball.numbers + invariants, embedding_dim, width, layers=1)

    tensor: Tensor

    def fields(self, x: Tensor) -> Fields:
        """Map (B, N) to (B, radial functions of order 0, (L + 1)^2); higher orders have fewer, the others are zero."""
        parts = self.ball.parts(x)[: self.highest + 1]
        rings = parts[0].shape[1]
        return torch.cat([nn.functional.pad(part, (0, 0, 0, rings - part.shape[1])) for part in parts], dim=2)

    def equivariant(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map (B, N) to mu, vectors (B, 2, 3), and to what `invariant` shares: invariants (B, F) and trust (B, 1)."""
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
        one, length = stretched(first, vectors[:, 0], space)
        two, across = stretched(second, vectors[:, 1], space - one[:, :, None] * one[:, None, :])
        square = torch.stack([length, across], dim=1) ** 2
        trust = (square / (square + MIN_TRUSTED_LENGTH**2)).prod(dim=1, keepdim=True)
        # components of order 1 are y, z, x
        y = torch.stack([one, two], dim=1)[..., [2, 0, 1]]
        return y, (torch.cat([*lengths, last[..., 0]], dim=1), trust)

    def invariant(self, shared: tuple[Tensor, Tensor], canonical: Tensor) -> Embedding:
        """Return eta, (B, D), of the invariants and canonical coefficients (B, N)."""
        invariants, trust = shared
        return self.whole(torch.cat([invariants, trust * canonical], dim=1))


def stretched(stretch: Tensor, vectors: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
    """Return directions (B, 3) of exp(S) v: of v where it means something, else about an end of the first axis of S.

    S (B, 3, 3) is symmetric, v (B, 3) in units of its spread; nothing is learned from where it is noise. Directions
    have to lie where projectors (B, 3, 3) point. Returned is also how far off v is from being noise, (B,): the length
    of exp(S) v over that of exp(S).
    """
    inside = (within @ (vectors + vectors.new_tensor(NUDGE))[:, :, None])[..., 0]
    noise = torch.linalg.vector_norm(inside.detach(), dim=1, keepdim=True) < MIN_LEARNED_LENGTH
    direction = nn.functional.normalize(torch.where(noise, inside.detach(), inside), dim=1)
    flat = within @ stretch @ within
    size = (flat.square().sum(dim=(1, 2), keepdim=True) + 1e-12).sqrt()
    power = within @ torch.matrix_exp(flat * MAX_STRETCH / (MAX_STRETCH + size))
    end = (power @ direction[:, :, None])[..., 0]
    length = inside.norm(dim=1) * end.norm(dim=1) / torch.linalg.matrix_norm(power)
    return nn.functional.normalize((within @ end[:, :, None])[..., 0], dim=1), length.detach()

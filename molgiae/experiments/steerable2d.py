"""Networks on the disc that commute with its rotations, by circular harmonics.

A picture is a sum over rings and orders m of radial functions times cos(m phi) and sin(m phi). Rotating it by an
angle a turns each pair of coefficients by m a, exactly; so a network on the coefficients is equivariant for every
angle, and only the step from pixels to coefficients feels the grid. Linear maps mix the rings and channels of each
order among themselves (Schur's lemma: Worrall et al., Harmonic Networks, CVPR 2017; Weiler and Cesa, NeurIPS 2019);
nonlinearities act upon samples of the functions of phi, more of them than there are orders (de Haan et al., ICLR
2021; Franzen and Wand, NeurIPS 2021).

Coefficients are float32 (B, M + 1, C, 2): orders 0 to M, rings or channels, cosine and sine.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from molgiae.tensors import Embedding

RIDGE = 0.3
"""Weight of the squares of coefficients beside those of errors in pixels: smooths what lies between the pixels."""

ORDERS_PER_RADIUS = 2.2
"""Orders up to this times the radius of a ring, in pixels, are resolved by the grid; pi would be all there are."""

HEIGHT = 1 / 16
"""Of the harmonics, so that coefficients of digits are of the order of one."""

MIN_SQUARE = 1e-6
"""Added to mean squares that are divided by."""


def turned(coefficients: Tensor, angle: Tensor) -> Tensor:
    """Return the coefficients (B, M + 1, C, 2) of functions rotated by angles (B,), radians, counter-clockwise."""
    order = torch.arange(coefficients.shape[1], dtype=coefficients.dtype, device=coefficients.device)
    phase = (angle.to(coefficients.dtype)[:, None] * order)[..., None]
    cos, sin = phase.cos(), phase.sin()
    a, b = coefficients.unbind(dim=-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)


def best_turn(picture: Tensor, coefficients: Tensor, number: int) -> Tensor:
    """Return the rotations (B,), radians, by multiples of 2 pi / number, that bring functions nearest to pictures.

    Given are the products of the pictures with the harmonics, `DiscHarmonics.products`, and the coefficients of the
    functions, both (B, M + 1, C, 2).
    """
    (p, q), (a, b) = picture.unbind(dim=-1), coefficients.unbind(dim=-1)
    even, odd = (p * a + q * b).sum(dim=-1), (q * a - p * b).sum(dim=-1)
    angle = torch.arange(number, dtype=even.dtype, device=even.device) * (2 * math.pi / number)
    phase = torch.arange(even.shape[1], dtype=even.dtype, device=even.device)[:, None] * angle
    return angle[(even @ phase.cos() + odd @ phase.sin()).argmax(dim=1)]


class DiscHarmonics(nn.Module):
    """Between pictures and coefficients; no weights. Corners of the pictures are outside of the disc and black.

    There are so many `pixels` along an edge, R `rings`, Gaussians of the radius one pixel wide and apart, and `orders`
    up to M.
    """

    def __init__(self, pixels: int, rings: int, orders: int) -> None:
        super().__init__()
        self.shape = (orders + 1, rings, 2)
        self.pixels = pixels
        place = torch.arange(pixels, dtype=torch.float64) - (pixels - 1) / 2
        y, x = torch.meshgrid(-place, place, indexing="ij")
        radius, phi = torch.hypot(x, y).flatten(), torch.atan2(y, x).flatten()
        middle = torch.arange(rings, dtype=torch.float64) + 0.5
        radial = HEIGHT * torch.exp(-(radius - middle[:, None]).square())
        order = torch.arange(orders + 1, dtype=torch.float64)
        angular = torch.stack([(order[:, None] * phi).cos(), (order[:, None] * phi).sin()])
        # (M + 1, R, 2, pixels)
        basis = torch.einsum("rp,tmp->mrtp", radial, angular)
        resolved = (order[:, None] <= ORDERS_PER_RADIUS * middle + 0.5)[..., None].expand(self.shape).clone()
        resolved[0, :, 1] = False
        synthesis = (basis * resolved[..., None]).flatten(0, 2)
        gram = synthesis @ synthesis.mT + HEIGHT**2 * RIDGE * torch.eye(len(synthesis), dtype=torch.float64)
        analysis = torch.linalg.solve(gram, synthesis)
        self.register_buffer("synthesis", synthesis.float(), persistent=False)
        self.register_buffer("analysis", analysis.mT.float().contiguous(), persistent=False)

    synthesis: Tensor
    analysis: Tensor

    def forward(self, picture: Tensor) -> Tensor:
        """Map (B, pixels, pixels) to the coefficients, (B, M + 1, R, 2), of the nearest smooth function."""
        return (picture.flatten(1) @ self.analysis).unflatten(1, self.shape)

    def products(self, picture: Tensor) -> Tensor:
        """Map (B, pixels, pixels) to its products with the harmonics, (B, M + 1, R, 2), for `best_turn`."""
        return (picture.flatten(1) @ self.synthesis.mT).unflatten(1, self.shape)

    def picture(self, coefficients: Tensor) -> Tensor:
        """Map (B, M + 1, R, 2) to (B, pixels, pixels)."""
        return (coefficients.flatten(1) @ self.synthesis).unflatten(1, (self.pixels, self.pixels))


class SteerableLinear(nn.Module):
    """Complex linear maps of channels, one for each order up to M; commutes with rotations.

    Higher orders of the input are left out.
    """

    def __init__(self, inputs: int, outputs: int, orders: int) -> None:
        super().__init__()
        scale = (2 * inputs) ** -0.5
        self.weight = nn.Parameter(scale * torch.randn(2, orders + 1, inputs, outputs))

    def forward(self, coefficients: Tensor) -> Tensor:
        """Map (B, at least M + 1, inputs, 2) to (B, M + 1, outputs, 2)."""
        real, imaginary = self.weight
        top = torch.cat([real, imaginary], dim=2)
        weight = torch.cat([top, torch.cat([-imaginary, real], dim=2)], dim=1)
        x = coefficients[:, : len(real)]
        flat = torch.cat([x[..., 0], x[..., 1]], dim=2).transpose(0, 1)
        a, b = torch.bmm(flat, weight).transpose(0, 1).chunk(2, dim=2)
        return torch.stack([a, b], dim=-1)


class CircleSiLU(nn.Module):
    """SiLU on samples of the functions of phi, of unit mean square before it; ReLU would have orders without end.

    What is beyond the orders that so many samples resolve is left out, not folded back.
    """

    def __init__(self, channels: int, orders: int, samples: int) -> None:
        super().__init__()
        angle = torch.arange(samples, dtype=torch.float64) * (2 * math.pi / samples)
        phase = torch.arange(orders + 1, dtype=torch.float64)[:, None] * angle
        to_samples = torch.stack([phase.cos(), phase.sin()], dim=1)
        weight = torch.full((orders + 1, 1, 1), 2 / samples, dtype=torch.float64)
        weight[0] /= 2
        from_samples = (to_samples * weight).flatten(0, 1).mT
        self.register_buffer("to_samples", to_samples.flatten(0, 1).float(), persistent=False)
        self.register_buffer("from_samples", from_samples.float().contiguous(), persistent=False)
        self.bias = nn.Parameter(torch.zeros(channels, 1))

    to_samples: Tensor
    from_samples: Tensor

    def forward(self, coefficients: Tensor) -> Tensor:
        """Map (B, M + 1, C, 2) to the same shape."""
        orders = coefficients.shape[1]
        samples = coefficients.transpose(1, 2).flatten(2) @ self.to_samples
        size = samples.square().mean(dim=(1, 2), keepdim=True) + MIN_SQUARE
        samples = nn.functional.silu(samples * size.rsqrt() + self.bias)
        return (samples @ self.from_samples).unflatten(2, (orders, 2)).transpose(1, 2)


class SteerableTrunk(nn.Sequential):
    """Layers of `SteerableLinear` and `CircleSiLU`; all features have a width of channels, of orders up to M."""

    def __init__(self, inputs: int, width: int, layers: int, orders: int) -> None:
        samples = 4 * math.ceil(3 * orders / 4 + 2)  # of four quarters, so that quarter turns are exact
        parts: list[nn.Module] = []
        for k in range(layers):
            linear = SteerableLinear(width if k else inputs, width, orders)
            parts += [linear, CircleSiLU(width, orders, samples)]
        super().__init__(*parts)


class SteerableVectors(nn.Module):
    """Coefficients of R rings to V vectors of the plane, which turn with the picture."""

    def __init__(self, rings: int, width: int, layers: int, orders: int, vectors: int) -> None:
        super().__init__()
        self.trunk = SteerableTrunk(rings, width, layers, orders)
        self.vectors = SteerableLinear(width, vectors, 1)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Map (B, M + 1, R, 2) to (B, V, 2)."""
        return self.vectors(self.trunk(coefficients))[:, 1]


class SteerableDecoder(nn.Module):
    """V vectors of the plane to coefficients of a shape (M + 1, R, 2): the picture turns with the vectors."""

    def __init__(self, shape: tuple[int, int, int], width: int, layers: int, vectors: int) -> None:
        super().__init__()
        orders = shape[0] - 1
        self.vectors = vectors
        self.trunk = SteerableTrunk(vectors + 1, width, layers, orders)
        self.rings = SteerableLinear(width, shape[1], orders)

    def forward(self, embedding: Embedding) -> Tensor:
        """Map (B, 2 V) vectors, side by side, to (B, M + 1, R, 2)."""
        given = embedding.unflatten(1, (self.vectors, 2))
        orders = self.rings.weight.shape[1]
        # order 1 holds the vectors; a constant function, of order 0, tells their lengths from their directions
        x = given.new_zeros(len(given), orders, self.vectors + 1, 2)
        x[:, 1, :-1] = given
        x[:, 0, -1, 0] = 1
        return self.rings(self.trunk(x))

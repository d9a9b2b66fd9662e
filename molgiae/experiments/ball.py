"""Functions in a ball as coefficients that rotations turn exactly: spherical harmonics times radial functions.

The functions are the smoothest there are, eigenfunctions of the Laplacian that vanish on the surface, up to one wave
number; so every part of the ball is resolved alike. They are orthonormal: squared differences of functions
are those of their coefficients. A rotation turns the 2 l + 1 coefficients of order l among themselves by Wigner's D;
only the step from voxels to coefficients feels the grid.

Components are those of real spherical harmonics by m = -l ... l: those of order 1 are y, z, x. e3nn has harmonics and
couplings too: where it is installed a test compares them, but a few short functions are no reason to require it.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import count
from math import factorial, pi, prod

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor, nn

from molgiae.groups import SO3

MESH = 800
"""Intervals of the radius in which radial functions are found; between its points they are straight."""

STEP = 1e-4
"""Angle of the differences that generators of rotations are found by, radians."""


def spans(highest: int) -> list[slice]:
    """Return where the components of each order are."""
    return [slice(order**2, (order + 1) ** 2) for order in range(highest + 1)]


def harmonics(highest: int, direction: Tensor) -> Tensor:
    """Return real spherical harmonics up to order L, mean square 1 over the sphere, by recursion of Legendre functions.

    Unit vectors (..., 3) to (..., (L + 1)^2).
    """
    x, y, z = direction.unbind(dim=-1)
    cosine, sine = torch.ones_like(x), torch.zeros_like(x)
    found: dict[tuple[int, int], Tensor] = {}
    for m in range(highest + 1):
        before, legendre = torch.zeros_like(z), torch.full_like(z, float(prod(range(1, 2 * m, 2))))
        for k in range(m, highest + 1):
            if k > m:
                before, legendre = legendre, ((2 * k - 1) * z * legendre - (k + m - 1) * before) / (k - m)
            scale = ((2 * k + 1) * (2 - (m == 0)) * factorial(k - m) / factorial(k + m)) ** 0.5
            found[k, m], found[k, -m] = scale * legendre * cosine, scale * legendre * (sine if m else cosine)
        cosine, sine = x * cosine - y * sine, x * sine + y * cosine
    return torch.stack([found[k, m] for k in range(highest + 1) for m in range(-k, k + 1)], dim=-1)


class Wigner(nn.Module):
    """Matrices D, as harmonics(R u) = D harmonics(u), of all orders up to L; no weights.

    R = Z(a) Y(b) Z(c) is made of rotations about z, whose matrices have two diagonals, and of Q, which takes z to y:
    D(R) = D(Z(a)) D(Q) D(Z(b)) D(Q)^T D(Z(c)).
    """

    def __init__(self, highest: int) -> None:
        super().__init__()
        self.highest = highest
        # in a spiral over half of the sphere; harmonics of the other half are the same but for signs
        number = 4 * highest + 12
        height = (torch.arange(number, dtype=torch.float64) + 0.5) / number
        angle, ring = pi * (3 - 5**0.5) * number * height, (1 - height**2).sqrt()
        direction = torch.stack([ring * angle.cos(), ring * angle.sin(), height], dim=1)
        # Q takes (x, y, z) to (x, z, -y)
        x, y, z = direction.unbind(dim=1)
        seen, moved = harmonics(highest, direction), harmonics(highest, torch.stack([x, z, -y], dim=1))
        for order, span in enumerate(spans(highest)):
            self.register_buffer(f"tilt_{order}", (torch.linalg.pinv(seen[:, span]) @ moved[:, span]).mT)

    def forward(self, rotation: Tensor) -> list[Tensor]:
        """Map R (..., 3, 3) to orthogonal D (..., 2 l + 1, 2 l + 1) of each order."""
        first = torch.atan2(rotation[..., 1, 2], rotation[..., 0, 2])
        sine, cosine = first.sin(), first.cos()
        # what is left when Z(a) is undone: in its row of y only Z(c) is seen, in its column of z only Y(b)
        middle = torch.atan2(cosine * rotation[..., 0, 2] + sine * rotation[..., 1, 2], rotation[..., 2, 2])
        row = cosine[..., None] * rotation[..., 1, :] - sine[..., None] * rotation[..., 0, :]
        last = torch.atan2(row[..., 0], row[..., 1])
        found = []
        for order in range(self.highest + 1):
            m = torch.arange(-order, order + 1, device=rotation.device)
            tilt: Tensor = self.get_buffer(f"tilt_{order}")
            tilted = tilt @ _about_z(m, middle, tilt.mT)
            found.append(_about_z(m, -last, _about_z(m, first, tilted).mT).mT)
        return found


def _about_z(m: Tensor, angle: Tensor, matrix: Tensor) -> Tensor:
    """Return D of rotations about z by angles (...) times matrices (..., 2 l + 1, K)."""
    turn = (m * angle[..., None])[..., None]
    return turn.cos() * matrix - turn.sin() * matrix.flip(-2)


def radial(order: int, limit: float) -> tuple[Tensor, Tensor]:
    """Return radial functions of order l in the unit ball with wave numbers up to the limit, (MESH + 1, k), and these.

    Both float64; the integral of the square of each times r^2 is 1. r f(r) is found from its differential equation.
    """
    step = 1 / MESH
    r = np.arange(1, MESH) * step
    diagonal, beside = 2 / step**2 + order * (order + 1) / r**2, np.full(MESH - 2, -1 / step**2)
    square, waves = eigh_tridiagonal(diagonal, beside, select="v", select_range=(0, limit**2))
    inner = waves * step**-0.5 / r[:, None]
    middle = inner[:1] if order == 0 else np.zeros_like(inner[:1])
    found = np.concatenate([middle, inner, np.zeros_like(middle)])
    return torch.from_numpy(found), torch.from_numpy(np.sqrt(square))


class Ball(nn.Module):
    """A ball of a radius, in voxels, and its functions with wave numbers up to a limit over the radius; no weights.

    Coefficients are (B, N) side by side: order by order, radial function by radial function, component by component.
    """

    def __init__(self, radius: float, limit: float) -> None:
        super().__init__()
        self.radius = radius
        self.radials: list[Tensor] = []
        for order in count():
            functions, _ = radial(order, limit)
            if not functions.shape[1]:
                break
            self.radials.append(functions)
        self.highest = len(self.radials) - 1
        self.shapes = [(functions.shape[1], 2 * order + 1) for order, functions in enumerate(self.radials)]
        self.numbers = sum(prod(shape) for shape in self.shapes)
        wigner = Wigner(self.highest)
        for order, generators in enumerate(self._generators(wigner)):
            self.register_buffer(f"generators_{order}", generators.float(), persistent=False)
        self.wigner = wigner.float()

    @staticmethod
    def _generators(wigner: Wigner) -> list[Tensor]:
        """Return how D of each order grows with the angle about x, y and z, (3, 2 l + 1, 2 l + 1)."""
        cross = torch.linalg.cross(torch.eye(3).double()[:, None], torch.eye(3).double()[None]).mT
        ahead, behind = (wigner(torch.matrix_exp(sign * STEP * cross)) for sign in (1, -1))
        return [(a - b) / (2 * STEP) for a, b in zip(ahead, behind, strict=True)]

    def up_to(self, highest: int) -> Ball:
        """Return the same with orders up to L alone, whose coefficients come first."""
        low = deepcopy(self)
        low.highest = min(highest, self.highest)
        low.radials, low.shapes = self.radials[: highest + 1], self.shapes[: highest + 1]
        low.numbers = sum(prod(shape) for shape in low.shapes)
        low.wigner = Wigner(low.highest).to(self.wigner.get_buffer("tilt_0"))
        return low

    def exact(self) -> Ball:
        """Return the same, which rotates in float64."""
        exact = deepcopy(self).double()
        exact.wigner = Wigner(self.highest)
        return exact

    def kernels(self, size: int) -> Tensor:
        """Return the functions at voxels, (size^3, N); voxel (i, j, k) is at i, j, k, the ball in the middle."""
        place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        offset = torch.cartesian_prod(place, place, place)
        distance = torch.linalg.vector_norm(offset, dim=1)
        angular = harmonics(self.highest, offset / distance.clamp(min=0.5)[:, None]) / (4 * pi) ** 0.5
        # in the middle there is no direction
        angular[distance == 0, 1:] = 0
        mesh = (distance / self.radius * MESH).clamp(max=MESH)
        before = mesh.floor().long().clamp(max=MESH - 1)
        share = (mesh - before)[:, None]
        parts = []
        for functions, span in zip(self.radials, spans(self.highest), strict=True):
            values = torch.lerp(functions[before], functions[before + 1], share) / self.radius**1.5
            parts.append((values[:, :, None] * angular[:, None, span]).flatten(1).float())
        return torch.cat(parts, dim=1)

    def parts(self, coefficients: Tensor) -> list[Tensor]:
        """Return the coefficients (B, N) of each order, (B, its radial functions, 2 l + 1)."""
        split = coefficients.split([prod(shape) for shape in self.shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(split, self.shapes, strict=True)]

    def turned(self, action: SO3, coefficients: Tensor) -> Tensor:
        """Return the coefficients (B, N) of the functions turned, at p what was at R^-1 p.

        Gradients with respect to the rotation are those of generators, a third of the work of those of D.
        """
        matrix = action.matrix.to(coefficients.dtype)
        fixed = matrix.detach()
        parts = zip(self.parts(coefficients), self.wigner(fixed), strict=True)
        whole = torch.cat([(part @ d.mT).flatten(1) for part, d in parts], dim=1)
        if matrix.requires_grad:
            # the identity as to its value
            little = matrix @ fixed.mT
            skew = (little - little.mT) / 2
            angles = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], dim=1)
            whole = whole + torch.einsum("bcn,bc->bn", self.growth(whole), angles)
        return whole

    def growth(self, coefficients: Tensor) -> Tensor:
        """Return how coefficients (B, N) grow with the angle of a rotation about x, y and z, (B, 3, N)."""
        growths = [
            torch.einsum("brm,cnm->bcrn", part, self.get_buffer(f"generators_{order}")).flatten(2)
            for order, part in enumerate(self.parts(coefficients))
        ]
        return torch.cat(growths, dim=2)

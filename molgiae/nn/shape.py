"""The shape part of an embedding: smooth in the coordinates; its distances are symmetry-corrected RMSDs, angstrom.

Every atom gets a code by its place among bonded atoms (`molgiae.nn.atoms`), which motion of atoms hardly changes. The
code weighs sums over pairs of functions of distance, and sums of positions whose scalar and triple products are
invariants (Villar et al., Scalars are universal, NeurIPS 2021). Already random codes keep distances: such sums
are random projections of the matrix of distances (Johnson and Lindenstrauss, 1984). So do scalar products by the
inverse root of the gyration tensor T: with X (3, n) the centered positions, X^T T^(-1/2) X is the root of the Gram
matrix X^T X, and two such roots are as far apart as the least deviation over all rotations and reflections, up to a
factor of 2^(1/2) (Bhatia, Jain and Lim, Expo. Math. 37, 165, 2019). Triple products tell mirror images apart, and with
them the many conformers that differ by the sign of a torsion. Where equivalent atoms leave sums of
positions on a line, as in butane, those of the sums have no volume: sums over pairs of atoms of triple products of
their distance and their surroundings, torsions in the main, still see the difference; where even those cancel, as they
do over the hydrogens of a methyl group, sums of sines and cosines of multiples of torsions do.

Neither frame nor order nor bonds take part: the shape part is smooth everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molgiae.nn.atoms import TURNS
from molgiae.nn.linear import Linear
from molgiae.nn.vectors import cross, others, separations
from molgiae.tensors import AtomicNumbers, Embedding, Positions

CODES, ROOTS, TORSIONS, HIDDEN = 48, 128, 24, 512

SURROUNDINGS, PARTNERS = 1.8, (1.8, 3.5)
"""Ranges of Gaussians in distance: of the surroundings of an atom, and of pairs of atoms, angstrom."""

FLAT = 0.1
"""Added to the gyration tensor, square angstrom, so that its root stays smooth where a conformer is flat."""

STEPS = (0.5, 1.875, 3.25, 4.625, 6.0)
STEEP = 1.5
"""Distances, angstrom, about which a function rises from -1 to 1, and half the width of the rise."""


class ShapeEncoder(nn.Module):
    """Conformers to smooth invariants, see `molgiae.training.losses.shape_loss` for what their distances mean.

    Args:
        width: F, features of a place.
        size: numbers of the result.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.code = nn.Sequential(
            Linear(width, 2 * width), nn.SiLU(), Linear(2 * width, 2 * CODES + 2 * TURNS)
        )
        self.vectors = Linear(CODES, 5 * CODES, bias=False)
        self.around = nn.Sequential(Linear(width, width), nn.SiLU(), Linear(width, 2 * TORSIONS))
        self.roots = Linear(CODES, 2 * ROOTS, bias=False)
        invariants = CODES * (len(STEPS) + 3) + TORSIONS * len(PARTNERS) + 2 * TURNS + ROOTS
        self.straight = Linear(invariants, size)
        self.bent = nn.Sequential(
            Linear(invariants, HIDDEN),
            nn.SiLU(),
            Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            Linear(HIDDEN, size),
        )

    def forward(self, z: AtomicNumbers, pos: Positions, places: Tensor, turns: Tensor) -> Embedding:
        """Encode.

        Args:
            z: (B, n) atomic numbers, 0 marks padding.
            pos: (B, n, 3) angstrom, in any pose and order, 0 where padded.
            places: (B, n, F), see `molgiae.nn.atoms.AtomNetwork.places`.
            turns: (B, n, 2 TURNS) features of torsions about the bonds of the atoms.

        Returns:
            (B, size) angstrom.
        """
        mask = (z > 0).to(pos.dtype)
        places = self.norm(places)
        pair, single, weight = (self.code(places) * mask[..., None]).split([CODES, CODES, 2 * TURNS], dim=-1)
        square, pairs = separations(pos)[1], others(z, pos)
        sent, own = (self.around(places) * mask[..., None]).chunk(2, dim=-1)
        invariants = torch.cat(
            [
                _of_pairs(pair, square, pairs) / mask.sum(dim=1, keepdim=True),
                self._of_vectors(single, pos, mask),
                _grown_as_lengths(
                    _of_torsions(sent, own, pos, square, pairs) / mask.sum(dim=1, keepdim=True)
                ),
                _grown_as_lengths((weight * turns).sum(dim=1)),
                self._of_roots(single, pos, mask),
            ],
            dim=-1,
        )
        return self.straight(invariants) + self.bent(invariants)

    def latent(self, z: AtomicNumbers, pos: Positions, places: Tensor) -> Tensor:
        """Return the weighted sums of positions of which most of the shape part is made; they turn with the conformer.

        Args:
            z: (B, n) atomic numbers, 0 marks padding.
            pos: (B, n, 3) angstrom, 0 where padded, any type.
            places: as in `forward`.

        Returns:
            (B, CODES, 3) angstrom, in the type of the positions; unmoved by translations and by the order of atoms.
        """
        mask = z > 0
        weight = (self.code(self.norm(places)) * mask[..., None])[..., CODES : 2 * CODES]
        return _weighted_sums(weight.to(pos.dtype), pos, mask.to(pos.dtype)).mT

    def _of_vectors(self, weight: Tensor, pos: Positions, mask: Tensor) -> Tensor:
        """Return (B, 2 CODES) scalar and triple products of sums of positions, grown no faster than lengths."""
        vectors = self.vectors(_weighted_sums(weight, pos, mask))
        a, b, c, d, e = vectors.chunk(5, dim=-1)
        product = (a * b).sum(dim=1)
        triple = (cross(c, d, dim=1) * e).sum(dim=1)
        return torch.cat([product / (1 + product.abs()).sqrt(), _grown_as_lengths(triple)], dim=-1)

    def _of_roots(self, weight: Tensor, pos: Positions, mask: Tensor) -> Tensor:
        """Return (B, ROOTS) lengths: products of sums of positions by the inverse root of the gyration tensor."""
        count = mask.sum(dim=1)[:, None, None]
        centered = (pos - (pos * mask[..., None]).sum(dim=1, keepdim=True) / count) * mask[..., None]
        root = _inverse_root(centered.mT @ centered / count)
        a, b = self.roots(_weighted_sums(weight, pos, mask)).chunk(2, dim=-1)
        return ((root @ a) * b).sum(dim=1)


def _inverse_root(square: Tensor) -> Tensor:
    """Return (square + FLAT)^(-1/2) of symmetric matrices (B, 3, 3), smooth wherever eigenvalues are equal.

    A matrix is a root of its own characteristic polynomial, which gives the root of another by its three invariants,
    and these are symmetric in the eigenvalues (Hoger and Carlson, Quart. Appl. Math. 42, 113, 1984).
    """
    identity = torch.eye(3, dtype=square.dtype, device=square.device)
    square = square + FLAT * identity
    # without gradient of eigenvectors, which have none where eigenvalues are equal
    x, y, z = torch.linalg.eigvalsh(square).clamp_min(FLAT / 2).sqrt()[..., None, None].unbind(dim=1)
    first, second, third = x + y + z, x * y + y * z + z * x, x * y * z
    power = square @ square
    root = ((first.square() - second) * square + first * third * identity - power) / (first * second - third)
    return (square - first * root + second * identity) / third


def _weighted_sums(weight: Tensor, pos: Positions, mask: Tensor) -> Tensor:
    """Return (B, 3, CODES) sums of positions, with weights (B, n, CODES) less their means, over the root of n."""
    count = mask.sum(dim=1)[:, None, None]
    weight = (weight - weight.sum(dim=1, keepdim=True) / count) * mask[..., None]
    return (pos.mT @ weight) / count.sqrt()


def _grown_as_lengths(triple: Tensor) -> Tensor:
    """Triple products to about their cube roots, smooth at 0."""
    return triple / (triple.square() + 0.1).pow(1 / 3)


def _of_pairs(code: Tensor, square: Tensor, pairs: Tensor) -> Tensor:
    """Return (B, CODES (1 + steps)) sums over pairs of atoms i, j of c_i c_j f(r_ij).

    Args:
        code: (B, n, CODES) 0 where padded.
        square: (B, n, n) squared distances, square angstrom.
        pairs: (B, n, n), see `molgiae.nn.vectors.others`.
    """
    distance = (square + 1e-8).sqrt()[:, None]
    step = torch.tensor(STEPS, dtype=square.dtype, device=square.device)[:, None, None]
    # the hyperbolic tangent by the logistic function, which is ten times as fast
    steps = 2 * torch.sigmoid((distance - step) * (2 / STEEP)) - 1
    functions = torch.cat([0.3 * distance, steps], dim=1) * pairs[:, None]
    gathered = (functions.flatten(1, 2) @ code).unflatten(1, (-1, square.shape[1]))
    return (gathered * code[:, None]).sum(dim=2).flatten(1)


def _of_torsions(sent: Tensor, own: Tensor, pos: Positions, square: Tensor, pairs: Tensor) -> Tensor:
    """Return (B, TORSIONS partners) sums over pairs of atoms of c_i c_j g(r_ij) (x_i - x_j) . (v_i x v_j).

    The vector v_i is the sum of w(r_ik) s_k (x_k - x_i) over the other atoms. The product comes apart into
    (x_i x v_i) . v_j and the same with i and j exchanged, so no pair needs a vector of its own.

    Args:
        sent: (B, n, TORSIONS) s, 0 where padded.
        own: (B, n, TORSIONS) c, 0 where padded.
        pos: (B, n, 3) angstrom.
        square: (B, n, n) squared distances, square angstrom.
        pairs: (B, n, n), see `molgiae.nn.vectors.others`.
    """
    near = torch.exp(-square / SURROUNDINGS**2) * pairs
    moments = (pos[..., None] * sent[:, :, None]).flatten(2)
    vector = (near @ moments).unflatten(2, (3, -1)) - pos[..., None] * (near @ sent)[:, :, None]
    vector = vector * own[:, :, None]
    turned = cross(pos[..., None], vector, dim=2)
    vector = vector.flatten(2)
    weights = [torch.exp(-square / reach**2) * pairs for reach in PARTNERS]
    return torch.cat(
        [
            2 * (weight @ vector * turned.flatten(2)).sum(dim=1).unflatten(1, (3, -1)).sum(dim=1)
            for weight in weights
        ],
        dim=-1,
    )

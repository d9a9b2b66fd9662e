"""The network that properties are learned by: features, vectors and tensors of atoms, passed on between them.

It starts from the features of atoms in their bonded surroundings (`molgiae.nn.atoms.BondedLayer`). Each layer after
that sums, over all atoms up to `molgiae.nn.atoms.CUTOFF`, radial functions times what the neighbours send: features,
times the traceless tensors of rank 0, 1 and 2 of the direction, and the neighbours' own vectors and tensors (messages
as of PaiNN, Schuett et al., ICML 2021, and TensorNet, Simeon and De Fabritiis, NeurIPS 2023). Lengths and products of
the sums are invariant and change the features; features scale the vectors and tensors kept for the next layer.

Features are even: mirror images have the same. `Readout.odd` is odd: mirror images have its negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from molgiae.config import MAX_ATOMIC_NUMBER
from molgiae.nn.atoms import MIN_MOMENT, RADIAL, BondedLayer, bonding, length, surroundings
from molgiae.nn.features import RADII, TYPICAL, radii
from molgiae.nn.linear import Linear
from molgiae.nn.vectors import cross
from molgiae.tensors import AtomicNumbers, Mask, Positions

BONDED_WIDTH, SENT, MIXED = 64, 16, 32
"""Features in bonded surroundings, features that an atom shows the others, and channels of vectors and of tensors."""

HEADS, SEEN = 4, 16
"""Of the attention over atoms: heads, and numbers of each."""

VECTORS, ODD = 8, 16
"""Sums of vectors whose lengths are read, the first of which is the dipole moment, and odd numbers."""

ROOT = 3**0.5


class EquivariantNetwork(nn.Module):
    """Conformers to features (B, n, F), vectors (B, n, 3, MIXED) of their atoms.

    Args:
        width: F.
        layers: rounds of messages between all atoms.
        rounds: rounds of messages between bonded atoms.
        radius: (119,) covalent radii by atomic number, angstrom.
    """

    radius: Tensor

    def __init__(self, width: int, layers: int, rounds: int, radius: Tensor) -> None:
        super().__init__()
        self.element = nn.Embedding(MAX_ATOMIC_NUMBER + 1, BONDED_WIDTH)
        self.rounds = nn.ModuleList(BondedLayer(BONDED_WIDTH) for _ in range(rounds))
        self.enter = Linear(BONDED_WIDTH, width)
        self.layers = nn.ModuleList(EquivariantLayer(width, k > 0) for k in range(layers))
        self.last = nn.LayerNorm(width)
        self.register_buffer("radius", radius.float(), persistent=False)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Its width, layers and rounds."""
        return self.last.normalized_shape[0], len(self.layers), len(self.rounds)

    def forward(self, z: AtomicNumbers, pos: Positions) -> tuple[Tensor, Tensor]:
        """Return features, and vectors that turn with the conformer; both 0 where padded."""
        there = (z > 0)[..., None].to(pos.dtype)
        bonds = bonding(z, pos, self.radius) if self.rounds else pos
        s = self.element(z)
        for layer in self.rounds:
            s = layer(s, bonds)
        s, v, t = self.enter(s * there), None, None
        seen = surroundings(z, pos)
        for layer in self.layers:
            s, v, t = layer(s, v, t, *seen)
        assert v is not None
        return self.last(s) * there, v * there[..., None]


class EquivariantLayer(nn.Module):
    """A residual step of features, vectors and tensors of atoms.

    Args:
        width: F, features of an atom.
        passes: whether atoms have vectors and tensors to pass on; those before the first layer have none.
    """

    def __init__(self, width: int, passes: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.sent = Linear(width, SENT)
        sizes = (2 * MIXED, 2 * MIXED, MIXED)
        self.mix = nn.ModuleList(Linear(RADIAL * SENT, size, bias=False) for size in sizes)
        half = SENT // 2
        self.passed = nn.ModuleList(Linear(MIXED, half, bias=False) for _ in sizes[1:] if passes)
        self.merge = nn.ModuleList(Linear(RADIAL * half, size, bias=False) for size in sizes[1:] if passes)
        self.hidden = Linear(width + 7 * MIXED, 2 * width)
        self.out = Linear(2 * width, width)
        self.gate = Linear(2 * width, 2 * MIXED)

    def forward(
        self,
        s: Tensor,
        v: Tensor | None,
        t: Tensor | None,
        radial: Tensor,
        harmonics: list[list[Tensor]],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map features (B, n, F), vectors (B, n, 3, MIXED), tensors (B, n, 5, MIXED) and `surroundings` to the next."""
        own = self.norm(s)
        sent, functions = self.sent(own), radial.flatten(1, 2)
        batch = s.shape[:2]

        def moment(component: Tensor) -> Tensor:
            return ((radial * component[:, :, None]).flatten(1, 2) @ sent).view(*batch, -1)

        scalars = self.mix[0]((functions @ sent).view(*batch, -1))
        vectors = [self.mix[1](moment(component)) for component in harmonics[0]]
        tensors = [self.mix[2](moment(component)) for component in harmonics[1]]
        if v is not None and t is not None:
            passed = [pack(part).flatten(2) for pack, part in zip(self.passed, (v, t), strict=True)]
            got = (functions @ torch.cat(passed, dim=-1)).view(*batch, RADIAL, 8, -1).unbind(dim=3)
            vectors = [a + self.merge[0](b.flatten(2)) for a, b in zip(vectors, got[:3], strict=True)]
            tensors = [a + self.merge[1](b.flatten(2)) for a, b in zip(tensors, got[3:], strict=True)]
        h = silu(self.hidden(torch.cat([own, scalars, *_invariants(vectors, tensors)], dim=-1)))
        gate = self.gate(h)[:, :, None]
        kept = torch.stack([component[..., :MIXED] for component in vectors], dim=2) * gate[..., :MIXED]
        turned = torch.stack(tensors, dim=2) * gate[..., MIXED:]
        return s + self.out(h), kept if v is None else v + kept, turned if t is None else t + turned


def _invariants(vectors: list[Tensor], tensors: list[Tensor]) -> list[Tensor]:
    """Return lengths of vectors (2 MIXED) and tensors (MIXED), and products of the two of them, 5 MIXED in all."""
    (x, y, w), (a, b, c) = ([part[..., k * MIXED : (k + 1) * MIXED] for part in vectors] for k in range(2))
    xy, yz, xz, square, up = tensors
    long, size = length(vectors), length(tensors)
    dot = x * a + y * b + w * c
    form = 2 * (xy * x * y + yz * y * w + xz * x * w) + square * (x * x - y * y)
    form = form + up * (2 * w * w - x * x - y * y) / ROOT
    scale = long[..., :MIXED] + MIN_MOMENT
    return [long, dot / scale, size, form / scale]


class Readout(nn.Module):
    """Features and vectors of atoms to numbers of conformers, from which a linear map reads most properties.

    Args:
        width: F, features of an atom.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.added = Linear(width, width)
        self.attention = Linear(width, HEADS)
        self.seen = Linear(width, HEADS * SEEN)
        self.charge = Linear(width, VECTORS)
        self.mix = Linear(MIXED, VECTORS, bias=False)
        self.gate = Linear(width, VECTORS)
        self.twist = Linear(MIXED, 3 * ODD, bias=False)
        self.handed = Linear(width, ODD)
        self.sizes = width, width + HEADS * SEEN + VECTORS + RADII
        """Numbers that grow with a conformer, and numbers that do not."""

    def forward(self, s: Tensor, v: Tensor, pos: Positions, mask: Mask) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is read of conformers.

        Args:
            s: (B, n, F) features.
            v: (B, n, 3, MIXED) vectors.
            pos: (B, n, 3) angstrom.
            mask: (B, n) true for atoms.

        Returns:
            (B, E) sums over the atoms; (B, I) means, what attention picks, lengths of sums of vectors, radii of
            gyration; and (B, 3) the first of these sums, a dipole moment.
        """
        there = mask[..., None].to(pos.dtype)
        count = there.sum(dim=1)
        added = (silu(self.added(s)) * there).sum(dim=1)
        share = self.attention(s).masked_fill(~mask[..., None], -torch.inf).softmax(dim=1)
        picked = share.mT @ self.seen(s)
        picked = picked.view(len(s), HEADS, HEADS, SEEN).diagonal(dim1=1, dim2=2).flatten(1)
        vectors = self.vectors(s, v, pos, there)
        lengths = (vectors.square().sum(dim=1) + 1e-2).sqrt()
        extent = radii(pos, mask) / count.sqrt()
        return added / TYPICAL, torch.cat([added / count, picked, lengths, extent], dim=-1), vectors[..., 0]

    def vectors(self, s: Tensor, v: Tensor, pos: Positions, there: Tensor) -> Tensor:
        """Return (B, 3, VECTORS) sums of charges times positions, and of the vectors of atoms."""
        center = (pos * there).sum(dim=1, keepdim=True) / there.sum(dim=1, keepdim=True)
        local = (self.mix(v) * (self.gate(s) * there)[:, :, None]).sum(dim=1)
        return ((pos - center) * there).mT @ self.charge(s) + local

    def odd(self, s: Tensor, v: Tensor, mask: Mask) -> Tensor:
        """Return (B, ODD) sums over atoms of volumes that three vectors span, whose sign changes in the mirror."""
        a, b, c = (
            part / (part.square().sum(dim=2, keepdim=True) + MIN_MOMENT**2).sqrt()
            for part in self.twist(v).chunk(3, dim=-1)
        )
        volume = (cross(a, b, dim=2) * c).sum(dim=2)
        return (volume * self.handed(s) * mask[..., None]).sum(dim=1) / TYPICAL

"""The network of atoms: features of atoms in their surroundings, smooth in the coordinates, of no use of bonds.

It has two halves. `places` are features of an atom in its bonded surroundings: rounds of messages over pairs of
atoms, weighted by how nearly they are at bonding distance (`bonding`), a weight that is one where chemists draw bonds,
zero from there to the next atoms, and smooth between. They tell atoms of a molecule apart and hardly change with its
conformation. What follows sees all atoms up to `CUTOFF` as moments: sums over neighbours of their features times
radial functions times the traceless tensors of rank 0, 1 and 2 of the direction. The lengths of moments are invariants
(of two and three bodies, as the tensor sensitivities of Chigaev et al., J. Chem. Phys. 158, 184108, 2023). Only
invariants pass to the next layer, so nothing has to be kept equivariant.

Features are even: mirror images have the same, as they have the same energy. Half of the `turns` is odd: it changes its
sign.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from molgiae.config import MAX_ATOMIC_NUMBER
from molgiae.nn.linear import Linear
from molgiae.nn.vectors import cross, others, separations
from molgiae.tensors import AtomicNumbers, Positions

NEAREST, CUTOFF = 0.8, 6.0
"""Distances, angstrom, of the first and the last radial function; atoms farther apart do not see each other."""

RADIAL, CHANNELS, MIXED, TURNS = 10, 16, 32, 8
"""Radial functions, features that an atom shows the others, linear combinations of the moments of one rank, and
features of torsions, even and odd ones."""

MIN_MOMENT = 0.1
"""Length of a moment that is zero, which keeps its gradient finite."""

MULTIPLES = (1, 2, 3, 6, 1, 2, 3, 6)
"""Of the torsion, whose cosine and sine each of the features of `AtomNetwork.turns` sums."""

PLANAR = 0.01
"""Square of the sines of two angles, as of a linear chain, below which a torsion fades."""

BONDED, APART = 1.2, 1.7
"""Distances over the sum of covalent radii up to which `bonding` is 1, and from which it is 0.

Bonds lie below 1.12 (C-C), thermal vibration takes C-H to 1.2; the next atoms of a chain begin at 1.64.
"""


class AtomNetwork(nn.Module):
    """Conformers to features of their atoms, F of each.

    Args:
        width: F.
        layers: rounds of messages between all atoms.
        radius: (119,) covalent radii by atomic number, angstrom.
        rounds: rounds of messages between bonded atoms; 0 for none.
    """

    def __init__(self, width: int, layers: int, radius: Tensor, rounds: int = 0) -> None:
        super().__init__()
        self.element = nn.Embedding(MAX_ATOMIC_NUMBER + 1, width)
        self.rounds = nn.ModuleList(BondedLayer(width) for _ in range(rounds))
        self.layers = nn.ModuleList(MomentLayer(width) for _ in range(layers))
        self.last = nn.LayerNorm(width)
        self.gate = nn.Sequential(Linear(width, width), nn.SiLU(), Linear(width, MIXED))
        self.turn = nn.Sequential(nn.LayerNorm(width), Linear(width, 2 * TURNS)) if rounds else None
        self.register_buffer("radius", radius.float(), persistent=False)

    radius: Tensor

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Its width, layers and rounds."""
        return self.element.embedding_dim, len(self.layers), len(self.rounds)

    def places(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Return features of atoms in their bonded surroundings, (B, n, F), 0 where padded."""
        bonds = bonding(z, pos, self.radius)
        s = self.element(z)
        for layer in self.rounds:
            s = layer(s, bonds)
        return s * (z > 0)[..., None].to(pos.dtype)

    def forward(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Return features (B, n, F), 0 where padded, of conformers in any pose and order."""
        return self.features_and_vectors(z, pos, self.places(z, pos))[0]

    def turns(self, z: AtomicNumbers, pos: Positions, places: Tensor) -> Tensor:
        """Return features of the torsions about the bonds of an atom, (B, n, 2 TURNS), 0 where padded.

        The first half is even, the second odd: mirror images have its negatives. Each is a sum, over what is bonded to
        both ends, of the cosine or sine of a multiple of the torsion. A methyl group turned by 120 degrees has the same
        threefold ones, and one turned by less has not; on a benzene ring only the sixfold ones see it.
        """
        if self.turn is None:
            raise ValueError("a network without rounds of bonded messages has no torsions")
        bonds = bonding(z, pos, self.radius)
        conformer, first, second = bonds.nonzero(as_tuple=True)
        here, there = conformer * z.shape[1] + first, conformer * z.shape[1] + second
        weight = bonds[conformer, first, second]
        between = (pos.flatten(0, 1)[there] - pos.flatten(0, 1)[here]).mT
        unit = between / (between.square().sum(dim=0) + 1e-6).sqrt()
        near, own = self.turn(places).flatten(0, 1).chunk(2, dim=-1)
        inner, number, middle, left, right = _torsions(here, there, z.numel())
        sent = (weight[:, None] * near.index_select(0, there)).repeat(1, 2)
        share = sent.index_select(0, left) * sent.index_select(0, right)
        found = share * _harmonics(*(unit.index_select(1, bond) for bond in (left, middle, right)))
        # sums of consecutive rows, many times faster than index_add
        order = torch.arange(len(found), device=z.device)
        of_bond = nn.functional.embedding_bag(order, found, number.cumsum(0) - number, mode="sum")
        ends = here[inner], there[inner]
        both = (own[ends[0]] * own[ends[1]] * weight[inner, None]).repeat(1, 2)
        total = both.new_zeros(z.numel(), 2 * TURNS)
        for end in ends:
            total = total.index_add(0, end, of_bond * both)
        return total.view(*z.shape, 2 * TURNS)

    def displacement(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Return what `training.losses.denoising_loss` trains: (B, n, 3), turns with the conformer, 0 where padded."""
        features, vectors = self.features_and_vectors(z, pos, self.places(z, pos))
        return (vectors * self.gate(features)[:, :, None]).sum(dim=-1) * (z > 0)[..., None]

    def features_and_vectors(self, z: AtomicNumbers, pos: Positions, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return features as `forward` gives them, and moments of rank 1 of the last layer, (B, n, 3, MIXED)."""
        radial, harmonics = surroundings(z, pos)
        s, vectors = places, places.new_zeros(*pos.shape, MIXED)
        for layer in self.layers:
            s, vectors = layer(s, radial, harmonics)
        return self.last(s) * (z > 0)[..., None].to(pos.dtype), vectors


class BondedLayer(nn.Module):
    """A residual step of the F features of an atom, by the sum of what its bonded neighbours send."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.sent = Linear(width, width)
        self.hidden = Linear(2 * width, 2 * width)
        self.out = Linear(2 * width, width)

    def forward(self, s: Tensor, bonds: Tensor) -> Tensor:
        """Map features (B, n, F) and `bonding` (B, n, n) to the next features."""
        own = self.norm(s)
        seen = torch.cat([own, bonds @ self.sent(own)], dim=-1)
        return s + self.out(nn.functional.silu(self.hidden(seen)))


class MomentLayer(nn.Module):
    """Moments of the surroundings, their lengths, and a residual step of the F features of the atom itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.sent = Linear(width, CHANNELS)
        # the scalars need no length, so there may be more of them; vectors also serve `displacement`
        sizes = (3 * MIXED, 2 * MIXED, MIXED)
        self.mix = nn.ModuleList(Linear(RADIAL * CHANNELS, size, bias=False) for size in sizes)
        self.hidden = Linear(width + sum(sizes), 2 * width)
        self.out = Linear(2 * width, width)

    def forward(self, s: Tensor, radial: Tensor, harmonics: list[list[Tensor]]) -> tuple[Tensor, Tensor]:
        """Map features (B, n, F) and `surroundings` to the next features and moments of rank 1, (B, n, 3, MIXED)."""
        own = self.norm(s)
        sent = self.sent(own)

        def moment(component: Tensor) -> Tensor:
            """Return (B, n, RADIAL CHANNELS); one component at a time stays in the cache of the processor."""
            return ((radial * component[:, :, None]).flatten(1, 2) @ sent).view(*s.shape[:2], -1)

        scalars = self.mix[0]((radial.flatten(1, 2) @ sent).view(*s.shape[:2], -1))
        vectors = [self.mix[1](moment(component)) for component in harmonics[0]]
        tensors = [self.mix[2](moment(component)) for component in harmonics[1]]
        invariants = torch.cat([own, scalars, length(vectors), length(tensors)], dim=-1)
        s = s + self.out(nn.functional.silu(self.hidden(invariants)))
        return s, torch.stack([component[..., :MIXED] for component in vectors], dim=2)


def length(components: list[Tensor]) -> Tensor:
    """Return the lengths of moments by their components, each (B, n, C)."""
    square = torch.full((), MIN_MOMENT**2, dtype=components[0].dtype, device=components[0].device)
    for component in components:
        square = torch.addcmul(square, component, component)
    return square.sqrt()


def _torsions(here: Tensor, there: Tensor, atoms: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """List the torsions about bonds, by places among directed bonds.

    Args:
        here: (E,) atoms that bonds lead from; bonds are sorted by these, then by those that they lead to.
        there: (E,) atoms that bonds lead to.
        atoms: number of atoms.

    Returns:
        (M,) the bonds that torsions are about, one direction of each; (M,) numbers of their torsions; and of each
        torsion (T,), in this order, the bond in its middle and the bonds that lead away from it at its ends.
    """
    degree = torch.bincount(here, minlength=atoms)
    start = degree.cumsum(0) - degree
    inner = ((here < there) & (degree[here] > 1) & (degree[there] > 1)).nonzero()[:, 0]
    a, b = here[inner], there[inner]
    back = torch.searchsorted(here * atoms + there, b * atoms + a)
    width = degree[b] - 1
    number = (degree[a] - 1) * width
    table = torch.stack([inner, back, start[a], start[b], width, number.cumsum(0) - number], dim=1)
    middle, back, left, right, width, begin = torch.repeat_interleave(table, number, dim=0).unbind(dim=1)
    place = torch.arange(len(middle), device=here.device) - begin
    left, right = left + place // width, right + place % width
    # neither leads along the bond in the middle
    return inner, number, middle, left + (left >= middle), right + (right >= back)


def _harmonics(left: Tensor, middle: Tensor, right: Tensor) -> Tensor:
    """Return (T, 2 TURNS) cosines and sines of `MULTIPLES` of torsions, times the sines of the angles beside them.

    Vectors (3, T) are unit vectors along the bond in the middle and from its ends outwards.
    """
    cosine = (left * right).sum(dim=0) - (left * middle).sum(dim=0) * (right * middle).sum(dim=0)
    sine = (cross(left, right, dim=0) * middle).sum(dim=0)
    size = (cosine.square() + sine.square() + PLANAR).sqrt()
    powers = {1: (cosine, sine)}
    for low, high in ((1, 1), (2, 1), (3, 3)):
        (a, b), (c, d) = powers[low], powers[high]
        powers[low + high] = (a * c - b * d) / size, (a * d + b * c) / size
    return torch.stack([powers[m][which] for which in (0, 1) for m in MULTIPLES]).mT


def bonding(z: AtomicNumbers, pos: Positions, radius: Tensor) -> Tensor:
    """Return (B, n, n) how nearly atoms are bonded, from 0 to 1: twice differentiable in their distance.

    It is 0 between an atom and itself and where padded.
    """
    reach = radius[z]
    ratio = (separations(pos)[1] + 1e-12).sqrt() / (reach[:, :, None] + reach[:, None])
    t = ((APART - ratio) / (APART - BONDED)).clamp(0, 1) * others(z, pos)
    return t * t * t * (10 - 15 * t + 6 * t * t)


def surroundings(z: AtomicNumbers, pos: Positions) -> tuple[Tensor, list[list[Tensor]]]:
    """Return what each atom sees of each other: radial functions, and the tensors of the direction.

    Returns:
        (B, n, RADIAL, n), 0 between an atom and itself, where padded and beyond `CUTOFF`; and for ranks 1 and 2 the
        2 l + 1 components, each (B, n, n). The tensor of rank 0 is one.
    """
    between, square = separations(pos)
    distance = (square + 1e-12).sqrt()
    fade = 0.5 * (torch.cos((distance * (math.pi / CUTOFF)).clamp(max=math.pi)) + 1) * others(z, pos)
    # evenly spaced in 1/r: narrow where bonds are
    centre = torch.linspace(1 / NEAREST, 1 / CUTOFF, RADIAL, dtype=pos.dtype, device=pos.device)
    breadth = 1.2 * (centre[0] - centre[1])
    inverse = 1 / (distance.clamp_min(NEAREST / 2) * breadth)
    radial = torch.exp(-(inverse[:, :, None] - (centre / breadth)[:, None]).square()) * fade[:, :, None]
    x, y, w = (between / distance[:, None]).unbind(dim=1)
    root = 3**0.5
    return radial, [
        [x, y, w],
        [root * x * y, root * y * w, root * x * w, root / 2 * (x * x - y * y), (3 * w * w - 1) / 2],
    ]

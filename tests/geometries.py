"""Conformers with known symmetry, and random elements of SE(3) x S_n that leave padding where it is."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from ase.build import molecule
from torch import Tensor, nn

from molgiae.canonical.completion import Completion, Diagnosis, complete
from molgiae.canonical.point_group import POSES
from molgiae.data.conformer import offset_of
from molgiae.groups import SE3, Permutation, RigidVectors, SE3xSn
from molgiae.model.autoencoder import ConformerAutoencoder, Equivariant
from molgiae.model.cloud import Cloud, as_numpy

GOLDEN = (1 + 5**0.5) / 2


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one(z: list[int] | Tensor, pos: list[list[float]] | Tensor) -> Cloud:
    """A batch of one conformer."""
    return Cloud(torch.as_tensor(z)[None], torch.as_tensor(pos, dtype=torch.float64)[None])


def g2(name: str) -> Cloud:
    """A molecule of the G2 set."""
    atoms = molecule(name)
    return one(torch.from_numpy(atoms.numbers).long(), torch.from_numpy(atoms.positions))


def together(*clouds: Cloud, slots: int = 0) -> Cloud:
    """One padded batch, with room for at least so many atoms."""
    width = max([slots, *(x.z.shape[1] for x in clouds)])
    return Cloud(
        torch.cat([torch.nn.functional.pad(x.z, (0, width - x.z.shape[1])) for x in clouds]),
        torch.cat([torch.nn.functional.pad(x.pos, (0, 0, 0, width - x.z.shape[1])) for x in clouds]),
    )


def mirrored(x: Cloud) -> Cloud:
    return Cloud(x.z, x.pos * x.pos.new_tensor([1.0, 1.0, -1.0]))


def jittered(x: Cloud, noise: float, seed: int) -> Cloud:
    """Atoms displaced at random, standard deviation in angstrom."""
    shift = torch.randn(x.pos.shape, generator=seeded(seed), dtype=x.pos.dtype)
    return Cloud(x.z, x.pos + noise * shift * x.mask[..., None])


def random_action(x: Cloud, seed: int, reach: float = 1.0) -> SE3xSn:
    """One element for each conformer; translations have standard deviation `reach`, in angstrom."""
    rng = seeded(seed)
    motion = SE3.random(len(x), generator=rng)
    far = type(motion.translation)(motion.translation.vector * reach)
    scores = torch.rand(x.z.shape, generator=rng).masked_fill(~x.mask, torch.inf)
    return SE3xSn(SE3(motion.rotation, far), Permutation.from_equivariant(scores))


def random_cloud(sizes: list[int], seed: int) -> Cloud:
    """Asymmetric conformers of H, C, N, O and F, about as dense as molecules."""
    rng = seeded(seed)
    elements = torch.tensor([1, 6, 7, 8, 9])
    return together(
        *(
            one(
                elements[torch.randint(5, (n,), generator=rng)],
                n ** (1 / 3) * torch.randn(n, 3, generator=rng, dtype=torch.float64),
            )
            for n in sizes
        )
    )


def _all_signs(*points: tuple[float, float, float]) -> list[list[float]]:
    """The points with every choice of signs, each once."""
    signs = itertools.product((1, -1), repeat=3)
    return [
        list(p)
        for p in dict.fromkeys(
            tuple(a * b + 0.0 for a, b in zip(s, p, strict=True)) for s in signs for p in points
        )
    ]


def _made_by_hand() -> dict[str, Cloud]:
    chiral = [[0.0, 0.0, 0.0], [0.63, 0.63, 0.63], [-0.8, -0.8, 0.8], [-1.0, 1.0, -1.0], [1.1, -1.1, -1.1]]
    halves = torch.randn(4, 3, generator=seeded(8), dtype=torch.float64) * 1.5
    angle = torch.arange(3, dtype=torch.float64) * 2 * torch.pi / 3
    ring = torch.stack([angle.cos(), angle.sin(), 0 * angle], dim=1)
    twisted = torch.stack([(angle + 0.4).cos(), (angle + 0.4).sin(), 0 * angle], dim=1)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    axes = _all_signs((1.6, 0.0, 0.0), (0.0, 1.6, 0.0), (0.0, 0.0, 1.6))
    return {
        "atom": one([6], [[0.3, -0.2, 0.1]]),
        "CHFClBr": one([6, 1, 9, 17, 35], chiral),
        "inverted pairs (Ci)": one([6, 7, 8, 9] * 2, torch.cat([halves, -halves])),
        "propeller (D3)": one([1] * 6, torch.cat([ring + 0.7 * up, twisted - 0.7 * up])),
        "SF6": one([16] + [9] * 6, [[0.0, 0.0, 0.0], *axes]),
        "cube": one([6] * 8, _all_signs((0.8, 0.8, 0.8))),
        "icosahedron": one([5] * 12, [p[i:] + p[:i] for p in _all_signs((0.0, 1.0, GOLDEN)) for i in range(3)]),
    }  # fmt: skip


MADE_BY_HAND = _made_by_hand()

SYMMETRIES = {
    # name: (point group, directions fixed by its rotations, number of its rotations; 0 for infinitely many)
    "atom": ("K", "none", 0),
    "N2": ("D*h", "none", 0),
    "CO2": ("D*h", "none", 0),
    "C2H2": ("D*h", "none", 0),
    "CO": ("C*v", "axis", 0),
    "HCN": ("C*v", "axis", 0),
    "CHFClBr": ("C1", "full", 1),
    "C2H6CHOH": ("C1", "full", 1),
    "CH3OH": ("Cs", "full", 1),
    "H2CCHCl": ("Cs", "full", 1),
    "inverted pairs (Ci)": ("Ci", "full", 1),
    "H2O2": ("C2", "axis", 2),
    "H2O": ("C2v", "axis", 2),
    "trans-butane": ("C2h", "axis", 2),
    "NH3": ("C3v", "axis", 3),
    "C2H4": ("D2h", "none", 4),
    "C3H4_D2d": ("D2d", "none", 4),
    "propeller (D3)": ("D3", "none", 6),
    "BF3": ("D3h", "none", 6),
    "C2H6": ("D3d", "none", 6),
    "C6H6": ("D6h", "none", 12),
    "CH4": ("Td", "none", 12),
    "SF6": ("Oh", "none", 24),
    "cube": ("Oh", "none", 24),
    "icosahedron": ("Ih", "none", 60),
}
"""What each point group says of the pose."""

CHIRAL = {"C1", "C2", "D3"}


def named(name: str) -> Cloud:
    """A conformer of `SYMMETRIES`."""
    return MADE_BY_HAND[name] if name in MADE_BY_HAND else g2(name)


@dataclass(frozen=True, eq=False)
class GroupAction:
    """Group actions with what is said of them, as tensors."""

    g: SE3xSn
    pose_defined: Tensor
    order_defined: Tensor
    symmetry_number: Tensor
    point_group: list[str]
    stability: Tensor

    @classmethod
    def of(cls, g: SE3xSn, diagnosis: Diagnosis) -> GroupAction:
        return cls(
            g,
            torch.tensor([POSES.index(pose) for pose in diagnosis.pose_defined.tolist()]),
            torch.from_numpy(diagnosis.order_defined),
            torch.from_numpy(diagnosis.symmetry_number),
            diagnosis.point_group.tolist(),
            torch.from_numpy(diagnosis.stability),
        )


def completed(x: Cloud) -> Completion:
    """Frame and order of conformers by the bond graph."""
    mask = as_numpy(x.mask)
    isotope = None if x.isotope is None else as_numpy(x.isotope)[mask]
    centered = as_numpy(x.centered().pos.double())[mask]
    return complete(as_numpy(x.z)[mask], centered, offset_of(mask.sum(axis=1)), isotope=isotope)


def by_graph(x: Cloud) -> GroupAction:
    """The group actions that no network takes part in."""
    found = completed(x)
    scores = torch.full(x.z.shape, torch.inf, dtype=torch.float64)
    scores[x.mask] = torch.from_numpy(found.place).double()
    g = SE3xSn.from_equivariant((RigidVectors(torch.from_numpy(found.vectors), x.centroid.double()), scores))
    return GroupAction.of(g, found.diagnosis)


def action_of(model: ConformerAutoencoder, x: Cloud) -> GroupAction:
    """The group actions of a model."""
    y, _ = model.encoder.equivariant(x)
    completed, diagnosis = model.complete(x, y)
    return GroupAction.of(model.xi(completed), diagnosis)


class WithVectors(nn.Module):
    """An encoder whose mu has vectors, as of a network: sums of positions weighted by invariants of the atoms."""

    def __init__(self, sound: nn.Module) -> None:
        super().__init__()
        self.sound = sound

    def equivariant(self, x: Cloud) -> tuple[Equivariant, Any]:
        y, shared = self.sound.equivariant(x)
        pos = x.centered().pos.double()
        far = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist").masked_fill(
            ~x.mask[:, None], 0.0
        )
        weight = torch.stack([far.sum(dim=2).sin(), (x.z * far.square().sum(dim=2) / 10).cos()], dim=1)
        return y._replace(vectors=(weight * x.mask[:, None]) @ pos), shared

    def invariant(self, shared: Any, canonical: Cloud) -> Tensor:
        return self.sound.invariant(shared, canonical)

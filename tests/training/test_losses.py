"""What the shape part learns from: distances of distorted copies and of pairs are their RMSDs after superposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from molgiae.matching import kabsch
from molgiae.model.cloud import Cloud
from molgiae.training.losses import DISTORTION, QUADRATIC, shape_loss


class Recorder:
    """In place of the network: keeps what it is asked for and answers 3 angstrom apart, or pairs as it is told."""

    def __init__(self, pairs_apart: Tensor) -> None:
        self.alone: list[Tensor] = []
        self.pairs_apart = pairs_apart

    def __call__(self, x: Cloud) -> Tensor:
        if len(x) == 2 * len(self.pairs_apart):
            return torch.stack([self.pairs_apart + 5, 0 * self.pairs_apart + 5], dim=1).reshape(-1, 1)
        self.alone.append(x.pos)
        return torch.full((len(x), 1), 3.0 * len(self.alone))


def conformers(atoms: int, count: int, padding: int = 0) -> Cloud:
    """Large ones, which displacements turn by small angles."""
    rng = torch.Generator().manual_seed(atoms)
    z = torch.cat([torch.full((count, atoms), 6), torch.zeros((count, padding), dtype=torch.long)], dim=1)
    pos = 20 * torch.randn(count, atoms + padding, 3, generator=rng, dtype=torch.float64)
    return Cloud(z, pos * (z > 0)[..., None]).centered()


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("atoms", [1, 2, 3, 4, 9])
def test_displaced_copies_are_as_far_apart_as_superposition_leaves_them(atoms, padding, monkeypatch):
    """To first order in the displacements, of all atoms or of a few."""
    targets: list[Tensor] = []
    loss = torch.nn.functional.smooth_l1_loss

    def kept(distance: Tensor, target: Tensor, beta: float) -> Tensor:
        targets.append(target)
        assert torch.allclose(distance, torch.tensor(3.0)) and beta == QUADRATIC
        return loss(distance, target, beta=beta)

    monkeypatch.setattr(torch.nn.functional, "smooth_l1_loss", kept)
    network, cloud = Recorder(torch.empty(0)), conformers(atoms, 20_000, padding)
    found = float(shape_loss(network, cloud, cloud[:0], torch.empty(0), torch.Generator().manual_seed(0)))
    before, after = (pos[:, :atoms].numpy() for pos in network.alone)
    assert (network.alone[1][:, atoms:] == 0).all(), "padding is not displaced"
    rmsd = kabsch(before, after)[2]
    assert float(targets[0].square().mean()) == pytest.approx(np.square(rmsd).mean(), rel=0.04, abs=1e-9)
    if atoms > 2:
        assert np.corrcoef(targets[0], rmsd)[0, 1] > 0.99
        still = (np.abs(after - before).max(axis=2) == 0).mean(axis=1)
        assert (still == 0).mean() > 0.4 and (still > 0.5).mean() > 0.15
    assert found == pytest.approx(3.0 - float(targets[0].mean()) - QUADRATIC / 2, abs=1e-3)
    assert np.square(after - before).mean() == pytest.approx(0.75 * DISTORTION**2 / 3, rel=0.05)


def test_pairs_count_like_the_others_and_by_their_rmsd():
    rmsd = torch.tensor([0.5, 1.0, 2.0])
    alone, pairs = conformers(1, 1), conformers(5, 6)

    def loss(apart: Tensor) -> float:
        return float(shape_loss(Recorder(apart), alone, pairs, rmsd, torch.Generator().manual_seed(0)))

    single = 3.0 - QUADRATIC / 2  # one atom: displaced or not, superposition leaves nothing
    assert loss(rmsd) == pytest.approx(single / 4, abs=1e-3)
    assert loss(-rmsd) == pytest.approx(single / 4, abs=1e-3)
    assert loss(rmsd + 0.4) == pytest.approx((single + 3 * (0.4 - QUADRATIC / 2)) / 4, abs=1e-3)

"""The invariants that the overlay part is made of; the part itself is in test_smooth_parts."""

from __future__ import annotations

import pytest
import torch
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from molgiae.nn.overlay import COUPLED, _harmonics, coupling


@pytest.mark.parametrize("ranks", COUPLED, ids=str)
def test_triple_products_of_harmonics_know_no_rotation_and_their_parity(ranks):
    random = torch.Generator().manual_seed(0)
    pos = torch.randn(5, 3, generator=random, dtype=torch.float64)
    weight = torch.randn(3, 5, generator=random, dtype=torch.float64)

    def invariant(pos: torch.Tensor) -> torch.Tensor:
        moments = [torch.stack(_harmonics(pos)[rank]) @ w for rank, w in zip(ranks, weight, strict=True)]
        return torch.einsum("abc,a,b,c->", coupling(*ranks), *moments)

    found = invariant(pos)
    assert abs(found) > 1e-3
    turned = pos @ torch.from_numpy(Rotation.random(random_state=3).as_matrix())
    assert_allclose(invariant(turned), found, rtol=1e-9)
    assert_allclose(invariant(-pos), found * (-1) ** sum(ranks), rtol=1e-9)


def test_couplings_are_the_same_everywhere():
    """Weights are trained for them: neither sign nor size may depend on the machine."""
    assert_allclose(coupling(1, 1, 1)[0, 1, 2], 6**-0.5, atol=1e-12)
    assert_allclose(coupling(1, 1, 2)[0, 1, 0], 0.1**0.5, atol=1e-12)
    for ranks in COUPLED:
        assert_allclose(coupling(*ranks).square().sum(), 1, atol=1e-12)

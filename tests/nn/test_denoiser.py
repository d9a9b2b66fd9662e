"""The denoising network: padding and other conformers do not matter, and without noise it changes little."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from molgiae.nn.denoiser import SPREAD, Denoiser


@pytest.fixture(scope="module")
def network() -> Denoiser:
    torch.manual_seed(0)
    found = Denoiser((1, 6, 8), slots=9, size=4, width=16, layers=2)
    for weight in found.parameters():  # those that begin at zero, too
        torch.nn.init.normal_(weight, std=0.2)
    return found.requires_grad_(False)


def given(count: int, atoms: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    z = torch.tensor([6, 6, 8, 1, 1, 1, 1])[:atoms].expand(count, -1)
    noisy, decoded = torch.randn(2, count, atoms, 3, generator=generator)
    return [
        z,
        noisy,
        decoded,
        torch.randn(count, 4, generator=generator),
        torch.tensor([0.1, 1.0, 3.0])[:count],
    ]


def test_padding_does_not_matter(network):
    z, noisy, decoded, code, noise = given(3, 5)
    padded = [torch.nn.functional.pad(z, (0, 3))]
    padded += [torch.nn.functional.pad(x, (0, 0, 0, 3), value=7.0) for x in (noisy, decoded)]
    found = network(*padded, code, noise)
    assert_close(found[:, :5], network(z, noisy, decoded, code, noise), atol=1e-5, rtol=0)
    assert not found[:, 5:].any()


def test_each_by_itself(network):
    together = given(3, 7)
    alone = torch.cat([network(*(x[k : k + 1] for x in together)) for k in range(3)])
    assert_close(alone, network(*together), atol=1e-5, rtol=0)


def test_embedding_and_noise_matter(network):
    z, noisy, decoded, code, noise = given(3, 7)
    found = network(z, noisy, decoded, code, noise)
    assert ((network(z, noisy, decoded, code + 1, noise) - found).abs() > 1e-3).any()
    assert ((network(z, noisy, decoded, code, 2 * noise) - found).abs() > 1e-3).any()


def test_no_noise_is_kept_and_much_is_forgotten(network):
    z, noisy, decoded, code, _ = given(3, 7)
    still = network(z, noisy, decoded, code, torch.full((3,), 1e-4))
    assert_close(still, noisy, atol=1e-2, rtol=0)
    lost = network(z, decoded + 1e4 * SPREAD, decoded, code, torch.full((3,), 1e4))
    assert (lost - decoded).abs().max() < 1e2

"""The nested code: exact in full, decodable from every prefix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct

from molgiae.errors import ConfigError
from molgiae.nn.nested import NestedDecoder, NestedEncoder, cosines, lossless

ELEMENTS = (1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53)
SLOTS = 20


def networks(slots: int = SLOTS, elements: tuple[int, ...] = ELEMENTS, smooth: int = 5):
    size = lossless(len(elements), slots)
    encoder = NestedEncoder(elements, slots, size, scale=2.0**-7)
    return encoder, NestedDecoder(elements, slots, [smooth, size], [8.0, 2.0**-7]).eval()


def forms(sizes: list[int], elements: tuple[int, ...], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    z = np.zeros((len(sizes), max(sizes)), np.int64)
    pos = np.zeros((*z.shape, 3), np.float32)
    for row, n in enumerate(sizes):
        z[row, :n], pos[row, :n] = np.sort(rng.choice(elements, n))[::-1], rng.normal(scale=6, size=(n, 3))
    return torch.from_numpy(z), torch.from_numpy(pos)


def decoded(encoder, decoder, z, pos, length=None):
    code = torch.cat([torch.zeros(len(z), decoder.smooth), encoder(z, pos)], dim=-1)
    with torch.no_grad():
        found = decoder(code[:, :length])
    return torch.tensor([0, *encoder.element.tolist()[::-1]])[found.logits.argmax(dim=-1)], found.pos


@given(
    st.lists(st.integers(1, SLOTS), min_size=1, max_size=6),
    st.sets(st.integers(1, 118), min_size=1, max_size=40),
    st.sampled_from([SLOTS, SLOTS + 1]),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=30)
def test_all_of_the_code_gives_everything_back(sizes, elements, slots, seed):
    elements = tuple(sorted(elements))
    encoder, decoder = networks(slots, elements)
    z, pos = forms(sizes, elements, seed)
    types, positions = decoded(encoder, decoder, z, pos)
    n = z.shape[1]
    assert types.shape == positions.shape[:2] == (len(z), slots)
    assert torch.equal(types[:, :n], z) and not types[:, n:].any() and not positions[:, n:].any()
    assert (positions[:, :n] - pos).abs().max() < 2e-5


def test_a_prefix_gives_small_conformers_back():
    encoder, decoder = networks()
    sizes = [3, 9, 10, 11, 20]
    z, pos = forms(sizes, ELEMENTS, 0)
    types, positions = decoded(encoder, decoder, z, pos, decoder.least + 3 * 10)
    error = (positions[:, :20] - pos).norm(dim=-1).amax(dim=1)
    assert torch.equal(types[:, :20], z)
    assert ((error < 1e-4) == torch.tensor([True, True, True, False, False])).all(), error


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_formula_survives_rounding_and_noise(dtype):
    encoder, decoder = networks()
    z, pos = forms([SLOTS] * 50, ELEMENTS, 1)
    code = torch.cat([torch.zeros(50, decoder.smooth), encoder(z, pos)], dim=-1).to(dtype).float()
    code += 0.4 * 2.0**-7 * (2 * torch.rand(code.shape) - 1)  # an atom is 2^-7
    kind = torch.tensor([0, *ELEMENTS])
    with torch.no_grad():
        assert torch.equal(kind[decoder(code).logits.argmax(dim=-1)], z)
        code[:, decoder.smooth] += 2.0**-7
        assert not torch.equal(kind[decoder(code).logits.argmax(dim=-1)], z)


def test_waves_are_those_of_scipy():
    table = cosines(7).numpy()
    rows = np.random.default_rng(0).normal(size=(7, 3))
    for n in range(1, 8):
        np.testing.assert_allclose(
            table[n, :n, :n] @ rows[:n], dct(rows[:n], axis=0, norm="ortho"), atol=1e-5
        )
        assert not table[n, n:].any() and not table[n, :, n:].any()
    assert not table[0].any()


def test_a_prefix_gives_the_longest_waves_and_nothing_else():
    encoder, decoder = networks()
    z, pos = forms([SLOTS] * 4, ELEMENTS, 2)
    length = decoder.least + 21
    found = decoded(encoder, decoder, z, pos, length)[1]
    again, whole = encoder(z, found), encoder(z, pos)
    kept = length - decoder.smooth
    assert torch.allclose(again[:, :kept], whole[:, :kept], atol=1e-6)
    assert again[:, kept:].abs().max() < 1e-6


@pytest.mark.parametrize("size", [11, 12 + 3 * SLOTS + 1])
def test_sizes_that_no_code_has_are_refused(size):
    with pytest.raises(ConfigError, match="12 to 72"):
        NestedEncoder(ELEMENTS, SLOTS, size)


def test_a_damaged_code_still_decodes():
    _, decoder = networks()
    with torch.no_grad():
        for code in (torch.full((2, 77), 1e30), torch.full((2, 77), -1e30), torch.zeros(2, 77)):
            found = decoder(code)
            assert found.logits.shape == (2, SLOTS, len(ELEMENTS) + 1)

"""Probes of embeddings: they find what is there, and not what is not."""

from __future__ import annotations

import pytest
import torch

from molgiae.experiments.probes import kernel_probe, linear_probe, neighbour_probe


def test_linear():
    x = torch.randn(300, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = x @ torch.arange(8.0, dtype=torch.float64).view(4, 2)
    assert linear_probe(x, y, 200) > 0.999
    assert linear_probe(x[:, :1], y, 200) < 0.5
    assert linear_probe(torch.zeros(300, 3, dtype=torch.float64), y, 200) == pytest.approx(0, abs=0.1)


def test_neighbours():
    x = torch.rand(400, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert neighbour_probe(x, x**2, 300, 5) > 0.99
    assert neighbour_probe(x.roll(7, dims=0), x**2, 300, 5) < 0.2


def test_kernel():
    x = torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = (4 * x[:, :1]).sin() * x[:, 1:]
    assert kernel_probe(x, y, 150) > 0.99 > linear_probe(x, y, 150)
    assert kernel_probe(x.roll(7, dims=0), y, 150) < 0.2
    assert kernel_probe(torch.zeros_like(x), y, 150) == pytest.approx(0, abs=0.1)

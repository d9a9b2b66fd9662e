"""Linear layers are the same by both libraries, and learn."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from molgiae.nn.linear import CAPACITY, KEPT, WORK, Linear

ROWS = WORK // (24 * 40) + 1
"""Enough for the other library."""


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(0, 24), (3, 24), (ROWS, 24), (ROWS, 5, 24)])
def test_both_libraries_agree(shape, bias):
    torch.manual_seed(0)
    layer, x = Linear(24, 40, bias=bias), torch.randn(*shape)
    expected = nn.functional.linear(x.double(), layer.weight.double(), layer.bias.double() if bias else None)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            for given in (x, x.mT.contiguous().mT):
                found = layer(given)
                assert found.requires_grad == grad
                assert_allclose(found.detach(), expected.detach(), atol=1e-5)


def test_what_it_has_no_form_for_takes_the_other_way():
    with torch.no_grad():
        assert Linear(40, 24).double()(torch.zeros(ROWS, 40, dtype=torch.float64)).dtype == torch.float64
        with torch.autocast("cpu", torch.bfloat16):
            assert Linear(40, 24)(torch.zeros(ROWS, 40)).dtype == torch.bfloat16


class Heap(ctypes.Structure):
    """What glibc tells of its heap, in bytes; see mallinfo2(3)."""

    _fields_ = [
        (name, ctypes.c_size_t) for name in ("a", "b", "c", "d", "e", "f", "g", "used", "free", "top")
    ]


def growth(first: int, last: int) -> int:
    """Bytes that products of so many rows leave behind."""
    heap = ctypes.CDLL(None).mallinfo2
    heap.restype = Heap
    layer, before = Linear(64, 64), heap().used
    with torch.no_grad():
        for rows in range(first, last):
            layer(torch.ones(rows, 64))
    return int(heap().used - before)


asks_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")


@asks_glibc
def test_memory_does_not_grow_with_ever_new_shapes():
    assert {os.environ[name] for name in CAPACITY} == {str(KEPT)}
    growth(300, 301 + KEPT)
    assert growth(301 + KEPT, 351 + KEPT) < 1e6


@pytest.mark.slow
@asks_glibc
def test_without_the_limit_it_does():
    """Each shape has a product of its own, of which some hundred kilobytes are kept."""
    code = "from tests.nn.test_linear import growth; growth(300, 500); print(growth(500, 550))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | dict.fromkeys(CAPACITY, "1024") | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) > 5e6

"""What is said of work that nobody asked for, and where it is not: in workers, and where the user wants no messages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

KERNELS = logging.getLogger("molgiae.kernels")
"""Says that kernels are being compiled."""


@contextmanager
def unannounced(silent: bool = True) -> Iterator[None]:
    """Say nothing meanwhile, if that is wanted."""
    before = KERNELS.disabled
    KERNELS.disabled = before or silent
    try:
        yield
    finally:
        KERNELS.disabled = before

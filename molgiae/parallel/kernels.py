"""Functions that are compiled: plain loops over the atoms of one conformer or one pair, without the GIL.

numba compiles a kernel when it is first called and keeps the result in the first of these folders that can be written:
``NUMBA_CACHE_DIR``, ``__pycache__`` beside the module, the cache folder of the user. Where there is none, every process
compiles anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import event

from molgiae.parallel.announcements import KERNELS

F = TypeVar("F", bound=Callable[..., Any])

SECONDS = 30
"""About what compiling the kernels of one command takes, said before it begins."""

_ROOMS = ("canonical", "data", "matching", "parallel")
"""Rooms with kernels, which call each other."""


def kernel(function: F) -> F:
    """Return a function as one that numba compiles; types are those of the first call, so let them be always the same.

    Args:
        function: plain loops over numbers and arrays; it may call other kernels, and takes no Python objects.
    """
    compiled: Any
    try:
        compiled = numba.njit(nogil=True, cache=True)(function)
        # numba would look at the file of a kernel alone, not at those of the kernels that it calls
        compiled._cache._cache_file._source_stamp = _stamp()
    except RuntimeError:  # no folder for the cache
        compiled = numba.njit(nogil=True)(function)
    return cast(F, compiled)


@cache
def _stamp() -> bytes:
    """Return a digest of all modules that may hold kernels: what was compiled from others is stale."""
    root = Path(__file__).parent.parent
    sources = (path.read_bytes() for room in _ROOMS for path in sorted((root / room).glob("*.py")))
    return hashlib.sha256(b"\0".join(text for text in sources if b"kernel" in text)).digest()


class _Announcement(event.Listener):
    """Says once that kernels are being compiled, where none was found in the cache."""

    said = False

    def on_start(self, event: event.Event) -> None:
        ours = event.data["dispatcher"].py_func.__module__.startswith("molgiae.")
        if ours and not self.said:
            self.said = True
            KERNELS.warning("compiling kernels once, about %d s", SECONDS)

    def on_end(self, event: event.Event) -> None:
        """Say nothing."""


event.register("numba:compile", _Announcement())

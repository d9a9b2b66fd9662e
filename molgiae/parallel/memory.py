"""Memory that is kept for the next batch instead of being given back to the system after each operation.

Without it, glibc maps every large array anew, and the system clears its pages one by one, which takes longer than most
operations on them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from pathlib import Path

SWITCH = "MOLGIAE_KEEP_MEMORY"
"""Name of the environment variable that, set to 0, leaves the allocator as it is."""

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Names of the settings in glibc's malloc.h."""

SETTINGS = {MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 256 << 20, TOP_PAD: 16 << 20}
"""Bytes: arrays up to the first come from memory that is kept, of which the second may lie idle."""


def keep_memory() -> bool:
    """Set the allocator of this process, where it is glibc's; return whether it took all settings."""
    if platform.libc_ver()[0] != "glibc" or os.environ.get(SWITCH) == "0":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all([mallopt(name, size) for name, size in SETTINGS.items()])


def physical_memory() -> int:
    """Return the bytes of memory that the machine has, or that its control group leaves to this process."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(limits)

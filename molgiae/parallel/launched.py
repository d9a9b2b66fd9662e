"""Processes that were started together, as by torchrun: which one this is, and which of them tells an error."""

from __future__ import annotations

import functools
import os
from datetime import timedelta

WAIT = timedelta(seconds=10)
"""How long to look for what keeps count of errors, before the first process tells its own and others none."""


def rank() -> int:
    """Return the number of this process, from 0; 0 where there is only one."""
    return int(os.environ["RANK"]) if together() else 0


def local_rank() -> int:
    """Return the number of this process among those of its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def together() -> bool:
    """Return whether the environment says that this process is one of several, as torchrun sets it."""
    named = all(name in os.environ for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"))
    return named and os.environ.get("WORLD_SIZE", "1") != "1"


@functools.cache
def tells_errors() -> bool:
    """Return whether this process tells its error: the one that asks first does, those that fail after it do not."""
    if not together():
        return True
    from torch.distributed import TCPStore  # noqa: PLC0415 (commands that never ask need no torch)

    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, is_master=False, timeout=WAIT)
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return int(store.add(f"molgiae/errors/{attempt}", 1)) == 1
    except (RuntimeError, ValueError):
        return rank() == 0

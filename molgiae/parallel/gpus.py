"""The GPUs of this machine, shared out among processes of one GPU each."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""What says which GPUs a process sees; CUDA reads it when it is first used."""


def visible_gpus() -> list[str]:
    """Return CUDA's names of the GPUs that this process sees; torch is loaded only where there is a driver."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    import torch  # noqa: PLC0415 (slow to import, and few machines have a driver)

    return named(os.environ.get(VISIBLE), torch.cuda.device_count())


def named(visible: str | None, count: int) -> list[str]:
    """Return the names of so many GPUs, of those that are said to be visible, or all by number if nothing is said."""
    names = map(str, range(count)) if visible is None else filter(None, map(str.strip, visible.split(",")))
    return list(names)[:count]


def one_gpu_each(gpus: Sequence[str], processes: int) -> list[dict[str, str]]:
    """Return what the environment of each process says, so that it sees one GPU, and all GPUs are seen as often.

    Args:
        gpus: their names; none leaves the environment as it is.
        processes: how many, which share GPUs in turn if there are more of them.
    """
    return [{VISIBLE: gpus[k % len(gpus)]} if gpus else {} for k in range(processes)]

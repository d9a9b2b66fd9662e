"""Progress: a bar on a terminal, and in a log a plain line every so often."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any, Self, TextIO

from tqdm import tqdm

EVERY = 60.0
"""Seconds between lines in a log; what takes less writes none."""
SECONDS = 2.0
"""Seconds between what a process tells another."""
LINE = "{desc}: {n_fmt} of {total_fmt}{unit}, {elapsed}, {rate_fmt}{postfix}"


class _Lines:
    """A stream to which bars are written as lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write what is shown, without what a terminal needs to show it in place."""
        if shown := text.strip():
            self._stream.write(f"{shown}\n")

    def flush(self) -> None:
        """Do as the stream does."""
        self._stream.flush()


class _Seldom(tqdm):
    """A bar that shows what it is told when its next line is due."""

    def set_postfix(self, *values: Any, refresh: bool = True, **named: Any) -> None:
        """Set what stands behind the rate."""
        super().set_postfix(*values, refresh=False, **named)


class ProgressFile:
    """Progress for another process to see: a file with the number of what is done; gone at the end.

    Where it cannot be written nothing is told, and the work goes on.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._path, self._done, self._told = path, 0.0, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def update(self, n: float = 1, /) -> None:
        """Tell that so many more are done, at most every `SECONDS`."""
        self._done += n
        if time.monotonic() - self._told >= SECONDS:
            with contextlib.suppress(OSError), open(self._path, "w", encoding="ascii") as file:
                file.write(f"{self._done:.0f}")
            self._told = time.monotonic()


def progress_bar(items: Any = None, *, show: bool, **how: Any) -> tqdm:
    """Return a bar of tqdm on stderr, where that is a terminal, or what writes lines to the log that it is.

    Args:
        items: as of tqdm.
        show: false for nothing at all.
        how: further arguments of tqdm.
    """
    if not show:
        return tqdm(items, disable=True, **how)
    if sys.stderr.isatty():
        return tqdm(items, **how)
    seldom = dict.fromkeys(("mininterval", "maxinterval", "delay"), EVERY)
    return _Seldom(items, file=_Lines(sys.stderr), bar_format=LINE, **{**how, **seldom})

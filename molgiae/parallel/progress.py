"""Progress: a bar on a terminal, and in a log a plain line every so often."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from tqdm import tqdm

EVERY = 60.0
"""Seconds between lines in a log; what takes less writes none."""
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

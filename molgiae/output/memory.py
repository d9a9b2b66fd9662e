"""Results that a program keeps, in place of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from molgiae.data.blocks import Result, joined
from molgiae.output.files import Sink


class MemorySink(Sink):
    """Results in memory."""

    def __init__(self) -> None:
        self.path, self.rejected_in = Path(), ""
        self._results: list[Result] = []

    def __exit__(self, *exception: Any) -> None:
        pass

    def write(self, result: Result) -> None:
        """Append the conformers of a result, and its rejected records."""
        self._results.append(result)

    @property
    def result(self) -> Result:
        """All of them, at least one."""
        return joined(self._results)

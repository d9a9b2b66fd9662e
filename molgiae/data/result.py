"""What was computed of a block of conformers: the conformers that were taken, and a column for each quantity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from molgiae.data.conformer import ConformerBlock

Columns = dict[str, NDArray[Any]]
"""Name in the HDF5 schema to values: rows per conformer or per atom of a block."""


@dataclass(frozen=True, slots=True)
class Result:
    """Conformers and what was computed of them.

    Attributes:
        block: the conformers that were taken; the others are in ``block.rejected``.
        columns: one array for each computed column of the HDF5 schema.
    """

    block: ConformerBlock
    columns: Columns

    def __len__(self) -> int:
        return len(self.block)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

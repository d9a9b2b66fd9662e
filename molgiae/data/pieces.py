"""Pieces of files by name: ``FILE@START-STOP``, which readers take in place of a file.

Of SDF, XYZ and SMILES a piece is the bytes START to STOP of the text, unpacked where it is packed, cut where records
begin; see `molgiae.data.borders`. Of HDF5 it is the rows START to STOP. With ``!`` behind it, a piece is one record
that is passed over and listed as rejected, because computing it ends the process.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

PIECE = re.compile(r"(.+)@(\d{1,18})-(\d{1,18})(!?)", re.DOTALL)
"""Names of pieces: file, start, stop, and whether the one record is passed over."""

FATAL = (
    "the process that worked on it died or met a fault of the program, and again when it was tried by itself"
)
"""Why the record of a piece with ``!`` is rejected."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, or a piece of it.

    Attributes:
        file: its path.
        start: first byte of its text, or first row.
        stop: the one after the last; None for a whole file.
        fatal: whether its one record is passed over.
    """

    file: str
    start: int = 0
    stop: int | None = None
    fatal: bool = False

    def __str__(self) -> str:
        """Return the name that `piece_of` understands."""
        if self.stop is None:
            return self.file
        return f"{self.file}@{self.start}-{self.stop}{'!' if self.fatal else ''}"


@dataclass(frozen=True, slots=True)
class Share:
    """What one part of a directory of results is made from.

    Attributes:
        key: digest of the inputs, options and model.
        pieces: names of files and pieces, in order.
        progress: file that says how many records are done so far.
    """

    key: str
    pieces: tuple[str, ...]
    progress: str


def piece_of(name: str) -> Piece:
    """Return what a name stands for; a file that has the name is the whole file."""
    found = PIECE.fullmatch(name)
    if found is None or os.path.exists(name):
        return Piece(name)
    return Piece(found[1], int(found[2]), int(found[3]), bool(found[4]))

"""Records of a file that was read in pieces: their source and number as if it had been read at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from molgiae.data.conformer import Rejected
from molgiae.data.pieces import PIECE


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a piece is from.

    Attributes:
        source: the file.
        before: records of the file before those of the piece.
        is_first: whether the piece starts where the file does.
    """

    source: str
    before: int
    is_first: bool


class Numbering:
    """True sources and numbers of records, by what all parts of a dataset say of their pieces.

    A piece is ``NAME@START-STOP``, bytes of the text of a file. Where one is missing, how many records it has is not
    known: those behind it keep the name of their piece and the number within it.

    Args:
        pieces: names of the pieces of all parts, and how many records each has.
    """

    def __init__(self, pieces: Iterable[tuple[str, int]]) -> None:
        self._origin: dict[str, Origin] = {}
        of_file: dict[str, list[tuple[int, int, str, int]]] = defaultdict(list)
        for piece, records in dict(pieces).items():
            if found := PIECE.fullmatch(piece):
                of_file[found[1]].append((int(found[2]), int(found[3]), piece, records))
        for name, those in of_file.items():
            end = before = 0
            for start, stop, piece, records in sorted(those):
                if start != end:
                    break
                self._origin[piece] = Origin(name, before, is_first=start == 0)
                end, before = stop, before + records

    def __bool__(self) -> bool:
        return bool(self._origin)

    def true(self, source: str, record: int) -> tuple[str, int]:
        """Return the true source and number of a record; as they are where they are not of a piece."""
        origin = self._origin.get(source)
        return (source, record) if origin is None else (origin.source, origin.before + record)

    def of_rejected(self, record: Rejected) -> Rejected:
        """Return a rejected record with its true source and number; the line is 0 where it is not known."""
        origin = self._origin.get(record.source)
        source, number = self.true(record.source, record.record)
        line = record.line if origin is None or origin.is_first else 0
        return replace(record, source=source, record=number, line=line)

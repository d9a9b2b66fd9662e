"""Where records begin near a place in a file, so that files are cut into pieces without being read to that place.

A border is where readers begin a record themselves, also where they find back after a bad one: behind a line ``$$$$``
of SDF, at a plausible frame of XYZ, at a line of SMILES. A piece between two borders therefore holds the same
conformers and the same bad records as that stretch of the whole file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from molgiae.data.readers import CHUNK_SIZE, MAX_RECORD
from molgiae.data.sdf.reader import DELIMITER
from molgiae.data.sources import ByteStream, Source, is_plain
from molgiae.data.xyz.reader import next_frame

WINDOW = 1 << 16
"""Bytes that are looked at for a border at first; twice as many as long as there is none among them."""

Find = Callable[[bytes, int, bool], "int | None"]
"""From a text, a place in it and whether it is all of the text to the first border at or behind the place.

The end of the text is one; None if that cannot be said without more text. The text begins with a whole line.
"""


def _line_start(text: bytes, place: int) -> int:
    """Return the first place at or behind this one where a line begins; 0 if there is none."""
    return text.find(b"\n", place - 1) + 1 if place else 0


def _in_sdf(text: bytes, place: int, final: bool) -> int | None:
    if place == 0:
        return 0
    line = text.rfind(b"\n", 0, place - 1) + 1  # of the byte before the place
    if not text.startswith(DELIMITER, line):
        line = text.find(b"\n" + DELIMITER, line) + 1
        if not line:
            return len(text) if final else None
    return text.find(b"\n", line) + 1 or (len(text) if final else None)


def _in_xyz(text: bytes, place: int, final: bool) -> int | None:
    if place == 0:
        return 0
    first = _line_start(text, place)
    if not first:
        return len(text) if final else None
    lines = text[first:].decode("latin-1").split("\n")
    found = next_frame(lines if final else lines[:-1], final)
    if found is None:
        return len(text) if final else None
    return first + sum(map(len, lines[:found])) + found


def _in_lines(text: bytes, place: int, final: bool) -> int | None:
    return _line_start(text, place) or (0 if not place else len(text) if final else None)


BORDERS: dict[str, Find] = {"sdf": _in_sdf, "xyz": _in_xyz, "smi": _in_lines}
"""Of each format that can be cut."""


def borders(source: Source, places: Sequence[int]) -> list[int]:
    """Return the first border at or behind each of some places in a text.

    Args:
        source: a whole file, with its format.
        places: bytes of the text, in rising order. A packed text is read as far as the last of them.
    """
    with open(source.piece.file, "rb") as file:
        if not is_plain(file):
            return list(_in_stream(BORDERS[source.format], ByteStream(source, CHUNK_SIZE), places))

        def text(start: int, size: int) -> bytes:
            file.seek(start)
            return file.read(size)

        return [_near(BORDERS[source.format], text, place) for place in places]


def _near(find: Find, text: Callable[[int, int], bytes], place: int) -> int:
    """Return the border, where any stretch of the text can be had."""
    before = 0
    start = max(place - WINDOW, 0)
    before = text(start, place - start).rfind(b"\n", 0, max(place - start - 1, 0)) + 1
    start += before  # where a line begins, that of the byte before the place
    size = WINDOW
    while True:
        stretch = text(start, place - start + size)
        final = len(stretch) < place - start + size
        if (found := find(stretch, min(place - start, len(stretch)), final)) is not None:
            return start + found
        if size > MAX_RECORD:  # readers, too, give up such a record
            return start + len(stretch)
        size *= 2


def _in_stream(find: Find, chunks: Iterable[bytes], places: Sequence[int]) -> Iterator[int]:
    """Yield the borders, where the text can only be read from its start."""
    stream = iter(chunks)
    held, start, final = b"", 0, False  # what of the text is held, and where it begins
    for place in places:
        while True:
            if start + len(held) >= place or final:
                found = find(held, min(place - start, len(held)), final)
                if found is not None:
                    yield start + found
                    break
            line = held.rfind(b"\n", 0, max(min(place - start, len(held)) - 1, 0)) + 1
            held, start = held[line:], start + line
            more = next(stream, b"")
            held, final = held + more, not more


def text_size(source: Source) -> int:
    """Return the bytes of the text of a file, unpacked; all of a packed one is read."""
    return sum(map(len, ByteStream(source, CHUNK_SIZE)))

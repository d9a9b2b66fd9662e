"""From what the user named to streams of bytes: files, directories, standard input; gzip; the format."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO

from molgiae.errors import ConfigError

SUFFIXES = {".sdf": "sdf", ".sd": "sdf", ".mol": "sdf", ".xyz": "xyz", ".extxyz": "xyz"}
"""Format of each file suffix; each may be followed by ``.gz``."""

STDIN = "-"

_GZIP_MAGIC = b"\x1f\x8b"
_WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Codec of each mark at the start of a text; UTF-32 before UTF-16, whose mark it starts with."""
_MOSTLY = 0.9
"""Share of zeros among every other byte of UTF-16; characters beyond Latin-1, as in titles, have none."""
HEAD = 1 << 16
"""Bytes without a line feed after which a text with carriage returns is taken to have these for line ends."""
SHORT_HEAD = 256
"""Bytes that tell UTF-16, even with a title in another script."""

MAX_NOTES = 100

_SDF_MARK = re.compile(rb"V[23]000[ \r]*$|^M  END|^\$\$\$\$|^M  V30 ", re.MULTILINE)
_XYZ_MARK = re.compile(rb"\s*\d+[ \t\r]*\n")


@dataclass(frozen=True, slots=True)
class Source:
    """One file, or standard input, and its format.

    Attributes:
        name: path as the user gave it, or ``-``.
        format: row of READERS; empty if only the content can tell.
    """

    name: str
    format: str = ""


@dataclass(slots=True)
class Notes:
    """What readers had to decide or to leave out, each kind with its count and first place.

    Attributes:
        found: for each sentence how many records it is about, and the source and number of the first.
    """

    found: dict[str, tuple[int, str, int]] = field(default_factory=dict)

    def add(self, source: str, record: int, note: str) -> None:
        """Count one record."""
        if note in self.found or len(self.found) < MAX_NOTES:
            count, first_source, first_record = self.found.get(note, (0, source, record))
            self.found[note] = (count + 1, first_source, first_record)

    def lines(self) -> list[str]:
        """A line for each kind."""
        return [
            f"{note} ({count} {'records, the first' if count > 1 else 'record'}: {source}, record {record})"
            for note, (count, source, record) in self.found.items()
        ]


@dataclass(slots=True)
class Cursor:
    """Where the reading of a source stands.

    Attributes:
        source: name of the source.
        record: records seen so far.
        line: number of the next line, from 1.
        keep_text: whether records keep their text.
        notes: where the reader says what it had to decide or to leave out.
    """

    source: str
    record: int = 0
    line: int = 1
    keep_text: bool = True
    notes: Notes = field(default_factory=Notes)


def find_sources(inputs: Iterable[str | os.PathLike[str]], format: str | None = None) -> list[Source]:
    """Files behind the user's words; directories are searched for known suffixes, sorted, hidden ones not.

    Raises:
        ConfigError: a file is missing, a directory holds no conformers, or standard input is named twice.
    """
    sources: list[Source] = []
    for item in inputs:
        name = os.fspath(item)
        if name == STDIN:
            sources.append(Source(STDIN, format or ""))
        elif os.path.isdir(name):
            sources += _in_directory(name, format)
        elif os.path.exists(name):
            sources.append(Source(name, format or format_of(name)))
        else:
            raise ConfigError(f"{name}: no such file or directory")
    if sum(source.name == STDIN for source in sources) > 1:
        raise ConfigError("standard input (-) can be read only once")
    return sources


def format_of(name: str) -> str:
    """Format by suffix; empty if the suffix is unknown."""
    path = Path(name)
    suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    return SUFFIXES.get(suffix.lower(), "")


def _in_directory(directory: str, format: str | None) -> list[Source]:
    found = []
    for root, folders, files in os.walk(directory):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        found += [os.path.join(root, file) for file in files if not file.startswith(".")]
    known = [Source(name, format_of(name)) for name in sorted(found)]
    chosen = [source for source in known if source.format and source.format == (format or source.format)]
    if not chosen:
        suffixes = " ".join(suffix for suffix, known in SUFFIXES.items() if known == (format or known))
        raise ConfigError(f"{directory}: no conformer files here (looked for {suffixes}, also .gz)")
    return chosen


def sniff(head: bytes) -> str:
    """Format by content; empty if it is neither SDF nor XYZ."""
    if _SDF_MARK.search(head):
        return "sdf"
    return "xyz" if _XYZ_MARK.match(head) else ""


def is_packed(path: str) -> bool:
    """Whether a file is compressed or in UTF-16, whatever its name says, so that it is read from its start alone."""
    with open(path, "rb") as file:
        head = file.read(SHORT_HEAD)
    return head.startswith(_GZIP_MAGIC) or bool(_wide_encoding(head))


class ByteStream:
    """Chunks of the text of a source: decompressed, from UTF-16 to UTF-8, with line feeds for lone carriage returns.

    Bytes that are UTF-8 or Latin-1 with line feeds are left as they are, but for a byte order mark. A damaged source
    ends early and says so in `damage`.

    Attributes:
        damage: why the bytes ended before the source did; empty if all is well.
    """

    def __init__(self, source: Source, chunk_size: int) -> None:
        self.source, self.chunk_size = source, chunk_size
        self.damage = ""

    def __iter__(self) -> Iterator[bytes]:
        """Chunks of about `chunk_size` bytes, none of them empty.

        Raises:
            ConfigError: the source cannot be opened.
        """
        try:
            file = sys.stdin.buffer if self.source.name == STDIN else open(self.source.name, "rb")  # noqa: SIM115
        except OSError as error:
            raise ConfigError(f"{self.source.name}: {error.strerror or error}") from error
        try:
            yield from _as_plain_text(self._decompressed(file))
        finally:
            if self.source.name != STDIN:
                file.close()

    def _read(self, file: IO[bytes]) -> bytes:
        try:
            return file.read(self.chunk_size)
        except OSError as error:
            self.damage = f"reading failed: {error.strerror or error}"
            return b""

    def _decompressed(self, file: IO[bytes]) -> Iterator[bytes]:
        chunk = self._read(file)
        while 0 < len(chunk) < len(_GZIP_MAGIC) and (more := self._read(file)):
            chunk += more
        if chunk.startswith(_GZIP_MAGIC):
            yield from self._gunzip(file, chunk)
            return
        while chunk:
            yield chunk
            chunk = self._read(file)

    def _gunzip(self, file: IO[bytes], packed: bytes) -> Iterator[bytes]:
        """All members of a gzip file; what was good before the damage is delivered."""
        member = zlib.decompressobj(wbits=31)
        while packed or (packed := self._read(file)):
            if member.eof:
                packed = packed.lstrip(b"\0")  # padding between and after members, as tape blocks leave it
                if not packed:
                    continue
                member = zlib.decompressobj(wbits=31)
            before = member.copy()
            try:
                plain = member.decompress(packed, self.chunk_size)
            except zlib.error as error:
                self.damage = f"damaged gzip data ({error})"
                if plain := _salvage(before, packed):
                    yield plain
                return
            packed = member.unconsumed_tail or member.unused_data
            if plain:
                yield plain
        if rest := member.flush():
            yield rest
        if not member.eof:
            self.damage = "truncated gzip data: the file ends early"


def _as_plain_text(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text as UTF-8 or Latin-1 with line feeds and without a mark at its start."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD or (len(head) >= SHORT_HEAD and b"\n" in head):
            break
    if encoding := _wide_encoding(head):
        chunks = _as_utf8(chain([head], chunks), encoding)
        head = next(chunks, b"")
    head = head.removeprefix(codecs.BOM_UTF8)
    chunks = chain([head], chunks)
    yield from filter(None, _with_line_feeds(chunks) if b"\r" in head and b"\n" not in head else chunks)


def _wide_encoding(head: bytes) -> str:
    """Codec of a text in UTF-16 or UTF-32, by its mark or by its zeros; empty for all else."""
    for mark, encoding in _WIDE_MARKS.items():
        if head.startswith(mark):
            return encoding
    halves = head[:SHORT_HEAD:2], head[1:SHORT_HEAD:2]
    zeros = [half.count(0) / max(len(half), 1) for half in halves]
    if min(zeros) == 0 and max(zeros) > _MOSTLY:
        return "utf-16-le" if zeros[1] else "utf-16-be"
    return ""


def _as_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Text of another encoding; what is none becomes the replacement character, at which a number is refused."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def _with_line_feeds(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same lines, ended by line feeds and not by carriage returns."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("latin-1")(), translate=True)
    for chunk in chunks:
        yield decoder.decode(chunk).encode("latin-1")
    yield decoder.decode(b"", final=True).encode("latin-1")


def _salvage(member: zlib._Decompress, packed: bytes) -> bytes:
    """What can be decompressed in front of the damage."""
    plain = []
    try:
        for i in range(len(packed)):
            plain.append(member.decompress(packed[i : i + 1]))
    except zlib.error:
        pass
    return b"".join(plain)

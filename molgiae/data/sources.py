"""From what the user named to streams of bytes: files, directories, standard input; gzip; the format."""

from __future__ import annotations

import os
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from molgiae.errors import ConfigError

SUFFIXES = {".sdf": "sdf", ".sd": "sdf", ".mol": "sdf", ".xyz": "xyz", ".extxyz": "xyz"}
"""Format of each file suffix; each may be followed by ``.gz``."""

STDIN = "-"

_GZIP_MAGIC = b"\x1f\x8b"
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
class Cursor:
    """Where the reading of a source stands.

    Attributes:
        source: name of the source.
        record: records seen so far.
        line: number of the next line, from 1.
        keep_text: whether records keep their text.
    """

    source: str
    record: int = 0
    line: int = 1
    keep_text: bool = True


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


def is_gzip(path: str) -> bool:
    """Whether a file is compressed, whatever its name says."""
    with open(path, "rb") as file:
        return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


class ByteStream:
    """Decompressed chunks of a source. A damaged source ends early and says so in `damage`.

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
            yield from self._decompressed(file)
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


def _salvage(member: zlib._Decompress, packed: bytes) -> bytes:
    """What can be decompressed in front of the damage."""
    plain = []
    try:
        for i in range(len(packed)):
            plain.append(member.decompress(packed[i : i + 1]))
    except zlib.error:
        pass
    return b"".join(plain)

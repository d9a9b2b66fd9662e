"""From what the user named to streams of bytes: files, directories, standard input; gzip; the format."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO

from molgiae.data.pieces import Piece, piece_of
from molgiae.errors import ConfigError

SUFFIXES = {".sdf": "sdf", ".sd": "sdf", ".mol": "sdf", ".xyz": "xyz", ".extxyz": "xyz"}
"""Format of each file suffix; each may be followed by ``.gz``."""

OBABEL = "is not read; convert it first: obabel {0} -O {1}.sdf (with -h where hydrogens are missing)"
SMILES = "holds molecules without coordinates; make conformers first: molgiae conformers {0} -o {1}.sdf"
ADVICE = {
    **dict.fromkeys(
        (".pdb", ".ent", ".pdbqt", ".mol2", ".cif", ".mmcif", ".gro", ".cml", ".cdx", ".mmtf"), OBABEL
    ),
    **dict.fromkeys((".smi", ".smiles", ".ism", ".can"), SMILES),
}
"""What to do with files of other formats, by suffix; the name of the file and its stem are put in."""

STDIN = "-"
Inputs = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

_GZIP_MAGIC = b"\x1f\x8b"
_WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Codec of each mark at the start of a text; UTF-32 before UTF-16, whose mark it starts with."""
_MIN_ZEROS = 0.9
"""Least share of zeros among every other byte of UTF-16; characters beyond Latin-1, as in titles, have none."""
MAX_HEAD = 1 << 16
"""Bytes without a line feed after which a text with carriage returns is taken to have these for line ends."""
MIN_HEAD = 256
"""Bytes that tell UTF-16, even with a title in another script."""

MAX_NOTES = 100

_SDF_MARK = re.compile(rb"V[23]000[ \r]*$|^M  END|^\$\$\$\$|^M  V30 ", re.MULTILINE)
_XYZ_MARK = re.compile(rb"\s*\d+[ \t\r]*\n")


@dataclass(frozen=True, slots=True)
class Source:
    """One file by the path that the user gave, or ``-``, and its format; empty if only the content can tell.

    It may be a piece of a file, by the name of `molgiae.data.pieces`.
    """

    name: str
    format: str = ""

    @property
    def piece(self) -> Piece:
        """The file, and where in it the source begins and ends."""
        return piece_of(self.name)


@dataclass(slots=True)
class Notes:
    """What readers had to decide or to leave out: for each sentence its number of records and the first of them."""

    found: dict[str, tuple[int, str, int]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, source: str, record: int, note: str) -> None:
        """Count one record."""
        if note in self.found or len(self.found) < MAX_NOTES:
            count, first_source, first_record = self.found.get(note, (0, source, record))
            self.found[note] = (count + 1, first_source, first_record)

    def lines(self) -> list[str]:
        """Return a line for each kind."""
        return self.left_out + [
            f"{note} ({count} {'records, the first' if count > 1 else 'record'}: {source}, record {record})"
            for note, (count, source, record) in self.found.items()
        ]


@dataclass(slots=True)
class Cursor:
    """Where the reading of a source stands: records seen so far, and number of the next line, from 1."""

    source: str
    record: int = 0
    line: int = 1
    keep_text: bool = True
    notes: Notes = field(default_factory=Notes)


def listed(inputs: Inputs) -> list[str]:
    """Return the names of one input or several."""
    names = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    return [os.fspath(name) for name in names]


def checked_names(inputs: Inputs) -> list[str]:
    """Return the names of the inputs.

    Raises:
        ConfigError: there is none, or standard input is named twice.
    """
    names = listed(inputs)
    if not names:
        raise ConfigError("no input was named")
    if names.count(STDIN) > 1:
        raise ConfigError("standard input (-) can be read only once")
    return names


def find_sources(inputs: Inputs, format: str | None = None, notes: Notes | None = None) -> list[Source]:
    """Return the files named; directories are searched for known suffixes, sorted, hidden ones not.

    Args:
        inputs: files and directories, one or several.
        format: of all of them; by suffix if None.
        notes: gets what is left out in directories although it may hold molecules.

    Raises:
        ConfigError: as `checked_names`, a file is missing or of a format in `ADVICE`, or a directory holds no
            conformers.
    """
    sources: list[Source] = []
    for name in checked_names(inputs):
        if name != STDIN and os.path.isdir(name):
            sources += _in_directory(name, format, notes or Notes())
        elif not is_there(name):
            raise ConfigError(f"{name}: no such file or directory")
        elif format is None and (advice := advice_for(name)):
            raise ConfigError(f"{name}: {advice}")
        else:
            sources.append(Source(name, format or format_of(name)))
    return sources


def is_there(name: str) -> bool:
    """Return whether an input is standard input, or there is the file, the directory or the file of the piece."""
    return name == STDIN or os.path.exists(piece_of(name).file)


def stamps_of(names: Iterable[str]) -> list[list[str | int]]:
    """Return names of files with size and time of change, ns, by which a later run sees whether they are the same.

    Of a piece it is the file that has these; of what is no file there is the name alone.
    """
    found: list[list[str | int]] = []
    for name in names:
        file = piece_of(name).file
        stat = os.stat(file) if name != STDIN and os.path.exists(file) else None
        found.append([name, stat.st_size, stat.st_mtime_ns] if stat else [name])
    return found


def format_of(name: str, suffixes: Mapping[str, str] = SUFFIXES) -> str:
    """Return the format by suffix; empty if the suffix is unknown."""
    return suffixes.get(_suffix(piece_of(name).file), "")


def _suffix(name: str) -> str:
    return Path(name.lower().removesuffix(".gz")).suffix


def advice_for(name: str) -> str:
    """Return what to do with a file that readers do not take; empty if its suffix says nothing."""
    return ADVICE.get(_suffix(name), "").format(name, Path(name.removesuffix(".gz")).stem)


def _in_directory(directory: str, format: str | None, notes: Notes) -> list[Source]:
    found = []
    for root, folders, files in os.walk(directory):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        found += [os.path.join(root, file) for file in files if not file.startswith(".")]
    known = [Source(name, format_of(name)) for name in sorted(found)]
    chosen = [source for source in known if source.format and source.format == (format or source.format)]
    other = [source.name for source in known if source not in chosen and advice_for(source.name)]
    for suffix in dict.fromkeys(_suffix(name) for name in other):
        names = [name for name in other if _suffix(name) == suffix]
        count = f"{len(names)} {suffix} {'files' if len(names) > 1 else 'file'}"
        notes.left_out.append(
            f"{directory}: {count} left out, {os.path.basename(names[0])}: {advice_for(names[0])}"
        )
    if not chosen:
        if other:
            raise ConfigError(notes.left_out[-1])
        suffixes = " ".join(suffix for suffix, known in SUFFIXES.items() if known == (format or known))
        raise ConfigError(f"{directory}: no conformer files here (looked for {suffixes}, also .gz)")
    return chosen


def sniff(head: bytes) -> str:
    """Return the format by content; empty if it is neither SDF nor XYZ."""
    if _SDF_MARK.search(head):
        return "sdf"
    return "xyz" if _XYZ_MARK.match(head) else ""


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
        """Yield chunks of about `chunk_size` bytes, none of them empty.

        Raises:
            ConfigError: the source cannot be opened.
        """
        name, piece = self.source.name, self.source.piece
        try:
            opened = nullcontext(sys.stdin.buffer) if name == STDIN else open(piece.file, "rb")  # noqa: SIM115
        except OSError as error:
            raise ConfigError(f"{name}: {error.strerror or error}") from error
        with opened as file:
            if piece.stop is None:
                yield from _as_plain_text(self._decompressed(file))
            elif is_plain(file):
                file.seek(piece.start)
                yield from _up_to(piece.stop - piece.start, iter(lambda: self._read(file), b""))
            else:
                chunks = _as_plain_text(self._decompressed(file))
                yield from _up_to(piece.stop - piece.start, _from(piece.start, chunks))

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
        """Yield the text of all members of a gzip file, up to damage in it."""
        member = zlib.decompressobj(wbits=31)
        while packed or (packed := self._read(file)):
            if member.eof:
                packed = packed.lstrip(b"\0")  # padding between and after members, as tape blocks leave it
                if not packed:
                    continue
                member = zlib.decompressobj(wbits=31)
            before = member.copy()
            try:
                yield member.decompress(packed, self.chunk_size)
            except zlib.error as error:
                self.damage = f"damaged gzip data ({error})"
                yield _salvage(before, packed)
                return
            packed = member.unconsumed_tail or member.unused_data
        yield member.flush()
        if not member.eof:
            self.damage = "truncated gzip data: the file ends early"


def is_plain(file: IO[bytes]) -> bool:
    """Return whether the bytes of a file are its text, so that a piece of it needs nothing of what is before.

    Leaves the file at its start.
    """
    head = file.read(MAX_HEAD)
    file.seek(0)
    packed = head.startswith((_GZIP_MAGIC, codecs.BOM_UTF8)) or _wide_encoding(head)
    return not packed and (b"\n" in head or b"\r" not in head)


def _from(place: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what comes after so many bytes."""
    for chunk in chunks:
        if len(chunk) > place:
            yield chunk[place:]
        place = max(place - len(chunk), 0)


def _up_to(size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the first bytes, so many; no chunk is asked for beyond them."""
    for chunk in chunks:
        yield chunk[:size]
        size -= len(chunk)
        if size <= 0:
            return


def _as_plain_text(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same text as UTF-8 or Latin-1 with line feeds and without a mark at its start."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= MAX_HEAD or (len(head) >= MIN_HEAD and b"\n" in head):
            break
    if wide := _wide_encoding(head):
        # what is no character becomes the replacement character, at which a number is rejected
        chunks = _recoded(
            chain([head], chunks), codecs.getincrementaldecoder(wide)("replace").decode, "utf-8"
        )
        head = next(chunks, b"")
    head = head.removeprefix(codecs.BOM_UTF8)
    chunks = chain([head], chunks)
    if b"\r" in head and b"\n" not in head:
        latin = codecs.getincrementaldecoder("latin-1")()
        chunks = _recoded(chunks, io.IncrementalNewlineDecoder(latin, translate=True).decode, "latin-1")
    yield from filter(None, chunks)


def _wide_encoding(head: bytes) -> str:
    """Return the codec of a text in UTF-16 or UTF-32, by its mark or by its zeros; empty for all else."""
    for mark, encoding in _WIDE_MARKS.items():
        if head.startswith(mark):
            return encoding
    halves = head[:MIN_HEAD:2], head[1:MIN_HEAD:2]
    zeros = [half.count(0) / max(len(half), 1) for half in halves]
    if min(zeros) == 0 and max(zeros) > _MIN_ZEROS:
        return "utf-16-le" if zeros[1] else "utf-16-be"
    return ""


def _recoded(chunks: Iterable[bytes], decode: Callable[..., str], encoding: str) -> Iterator[bytes]:
    for chunk in chunks:
        yield decode(chunk).encode(encoding)
    yield decode(b"", final=True).encode(encoding)


def _salvage(member: zlib._Decompress, packed: bytes) -> bytes:
    """Return what can be decompressed in front of the damage."""
    plain = []
    try:
        for i in range(len(packed)):
            plain.append(member.decompress(packed[i : i + 1]))
    except zlib.error:
        pass
    return b"".join(plain)

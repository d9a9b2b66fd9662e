"""A file that has its name only when it is complete: written beside the final name, then renamed."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from molgiae.errors import MolgiaeError

STDOUT = "-"
"""Name of standard output, which is written at once and has no partial file."""


def is_stdout(path: str | os.PathLike[str]) -> bool:
    """Return whether a name stands for standard output."""
    return os.fspath(path) == STDOUT


class PartialFile:
    """The temporary name of an output file, and its end: `publish` or `discard`; neither does a thing to `STDOUT`.

    Attributes:
        final: the file asked for, links resolved.
        temporary: hidden name in the same directory, with number of the process and name of the machine; left behind
            only if the process is killed, and then removed by the next one of this machine that writes the file.

    Raises:
        MolgiaeError: if the output cannot be written there, or exists and may not be replaced.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        if is_stdout(path):
            self.final = self.temporary = Path(STDOUT)
            return
        self.final = Path(os.path.realpath(path))
        if self.final.exists() and not self.final.is_file():
            raise MolgiaeError(f"{path}: is not a file that can be written; give a file name")
        if self.final.exists() and not overwrite:
            raise MolgiaeError(f"{path}: exists already; choose another name or allow --overwrite")
        if not self.final.parent.is_dir():
            raise MolgiaeError(f"{path}: there is no directory {self.final.parent}; create it first")
        if not os.access(self.final.parent, os.W_OK):
            raise MolgiaeError(f"{path}: no permission to write in {self.final.parent}; choose another place")
        clear_partial(self.final)
        self.temporary = self.final.with_name(f".{self.final.name}.part-{os.getpid()}@{platform.node()}")

    def publish(self) -> None:
        """Force the temporary file to the disk and give it its final name."""
        if is_stdout(self.final):
            return
        with self.reporting():
            _sync(self.temporary, os.O_RDWR)
            os.replace(self.temporary, self.final)
        with contextlib.suppress(OSError):  # not every system lets a directory be synced
            _sync(self.final.parent, os.O_RDONLY)

    def discard(self) -> None:
        """Remove the temporary file, if there is one."""
        with contextlib.suppress(OSError):
            if not is_stdout(self.final):
                self.temporary.unlink()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        """Give the temporary name to write to; the file gets its name if that ends well, and is removed if not.

        Raises:
            MolgiaeError: as `reporting`.
        """
        try:
            with self.reporting():
                yield self.temporary
            self.publish()
        finally:
            self.discard()

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn failures of the disk, also as h5py reports them, into one line that names the file.

        Raises:
            MolgiaeError: instead of an OSError or RuntimeError.
        """
        try:
            yield
        except BrokenPipeError:  # who reads standard output has seen enough
            raise
        except (OSError, RuntimeError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            first_line = reason.partition("\n")[0]
            raise MolgiaeError(f"{self.final}: cannot be written: {first_line}") from error


class SteadyFile(io.FileIO):
    """A file that never fails before it is asked: `check` raises what went wrong since it was opened.

    The HDF5 library, when a write fails under it, ignores the loss or crashes. Written through this class
    to the end of a block it sees no failure, and the writer stops in an orderly way.

    Attributes:
        failure: the first failure; from then on nothing is written.
    """

    failure: OSError | KeyboardInterrupt | None = None

    def check(self) -> None:
        """Raise the failure that was kept, if any.

        Raises:
            OSError: as the system reported it.
            KeyboardInterrupt: if the user interrupted while HDF5 was writing.
        """
        if self.failure is not None:
            raise self.failure

    def write(self, data: Any) -> int:
        """Write all of `data`, or keep the failure; returns its size in either case."""
        view = memoryview(data)
        done = 0
        while self.failure is None and done < len(view):
            try:
                done += super().write(view[done:])
            except (OSError, KeyboardInterrupt) as error:
                self.failure = error
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`, with zeros beyond the end of what could be written."""
        view = memoryview(buffer)
        done = super().readinto(view) or 0
        view[done:] = bytes(len(view) - done)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or keep the failure."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0


@contextlib.contextmanager
def open_text(path: Path, *, compress: bool) -> Iterator[TextIO]:
    """Give a new text file, or `STDOUT`, to write to: UTF-8, line feeds; the same text makes the same bytes."""
    if is_stdout(path):
        text = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="replace", newline="\n")
        try:
            yield text
        finally:
            text.detach()  # standard output stays open
        return
    with open(path, "wb") as disk:
        # no name and time of day in the header
        stream: Any = gzip.GzipFile("", "wb", 6, disk, mtime=0) if compress else disk
        with io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="\n") as text:
            yield text


def clear_partial(final: Path) -> None:
    """Remove what dead processes of this machine have left of a file; without the name of a machine it was this one."""
    name = re.compile(
        re.escape(f".{final.name}.part-") + r"(\d{1,9})" + f"(?:@{re.escape(platform.node())})?"
    )
    with contextlib.suppress(OSError):  # a directory that may be written to need not be readable
        for path in final.parent.iterdir():
            if (found := name.fullmatch(path.name)) and not _is_alive(int(found[1])):
                path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    """Return whether there is such a process, whoever owns it; true where asking would end it."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

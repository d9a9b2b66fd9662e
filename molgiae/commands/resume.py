"""An output that grows record by record and survives an interruption, so that the run can be continued."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from molgiae.errors import ConfigError, MolgiaeError

Plain = dict[str, Any]


class Unfinished:
    """Text in ``NAME.part`` and, in ``NAME.part.log``, a line for every item that is done; used as a context manager.

    The log says how far the text belongs to items that are done. Whatever was cut off by a crash, in the text or
    in the log, is dropped and done again. A run that may be resumed notes in the hidden file ``.NAME.done`` what it has
    finished, so that the same run, started once more, finds nothing left to do.

    Args:
        final: the output, not written here.
        settings: of the run; only one with the same settings can continue it.
        resume: continue what is there, if anything is.
        overwrite: begin anew though something is there.

    Attributes:
        text: the file that grows.
        notes: what became of each item that is done, before and in this run.
        outcome: of the same run, if that has finished the output before.

    Raises:
        ConfigError: something is there that may be neither continued nor replaced.
        MolgiaeError: a file cannot be written.
    """

    def __init__(self, final: Path, settings: Plain, *, resume: bool, overwrite: bool) -> None:
        self.text = final.with_name(f"{final.name}.part")
        self._log = final.with_name(f"{final.name}.part.log")
        self._final, self._done = final, final.with_name(f".{final.name}.done")
        self._may_resume = resume
        self._settings: Plain = json.loads(json.dumps(settings))
        self.outcome: Plain | None = None
        self.notes: list[Plain] = []
        self._text_end = self._log_end = 0  # bytes that belong to items that are done
        if final.exists() and resume and not overwrite:
            self.outcome = self._read_outcome()
        elif self._log.exists() and resume:
            self._read_log()
        elif self._log.exists() and not overwrite:
            raise ConfigError(
                f"{self.text}: is left from an interrupted run; continue it with --resume, "
                "or begin anew with --overwrite"
            )

    def __enter__(self) -> Unfinished:
        with self._reporting(), contextlib.ExitStack() as opened:
            if not self._log_end:
                heading = (json.dumps(self._settings) + "\n").encode("utf-8")
                self._log.write_bytes(heading)
                self._log_end = len(heading)
            self._stream = opened.enter_context(_cut(self.text, self._text_end))
            self._journal = opened.enter_context(_cut(self._log, self._log_end))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: Any) -> None:
        with self._reporting():
            self._opened.close()
            if kind is not None and not self.notes:
                self.remove()

    def append(self, text: str, note: Plain) -> None:
        """Add the text of the next item, which may be empty, and note what became of it."""
        with self._reporting():
            self._stream.write(text.encode("utf-8"))
            self._stream.flush()
            line = {"end": self._stream.tell(), "note": note}
            self._journal.write((json.dumps(line) + "\n").encode("utf-8"))
            self._journal.flush()
        self.notes.append(note)

    def finish(self, outcome: Plain) -> None:
        """Remove text and log of an output that has its name, and note what became of it."""
        self.remove()
        if self._may_resume:
            about = {"settings": self._settings, "file": _stamp(self._final), "outcome": outcome}
            with self._reporting():
                self._done.write_text(json.dumps(about), encoding="utf-8")

    def _read_outcome(self) -> Plain:
        found = _decoded(self._done.read_bytes()) if self._done.exists() else {}
        if found.get("settings") == self._settings and found.get("file") == _stamp(self._final):
            return dict(found["outcome"])
        raise ConfigError(
            f"{self._final}: exists already, and is not known to be what this run would make; choose another name "
            "or allow --overwrite"
        )

    def remove(self) -> None:
        """Remove text and log."""
        for path in (self.text, self._log):
            path.unlink(missing_ok=True)

    def _read_log(self) -> None:
        size = self.text.stat().st_size if self.text.exists() else 0
        with open(self._log, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                entry = _decoded(line)
                if self._log_end:
                    end, note = entry.get("end"), entry.get("note")
                    if not isinstance(end, int) or not isinstance(note, dict) or end > size:
                        break
                    self._text_end = end
                    self.notes.append(note)
                elif odd := [key for key, wanted in self._settings.items() if entry.get(key) != wanted]:
                    raise ConfigError(
                        f"{self.text}: was begun with {odd[0]} {entry.get(odd[0])}, not "
                        f"{self._settings[odd[0]]}; give the same, or begin anew with --overwrite"
                    )
                self._log_end += len(line)

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MolgiaeError(f"{self.text}: cannot be written: {error.strerror or error}") from error


def _decoded(line: bytes) -> Plain:
    """Return what a line of the log says; nothing if it is damaged."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _stamp(path: Path) -> list[int]:
    """Return what tells a file from a later one of its name."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def _cut(path: Path, size: int) -> BinaryIO:
    """Open a file for more, at least created and cut to a size."""
    stream = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115
    stream.truncate(size)
    stream.seek(0, os.SEEK_END)
    return stream

"""Where errors become one line on stderr and an exit status."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from molgiae.errors import MolgiaeError

OK, FAILED, REJECTED, INTERRUPTED, TERMINATED = 0, 1, 3, 130, 143
"""Exit statuses; 2 is a wrong command line, which typer reports."""

OF_TYPER = (typer.Exit, typer.Abort, *typer.BadParameter.__bases__, BrokenPipeError)
"""What typer itself turns into a status, wrong command lines and a closed pipe among it."""


class Termination(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does: unfinished outputs are removed, worker processes ended."""


def status_of(interruption: KeyboardInterrupt) -> int:
    """Return the exit status of an interrupted command, as shells know it."""
    return TERMINATED if isinstance(interruption, Termination) else INTERRUPTED


def _system(error: OSError) -> str:
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{where}{error.strerror or error}"


def _memory(error: Exception) -> str:
    found = f" ({error})" if str(error) else ""
    return f"out of memory{found}; give smaller conformers, a smaller --batch-size or fewer --jobs"


def _fault(error: Exception) -> str:
    if isinstance(error, RuntimeError) and "memory" in str(error):  # as torch says it, on any device
        return _memory(error)
    return f"{type(error).__name__}: {error}; this is a fault in molgiae; --debug shows the traceback"


WORDS: dict[type[Exception], Callable[[Any], str]] = {
    MolgiaeError: str,
    OSError: _system,
    MemoryError: _memory,
    RecursionError: lambda error: f"the input is nested too deeply ({error})",
    Exception: _fault,
}
"""What is said of an error; the first row that fits."""


class ErrorBoundary(TyperGroup):
    """Runs a command; every error is one line, and a traceback only with --debug."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take --debug behind the name of a command, too."""
        options = args[: args.index("--")] if "--" in args else args
        if "--debug" in options:
            args = [
                "--debug",
                *(word for i, word in enumerate(args) if word != "--debug" or i >= len(options)),
            ]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            with _termination_raised():
                return super().invoke(ctx)
        except OF_TYPER:
            raise
        except tuple(WORDS) as error:
            if ctx.params.get("debug"):
                raise
            words = next(words for kind, words in WORDS.items() if isinstance(error, kind))
            typer.echo(f"molgiae: error: {' '.join(words(error).split())}", err=True)
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as interruption:
            typer.echo("molgiae: interrupted; unfinished outputs were removed", err=True)
            raise typer.Exit(status_of(interruption)) from None


@contextmanager
def _termination_raised() -> Iterator[None]:
    """Raise a `Termination` where SIGTERM finds the program, once: the cleaning up is not to be interrupted."""

    def stop(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Termination

    before = signal.getsignal(signal.SIGTERM)
    mine = before is signal.SIG_DFL and threading.current_thread() is threading.main_thread()
    if mine:
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)

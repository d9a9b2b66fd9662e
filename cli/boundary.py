"""Where errors become one line on stderr and an exit status."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from molgiae.errors import MolgiaeError

OK, FAILED, REJECTED, INTERRUPTED, CLOSED, TERMINATED = 0, 1, 3, 130, 141, 143
"""Exit statuses; 2 is a wrong command line, which typer reports."""

AS_JSON = "molgiae.json"
"""Where the context keeps whether --json was given."""

OF_TYPER = (typer.Exit, typer.Abort, *typer.BadParameter.__bases__, BrokenPipeError)
"""What typer itself turns into a status, wrong command lines among it; and a closed pipe."""


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


@contextmanager
def _closed_pipe_ends() -> Iterator[None]:
    """End without a word where who reads the output has seen enough, with the status that shells give for it."""
    try:
        yield
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BrokenPipeError:  # what is left goes nowhere, for else Python complains of it at its end
                with suppress(OSError), open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), stream.fileno())
        raise typer.Exit(CLOSED) from None


class ErrorBoundary(TyperGroup):
    """Runs a command; every error is one line, and a traceback only with --debug."""

    @_closed_pipe_ends()
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take --debug behind the name of a command, too."""
        options = args[: args.index("--")] if "--" in args else args
        ctx.meta[AS_JSON] = "--json" in options
        if "--debug" in options:
            args = [
                "--debug",
                *(word for i, word in enumerate(args) if word != "--debug" or i >= len(options)),
            ]
        return super().parse_args(ctx, args)

    @_closed_pipe_ends()
    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            with _termination_raised():
                return super().invoke(ctx)
        except OF_TYPER as error:
            if hasattr(error, "format_message"):  # a wrong command line, which typer explains on stderr
                _tell(ctx, error, error.format_message(), error.exit_code)
            raise
        except tuple(WORDS) as error:
            if ctx.params.get("debug"):
                raise
            words = next(words for kind, words in WORDS.items() if isinstance(error, kind))
            message = " ".join(words(error).split())
            if not _is_told_here():
                raise typer.Exit(FAILED) from error
            typer.echo(f"molgiae: error: {message}", err=True)
            _tell(ctx, error, message, FAILED)
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as interruption:
            if not _is_told_here():
                raise typer.Exit(status_of(interruption)) from None
            typer.echo("molgiae: interrupted; unfinished outputs were removed", err=True)
            _tell(ctx, interruption, "interrupted", status_of(interruption))
            raise typer.Exit(status_of(interruption)) from None


def _is_told_here() -> bool:
    """Return whether an error is told by this one of the processes that were started together."""
    from molgiae.parallel.launched import tells_errors

    return tells_errors()


def _tell(ctx: Any, error: BaseException, message: str, status: int) -> None:
    """Print an error as JSON on stdout, where the command was to print its summary so."""
    if ctx.meta[AS_JSON]:
        typer.echo(json.dumps({"error": message, "kind": type(error).__name__, "status": status}))


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

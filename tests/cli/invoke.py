"""How tests call the command line in their own process."""

from __future__ import annotations

import sys

from typer.testing import CliRunner, Result

from molgiae.cli import app

START = [sys.executable, "-c", "from molgiae.cli import main; main()"]
"""The command line in a process of its own."""


def molgiae_(*words: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


def assert_one_line(result: Result, *parts: str) -> None:
    """Status 1 and one line on stderr that starts as promised, nothing on stdout, no traceback."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("molgiae: error: ")
    for part in parts:
        assert part in line

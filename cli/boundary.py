"""Where errors become one line on stderr and an exit status."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from molgiae.errors import MolgiaeError

OK, FAILED, REJECTED, INTERRUPTED = 0, 1, 3, 130
"""Exit statuses; 2 is a wrong command line, which typer reports."""


class ErrorBoundary(TyperGroup):
    """Runs a command; an error meant for the user is one line, everything else a traceback."""

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
            return super().invoke(ctx)
        except MolgiaeError as error:
            if ctx.params.get("debug"):
                raise
            typer.echo(f"molgiae: error: {error}", err=True)
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt:
            typer.echo("molgiae: interrupted; unfinished outputs were removed", err=True)
            raise typer.Exit(INTERRUPTED) from None

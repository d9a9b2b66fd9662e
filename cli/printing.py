"""What commands print when they are done: lines on stderr, JSON or tables on stdout, an exit status."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typer import Context, Exit, echo

from molgiae.config import DECODED

from .boundary import REJECTED, status_of

if TYPE_CHECKING:
    from molgiae.commands.outcomes import Summary

SHOWN_REASONS = 3
"""Reasons that are named; others are counted."""


def finish(context: Context, data: Any, lines: Iterable[str], rejected: int = 0) -> None:
    """Print the outcome of a command, by its options --quiet and --json, and leave with its exit status.

    That is 0 with --allow-rejected.

    Args:
        context: the command with its options.
        data: the outcome as plain data, for JSON on stdout.
        lines: the outcome in words, for stderr.
        rejected: how many records were rejected.

    Raises:
        Exit: with status 3 if any were.
    """
    from molgiae.parallel.launched import rank

    if rank():  # the first of several processes speaks for all
        return
    if context.params["as_json"]:
        echo(json.dumps(data))
    if not context.params["quiet"]:
        tell("\n".join(lines))
    if rejected and not context.params.get("allow_rejected"):
        raise Exit(REJECTED)


@contextmanager
def resumable(how: str = "with --resume ") -> Iterator[None]:
    """Say, when a command is interrupted that keeps what it has done, how to go on."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        tell(f"molgiae: interrupted; give the same command {how}to continue")
        raise Exit(status_of(interruption)) from None


def finish_run(context: Context, summary: Summary, done: str) -> None:
    """As `finish`, for the commands that write something for every conformer."""
    resumed = getattr(summary, "kept", 0)
    rate = "" if resumed else f" ({summary.read / max(summary.seconds, 1e-9):.0f}/s)"
    with_model = f" with {summary.model}" if summary.model else ""
    lines = [
        f"{done} {summary.written} of {summary.read} conformers in {summary.seconds:.1f} s{rate}"
        f"{with_model} -> {summary.output}"
    ]
    if summary.metrics:
        lines.append(", ".join(f"{name} {value:.4f} A" for name, value in summary.metrics.items()))
    lines += summary.notes
    if summary.not_decoded:
        lines.append(
            f"{summary.not_decoded} do not come back from their embeddings: a formula is wrong, or atoms are more than "
            f"{DECODED} A off"
        )
    if summary.out_of_domain:
        or_so = ", or do not come back" if any(map(_is_of_decoding, summary.domain_reasons)) else ""
        lines.append(
            f"{summary.out_of_domain} are outside of what model {summary.model} was trained on{or_so} (in_domain is 0):"
        )
        lines += _counted(summary.domain_reasons)
    lines += rejected_lines(summary.reasons, summary.rejected_in)
    finish(context, summary.to_dict(), lines, summary.rejected)


def _is_of_decoding(reason: str) -> bool:
    from molgiae.model.decoded import DECODING, rule_of

    return rule_of(reason) == DECODING


def rejected_lines(reasons: dict[str, int], listed_in: str) -> list[str]:
    """Say how many records were rejected, where they are listed, and why; nothing if there are none."""
    where = f", listed in {listed_in}" if listed_in else ""
    return [f"{sum(reasons.values())} rejected{where}:", *_counted(reasons)] if reasons else []


def _counted(reasons: dict[str, int]) -> list[str]:
    """Return the most frequent reasons, a line each."""
    lines = [f"  {count} x {'such as: ' if count > 1 else ''}{reason}" for reason, count in reasons.items()]
    others = len(lines) - SHOWN_REASONS
    return lines[:SHOWN_REASONS] + ([f"  and {others} other reasons"] if others > 0 else [])


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows as text, a line each, with cells below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def tell(text: str) -> None:
    """Print on stderr."""
    echo(text, err=True)

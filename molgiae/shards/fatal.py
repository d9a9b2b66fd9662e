"""Making a part although a record kills the process that works on it: the record is found, passed over and listed."""

from __future__ import annotations

from collections.abc import Sequence

from molgiae.data.inputs import in_rows, is_hdf5
from molgiae.data.pieces import piece_of
from molgiae.errors import MolgiaeError
from molgiae.parallel.processes import NoAnswerError
from molgiae.shards.engines import Engine
from molgiae.shards.jobs import KINDS
from molgiae.shards.part import Job, Plain
from molgiae.shards.plan import halves

TRIES = 2
"""Times that a part is begun before the record is looked for at which its process dies."""


class LostPartError(MolgiaeError):
    """A part cannot be made, which says nothing of the others."""


def made(job: Job, engine: Engine, k: int) -> tuple[Plain, int]:
    """Make one part; return its summary, and how many records are passed over in it because they are fatal."""
    for _ in range(TRIES):
        if (summary := _answer(engine, {"part": k})) is not None:
            return summary, 0
    names = [] if job.command in KINDS else job.inputs_of(k)
    sound = _sound(engine, names, job.how.get("format"))
    fatal = [name for name in sound if piece_of(name).fatal]
    summary = _answer(engine, {"part": k, "names": sound}) if fatal else None
    if summary is None:
        raise LostPartError(
            f"{job.path(k)}: its process died {TRIES + bool(fatal)} times, and no record could be found that does it "
            f"by itself; {engine.failure or 'memory may be short: use fewer --threads, or more --shards'}"
        )
    return summary, len(fatal)


def _answer(engine: Engine, question: Plain) -> Plain | None:
    """Return the answer; None if the process died over the question, or came upon a fault that is no one's.

    Raises:
        MolgiaeError: what keeps all parts from being made.
    """
    try:
        reply = engine.ask(question)
    except NoAnswerError as error:
        if engine.is_closed:  # no record's fault, which would be looked for
            raise MolgiaeError("the run was stopped") from error
        return None
    if "error" in reply:
        raise MolgiaeError(reply["error"])
    engine.failure = reply.get("failed", engine.failure)
    return None if "failed" in reply else reply


def _sound(engine: Engine, names: Sequence[str], format: str | None) -> list[str]:
    """Return the same inputs, cut so that each record at which a process dies is a piece that is passed over."""
    if not names or _answer(engine, {"probe": list(names)}) is not None:
        return list(names)
    parts = halves(names, format)
    if parts is None:
        if in_rows(names[0]) and not is_hdf5(piece_of(names[0]).file):
            return list(names)  # a file that cannot be read in pieces
        piece = piece_of(names[0])
        return [f"{names[0]}!"] if piece.stop is not None else [f"{names[0]}@0-{2**53}!"]
    return [one for part in parts for one in _sound(engine, part, format)]

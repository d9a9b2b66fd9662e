"""The kinds of runs in shards, by command."""

from __future__ import annotations

from pkgutil import resolve_name

from molgiae.shards.part import Job, Plain

KINDS = {"dedup": "molgiae.shards.dealing:DedupJob", "conformers": "molgiae.shards.generation:ConformersJob"}
"""Those that are more than a command for each part; loaded by the processes that make such parts alone."""


def job_from(plain: Plain) -> Job:
    """Return the job that `Job.to_dict` was of."""
    name = KINDS.get(plain["command"])
    kind: type[Job] = Job if name is None else resolve_name(name)
    return kind.from_dict(plain)

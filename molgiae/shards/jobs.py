"""The kinds of runs in shards, by command."""

from __future__ import annotations

from molgiae.shards.dealing import DedupJob
from molgiae.shards.generation import ConformersJob
from molgiae.shards.part import Job, Plain

KINDS: dict[str, type[Job]] = {"dedup": DedupJob, "conformers": ConformersJob}
"""Those that are more than a command for each part."""


def job_from(plain: Plain) -> Job:
    """Return the job that `Job.to_dict` was of."""
    return KINDS.get(plain["command"], Job).from_dict(plain)

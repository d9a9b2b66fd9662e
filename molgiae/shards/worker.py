"""A process that makes parts, or tries records for nothing, one after the other; the model is loaded once."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from molgiae.errors import MolgiaeError
from molgiae.parallel.processes import serve
from molgiae.shards.jobs import job_from
from molgiae.shards.part import Job

Plain = dict[str, Any]


@lru_cache(maxsize=1)
def _job(text: str) -> Job:
    return job_from(json.loads(text))


def answer(job: str, question: Plain) -> Plain:
    """Do what is asked: ``{"part": 7, "names": [...]}`` or ``{"probe": [...]}``.

    Args:
        job: as JSON.
        question: the part to make, and its inputs if these are not those of the plan; or what to try.

    Returns:
        The summary of a part; as ``error`` what keeps all parts from being made; as ``failed`` what may be the fault
        of a record, as if the process had died over it.
    """
    try:
        if "probe" in question:
            _job(job).probe(question["probe"])
            return {}
        return _job(job).make(question["part"], question.get("names"))
    except MolgiaeError as error:
        return {"error": str(error)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    serve(lambda setup: lambda question: answer(setup["job"], question))

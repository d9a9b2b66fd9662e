"""What runs the parts: processes of this machine, or the workers of a Dask scheduler."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from molgiae.errors import ConfigError
from molgiae.parallel.processes import NoAnswerError, Workers
from molgiae.shards.part import Job
from molgiae.shards.worker import answer

Plain = dict[str, Any]

LOCAL = "local"
WORKER = "molgiae.shards.worker"
STARTING = 60.0
"""Seconds in which a Dask scheduler has to answer."""


class Engine(ABC):
    """Answers questions of `molgiae.shards.worker` in processes that may die; a context manager that ends them.

    Attributes:
        is_closed: whether they were ended.
        failure: what a process said last that failed without dying; empty if none did.
    """

    is_closed = False
    failure = ""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *exception: Any) -> None: ...

    @abstractmethod
    def ask(self, question: Plain) -> Plain:
        """Return the answer of a process; called by as many threads as there are `workers`.

        Raises:
            NoAnswerError: the process died over it.
        """

    @property
    @abstractmethod
    def workers(self) -> int:
        """Questions that are answered at a time."""


class LocalEngine(Engine):
    """Processes of this machine, each with one thread.

    Args:
        job: what is run.
        jobs: number of processes.
    """

    def __init__(self, job: Job, jobs: int) -> None:
        self._jobs = jobs
        self._processes = Workers(jobs, WORKER, {"job": json.dumps(job.to_dict())}, None)

    def __exit__(self, *exception: Any) -> None:
        self.is_closed = True
        self._processes.__exit__(*exception)

    def ask(self, question: Plain) -> Plain:
        """Return the answer of a process."""
        return self._processes.ask(question)

    @property
    def workers(self) -> int:
        """Number of processes."""
        return self._jobs


class DaskEngine(Engine):
    """Workers of a Dask scheduler, which see the files by the same names.

    Args:
        job: what is run.
        scheduler: address, such as ``tcp://host:8786``, or the file that it wrote (``--scheduler-file``).
    """

    def __init__(self, job: Job, scheduler: str) -> None:
        of_file = scheduler.endswith(".json")
        if not of_file and ":" not in scheduler:
            raise ConfigError(
                f"{scheduler}: is no scheduler; give local, an address as tcp://host:8786, or the .json file of one"
            )
        try:
            distributed = import_module("distributed")
        except ImportError as error:
            raise ConfigError(
                f"{scheduler}: Dask is not installed; pip install 'molgiae[dask]', or use --scheduler local"
            ) from error
        if of_file and not Path(scheduler).is_file():
            raise ConfigError(f"{scheduler}: no such file; give that of dask scheduler --scheduler-file")
        where = {"scheduler_file" if of_file else "address": scheduler}
        try:
            self._client = distributed.Client(**where, timeout=STARTING, set_as_default=False)
            self._client.wait_for_workers(1, timeout=STARTING)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(f"{scheduler}: no Dask scheduler with workers answers there") from error
        self._died: tuple[type[Exception], ...] = (
            distributed.KilledWorker,
            distributed.client.FutureCancelledError,
        )
        self._job = json.dumps(job.to_dict())

    def __exit__(self, *exception: Any) -> None:
        self.is_closed = True
        self._client.close()

    def ask(self, question: Plain) -> Plain:
        """Return the answer of a worker."""
        future = self._client.submit(answer, self._job, question, pure=False)
        try:
            return future.result()
        except self._died as error:
            raise NoAnswerError("the worker that worked on it died") from error

    @property
    def workers(self) -> int:
        """Threads of all workers, of which each answers a question."""
        return max(sum(self._client.nthreads().values()), 1)


def engine_of(job: Job, scheduler: str, jobs: int) -> Engine:
    """Return the engine that a name stands for."""
    return LocalEngine(job, jobs) if scheduler == LOCAL else DaskEngine(job, scheduler)

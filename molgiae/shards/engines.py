"""What runs the parts: processes of this machine, or the workers of a Dask scheduler."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Self
from weakref import WeakKeyDictionary

from molgiae.errors import ConfigError
from molgiae.parallel.gpus import VISIBLE, one_gpu_each, visible_gpus
from molgiae.parallel.processes import NoAnswerError, Workers
from molgiae.shards.part import COMMANDS, Job
from molgiae.shards.worker import answer

Plain = dict[str, Any]

LOCAL = "local"
WORKER = "molgiae.shards.worker"
STARTING = 60.0
"""Seconds in which a Dask scheduler has to answer."""
PAUSES = {"profile": 1000.0, "tick": 1000.0, "monitor": 5000.0}
"""Milliseconds between looks of a worker of Dask at itself while it answers. By itself it looks at its stack every 10,
for a profile, and at its loop of events every 20, and so takes a tenth of the time of a core.
"""
_usual: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
"""Those between the looks of a worker otherwise, by callback; several threads of a worker may answer at a time."""


class Engine(ABC):
    """Answers questions of `molgiae.shards.worker` in processes that may die; a context manager that ends them.

    Attributes:
        is_closed: whether they were ended.
        failure: what a process said last that failed without dying; empty if none did.
        word: what users should know of them; empty if nothing.
    """

    is_closed = False
    failure = word = ""

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
    """Processes of this machine, each with one thread and one GPU, if there are any.

    Args:
        job: what is run.
        jobs: number of processes.
        gpus: names of those that they share.
    """

    def __init__(self, job: Job, jobs: int, gpus: Sequence[str] = ()) -> None:
        self._jobs = jobs
        setup = {"job": json.dumps(job.to_dict())}
        self._processes = Workers(jobs, WORKER, setup, None, one_gpu_each(gpus, jobs))
        if gpus:
            self.word = f"{jobs} processes, each on one of {len(gpus)} GPUs ({VISIBLE}={','.join(gpus)})"

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
        future = self._client.submit(answer_undisturbed, self._job, question, pure=False)
        try:
            return future.result()
        except self._died as error:
            raise NoAnswerError("the worker that worked on it died") from error

    @property
    def workers(self) -> int:
        """Threads of all workers, of which each answers a question."""
        return max(sum(self._client.nthreads().values()), 1)


def answer_undisturbed(job: str, question: Plain) -> Plain:
    """Answer as a worker of Dask, which meanwhile looks less often at itself."""
    callbacks = import_module("distributed").get_worker().periodic_callbacks
    slower = {callbacks[name]: pause for name, pause in PAUSES.items() if name in callbacks}
    for callback, pause in slower.items():
        _usual.setdefault(callback, callback.callback_time)
        callback.callback_time = max(pause, _usual[callback])
    try:
        return answer(job, question)
    finally:
        for callback in slower:
            callback.callback_time = _usual[callback]


def gpus_for(job: Job, scheduler: str) -> list[str]:
    """Return the GPUs that processes of this machine share for a job; none where it computes on the CPU."""
    wanted = COMMANDS[job.command].load and job.how.get("device", "auto") != "cpu"
    return visible_gpus() if wanted and scheduler == LOCAL else []


def engine_of(job: Job, scheduler: str, jobs: int, gpus: Sequence[str] = ()) -> Engine:
    """Return the engine that a name stands for."""
    return LocalEngine(job, jobs, gpus) if scheduler == LOCAL else DaskEngine(job, scheduler)

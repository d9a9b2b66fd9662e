"""A command in shards: what is not there yet is made, and a record that kills its process is found and listed."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molgiae.commands.outcomes import Reasons, Summary
from molgiae.config import AUTO_MODEL
from molgiae.data.inputs import listed
from molgiae.data.partial import clear_partial
from molgiae.data.readers import Inputs
from molgiae.data.sources import Notes
from molgiae.errors import ConfigError, MolgiaeError
from molgiae.model.shipped import default_model
from molgiae.parallel.progress import SECONDS, progress_bar
from molgiae.parallel.threads import cores
from molgiae.shards.engines import LOCAL, engine_of, gpus_for
from molgiae.shards.fatal import LostPartError, made
from molgiae.shards.jobs import job_from
from molgiae.shards.manifest import MANIFEST, told_in, write_manifest
from molgiae.shards.part import COMMANDS, PROBES, PROGRESS, Job, one_of
from molgiae.shards.plan import Plan, estimated_records

SHARD_SIZE, MOLECULES = 100_000, 1_000
"""Conformers in a part, about, where the number of parts is not given; molecules that conformers are made of."""
WHOLE = tuple(name for name in COMMANDS if name != "deal")
"""Commands that users run; dealing out is a step of another."""

OF_PARTS = re.compile(r"\.?part-(\d+)-of-(\d+)[._].*")
"""Files of parts: tables beside them, and what is left of interrupted ones, too."""

Plain = dict[str, Any]


@dataclass
class ShardedSummary(Summary):
    """What became of a run in shards: the figures of `Summary` over all of its parts, and how many there are.

    Attributes:
        shards: parts of the whole.
        made: parts made in this run.
        kept: parts that were there, made from the same.
        fatal: records that killed the process that worked on them; they are among the rejected.
        merged: of de-duplication, copies that were left out of the parts made in this run.
    """

    shards: int = 0
    made: int = 0
    kept: int = 0
    fatal: int = 0
    merged: int = 0


def in_shards(
    command: str,
    inputs: Inputs,
    output: str | Path,
    *,
    shards: int | None = None,
    shard: str | None = None,
    shard_size: int | None = None,
    scheduler: str = LOCAL,
    jobs: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
    **how: Any,
) -> ShardedSummary:
    """Run a command in shards: ``part-00007-of-00064.h5`` and so on in a directory, and what they are of beside them.

    A part that is there and was made from the same inputs (by name, size and time of change), options, model and
    version is left alone, any other is made: the same call again continues what was interrupted. The bytes of the parts
    do not depend on the scheduler, their order, or interruptions. `molgiae.open` reads the directory as one file.

    Args:
        command: "embed", "canonicalize", "reconstruct", "predict", "dedup" or "conformers", whose parts are SDF.
        inputs: files and directories, one or several.
        output: the directory, made if it is not there.
        shards: number of parts; None for as many as hold `shard_size` conformers each, about.
        shard: one of them alone, as in "7/64", for arrays of jobs.
        shard_size: see `shards`; 100 000 by default, and 1 000 molecules that conformers are made of.
        scheduler: "local" for processes of this machine; the address of a Dask scheduler, as in "tcp://host:8786", or
            the file that it wrote, which ends in .json.
        jobs: processes of this machine; None for as many as there are GPUs, or else cores to use.
        overwrite: make all parts anew, or the one of `shard`, and remove those of another number of shards.
        progress: show a bar on stderr.
        **how: further arguments of the command, such as model, parts and on_error.

    Raises:
        ConfigError: an option is wrong, or the directory holds parts of another number of shards.
        MolgiaeError: a part cannot be made; what is made stays.

    Examples:
        >>> molgiae.in_shards("embed", "conformers.sdf", "parts/", shards=4, model="qm9").written
        74
    """
    started, notes = time.monotonic(), Notes()
    wanted, total = one_of(shard) if shard else (None, shards)
    if shard and shards not in (None, total):
        raise ConfigError(f"shard {shard} and {shards} shards: give one of them")
    job = _job(command, inputs, str(output), total, shard_size, how, notes)
    if shard and job.first is not None:
        raise ConfigError(
            "copies are looked for in all inputs, not in one shard; use --shards, with --scheduler if need be"
        )
    directory = _prepared(job, overwrite=overwrite, keep=wanted is not None)
    if wanted and overwrite:
        job.path(wanted).unlink(missing_ok=True)
    numbers = [wanted] if wanted else list(range(1, job.shards + 1))
    summary = ShardedSummary(
        str(output), shards=job.shards, model_sha256=job.model_sha256, model=job.how.get("model", "")
    )
    write_manifest(job, directory, None)
    missing = [k for k in numbers if not job.is_made(k)]
    summary.kept, summary.made = len(numbers) - len(missing), len(missing)
    if replaced := sum(job.path(k).exists() for k in missing):
        notes.left_out.append(
            f"{replaced} parts were made from other inputs, options or versions, and are made anew"
        )
    if missing:
        _make(job, missing, scheduler, jobs, summary, progress=progress)
    _count(job, numbers, set(missing), summary)
    job.finish()
    if not wanted:
        write_manifest(job, directory, summary)
        for name in (PROGRESS, PROBES):  # what runs that were killed have left
            shutil.rmtree(directory / name, ignore_errors=True)
    summary.notes = [*notes.lines(), *summary.notes]
    summary.seconds = time.monotonic() - started
    return summary


def _job(
    command: str,
    inputs: Inputs,
    directory: str,
    shards: int | None,
    shard_size: int | None,
    how: Plain,
    notes: Notes,
) -> Job:
    """Return what is to be run; errors are those of `in_shards`."""
    if command not in WHOLE:
        raise ConfigError(f"{command}: is not run in shards; those that are: {', '.join(WHOLE)}")
    if (shards is not None and shards < 1) or (shard_size is not None and shard_size < 1):
        raise ConfigError("there is at least 1 shard, of at least 1 conformer")
    how = _completed(command, how)
    _apart(inputs, directory)
    names, of_molecules = listed(inputs), command == "conformers"
    if shards is None:
        size = shard_size or (MOLECULES if of_molecules else SHARD_SIZE)
        whole = Plan(names, 1, how.get("format"), of_molecules=of_molecules)
        shards = math.ceil(estimated_records(whole) / size) or 1
    plain = {"command": command, "inputs": names, "directory": directory, "shards": shards, "how": how}
    job = job_from(plain)
    job.__dict__["plan"] = Plan(names, shards, how.get("format"), notes, of_molecules=of_molecules)
    return job


def _completed(command: str, how: Plain) -> Plain:
    """Return the further arguments with the name of the model, also where none is given."""
    of = COMMANDS[command]
    if of.is_fine_tuned and "model" not in how:
        raise ConfigError(f"{command}: name a fine-tuned model, as in model='energy'")
    if not of.load or how.get("model", AUTO_MODEL) != AUTO_MODEL:
        return how
    return {**how, "model": default_model().name}


def _apart(inputs: Inputs, output: str | Path) -> None:
    """Refuse a directory of parts that is an input, too: the next run would take the parts for the input."""
    for name in listed(inputs):
        if os.path.isdir(name) and os.path.isdir(output) and os.path.samefile(name, output):
            raise ConfigError(f"{output}: is among the inputs; name another directory for the parts")


def _prepared(job: Job, *, overwrite: bool, keep: bool = False) -> Path:
    """Return the directory, made if need be, without parts of another command or of another number of shards.

    With `overwrite` these are removed, and the parts of the same, too, unless they are to `keep`.
    """
    directory = Path(job.directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be made a directory: {error.strerror}") from error
    there = {
        path: int(name[2]) for path in sorted(directory.iterdir()) if (name := OF_PARTS.fullmatch(path.name))
    }
    other = [path for path, shards in there.items() if shards != job.shards]
    told = told_in(directory)
    command, inputs = told.get("command") or job.command, told.get("inputs") or job.inputs
    ours, theirs = (sorted(Path(str(name)).name for name in names) for names in (job.inputs, inputs))
    what = ""
    if other:
        what = f"of {there[other[0]]}, and {job.shards}"
    elif command != job.command:
        what = f"of {command}, and those of {job.command}"
        other = list(there)
    elif ours != theirs:
        what = f"of {', '.join(theirs):.60}, and those of {', '.join(ours):.60}"
        other = list(there)
    if not overwrite and there and what:
        remedy = "name another directory, or allow --overwrite, which removes them"
        raise ConfigError(f"{directory}: holds parts {what} are wanted; {remedy}")
    anew = overwrite and (bool(what) or not keep)
    for path in [*there, directory / MANIFEST] if anew else other:
        path.unlink(missing_ok=True)
    return directory


@contextlib.contextmanager
def _folders(directory: Path) -> Iterator[None]:
    """Make the folder of what is under way, and remove it when no other run in the directory uses it."""
    Path(directory, PROGRESS).mkdir(exist_ok=True)
    try:
        yield
    finally:
        for name in (PROGRESS, PROBES):
            with contextlib.suppress(OSError):
                Path(directory, name).rmdir()


def _make(
    job: Job,
    numbers: Sequence[int],
    scheduler: str,
    jobs: int | None,
    summary: ShardedSummary,
    *,
    progress: bool,
) -> None:
    """Make parts, as many at a time as the engine has workers; of what they need first what is missing."""
    if (first := job.first) is not None:
        _prepared(first, overwrite=True, keep=True)
        left = [k for k in range(1, first.shards + 1) if not first.is_ready(k)]
        found = ShardedSummary("")
        _make(first, left, scheduler, jobs, found, progress=progress)
        summary.fatal, summary.notes = found.fatal, found.notes
    gpus = gpus_for(job, scheduler)
    wanted = min(jobs or len(gpus) or cores(), len(numbers))
    total = estimated_records(job.plan) * len(numbers) // job.shards
    for k in numbers:
        job.progress(k).unlink(missing_ok=True)  # left by a run that was killed
    with (
        _folders(Path(job.directory)),
        engine_of(job, scheduler, max(wanted, 1), gpus) as engine,
        ThreadPoolExecutor(engine.workers, "molgiae") as pool,
        progress_bar(desc=job.command, unit=" conformers", total=total, show=progress) as bar,
    ):
        summary.notes += filter(None, [engine.word])
        waiting = {pool.submit(made, job, engine, k): k for k in numbers}
        done, lost = 0, list[LostPartError]()
        try:
            while waiting:
                ready, _ = wait(waiting, SECONDS, FIRST_COMPLETED)
                for future in ready:
                    try:
                        part, fatal = future.result()
                    except LostPartError as error:  # the others are made
                        lost.append(error)
                    else:
                        done += part["read"]
                        summary.fatal += fatal
                        _add(summary, part)
                    del waiting[future]
                bar.update(max(done + sum(map(_so_far, map(job.progress, waiting.values()))) - bar.n, 0))
        finally:
            for future in waiting:
                future.cancel()
            if waiting:  # an error or an interruption: processes end before the threads that wait for them
                engine.__exit__(None, None, None)
            for k in waiting.values():
                clear_partial(job.path(k))
                job.progress(k).unlink(missing_ok=True)
    if lost:
        rest = f" (and {len(lost) - 1} other parts likewise)" if len(lost) > 1 else ""
        raise MolgiaeError(f"{lost[0]}{rest}; {len(numbers) - len(lost)} parts are made")


def _so_far(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii") or 0)
    except (OSError, ValueError):
        return 0


def _add(summary: ShardedSummary, part: Plain) -> None:
    """Add what only the run that made a part knows of it."""
    for note in part["notes"]:
        if note not in summary.notes:
            summary.notes.append(note)
    for mine, its in (
        (summary.reasons, part["reasons"]),
        (summary.domain_reasons, part.get("domain_reasons", {})),
    ):
        for reason, count in its.items():
            mine[reason] = mine.get(reason, 0) + count
    summary.merged += part.get("merged", 0)
    summary.out_of_domain += part.get("out_of_domain", 0)
    summary.count_not_decoded(part.get("not_decoded"))
    summary.model = part.get("model", "")


def _count(job: Job, numbers: Sequence[int], made: set[int], summary: ShardedSummary) -> None:
    """Count what is in the parts, and why records were rejected in those of earlier runs."""
    before = Reasons()
    for k in numbers:
        written, rejected = job.counts(k)
        summary.written += written
        summary.rejected += rejected
        if rejected and k not in made:
            before.add(job.reasons(k))
    summary.read = summary.written + summary.rejected
    summary.rejected_in = f"{job.directory}: group rejected of the parts" if summary.rejected else ""
    for reason, count in before.most_common().items():
        summary.reasons[reason] = summary.reasons.get(reason, 0) + count

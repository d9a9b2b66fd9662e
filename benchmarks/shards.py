"""Runs in shards: speed with one and two processes, by Dask, memory, and what kills at random moments cost.

    python benchmarks/shards.py c7h10o2.sdf.gz -o shards --conformers 1000000 --kills 20

Input are the conformers of a data set again and again, each time turned and moved anew, as SDF. Rows are kept in
OUTPUT/results.json as they are measured. The parts stay in OUTPUT, some 11 kB a conformer.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import psutil
from results import Results
from scipy.spatial.transform import Rotation

from molgiae.commands.search import search
from molgiae.data.hdf5.opening import open as open_stored
from molgiae.data.inputs import read_inputs
from molgiae.data.writers import sdf_record
from molgiae.shards.drive import in_shards
from molgiae.shards.engines import LOCAL

SAMPLING = 0.5
"""Seconds between looks at the memory of processes."""
SELDOM = {"distributed.admin.tick.interval": "1s", "distributed.admin.system-monitor.interval": "10s"}
"""Settings of the guide for a scheduler of Dask that shares the cores of its workers."""


def write_input(data: str, path: Path, conformers: int) -> None:
    """Write so many conformers in random poses, titled by their number."""
    given = [conformer for block in read_inputs(data) for conformer in block]
    rng = np.random.default_rng(0)
    with open(path, "w", encoding="utf-8") as file:
        for first in range(0, conformers, len(given)):
            turns = Rotation.random(len(given), rng).as_matrix()
            moves = rng.normal(scale=5, size=(len(given), 3))
            for k, (one, turn, move) in enumerate(zip(given, turns, moves, strict=True), first):
                if k < conformers:
                    moved = replace(one, title=f"{k}", position=one.position @ turn.T + move, properties={})
                    file.write(sdf_record(moved, None))


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that make parts."""
    return [p for p in process.children(recursive=True) if "molgiae.shards.worker" in " ".join(p.cmdline())]


@contextmanager
def watched(done: Callable[[float], None]) -> Iterator[None]:
    """Give the largest memory of a process that makes parts, in MB, at the end."""
    largest, stop = [0.0], threading.Event()

    def look() -> None:
        while not stop.wait(SAMPLING):
            for process in psutil.Process().children(recursive=True):
                try:
                    largest.append(process.memory_info().rss / 1e6)
                except psutil.Error:
                    continue

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()
    done(max(largest))


def processor_seconds() -> float:
    """Return the time that this process, those that it waited for and those that it started have computed."""
    done = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(used.ru_utime + used.ru_stime for used in done)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            total += sum(process.cpu_times()[:2])
    return total


def digest(directory: Path) -> str:
    """Return the digest of all parts."""
    found = hashlib.sha256()
    for path in sorted(directory.glob("part-*.h5")):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:16]


def measured(
    results: Results, row: str, source: Path, out: Path, args: argparse.Namespace, **how: object
) -> None:
    """Run once, from nothing, and keep the figures."""
    shutil.rmtree(out, ignore_errors=True)
    memory: list[float] = []
    before = processor_seconds()
    with watched(memory.append):
        summary = in_shards("embed", source, out, model=args.model, parts=args.parts, **how)  # type: ignore[arg-type]
    results.add(
        row=row,
        conformers=summary.written,
        shards=summary.shards,
        seconds=summary.seconds,
        processor_seconds=processor_seconds() - before,
        per_second=summary.written / summary.seconds,
        memory_mb=memory[0],
        digest=digest(out),
    )


def killed(results: Results, source: Path, out: Path, args: argparse.Namespace) -> None:
    """Kill processes, now and then the run itself, at random moments, and call again until all is there."""
    shutil.rmtree(out, ignore_errors=True)
    chance, kills, calls, started = random.Random(0), 0, 0, time.monotonic()
    code = (
        "import sys; from molgiae.shards.drive import in_shards; "
        f"in_shards('embed', {str(source)!r}, {str(out)!r}, shards={args.shards}, model={args.model!r}, "
        f"parts={args.parts!r}, jobs=2)"
    )
    memory: list[float] = []
    while True:
        calls += 1
        run = psutil.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        with watched(memory.append):
            while run.poll() is None and kills < args.kills:
                time.sleep(chance.uniform(2, 2 * args.every))
                workers = workers_of(run) if run.poll() is None else []
                if workers:
                    victim = run if chance.random() < 1 / 4 else chance.choice(workers)
                    for process in [*workers, run] if victim is run else [victim]:
                        os.kill(process.pid, signal.SIGKILL)
                    kills += 1
            status = run.wait()
        if status == 0:
            break
    with open_stored(out) as stored:
        titles = np.array(stored.column("title").astype(str), dtype=np.int64)
        once = len(titles) == len(np.unique(titles)) and titles.max() + 1 == len(titles)
    seconds = time.monotonic() - started
    results.add(
        row="killed", kills=kills, calls=calls, conformers=len(titles), each_once=bool(once), seconds=seconds,
        memory_mb=max(memory), digest=digest(out),
    )  # fmt: skip


def searched(results: Results, source: Path, out: Path) -> None:
    """Search the parts that are there for their first conformer, twice by each part of the embedding."""
    query = out.parent / "query.sdf"
    with open(source, encoding="utf-8") as file:
        query.write_text("".join(takewhile(lambda line: line != "$$$$\n", file)) + "$$$$\n", encoding="utf-8")
    for again in (False, True):
        for by in ("features", "overlay", "shape"):
            started = time.monotonic()
            search(query, out, by=by, k=5)
            seconds, memory = time.monotonic() - started, psutil.Process().memory_info().rss / 1e6
            results.add(row="search", by=by, again=again, seconds=seconds, memory_mb=memory)


def main() -> None:
    """Measure what is wanted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="conformers, as c7h10o2.sdf.gz")
    parser.add_argument("--output", "-o", type=Path, default=Path("shards"))
    parser.add_argument("--conformers", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--model", default="qm9")
    parser.add_argument("--parts", default="features,overlay,color,shape")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between kills, about")
    parser.add_argument(
        "--rows", nargs="+", default=["one", "two", "dask", "dask_seldom", "killed", "search"]
    )
    args = parser.parse_args()
    args.output.mkdir(exist_ok=True)
    results = Results(args.output / "results.json")
    source = args.output / f"{args.conformers}.sdf"
    if not source.exists():
        write_input(args.data, source, args.conformers)
    for row in args.rows:
        out = args.output / "parts"
        if row == "search":
            searched(results, source, out)
        elif row == "killed":
            killed(results, source, out, args)
        elif row in ("dask", "dask_seldom"):
            distributed = __import__("distributed")
            with (
                __import__("dask").config.set(SELDOM if row == "dask_seldom" else {}),
                distributed.LocalCluster(
                    n_workers=2, threads_per_worker=1, dashboard_address=None
                ) as cluster,
            ):
                where = cluster.scheduler_address
                measured(results, row, source, out, args, shards=args.shards, scheduler=where)
        else:
            jobs = {"one": 1, "two": 2}[row]
            measured(results, row, source, out, args, shards=args.shards, scheduler=LOCAL, jobs=jobs)


if __name__ == "__main__":
    main()

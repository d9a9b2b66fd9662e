"""The scripts of the guide to large runs, as they stand there: arrays, Snakemake, make and Dask make the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
if not (HOME / "docs").is_dir():
    pytest.skip("the pages are not there", allow_module_level=True)
sys.path.insert(0, str(HOME / "docs"))

from blocks import blocks_of  # noqa: E402

BLOCKS = list(blocks_of((HOME / "docs" / "pages" / "guides" / "shards.md").read_text(encoding="utf-8")))
FILES = {block.file: block.body for block in BLOCKS if block.file}
DASK = next(block.body for block in BLOCKS if block.body.startswith("dask scheduler")).splitlines()
PARTS = 4
BIN = Path(sys.executable).parent
PATH = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
EMBED = ("molgiae embed", "molgiae canonicalize")
"""Canonical forms, whose processes load no torch, stand for embeddings."""
LIMIT = 300


def run(command: str, folder: Path, **more: str) -> str:
    done = subprocess.run(
        ["bash", "-e", "-c", command.replace(*EMBED)],
        cwd=folder,
        env={**os.environ, "PATH": PATH, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def parts(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.glob("part-*"))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder with the input, the files of the guide, and the parts that one command makes."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "big.sdf").write_bytes((HOME / "examples" / "conformers.sdf").read_bytes())
    for name, body in FILES.items():
        (folder / name).write_text(body.replace(*EMBED), encoding="utf-8")
    run(f"molgiae embed big.sdf -o right/ --shards {PARTS} --quiet", folder)
    assert len(parts(folder / "right")) == PARTS
    return folder


def test_an_array_of_jobs_makes_the_same_bytes(folder):
    lines = FILES["array.sh"].splitlines()
    assert len(lines) == 6 and f"#SBATCH --array=1-{PARTS}" in lines
    for k in range(PARTS, 0, -1):
        run("bash array.sh", folder, SLURM_ARRAY_TASK_ID=str(k), SLURM_ARRAY_TASK_COUNT="1")
    assert parts(folder / "array") == parts(folder / "right")


@pytest.mark.slow
def test_make_makes_the_same_bytes_and_only_what_is_missing(folder):
    if not shutil.which("make"):
        pytest.skip("needs make")
    run("make -j 2", folder)
    assert parts(folder / "made") == parts(folder / "right")
    assert "Nothing to be done" in run("make", folder)
    next((folder / "made").glob("part-*-of-*.h5")).unlink()
    assert run("make", folder).count("molgiae") == 1
    assert parts(folder / "made") == parts(folder / "right")


@pytest.mark.slow
def test_snakemake_makes_the_same_bytes(folder):
    if not shutil.which("snakemake", path=PATH):
        pytest.skip("needs snakemake, which may be installed beside molgiae")
    run("snakemake --cores 2 --quiet all", folder)
    assert parts(folder / "snake") == parts(folder / "right")


@contextmanager
def background(command: str, folder: Path) -> Iterator[None]:
    """Run what stands before an ampersand, and end it with all that it started."""
    process = subprocess.Popen(
        ["bash", "-c", command.removesuffix("&")],
        cwd=folder,
        env={**os.environ, "PATH": PATH},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(LIMIT)


@pytest.mark.slow
def test_dask_makes_the_same_bytes(folder):
    pytest.importorskip("distributed")
    scheduler, workers, command = DASK
    with background(scheduler, folder):
        end = time.monotonic() + LIMIT
        while not (folder / "scheduler.json").exists() and time.monotonic() < end:
            time.sleep(0.1)
        with background(workers, folder):
            run(command, folder)
    assert parts(folder / "dasked") == parts(folder / "right")

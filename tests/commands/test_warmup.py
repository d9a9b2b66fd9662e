"""After `warmup`, no command compiles a kernel."""

from __future__ import annotations

import os
import subprocess

import numpy as np
import pytest

from tests.cli.invoke import START
from tests.data.molfiles import molecule, sdf_record, xyz_frame


def scattered(n: int) -> str:
    """Two frames of like atoms at random, which no search proves anything of."""
    rows = [
        [f"Ar {x:.4f} {y:.4f} {z:.4f}" for x, y, z in np.random.default_rng(k).uniform(0, 15, (n, 3))]
        for k in (0, 1)
    ]
    return "".join("\n".join([str(n), "", *frame]) + "\n" for frame in rows)


@pytest.mark.slow
def test_a_second_process_starts_warm(tmp_path):
    """Kernels are in the folder that NUMBA_CACHE_DIR names; nothing else is told about compiling."""
    (tmp_path / "a.sdf").write_text(sdf_record(molecule(0), "a") * 3)
    (tmp_path / "a.xyz").write_text(xyz_frame(molecule(0), "a") * 3)
    (tmp_path / "flat.xyz").write_text("3\nwater\nO 0.0 0.0 0\nH 0.96 0.0 0\nH -0.24 0.93 0\n")
    (tmp_path / "cluster.xyz").write_text(scattered(40))
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def said(*words: str) -> str:
        done = subprocess.run(
            [*START, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return done.stderr

    assert "compiling kernels once" in said("warmup")
    for words in (
        ["warmup"],
        *(["canonicalize", f"a.{kind}", "-o", f"canonical.{kind}"] for kind in ("sdf", "xyz")),
        ["canonicalize", "flat.xyz", "-o", "canonical_flat.xyz"],
        *(["dedup", f"a.{kind}", "-o", f"unique_{kind}.{kind}"] for kind in ("sdf", "xyz")),
        *(["align", f"a.{kind}", "-o", f"aligned.{kind}"] for kind in ("sdf", "xyz")),
        *([command, "cluster.xyz", "-o", f"{command}.xyz"] for command in ("dedup", "align")),
    ):
        assert "compiling" not in said(*words), words


@pytest.mark.slow
def test_compiling_is_said_once_and_is_no_time_of_a_molecule(tmp_path):
    """A worker that compiled would be later than a molecule may be."""
    (tmp_path / "a.smi").write_text("CCO\nCCCO\n")
    words = ["conformers", "a.smi", "-n", "3", "-j", "2", "--time-limit", "12"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [*START, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("compiling kernels once") == 1
    assert " of 2 of 2 molecules" in done.stderr

"""Two processes with half of every batch each are as good as one with all of it, and one goes on with theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from molgiae.commands.pretrain import pretrain
from molgiae.data.elements import SYMBOLS
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.parallel import launched, ranks
from tests.conftest import TINY, TINY_DOMAIN
from tests.parallel.gradients import SIZES, gradients_of
from tests.parallel.ranked import CONFIG, MODEL, runs
from tests.training.made_up import ENERGY, labels_of, overlays_of, some_conformers, write

ROOT = Path(__file__).parents[2]
ROUND_OFF = 1e-3
"""Of weights near 1 after a few steps in float32: where a gradient is nearly zero, Adam steps by its round-off."""


def started(module: str, directory: Path, *task: str) -> subprocess.CompletedProcess[str]:
    """Run a module of these tests in two processes, as torchrun does."""
    command = f"-m torch.distributed.run --standalone --nproc_per_node 2 -m tests.parallel.{module}"
    return subprocess.run(
        [sys.executable, *command.split(), str(directory), *task],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ranks")
    conformers = some_conformers(31)
    lines = []
    for m, conformer in enumerate(conformers):
        z = conformer.atomic_number.tolist()
        lines += [f"{len(z)}", f"energy={sum(map(ENERGY.get, z)) + 0.01 * m % 7} name=molecule{m // 2}"]
        for element, place in zip(z, conformer.position.tolist(), strict=True):
            lines.append(" ".join([SYMBOLS[element], *(f"{number:.6f}" for number in place)]))
    (directory / "a.xyz").write_text("\n".join(lines) + "\n")
    write(directory / "labels.npz", labels_of(conformers))
    write(directory / "overlays.npz", overlays_of(conformers))
    torch.manual_seed(0)
    checkpoint.save(directory / "tiny.safetensors", build(TINY), TINY_DOMAIN, {"data": "none"})
    return directory


@pytest.fixture(scope="module")
def done(inputs: Path) -> Path:
    """The same runs by two processes and by one."""
    found = started("ranked", inputs, "everything")
    assert found.returncode == 0, found.stderr
    runs(inputs, "one")
    return inputs


def difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max((float((a[k].double() - b[k].double()).abs().max()) for k in a if a[k].numel()), default=0.0)


def states(directory: Path, *names: str) -> list[dict[str, torch.Tensor]]:
    return [torch.load(directory / name / "last.pt", weights_only=True)["model"] for name in names]


def test_gradients_are_those_of_the_whole_batch_whatever_the_loss(tmp_path: Path):
    said = started("gradients", tmp_path)
    assert said.returncode == 0, said.stderr
    found = torch.load(tmp_path / "gradients.pt", weights_only=True)
    for size in SIZES:
        for sums, whole in zip(found["sums"][size], gradients_of(size), strict=True):
            assert (sums is None) == (whole is None)
            if whole is not None:
                torch.testing.assert_close(sums, whole, rtol=1e-9, atol=1e-9)
    alone = found["alone"]
    assert not torch.allclose(alone[0], gradients_of(SIZES[0])[0], rtol=0.1), "a share is not the whole"


@pytest.mark.slow  # half a minute, as of the others that need these runs
@pytest.mark.parametrize("of", ["", "-plain", "-half"])
def test_weights_are_those_of_one_process(done: Path, of: str):
    one, both = states(done, f"one{of}", f"both{of}")
    assert difference(one, both) < ROUND_OFF


@pytest.mark.slow
def test_a_dropped_share_is_found(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As if the second process were not heard: rows of the first alone."""
    shared = ranks.shared

    def dropped(function, *rows):  # gradients of rows that are another rank's are lost
        found = shared(function, *rows)
        parts = found if isinstance(found, tuple) else (found,)
        lost = [
            torch.cat([part[:1], part[1:].detach()]) if isinstance(part, torch.Tensor) else part
            for part in parts
        ]
        if not isinstance(found, tuple):
            return lost[0]
        return type(found)(*lost) if hasattr(found, "_fields") else tuple(lost)

    monkeypatch.setattr(ranks, "shared", dropped)
    more = {"labels": [done / "labels.npz"], "overlays": [done / "overlays.npz"]}
    pretrain([done / "a.xyz"], tmp_path / "run", MODEL, CONFIG, **more)
    (one,) = states(done, "one")
    (found,) = states(tmp_path, "run")
    assert difference(one, found) > 2 * ROUND_OFF


@pytest.mark.slow
def test_one_process_goes_on_where_two_ended(done: Path):
    more = {"labels": [done / "labels.npz"], "overlays": [done / "overlays.npz"], "resume": True}
    for name in ("both-half", "one-half"):
        pretrain([done / "a.xyz"], done / name, MODEL, CONFIG, **more)
    one, both = states(done, "one-half", "both-half")
    assert difference(one, both) < ROUND_OFF


@pytest.mark.slow
def test_a_property_is_learned_as_by_one_process(done: Path):
    one, both = (load_file(done / f"{name}-property" / "model.safetensors") for name in ("one", "both"))
    assert difference(one, both) < ROUND_OFF
    rows = [(done / f"{name}-property" / "test.csv").read_text().count("\n") for name in ("one", "both")]
    assert rows[0] == rows[1] > 2


@pytest.mark.slow
def test_an_error_of_one_process_ends_all_with_one_line(inputs: Path):
    found = started("ranked", inputs, "failing")
    assert found.returncode
    said = [line for line in found.stderr.splitlines() if line.startswith("molgiae:")]
    assert said == ["molgiae: error: this disk is full"]


@pytest.mark.slow
def test_all_end_when_the_time_of_one_is_over(inputs: Path):
    found = started("ranked", inputs, "stopping")
    assert found.returncode == 0, found.stderr
    assert (inputs / "stopped" / "last.pt").exists()


def test_one_process_alone_is_the_first_and_speaks(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "1", "MASTER_ADDR": "x", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert launched.rank() == 0
    assert ranks.is_first()

"""What tests share: a small untrained model, and molecules it knows."""

from __future__ import annotations

import os
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest
import torch

from molgiae.commands.warmup import warmup
from molgiae.config import Domain, ModelConfig
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.model.embedder import Embedder
from tests.data.molfiles import molecule, sdf_record, xyz_frame

# python -c in subprocesses imports what is installed, not the tree it starts in
os.environ["PYTHONSAFEPATH"] = "1"

TINY = ModelConfig(
    elements=(1, 6, 7, 8, 9, 17),
    max_atoms=16,
    embedding_dim=12,
    width=16,
    layers=1,
    features_dim=2,
    overlay_dim=3,
    color_dim=2,
    shape_dim=3,
    atom_width=16,
    property_width=8,
    property_layers=1,
    atom_rounds=2,
)
"""It has all parts."""
TINY_DOMAIN = Domain(elements=(1, 6, 7, 8), n_atoms=(2, 14), radius=20.0, nearest=(0.6, 2.5))
N_MOLECULES = 20


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels(tmp_path_factory: pytest.TempPathFactory):
    """No test has to wait for them, or finds on stderr that they are being compiled; one process compiles for all."""
    with (tmp_path_factory.getbasetemp().parent / "compiling").open("w") as file:
        flock(file, LOCK_EX)
        warmup()


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained model; it embeds and reconstructs like any other, only badly."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(path, build(TINY), TINY_DOMAIN, {"data": "none"})
    return str(path)


@pytest.fixture(scope="session")
def embedder(model_path: str) -> Embedder:
    return Embedder(model_path, device="cpu")


@pytest.fixture
def sdf(tmp_path: Path) -> Path:
    """Twenty molecules with bonds and a property."""
    path = tmp_path / "molecules.sdf"
    path.write_text(
        "".join(sdf_record(molecule(k), f"m{k}", data=[("k", str(k))]) for k in range(N_MOLECULES))
    )
    return path


@pytest.fixture
def xyz(tmp_path: Path) -> Path:
    """The same molecules."""
    path = tmp_path / "molecules.xyz"
    path.write_text("".join(xyz_frame(molecule(k), f"m{k}") for k in range(N_MOLECULES)))
    return path

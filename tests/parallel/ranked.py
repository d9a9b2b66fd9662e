"""What the processes of `test_ranks` do, started together: python -m torch.distributed.run ... DIRECTORY TASK."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from molgiae.cli import app
from molgiae.commands import pretrain as pretraining
from molgiae.commands.finetune import finetune
from molgiae.commands.pretrain import pretrain
from molgiae.config import FinetuneConfig, ModelConfig, TrainConfig
from molgiae.errors import MolgiaeError
from molgiae.parallel import ranks
from molgiae.parallel.launched import rank

MODEL = ModelConfig(
    embedding_dim=13,
    width=16,
    layers=1,
    features_dim=2,
    overlay_dim=3,
    color_dim=2,
    shape_dim=2,
    atom_width=8,
    property_width=8,
    property_layers=1,
    atom_rounds=1,
)
PLAIN = ModelConfig(
    architecture="appendix-d", embedding_dim=13, width=16, layers=1, atom_width=0, property_width=0
)
CONFIG = TrainConfig(
    batch_size=9, steps=6, property_steps=3, property_batch=7, atom_steps=3, overlay_steps=3, shape_steps=3
)
FINETUNE = FinetuneConfig(epochs=2, batch_size=5, ensemble=2, kernel=False, pooling="attention")


def everything(directory: Path) -> None:
    """Whole runs of pretraining, half of one, fine-tuning."""
    runs(directory, "both")


def runs(directory: Path, name: str) -> None:
    """Whole runs in directories of this name, and half of one."""
    inputs = directory / "a.xyz"
    more: dict[str, Any] = {"labels": [directory / "labels.npz"], "overlays": [directory / "overlays.npz"]}
    half = TrainConfig(**(CONFIG.to_dict() | {"steps": 3}))
    pretrain([inputs], directory / name, MODEL, CONFIG, **more)
    pretrain([inputs], directory / f"{name}-half", MODEL, half, **more)
    pretrain([inputs], directory / f"{name}-plain", PLAIN, CONFIG)
    where: dict[str, Any] = {"target_columns": ["energy"], "model": str(directory / "tiny.safetensors")}
    finetune(str(inputs), directory / f"{name}-property", config=FINETUNE, **where)


def failing(directory: Path) -> None:
    """The second of two processes finds something wrong, while the first waits for it."""
    read = pretraining.read_data

    def found(*args: Any) -> Any:
        if not ranks.is_first():
            raise MolgiaeError("this disk is full")
        return read(*args)

    pretraining.read_data = found
    sys.argv = [
        "molgiae",
        "pretrain",
        str(directory / "a.xyz"),
        "-o",
        str(directory / "failed"),
        "--dim",
        "200",
    ]
    app()


def stopping(directory: Path) -> None:
    """A run that its time limit ends."""
    inputs, limit = str(directory / "a.xyz"), 1.0 if rank() else 1e9
    found = pretrain([inputs], directory / "stopped", PLAIN, TrainConfig(steps=10**6), stop_after=limit)
    assert found["complete"] == 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    globals()[sys.argv[2]](Path(sys.argv[1]))

"""QM9 under SE(3) x S_n (Section 5.3, Appendix E.2): the molecule pipeline on a small budget.

It calls what `molgiae pretrain` and `molgiae evaluate` call. Shrunk against the paper: a share of the training
molecules, minutes in place of a day on an accelerator, and only what the table of the paper needs: no shape part and
no network for properties.

With the 256 numbers of the paper the task is nearly empty: slots of 29 atoms are 261 numbers, and training starts at
their principal components. Smaller embeddings, beside principal components of as many numbers that are given the
elements, tell more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from molgiae.commands.evaluate import evaluate
from molgiae.commands.pretrain import read_data
from molgiae.config import ModelConfig, TrainConfig
from molgiae.evaluation.descriptors import sample
from molgiae.evaluation.report import Report
from molgiae.evaluation.sections import Settings
from molgiae.experiments import Bar, Findings, Setting, both, sized
from molgiae.plots import axes
from molgiae.training import Data, Run, train

PAPER_DIM, PAPER_RMSD = 256, 0.15
"""Numbers of the embedding of the paper and its mean RMSD, angstrom; it has every atom type right."""

SECTIONS = ("reconstruction", "linear_baseline", "invariance")


@dataclass(frozen=True)
class Config:
    """Sizes of the study."""

    dims: tuple[int, ...] = sized((PAPER_DIM, 64, 32), fast=(PAPER_DIM,))  # sizes of the embedding, D
    width: int = sized(384, fast=128)  # hidden features of a layer
    train_molecules: int | None = sized(40_000, fast=3000)  # most to learn from; None for all of the split
    test_molecules: int | None = sized(None, fast=300)  # most to measure on; None for all, as in the paper
    steps: int = sized(1500, fast=150)
    batch_size: int = sized(512, fast=128)  # conformers in a step
    learning_rate: float = 1e-3  # its peak
    distortion: float = 0.1  # of the training atoms, angstrom, see `TrainConfig`
    invariance_conformers: int = sized(500, fast=50)  # compared with copies of them, moved and reordered


CONFIG, FAST = both(Config)


def learn(dim: int, config: Config, data: Data, setting: Setting) -> Path:
    """Pretrain with embeddings of one size; return the checkpoint, which is kept beside the report."""
    model = ModelConfig(
        embedding_dim=dim, width=config.width, features_dim=0, shape_dim=0, atom_width=0, property_width=0
    )
    recipe = TrainConfig(
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        steps=config.steps,
        distortion=config.distortion,
        seed=setting.seed,
    )
    folder = setting.folder / f"dim-{dim}"
    run = Run(folder, device=setting.device, evaluate_every=config.steps, progress=setting.progress)
    train(data, model, recipe, run, resume=False)
    return folder / "model.safetensors"


def measure(checkpoint: Path, config: Config, setting: Setting) -> Report:
    """Evaluate on the test split."""
    settings = Settings(
        conformers=config.test_molecules,
        invariance_conformers=config.invariance_conformers,
        linear_train=config.train_molecules or Settings.linear_train,
        linear_dimensions=config.dims,
        dummies=False,
        seed=setting.seed,
    )
    return evaluate(
        setting.data,
        str(checkpoint),
        sections=SECTIONS,
        settings=settings,
        device=setting.device,
        progress=setting.progress,
    )


def row(report: Report, dim: int) -> dict[str, Any]:
    """Take from a report what the table needs."""
    own = report.figure("reconstruction")
    wanted = ("rmsd_mean", "rmsd_p50", "rmsd_p99", "rmsd_p100", "solved_rmsd_mean", "type_accuracy")
    return {
        "dim": dim,
        "test": report.about["conformers"],
        **{key: own[key] for key in (*wanted, "formula_accuracy")},
        "embedding_change_max": report.figure("invariance/change_max"),
        "principal_components": report.sections["linear_baseline"][str(dim)],
    }


def run(config: Config, setting: Setting) -> Findings:
    """Train and measure an autoencoder for every size of the embedding."""
    data = read_data([setting.data], setting.seed)
    data = replace(data, train=sample(data.train, config.train_molecules, setting.seed))
    rows, series = [], {}
    for dim in config.dims:
        report = measure(learn(dim, config, data, setting), config, setting)
        rows.append(row(report, dim))
        series[dim] = report.figure("reconstruction/series/rmsd")
    first, where = rows[0], f"with {config.dims[0]} numbers"
    bars = (
        Bar(f"mean RMSD as predicted {where}, angstrom", first["rmsd_mean"], PAPER_RMSD, at_least=False),
        Bar(f"atom types right {where}", first["type_accuracy"], 1.0),
    )
    figures = {
        "train": len(data.train),
        "table": rows,
        "paper": {"dim": PAPER_DIM, "rmsd": PAPER_RMSD, "type_accuracy": 1},
    }
    path = setting.folder / "rmsd.png"
    x, y = "RMSD as predicted (Å)", "test molecules within (%)"
    with axes(path, xlabel=x, ylabel=y, xscale="log") as drawn:
        for dim, found in series.items():
            share = np.arange(1, len(found) + 1) / len(found)
            drawn.plot(np.sort(found), 100 * share, label=f"{dim} numbers")
        drawn.axvline(PAPER_RMSD, color="grey", linestyle="--", label="mean of the paper, 256 numbers")
    return Findings(figures, bars, (path.name,))

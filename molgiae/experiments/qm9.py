"""QM9 under SE(3) x S_n (Section 5.3, Appendix E.2): the molecule pipeline on a small budget.

It calls what `molgiae pretrain` and `molgiae evaluate` call. Shrunk against the paper: a share of the training
molecules, minutes in place of a day on an accelerator, and only what the table of the paper needs: no shape part and
no network for properties.

With the 256 numbers of the paper the task is nearly empty: slots of 29 atoms are 261 numbers, and training starts at
their principal components. Smaller embeddings, beside principal components of as many numbers that are given the
elements, tell more. Those of `COMPACT` numbers and fewer learn from all molecules, less displaced, for longer. What
less than the paper's numbers decode to is refined, too (`molgiae.model.refined`), that of `COMPACT` numbers also from
where a denoising network says (`molgiae.experiments.qm9_compact`).

In these rows the group action is that of the bond graph. The row "learned" is the claim of the paper itself: vectors,
translation and scores of a network without bonds, trained together with eta and delta by reconstruction alone. With it
come the fine-tuning of its encoder (`molgiae.experiments.qm9_enthalpy`) and scans along which bonds break
(`molgiae.experiments.qm9_scans`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.evaluate import evaluate
from molgiae.commands.pretrain import read_data
from molgiae.config import ModelConfig, TrainConfig
from molgiae.data.npz import read_npz
from molgiae.evaluation.descriptors import sample
from molgiae.evaluation.report import Report
from molgiae.evaluation.sections import Settings
from molgiae.experiments import Bar, Findings, Setting, both, qm9_compact, qm9_enthalpy, qm9_scans, sized
from molgiae.model.embedder import Embedder
from molgiae.plots import axes
from molgiae.training import Data, Run, train

PAPER_DIM, PAPER_RMSD = 256, 0.15
"""Numbers of the embedding of the paper and its mean RMSD, angstrom; it has every atom type right."""

COMPACT, COMPACT_RMSD = 32, 0.25
"""Numbers of an embedding up to which it has a recipe of its own, as few of them are left for noise, and the mean RMSD
asked of a search that begins at samples, angstrom."""

LEARNED = "learned group action"
TYPES = (1.0, 0.999)
"""Share of types to reach, with the group action of the bond graph and with a learned one."""
VALIDATIONS = 16

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
    compact_steps: int = sized(20_000, fast=150)  # of embeddings of `COMPACT` numbers and fewer
    compact_width: int = sized(320, fast=64)
    compact_learning_rate: float = 4e-3
    compact_distortion: float = 0.02
    compact: qm9_compact.Config = sized(qm9_compact.CONFIG, fast=qm9_compact.FAST)  # noqa: RUF009
    refined_molecules: int = sized(500, fast=20)  # of those measured on, of which a search is made
    learned_width: int = sized(96, fast=16)  # features of an atom where the group action is learned
    learned_steps: int = sized(4000, fast=30)  # 0 leaves that row out
    learned_batch: int = sized(256, fast=16)
    learned_distortion: float = 0.05
    learned_type_weight: float = 3.0
    learned_learning_rate: float = 2e-3
    invariance_conformers: int = sized(500, fast=50)  # compared with copies of them, moved and reordered
    enthalpy: qm9_enthalpy.Config = sized(qm9_enthalpy.CONFIG, fast=qm9_enthalpy.FAST)  # noqa: RUF009
    scans: qm9_scans.Config = sized(qm9_scans.CONFIG, fast=qm9_scans.FAST)  # noqa: RUF009


CONFIG, FAST = both(Config)


def slots(dim: int, config: Config) -> tuple[ModelConfig, TrainConfig]:
    """Return network and recipe with embeddings of one size, the group action that of the bond graph."""
    model = ModelConfig(
        embedding_dim=dim, width=config.width, features_dim=0, shape_dim=0, atom_width=0, property_width=0
    )
    recipe = TrainConfig(batch_size=config.batch_size, steps=config.steps, distortion=config.distortion)
    if dim <= COMPACT:
        rate, steps = config.compact_learning_rate, config.compact_steps
        recipe = replace(recipe, steps=steps, distortion=config.compact_distortion, type_weight=1.0)
        return replace(model, width=config.compact_width), replace(recipe, learning_rate=rate)
    return model, replace(recipe, learning_rate=config.learning_rate)


def learned(config: Config) -> tuple[ModelConfig, TrainConfig]:
    """Return network and recipe with a learned group action, of the size of the paper."""
    model = ModelConfig("learned", embedding_dim=PAPER_DIM, width=config.learned_width)
    recipe = TrainConfig(
        batch_size=config.learned_batch,
        learning_rate=config.learned_learning_rate,
        steps=config.learned_steps,
        distortion=config.learned_distortion,
        type_weight=config.learned_type_weight,
        ema=0.998,
    )
    return model, recipe


def learn(name: str, how: tuple[ModelConfig, TrainConfig], data: Data, setting: Setting) -> Path:
    """Pretrain, or go on with it if it was cut off; return the checkpoint, which is kept beside the report."""
    model, recipe = how
    checkpoint, every = checkpoint_of(name, setting), max(recipe.steps // VALIDATIONS, 1)
    run = Run(checkpoint.parent, device=setting.device, evaluate_every=every, progress=setting.progress)
    train(data, model, replace(recipe, seed=setting.seed), run, resume=True)
    return checkpoint


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


def refined(checkpoint: Path, config: Config, setting: Setting) -> dict[str, float]:
    """Return the RMSD of some of the test molecules as predicted, refined."""
    block = sample(read_npz(setting.data, "test"), config.refined_molecules, setting.seed)
    embedder = Embedder(str(checkpoint), device=setting.device)
    return statistics("refined", embedder.embed(block, reconstruct=True, refine=True)["rmsd"].astype(float))


def searched(
    checkpoint: Path, data: Data, recipe: TrainConfig, config: Config, setting: Setting
) -> dict[str, float]:
    """Return the same of searches that begin where a denoising network says, which is trained for that."""
    network = qm9_compact.denoiser(checkpoint, data, recipe, config.compact, setting)
    block = sample(read_npz(setting.data, "test"), config.refined_molecules, setting.seed)
    return statistics("searched", qm9_compact.errors(checkpoint, network, block))


def statistics(name: str, rmsd: NDArray[np.float64]) -> dict[str, float]:
    """Return mean, median, 99th percentile and largest of RMSDs, angstrom."""
    found = {f"{name}_rmsd_p{p}": float(np.percentile(rmsd, p)) for p in (50, 99, 100)}
    return {f"{name}_rmsd_mean": float(rmsd.mean())} | found


def row(name: str, dim: int, report: Report) -> dict[str, Any]:
    """Take from a report what the table needs."""
    own = report.figure("reconstruction")
    wanted = ("rmsd_mean", "rmsd_p50", "rmsd_p99", "rmsd_p100", "solved_rmsd_mean", "type_accuracy")
    return {
        "name": name,
        "dim": dim,
        "test": report.about["conformers"],
        **{key: own[key] for key in (*wanted, "formula_accuracy")},
        "embedding_change_max": report.figure("invariance/change_max"),
        "principal_components": report.sections["linear_baseline"][str(dim)],
    }


def run(config: Config, setting: Setting) -> Findings:
    """Train and measure an autoencoder for every size of the embedding, and one whose group action is learned."""
    data = read_data([setting.data], setting.seed)
    some = replace(data, train=sample(data.train, config.train_molecules, setting.seed))
    kinds = {f"{dim} numbers": (slots(dim, config), data if dim <= COMPACT else some) for dim in config.dims}
    if config.learned_steps:
        kinds[LEARNED] = learned(config), data
    rows, series = [], {}
    for name, (how, taken) in kinds.items():
        checkpoint = learn(name, how, taken, setting)
        report = measure(checkpoint, config, setting)
        rows.append(row(name, how[0].embedding_dim, report))
        if how[0].embedding_dim < PAPER_DIM:
            rows[-1] |= refined(checkpoint, config, setting)
        if how[0].embedding_dim <= COMPACT:
            rows[-1] |= searched(checkpoint, taken, how[1], config, setting)
        series[name] = report.figure("reconstruction/series/rmsd")
    bars = tuple(
        bar
        for found in rows
        if found["dim"] == PAPER_DIM
        for bar in (
            Bar(
                f"mean RMSD as predicted, {found['name']}, angstrom",
                found["rmsd_mean"],
                PAPER_RMSD,
                at_least=False,
            ),
            Bar(
                f"atom types right, {found['name']}", found["type_accuracy"], TYPES[found["name"] == LEARNED]
            ),
        )
    )
    bars += tuple(
        Bar(
            f"mean RMSD of searches from samples, {found['name']}, angstrom",
            found["searched_rmsd_mean"],
            COMPACT_RMSD,
            at_least=False,
        )
        for found in rows
        if "searched_rmsd_mean" in found
    )
    figures = {
        "train": len(some.train),
        "table": rows,
        "paper": {"dim": PAPER_DIM, "rmsd": PAPER_RMSD, "type_accuracy": 1},
    }
    path = setting.folder / "rmsd.png"
    x, y = "RMSD as predicted (Å)", "test molecules within (%)"
    with axes(path, xlabel=x, ylabel=y, xscale="log") as drawn:
        for name, found in series.items():
            drawn.plot(np.sort(found), 100 * np.arange(1, len(found) + 1) / len(found), label=name)
        drawn.axvline(PAPER_RMSD, color="grey", linestyle="--", label="mean of the paper, 256 numbers")
    found = Findings(figures, bars, (path.name,))
    return joined(found, config, setting) if config.learned_steps else found


def joined(found: Findings, config: Config, setting: Setting) -> Findings:
    """Add what the learned group action is used for."""
    checkpoint = checkpoint_of(LEARNED, setting)
    figures, bars, pictures = dict(found.figures), found.bars, found.pictures
    for name, more in (
        ("enthalpy", qm9_enthalpy.study(checkpoint, config.enthalpy, setting)),
        ("scans", qm9_scans.study(checkpoint, config.scans, setting)),
    ):
        figures[name] = more.figures
        bars, pictures = bars + more.bars, pictures + more.pictures
    return Findings(figures, bars, pictures)


def checkpoint_of(name: str, setting: Setting) -> Path:
    """Return where the autoencoder of a row of the table is kept, beside the report."""
    return setting.folder / name.replace(" ", "-") / "model.safetensors"

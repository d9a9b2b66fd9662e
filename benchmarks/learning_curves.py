"""Scorecard C: what labels are worth, by mode of learning; one training set is a part of the next.

    python benchmarks/learning_curves.py qm9.npz -o curves
    python benchmarks/learning_curves.py qm9.npz --sizes 100 1000 --seeds 0 --modes scratch full -o quick

Results are kept in OUTPUT/results.json after each fit; what is there is not fitted again. The splits are those of the
file; of its validation molecules as many are used as make a quarter of the training molecules, so that few labels means
few. Seeds choose the training molecules, the order of the batches, and the random weights.
"""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from results import Results, markdown, ranged

from molgiae.commands.finetune import ROWS
from molgiae.config import FinetuneConfig, Mode
from molgiae.data.blocks import Result
from molgiae.evaluation.descriptors import soap
from molgiae.model import checkpoint
from molgiae.model.embedder import Embedder
from molgiae.plots import blank, saved
from molgiae.properties.baselines import baselines
from molgiae.properties.fitting import learn
from molgiae.properties.labels import Labelled, read_labelled
from molgiae.properties.references import fit_references
from molgiae.properties.scores import score
from molgiae.properties.splitting import Split
from molgiae.training import Run

Floats = NDArray[np.float64]

SIZES = ("100", "1000", "5%", "25%", "all")
KERNEL = "kernel ridge on "


@dataclass(frozen=True)
class Case:
    """Labels of so many training molecules, chosen by a seed."""

    size: str
    seed: int

    def split(self, labelled: Labelled) -> Split:
        """The training molecules of this case; validation in proportion; the whole test set."""
        assert labelled.split is not None
        train, validation, test = (np.flatnonzero(labelled.split == part) for part in range(3))
        rng = np.random.default_rng(self.seed)
        train, validation = rng.permutation(train), rng.permutation(validation)
        count = counted(self.size, len(train))
        return Split(np.sort(train[:count]), np.sort(validation[: max(count // 4, 10)]), test)


def counted(size: str, everything: int) -> int:
    """How many molecules "100", "5%" or "all" are."""
    if size == "all":
        return everything
    return round(everything * float(size[:-1]) / 100) if size.endswith("%") else int(size)


def main() -> None:
    """Fit what is missing, print the table, draw the curves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="QM9 npz file")
    parser.add_argument("--target", default="enthalpy")
    parser.add_argument("--model", default="qm9")
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--modes", nargs="*", default=get_args(Mode), choices=get_args(Mode))
    parser.add_argument("--no-kernels", action="store_true", help="leave out kernel ridge regression")
    parser.add_argument("--output", "-o", type=Path, default=Path("curves"))
    options = parser.parse_args()

    options.output.mkdir(parents=True, exist_ok=True)
    found = Results(options.output / "results.json")
    labelled = read_labelled(options.data, [options.target])
    pretrained = checkpoint.load(options.model)
    features = None if options.no_kernels else fixed_features(labelled, pretrained, options.output)
    for size in options.sizes:
        for seed in options.seeds:
            case = Case(size, seed)
            split = case.split(labelled)
            rows(found, case, labelled, split, features)
            for mode in options.modes:
                if not found.has(**asdict(case), row=ROWS[mode]):
                    fit(found, case, labelled, split, pretrained, mode, options.output / "fit")
    unit = labelled.targets[0].unit
    print(table(found, unit))
    draw(found, options.output / "curves.png", f"{labelled.targets[0].name}, MAE ({unit})")


def fixed_features(labelled: Labelled, pretrained: checkpoint.Checkpoint, folder: Path) -> dict[str, Floats]:
    """Embedding and SOAP of all conformers; SOAP is kept in a file, for it takes long."""
    result = Embedder(pretrained).embed(labelled.block)
    kept = folder / "soap.npy"
    if not kept.exists():
        np.save(kept, soap(Result(labelled.block, {})).astype(np.float32))
    return {"embedding": result["embedding"].astype(np.float64), "SOAP": np.load(kept).astype(np.float64)}


def rows(
    found: Results, case: Case, labelled: Labelled, split: Split, features: dict[str, Floats] | None
) -> None:
    """Mean, composition and kernel ridge regression."""
    names = ["mean", "composition", *(KERNEL + name for name in features or {})]
    if all(found.has(**asdict(case), row=name) for name in names):
        return
    train = labelled.take(split.train)
    reference = fit_references(train.block, train.values, labelled.targets)
    started = time.monotonic()
    truth = labelled.values[split.test]
    for row, values in baselines(labelled, split, reference, features or {}, seed=case.seed).items():
        name = row.split(" (")[0]  # without the number of rows that were used
        found.add(
            **asdict(case),
            row=name,
            mae=float(score(values, truth).mae[0]),
            training_molecules=len(split.train),
            seconds=round(time.monotonic() - started, 1),
        )


def fit(
    found: Results,
    case: Case,
    labelled: Labelled,
    split: Split,
    pretrained: checkpoint.Checkpoint,
    mode: Mode,
    folder: Path,
) -> None:
    """Learn in one mode, and note what came of it."""
    parts = [labelled.take(part) for part in split]
    shutil.rmtree(folder, ignore_errors=True)
    config = replace(FinetuneConfig(), mode=mode, seed=case.seed)
    learned = learn(parts[0], parts[1], pretrained, config, Run(folder))
    assert learned is not None
    value, std = learned.model.predict(parts[2].block)
    found.add(
        **asdict(case),
        row=ROWS[mode],
        mae=float(score(value, parts[2].values).mae[0]),
        training_molecules=len(split.train),
        seconds=round(learned.seconds, 1),
        steps=learned.step,
        within_uncertainty=float((np.abs(value - parts[2].values) <= std).mean()),
    )


def table(found: Results, unit: str) -> str:
    """Markdown: means over seeds and their range."""
    ordered = sorted(found.rows, key=lambda row: row["training_molecules"])
    sizes = list(dict.fromkeys(row["size"] for row in ordered))

    def cell(name: str, size: str) -> str:
        return ranged([row["mae"] for row in found.where(row=name, size=size)])

    rows = ([name, *(cell(name, size) for size in sizes)] for name in found.distinct("row"))
    return markdown([f"MAE, {unit}", *sizes], rows)


def draw(found: Results, path: Path, label: str) -> None:
    """Learning curves, a line for each row, a point for each seed."""
    figure = blank(6, 4.5)
    axes = figure.subplots()
    for name in found.distinct("row"):
        points = sorted((r["training_molecules"], r["mae"]) for r in found.where(row=name))
        x, y = np.array(points).T
        (dots,) = axes.plot(x, y, ".", markersize=4)
        distinct = np.unique(x)
        axes.plot(distinct, [y[x == v].mean() for v in distinct], color=dots.get_color(), label=name)
    axes.set(xscale="log", yscale="log", xlabel="training molecules", ylabel=label)
    axes.legend(fontsize=7, loc="upper right", bbox_to_anchor=(1, 0.94))
    axes.grid(alpha=0.3, which="both")
    saved(figure, path)


if __name__ == "__main__":
    main()

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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from results import Results, markdown, ranged

from molgiae.commands.finetune import ROWS, coverage
from molgiae.config import FinetuneConfig, Mode
from molgiae.data.blocks import Result
from molgiae.data.cheap_methods import METHODS
from molgiae.evaluation.descriptors import soap
from molgiae.model import checkpoint
from molgiae.model.embedder import DEVICES, Embedder, choose_device
from molgiae.plots import blank, saved
from molgiae.properties.baselines import baselines
from molgiae.properties.delta import with_baseline
from molgiae.properties.fitting import learn
from molgiae.properties.labels import Labelled, read_labelled
from molgiae.properties.references import fit_references
from molgiae.properties.scores import score
from molgiae.properties.splitting import Split
from molgiae.properties.targets import Target
from molgiae.training import Run

Floats = NDArray[np.float64]

SIZES = ("100", "1000", "5%", "25%", "all")
KERNEL = "kernel ridge on "
SIGMAS, STRENGTHS = (2.0, 5.0, 20.0), (1e-9, 1e-7, 1e-5)
"""Widths and strengths of the kernel of FCHL19 that are tried."""


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
    parser.add_argument("--target", nargs="+", default=["enthalpy"], help="several are learned together")
    parser.add_argument("--model", default="qm9")
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--modes", nargs="*", default=get_args(Mode), choices=get_args(Mode))
    parser.add_argument("--baseline", choices=METHODS, help="learn the difference to this, too")
    parser.add_argument("--epochs", type=int, help="in place of what fine-tuning takes by itself")
    parser.add_argument("--ensemble", type=int, default=1, help="networks whose mean is taken")
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--no-kernels", action="store_true", help="leave out kernel ridge regression")
    parser.add_argument("--fchl", action="store_true", help="kernel ridge on FCHL19 by qmllib, too")
    parser.add_argument("--output", "-o", type=Path, default=Path("curves"))
    options = parser.parse_args()

    options.output.mkdir(parents=True, exist_ok=True)
    found = Results(options.output / "results.json")
    labelled = read_labelled(options.data, options.target)
    pretrained = checkpoint.load(options.model)
    features = {} if options.no_kernels else fixed_features(labelled, pretrained, options.output)
    recipe = FinetuneConfig(ensemble=options.ensemble, epochs=options.epochs)
    learner = Learner(
        found, labelled, pretrained, recipe, options.output / "fit", choose_device(options.device)
    )
    for size in options.sizes:
        for seed in options.seeds:
            case = Case(size, seed)
            rows(found, case, labelled, features)
            if options.fchl:
                fchl_row(found, case, labelled)
            for mode in options.modes:
                learner.fit(case, mode)
            if options.baseline:
                learner.fit(case, "full", options.baseline)
    for target in labelled.targets:
        print(table(found, target))
        draw(found, options.output / f"{target.symbol}.png", target)


def fixed_features(labelled: Labelled, pretrained: checkpoint.Checkpoint, folder: Path) -> dict[str, Floats]:
    """Features part and SOAP of all conformers; SOAP is kept in a file, for it takes long."""
    result = Embedder(pretrained, parts="features").embed(labelled.block)
    kept = folder / "soap.npy"
    if not kept.exists():
        np.save(kept, soap(Result(labelled.block, {})).astype(np.float32))
    return {"features": result["embedding"].astype(np.float64), "SOAP": np.load(kept).astype(np.float64)}


def add(
    found: Results, case: Case, row: str, labelled: Labelled, values: Floats, train: int, **more: Any
) -> None:
    """Keep the mean absolute error of each target on the test set (K, T)."""
    for target, mae in zip(labelled.targets, score(values, labelled.values).mae, strict=True):
        found.add(
            **asdict(case), row=row, target=target.symbol, mae=float(mae), training_molecules=train, **more
        )


def rows(found: Results, case: Case, labelled: Labelled, features: dict[str, Floats]) -> None:
    """Mean, composition and kernel ridge regression."""
    names = ["mean", "composition", *(KERNEL + name for name in features)]
    symbol = labelled.targets[-1].symbol
    if all(found.has(**asdict(case), row=name, target=symbol) for name in names):
        return
    split = case.split(labelled)
    train, test = labelled.take(split.train), labelled.take(split.test)
    reference = fit_references(train.block, train.values, labelled.targets)
    for row, values in baselines(labelled, split, reference, features, seed=case.seed).items():
        name = row.split(" (")[0]  # without the number of rows that were used
        add(found, case, name, test, values, len(train))


def fchl_row(found: Results, case: Case, labelled: Labelled) -> None:
    """Kernel ridge regression on FCHL19 (Christensen et al., J. Chem. Phys. 152, 044107, 2020), a kernel of atoms.

    Width and strength are chosen on the validation molecules.
    """
    from qmllib.kernels import get_local_kernel, get_local_symmetric_kernel  # noqa: PLC0415
    from qmllib.representations import generate_fchl19  # noqa: PLC0415

    name = KERNEL + "FCHL19"
    if found.has(**asdict(case), row=name, target=labelled.targets[-1].symbol):
        return
    parts = [labelled.take(part) for part in case.split(labelled)]
    elements = np.unique(labelled.block.atomic_number).tolist()
    largest = int(labelled.block.n_atoms.max())
    arrays = [
        np.array(
            [
                generate_fchl19(c.atomic_number.astype(int), c.position, elements=elements, pad=largest)
                for c in part.block
            ]
        )
        for part in parts
    ]
    numbers = [[c.atomic_number.astype(int) for c in part.block] for part in parts]
    reference = fit_references(parts[0].block, parts[0].values, labelled.targets)
    goal, wanted = (part.values - reference.of(part.block) for part in parts[:2])
    best, chosen = np.inf, None
    for sigma in SIGMAS:
        kernel = get_local_symmetric_kernel(arrays[0], numbers[0], sigma)
        across = get_local_kernel(arrays[0], arrays[1], numbers[0], numbers[1], sigma)
        for strength in STRENGTHS:
            weights = np.linalg.solve(kernel + strength * np.eye(len(kernel)), goal)
            error = float(np.abs(across @ weights - wanted).mean())
            if error < best:
                best, chosen = error, (sigma, weights)
    assert chosen is not None
    across = get_local_kernel(arrays[0], arrays[2], numbers[0], numbers[2], chosen[0])
    add(found, case, name, parts[2], across @ chosen[1] + reference.of(parts[2].block), len(goal))


@dataclass(frozen=True, eq=False)
class Learner:
    """What fits networks, and notes what came of it."""

    found: Results
    labelled: Labelled
    pretrained: checkpoint.Checkpoint
    recipe: FinetuneConfig
    folder: Path
    device: str

    def fit(self, case: Case, mode: Mode, baseline: str = "") -> None:
        """Learn in one mode, perhaps the difference to a cheap method, unless it was done."""
        row = ROWS[mode] + (f", difference to {baseline}" if baseline else "")
        row += f", {self.recipe.ensemble} networks" if self.recipe.ensemble > 1 else ""
        row += f", {self.recipe.epochs} epochs" if self.recipe.epochs else ""
        if self.found.has(**asdict(case), row=row, target=self.labelled.targets[-1].symbol):
            return
        parts = [self.labelled.take(part) for part in case.split(self.labelled)]
        if baseline:
            parts = [with_baseline(part, baseline) for part in parts]
        shutil.rmtree(self.folder, ignore_errors=True)
        config = replace(self.recipe, mode=mode, seed=case.seed)
        learned = learn(parts[0], parts[1], self.pretrained, config, Run(self.folder, self.device))
        assert learned is not None
        value, std, wide, _ = learned.model.predict(parts[2].block, parts[2].cheap)
        covered = coverage(parts[2].values, value, std, wide)
        add(
            self.found,
            case,
            row,
            parts[2],
            value,
            len(parts[0]),
            seconds=round(learned.seconds, 1),
            steps=learned.step,
            within_std=covered[0][0],
            within_95=covered[0][1],
        )


def table(found: Results, target: Target) -> str:
    """Markdown: means over seeds and their range."""
    own = found.where(target=target.symbol)
    ordered = sorted(own, key=lambda row: row["training_molecules"])
    sizes = list(dict.fromkeys(row["size"] for row in ordered))

    def cell(name: str, size: str) -> str:
        return ranged([row["mae"] for row in found.where(row=name, size=size, target=target.symbol)])

    names = list(dict.fromkeys(row["row"] for row in own))
    return markdown(
        [f"{target.heading}, MAE", *sizes], ([n, *(cell(n, size) for size in sizes)] for n in names)
    )


def draw(found: Results, path: Path, target: Target) -> None:
    """Learning curves, a line for each row, a point for each seed."""
    figure = blank(6, 4.5)
    axes = figure.subplots()
    own = found.where(target=target.symbol)
    for name in dict.fromkeys(row["row"] for row in own):
        points = sorted((r["training_molecules"], r["mae"]) for r in own if r["row"] == name)
        x, y = np.array(points).T
        (dots,) = axes.plot(x, y, ".", markersize=4)
        distinct = np.unique(x)
        axes.plot(distinct, [y[x == v].mean() for v in distinct], color=dots.get_color(), label=name)
    axes.set(
        xscale="log", yscale="log", xlabel="training molecules", ylabel=f"{target.name}, MAE ({target.unit})"
    )
    axes.legend(fontsize=7, loc="upper right", bbox_to_anchor=(1, 0.94))
    axes.grid(alpha=0.3, which="both")
    saved(figure, path)


if __name__ == "__main__":
    main()

"""Learning from measurements: the aqueous solubility of 1 128 compounds (Delaney 2004), beside what chemists use.

    python benchmarks/esol.py esol.csv -o esol
    python benchmarks/esol.py esol.csv -o esol --splits random scaffold --chemprop venv/bin/python
    python benchmarks/esol.py esol.csv -o quick --seeds 0 --rows mean descriptors finetune

The table has the columns title, smiles and log_solubility. Conformers are made by molgiae and kept in
OUTPUT/conformers.sdf; molecules that get none are named, and are in no row. Test sets are a fifth of the molecules;
a ninth of the others is the validation set of the methods that need one to choose by or to stop at, and belongs to the
training set of those that do not, and of forests once they have chosen. Copies of a molecule stay together. Figures are
kept in OUTPUT/results.json after each fit; what is there is not fitted again. Morgan counts and descriptors are made by
RDKit of the SMILES; chemprop learns from the SMILES, with its defaults, in an environment of its own.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import Descriptors, rdFingerprintGenerator
from results import Results, markdown, ranged
from sklearn.ensemble import RandomForestRegressor

from molgiae.commands.conformers import generate_conformers
from molgiae.commands.finetune import finetune
from molgiae.config import FinetuneConfig
from molgiae.data.blocks import Result
from molgiae.evaluation.descriptors import soap
from molgiae.model import checkpoint
from molgiae.model.domain import accepted
from molgiae.model.embedder import Embedder
from molgiae.plots import blank, saved
from molgiae.properties.kernels import kernel_ridge
from molgiae.properties.labels import Labelled, read_labelled
from molgiae.properties.references import Kind, fit_references
from molgiae.properties.scores import score
from molgiae.properties.splitting import By, Split, make_split

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TARGET = "log_solubility"
NUMBER, KEEP = 10, 4
"""Embeddings tried for a molecule, and most of its conformers that are kept."""
SHARES = 0.8 * 8 / 9, 0.8 / 9, 0.2
"""Of training, validation and test."""
SPLITS: dict[str, By] = {"random": "molecule", "scaffold": "scaffold"}
NETWORKS = 3
"""Of the row with several."""
TREES = 300
MAX_FEATURES: tuple[float | str, ...] = 1.0, 0.33, "sqrt"
"""Shares of the features that are tried at each branch of a forest."""
RADIUS, BITS = 2, 2048
EPOCHS = "50"
"""Of chemprop, its default."""
WORDS = "train", "val", "test"


@dataclass(frozen=True, eq=False)
class Molecules:
    """N molecules with a value and conformers of which the model takes all.

    Attributes:
        labelled: M conformers, those of a molecule together, the lowest in energy first.
        first: (N,) the first conformer of each molecule.
        smiles: of each molecule.
        model: what the features are of.
    """

    labelled: Labelled
    first: Ints
    smiles: tuple[str, ...]
    model: checkpoint.Checkpoint

    @property
    def titles(self) -> list[str]:
        """N names."""
        return [self.labelled.block.title[m] for m in self.first.tolist()]

    @cached_property
    def values(self) -> Floats:
        """(N,) what is to be learned."""
        return self.labelled.values[self.first, 0]

    @cached_property
    def lowest(self) -> Labelled:
        """A conformer of each molecule."""
        return self.labelled.take(self.first)

    @cached_property
    def morgan(self) -> Floats:
        """(N, 2048) hashed counts of the environments of atoms."""
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
        counts = [generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in self.smiles]
        return np.array(counts, np.float64)

    @cached_property
    def descriptors(self) -> Floats:
        """(N, F) all of RDKit's descriptors of the graph, 0 where there is no number, within float32."""
        rows = [list(Descriptors.CalcMolDescriptors(Chem.MolFromSmiles(s)).values()) for s in self.smiles]
        largest = float(np.finfo(np.float32).max)
        return np.clip(np.nan_to_num(np.array(rows, np.float64)), -largest, largest)

    @cached_property
    def soap(self) -> Floats:
        """(N, F) averaged over atoms, then conformers."""
        return self._mean(soap(Result(self.labelled.block, {})))

    @cached_property
    def features(self) -> Floats:
        """(N, F) the features part of the embedding, averaged over conformers."""
        embedded = Embedder(self.model, parts="features").embed(self.labelled.block)
        return self._mean(embedded["embedding"].astype(np.float64))

    def _mean(self, values: Floats) -> Floats:
        counts = np.diff([*self.first, len(values)])
        return np.add.reduceat(values, self.first) / counts[:, None]


@dataclass(frozen=True, eq=False)
class Case:
    """Molecules divided, and where what is made of them is kept."""

    molecules: Molecules
    splits: str
    seed: int
    split: Split
    folder: Path
    chemprop: Path | None

    @property
    def known(self) -> Ints:
        """Molecules for training and validation."""
        return np.sort(np.concatenate([self.split.train, self.split.validation]))

    def fresh(self, name: str) -> Path:
        """Return where a fit of this name goes, empty."""
        path = self.folder / "fits" / f"{name}_{self.splits}_{self.seed}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def table(self, folder: Path) -> Path:
        """Write title, SMILES, value and set of each molecule."""
        words = np.empty(len(self.molecules.smiles), dtype=object)
        for word, rows in zip(WORDS, self.split, strict=True):
            words[rows] = word
        path = folder / "split.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["title", "smiles", TARGET, "split"])
            writer.writerows(
                zip(self.molecules.titles, self.molecules.smiles, self.molecules.values, words, strict=True)
            )
        return path

    def structures(self, number: int) -> Path:
        """Write so many of the lowest conformers of each molecule as they stand in conformers.sdf."""
        path = self.folder / f"lowest_{number}.sdf"
        block = self.molecules.labelled.block
        records = (self.folder / "conformers.sdf").read_text().split("$$$$\n")
        ends = [*self.molecules.first[1:].tolist(), len(block)]
        chosen = [
            m
            for start, end in zip(self.molecules.first.tolist(), ends, strict=True)
            for m in range(start, min(start + number, end))
        ]
        path.write_text("".join(records[int(block.record[m]) - 1] + "$$$$\n" for m in chosen))
        return path


def simple(kind: Kind, case: Case) -> Floats:
    """Predict by the mean, or least squares on composition."""
    train, test = (case.molecules.lowest.take(rows) for rows in (case.known, case.split.test))
    return fit_references(train.block, train.values, train.targets, kind).of(test.block)[:, 0]


def forest(what: str, case: Case) -> Floats:
    """Predict by a random forest that chooses on validation how many features it tries."""
    features, values = getattr(case.molecules, what), case.molecules.values
    train, validation, test = case.split

    def fitted(rows: Ints, share: float | str) -> RandomForestRegressor:
        model = RandomForestRegressor(TREES, max_features=share, random_state=case.seed)
        return model.fit(features[rows], values[rows])

    def error(share: float | str) -> float:
        predicted = fitted(train, share).predict(features[validation])
        return float(np.square(predicted - values[validation]).mean())

    return fitted(case.known, min(MAX_FEATURES, key=error)).predict(features[test])


def kernel(what: str, case: Case) -> Floats:
    """Predict by kernel ridge regression, chosen in cross-validation without the test set."""
    features, values = getattr(case.molecules, what), case.molecules.values
    return kernel_ridge(
        features[case.known], values[case.known], None, features[case.split.test], seed=case.seed
    )


def graphs(case: Case) -> Floats:
    """Predict by chemprop: messages along bonds (Yang et al. 2019; Heid et al. 2024), its defaults."""
    assert case.chemprop is not None
    folder = case.fresh("chemprop")
    table = case.table(folder)
    command = f"train --task-type regression --smiles-columns smiles --splits-column split --epochs {EPOCHS}"
    paths = ["--target-columns", TARGET, "--data-path", str(table), "--output-dir", str(folder)]
    seed = ["--pytorch-seed", str(case.seed)]
    with (folder / "output.txt").open("w") as output:
        subprocess.run(
            [str(case.chemprop.with_name("chemprop")), *command.split(), *paths, *seed],
            check=True,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with (folder / "model_0" / "test_predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [case.molecules.smiles[m] for m in case.split.test.tolist()]
    assert [row["smiles"] for row in rows] == expected, "chemprop has another order of molecules"
    return np.array([float(row[TARGET]) for row in rows])


def learned(recipe: dict[str, Any], conformers: int, case: Case) -> Floats:
    """Predict by `molgiae finetune`, by default but for some fields of the recipe; of conformers the mean is taken."""
    folder = case.fresh("_".join(["finetune", *map(str, recipe.values())]))
    finetune(
        case.structures(conformers),
        folder / "model",
        config=replace(FinetuneConfig(), seed=case.seed, **recipe),
        model=case.molecules.model.name,
        target_columns=[TARGET],
        table=case.table(folder),
        split_column="split",
    )
    found: dict[str, list[float]] = {}
    with (folder / "model" / "test.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["title"], []).append(float(row[f"{TARGET}, predicted"]))
    titles = case.molecules.titles
    return np.array([np.mean(found[titles[m]]) for m in case.split.test.tolist()])


ROWS: dict[str, tuple[str, Callable[[Case], Floats]]] = {
    "mean": ("mean", partial(simple, "mean")),
    "composition": ("composition, least squares", partial(simple, "composition")),
    "morgan": ("random forest on Morgan counts", partial(forest, "morgan")),
    "descriptors": ("random forest on RDKit descriptors", partial(forest, "descriptors")),
    "soap": ("kernel ridge on SOAP, averaged", partial(kernel, "soap")),
    "features": ("kernel ridge on the features part", partial(kernel, "features")),
    "chemprop": ("chemprop", graphs),
    "frozen": ("frozen, head trained", partial(learned, {"mode": "frozen"}, 1)),
    "finetune": ("fine-tuned", partial(learned, {}, 1)),
    "ensemble": (f"fine-tuned, {NETWORKS} networks", partial(learned, {"ensemble": NETWORKS}, 1)),
    "pooled": (f"fine-tuned, mean of {KEEP} conformers", partial(learned, {"pooling": "mean"}, KEEP)),
}
"""Word on the command line to name in the table, and what predicts the values of the test set."""
JUDGED = "finetune"


def main() -> None:
    """Make conformers, fit what is missing, print the table, draw it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="CSV file")
    parser.add_argument("--model", default="drug")
    parser.add_argument("--splits", nargs="+", default=["random"], choices=SPLITS)
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5))
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument(
        "--chemprop", type=Path, help="Python that has chemprop; without it there is no such row"
    )
    parser.add_argument("--jobs", type=int, help="processes that make conformers")
    parser.add_argument("--output", "-o", type=Path, default=Path("esol"))
    options = parser.parse_args()

    options.output.mkdir(parents=True, exist_ok=True)
    found = Results(options.output / "results.json")
    molecules = read(options.data, options.output, options.model, options.jobs)
    wanted = [word for word in options.rows if word != "chemprop" or options.chemprop]
    for splits in options.splits:
        for seed in options.seeds:
            split = make_split(molecules.lowest, SPLITS[splits], SHARES, seed)
            case = Case(molecules, splits, seed, split, options.output, options.chemprop)
            for word in wanted:
                fit(found, case, word)
    print(table(found))
    draw(found, options.output / "esol.png")


def read(data: Path, folder: Path, model: str, jobs: int | None) -> Molecules:
    """Read molecules with their conformers, which are made if they are not there; name those that are left out."""
    path = folder / "conformers.sdf"
    if not path.exists():
        made = generate_conformers(
            data, path, number=NUMBER, keep=KEEP, jobs=jobs, resume=True, progress=True
        )
        print(f"{made.conformers} conformers of {made.written} of {made.molecules} molecules")
    with data.open(newline="") as file:
        smiles = {row["title"]: row["smiles"] for row in csv.DictReader(file)}
    pretrained = checkpoint.load(model)
    labelled = read_labelled(path, target_columns=[TARGET], table=data)
    without = smiles.keys() - set(labelled.block.title)
    report(without, len(smiles), "have no conformers")
    taken = accepted(pretrained.model.config, labelled.block)
    beyond = {labelled.block.title[m] for m in np.flatnonzero(~taken).tolist()}
    report(beyond, len(smiles), f"are beyond the model {model}")
    kept = np.array([title not in beyond for title in labelled.block.title])
    labelled = labelled.take(np.flatnonzero(kept))
    titles, first = np.unique(labelled.block.title, return_index=True)
    order = np.argsort(first)
    return Molecules(
        labelled, first[order].astype(np.int64), tuple(smiles[t] for t in titles[order]), pretrained
    )


def report(titles: set[str], count: int, why: str) -> None:
    """Name molecules that are in no row."""
    if titles:
        print(f"{len(titles)} of {count} molecules {why} and are left out: {', '.join(sorted(titles))}")


def fit(found: Results, case: Case, word: str) -> None:
    """Predict, score and keep, with the CPU time of it and what it starts, unless that was done."""
    name, predict = ROWS[word]
    key = {"splits": case.splits, "seed": case.seed, "row": name}
    if found.has(**key):
        return
    started = sum(os.times()[:4])
    predicted = predict(case)
    seconds = sum(os.times()[:4]) - started
    scores = score(predicted[:, None], case.molecules.values[case.split.test, None])
    found.add(
        **key,
        rmse=float(scores.rmse[0]),
        mae=float(scores.mae[0]),
        molecules=[len(rows) for rows in case.split],
        cpu_seconds=round(seconds, 1),
    )


def table(found: Results) -> str:
    """Return means over splits and their range, and on how many splits the fine-tuned model has the lower RMSE."""
    rows = []
    own, *_ = ROWS[JUDGED]
    for splits in found.distinct("splits"):
        best = {row["seed"]: row["rmse"] for row in found.where(splits=splits, row=own)}
        for name in found.distinct("row"):
            mine = found.where(splits=splits, row=name)
            both = [row["rmse"] > best[row["seed"]] for row in mine if row["seed"] in best]
            better = f"{sum(both)} of {len(both)}" if both and name != own else ""
            figures = [ranged([row[what] for row in mine], digits) for what, digits in FIGURES.items()]
            if mine:
                rows.append([splits, name, *figures, better])
    return markdown(["splits", "row", "RMSE, log mol/l", "MAE", "CPU seconds", f"{own} is better on"], rows)


FIGURES = {"rmse": 3, "mae": 3, "cpu_seconds": 0}
"""Columns of the table, and their digits."""


def draw(found: Results, path: Path) -> None:
    """Draw the RMSE of every row on every split, a panel for each kind of splits."""
    kinds = found.distinct("splits")
    names = found.distinct("row")[::-1]
    figure = blank(3.5 + 2.5 * len(kinds), 0.5 + 0.35 * len(names))
    panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, splits in zip(panels, kinds, strict=True):
        for place, name in enumerate(names):
            errors = [row["rmse"] for row in found.where(splits=splits, row=name)]
            axes.plot(errors, [place] * len(errors), ".", alpha=0.6)
            if errors:
                axes.plot(np.mean(errors), place, "k|", markersize=12)
        axes.set(xlabel=f"RMSE, log mol/l, {splits} splits", yticks=range(len(names)), yticklabels=names)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    saved(figure, path)


if __name__ == "__main__":
    main()

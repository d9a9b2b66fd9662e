"""Learning properties from files: read, split, refer to atoms, fit, compare with baselines, keep."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from molgiae import __version__
from molgiae.config import AUTO_MODEL, TEMPERATURE, FinetuneConfig
from molgiae.data.csv_cells import CsvWriter
from molgiae.data.inputs import listed
from molgiae.data.readers import Inputs
from molgiae.errors import ConfigError
from molgiae.model import checkpoint
from molgiae.model.covered import measure_domain
from molgiae.model.embedder import Embedder, choose_device
from molgiae.model.header import sha256_of
from molgiae.output.files import write_rejected
from molgiae.parallel import ranks
from molgiae.properties.averaging import BOLTZMANN, Energies
from molgiae.properties.baselines import baselines
from molgiae.properties.delta import with_baseline
from molgiae.properties.fitting import Learned, learn
from molgiae.properties.labels import Labelled, read_labelled
from molgiae.properties.predictor import FILE, Predicted, save
from molgiae.properties.references import Kind
from molgiae.properties.scores import ScoreTable, class_plot, compare, parity_plot
from molgiae.properties.sets import Sets
from molgiae.properties.splitting import SHARES, By, Split, make_split
from molgiae.training.loop import Run

Floats = NDArray[np.float64]

ROWS = {"full": "fine-tuned", "frozen": "frozen, head trained", "scratch": "from scratch"}
"""Name of the model in the table, by the mode in which it learned."""

COMPOSITION = "composition"
"""Baseline that is no cheap method: `molgiae.properties.references` alone."""


@dataclass(frozen=True)
class Outcome:
    """What a run of finetune came to.

    Attributes:
        directory: where it is kept.
        complete: false if it was ended by its time limit and waits to be resumed; there is no table then, nor in any
            but the first of several processes.
        table: scores on the test set, of the model and of the baselines.
        coverage: for each target that is a number the parts of the test values within the two half-widths of
            uncertainty.
        labelled: what was read.
        notes: what is to be said besides, a line each.
    """

    directory: Path
    complete: bool
    table: ScoreTable | None
    coverage: dict[str, tuple[float, ...]]
    labelled: Labelled
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "directory": str(self.directory),
            "complete": self.complete,
            "table": self.table and self.table.to_dict(),
            "coverage": {
                name: {"within_std": one, "within_95": two} for name, (one, two) in self.coverage.items()
            },
            "conformers": len(self.labelled),
            "without_value": len(self.labelled.missing),
            "rejected": len(self.labelled.block.rejected),
            "notes": list(self.notes),
        }


@ranks.among_ranks
def finetune(
    inputs: Inputs,
    directory: str | os.PathLike[str],
    targets: tuple[str, ...] | list[str] = (),
    *,
    config: FinetuneConfig | None = None,
    model: str = AUTO_MODEL,
    by: By | None = None,
    shares: tuple[float, ...] = SHARES,
    references: Kind = "auto",
    baseline: str = "composition",
    energy: str | None = None,
    energy_unit: str | None = None,
    device: str = "auto",
    stop_after: float | None = None,
    resume: bool = False,
    progress: bool = False,
    **reading: Any,
) -> Outcome:
    """Learn properties and write the model, its scores and a parity plot to a directory.

    Args:
        inputs: SDF, XYZ or HDF5 files, or one npz file, see `molgiae.properties.labels.read_labelled`.
        directory: gets ``model.safetensors``, ``report.json``, ``test.csv`` (predictions for the test set),
            ``parity.png`` and, of classes, ``classes.png``, ``metrics.csv``, ``missing.csv`` if there is something to
            list, and ``last.pt``.
        targets: known ones, by name, symbol or alias.
        config: the recipe.
        model: autoencoder whose network of atoms is the start; its embedding and the features part of that are
            baselines. "auto" for the shipped one that fits best.
        by: how to split, see `molgiae.properties.splitting.make_split`.
        shares: of training, validation and test.
        references: what is taken off before learning, see `molgiae.properties.references`.
        baseline: "composition", or a cheap method, a name in `molgiae.data.cheap_methods.METHODS`, of which the
            difference is learned.
        energy: property of the records that holds the energies by which conformers of a molecule are weighed, where
            the pooling of the recipe is "boltzmann".
        energy_unit: of that property.
        device: "auto", "cpu" or "cuda".
        stop_after: seconds of learning after which to save and end, to be resumed.
        resume: continue the run in the directory, if there is one.
        progress: show bars on stderr.
        reading: further arguments of `read_labelled`.

    Raises:
        ConfigError: the directory holds a run and `resume` is false, or the data cannot be learned from.
        CheckpointError: the model has no network of atoms, or the run to resume was made with other settings.
        MolgiaeError: the inputs cannot be read.

    Examples:
        >>> from molgiae.config import FinetuneConfig
        >>> config = FinetuneConfig(epochs=1)  # for a first try
        >>> where = {"target_columns": ["energy"], "model": "mine.safetensors"}
        >>> molgiae.finetune("measured.xyz", "energy", config=config, **where).complete
        True
    """
    config = config or FinetuneConfig()
    progress = progress and ranks.is_first()
    run = Run(Path(directory), choose_device(device), stop_after=stop_after, progress=progress)
    run.check_free(resume, FILE)
    labelled = read_labelled(inputs, targets, keep_text=baseline != COMPOSITION, **reading)
    if baseline != COMPOSITION:
        read = labelled
        labelled = ranks.of_first(lambda: with_baseline(read, baseline, progress=progress))
    if config.pooling == "boltzmann" or energy is not None:
        labelled = _with_energies(labelled, config.pooling, energy, energy_unit)
    pretrained = checkpoint.load(model)
    split = make_split(labelled, by, shares, config.seed)
    run.directory.mkdir(parents=True, exist_ok=True)
    unusable = [*labelled.block.rejected, *labelled.missing, *labelled.gaps]
    if unusable and ranks.is_first():
        write_rejected(run.directory / "missing.csv", unusable)
    train, validation, _ = (labelled.take(rows) for rows in split)
    identity = _identity(labelled, split, pretrained.sha256)
    learned = learn(train, validation, pretrained, config, run, references, identity, resume)
    if learned is None:
        return Outcome(run.directory, False, None, {}, labelled, labelled.notes)
    table, covered, notes = _judged(learned, labelled, split, pretrained, config, run)
    outcome = Outcome(run.directory, True, table, covered, labelled, (*labelled.notes, *notes))
    files = [Path(name) for name in listed(inputs)]
    start = {"name": pretrained.name, "sha256": pretrained.sha256}
    scores = table.to_dict()
    provenance = {
        "molgiae": __version__,
        "torch": torch.__version__,
        "data": [path.name for path in files],
        "data_sha256": {path.name: sha256_of(path) for path in files if path.is_file()},
        "pretrained": None if config.mode == "scratch" else start,
        "training": config.to_dict(),
        "baseline": baseline,
        "weighed_by": {"energy": energy, "energy_unit": energy_unit},
        "conformers": scores["sizes"],
        "step": learned.step,
        "seconds": round(learned.seconds),
        "device": run.device,
        "test": scores,
        "coverage": covered,
    }
    save(run.directory / FILE, learned.model.cpu(), measure_domain(train.block), provenance)
    report = json.dumps(outcome.to_dict(), indent=1) + "\n"
    (run.directory / "report.json").write_text(report, encoding="utf-8")
    return outcome


def _judged(
    learned: Learned,
    labelled: Labelled,
    split: Split,
    pretrained: checkpoint.Checkpoint,
    config: FinetuneConfig,
    run: Run,
) -> tuple[ScoreTable, dict[str, tuple[float, ...]], list[str]]:
    """Compare a model with the baselines on the test set; write ``test.csv`` and plots.

    Returns:
        the table, the coverage of each target as of `Outcome`, and what is to be said besides.
    """
    test, scale = labelled.take(split.test), learned.model.scale
    found = learned.model.predict(test.block, test.cheap)
    features, notes = _embeddings(pretrained, labelled)
    rows = baselines(labelled, split, scale.references, features, seed=config.seed)
    own, explained = ROWS[config.mode], scale.references.of(test.block)
    # what is pooled is compared by molecules
    sets = Sets.of(test, scale.pooling)
    truth, explained = sets.values(test.values), sets.mean(explained)
    value, std, wide = (sets.weighed(part, found.score) for part in found[:3])
    rows = {name: sets.mean(prediction) for name, prediction in rows.items()}
    sizes = len(split.train), len(split.validation), len(split.test)
    table = compare(truth, {**rows, own: value}, labelled.targets, sizes, own, explained)
    covered = {
        target.name: pair
        for target, pair in zip(labelled.targets, coverage(truth, value, std, wide), strict=True)
        if not target.binary
    }
    if learned.model.kernel is not None:
        shares = zip(labelled.targets, learned.model.kernel.shares().tolist(), strict=True)
        notes = notes + [
            f"{target.name}: {share:.0%} of the prediction is that of kernel ridge regression on what the pretrained "
            "network reads (--no-kernel leaves it out)"
            for target, share in shares
            if share
        ]
    _write_test(run.directory / "test.csv", test, found)
    classes = [target for target in labelled.targets if target.binary]
    numbers = [target for target in labelled.targets if not target.binary]
    if find_spec("matplotlib") and numbers:
        x, y, width, known = (part[:, ~scale.binary] for part in (truth, value, std, explained))
        parity_plot(run.directory / "parity.png", x, y, numbers, width, known)
    if find_spec("matplotlib") and classes:
        x, y = (part[:, scale.binary] for part in (truth, value))
        class_plot(run.directory / "classes.png", x, y, classes)
    return table, covered, notes


def _with_energies(labelled: Labelled, pooling: str, energy: str | None, unit: str | None) -> Labelled:
    """Return conformers with the scores whose softmax are Boltzmann weights; those without an energy are listed."""
    if pooling != "boltzmann" or energy is None:
        raise ConfigError("--energy and --pooling boltzmann go together: one names what the other weighs by")
    energies = Energies.choose(labelled.targets, energy, unit)
    faults = {m: fault for m, c in enumerate(labelled.block) if (fault := energies.fault(c))}
    lost = [labelled.block.rejection(m, fault) for m, fault in faults.items()]
    found = labelled.take(np.setdiff1d(np.arange(len(labelled)), list(faults)))
    scores = -energies.of(found.block, found.values) / (BOLTZMANN * TEMPERATURE)
    return replace(found, scores=scores, missing=(*labelled.missing, *lost))


def coverage(truth: Floats, value: Floats, *widths: Floats) -> list[tuple[float, ...]]:
    """Return for each target the parts of the values that are within each of some half-widths of uncertainty."""
    error = np.abs(truth - value)
    known = np.isfinite(error)
    return [
        tuple(float((error[k, t] <= width[k, t]).mean()) for width in widths) for t, k in enumerate(known.T)
    ]


def _embeddings(pretrained: checkpoint.Checkpoint, labelled: Labelled) -> tuple[dict[str, Floats], list[str]]:
    """Return the embedding (M, D), and the part of it that is made to learn from, or none and why."""
    result = Embedder(pretrained, device="cpu", check=False).embed(labelled.block)
    if rejected := result.block.rejected[len(labelled.block.rejected) :]:
        return {}, [
            f"no kernel ridge regression on the embedding: model {pretrained.name} rejects {len(rejected)} "
            f"of {len(labelled)} conformers ({rejected[0].reason})"
        ]
    values = result["embedding"].astype(np.float64)
    parts = {part.name: values[:, part.columns] for part in pretrained.model.config.parts}
    return {"embedding": values} | {name: parts[name] for name in ("features",) if name in parts}, []


def _identity(labelled: Labelled, split: Split, sha256: str) -> str:
    """Return what tells data, split and start of a run from others."""
    block = labelled.block
    digest = hashlib.sha256(sha256.encode())
    extra = [part for part in (labelled.cheap, labelled.scores) if part is not None]
    for part in (block.atomic_number, block.position, labelled.values, *split, *extra):
        digest.update(np.ascontiguousarray(part).tobytes())
    digest.update(json.dumps([target.to_dict() for target in labelled.targets]).encode())
    return digest.hexdigest()


def _write_test(path: Path, test: Labelled, found: Predicted) -> None:
    """Write predictions for the test set as CSV."""
    endings = "", ", predicted", ", std", ", 95"
    columns = [f"{target.heading}{what}" for target in test.targets for what in endings]
    cells = np.stack([test.values, *found[:3]], axis=2).reshape(len(test), -1).tolist()
    block = test.block
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = CsvWriter(file)
        writer.row(["title", "source", "record", *columns])
        for m, row in enumerate(cells):
            writer.row([block.title[m], block.source[m], int(block.record[m]), *row])

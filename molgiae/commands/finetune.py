"""Learning properties from files: read, split, refer to atoms, fit, compare with what is trivial, keep."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from molgiae import __version__
from molgiae.config import AUTO_MODEL, FinetuneConfig
from molgiae.data.conformer import Rejected
from molgiae.data.csv_cells import CsvWriter
from molgiae.data.inputs import listed
from molgiae.data.partial import PartialFile
from molgiae.data.readers import Inputs
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model import checkpoint
from molgiae.model.auto import choose
from molgiae.model.domain import measure_domain
from molgiae.model.embedder import Embedder, choose_device
from molgiae.model.header import sha256_of
from molgiae.output.files import write_rejected
from molgiae.properties.baselines import baselines
from molgiae.properties.fitting import Examples, fitter, predict_standardized
from molgiae.properties.labels import Labelled, read_labelled
from molgiae.properties.model import PropertyModel, Scale
from molgiae.properties.references import Kind, fit_references
from molgiae.properties.scores import ScoreTable, compare, parity_plot
from molgiae.properties.splitting import SHARES, By, Split, make_split
from molgiae.properties.store import FILE, save
from molgiae.training.loop import Run

Floats = NDArray[np.float64]

ONE_SIGMA = 0.6827
ROWS = {"full": "fine-tuned", "frozen": "frozen, head trained", "scratch": "from scratch"}
"""Name of the model in the table, by the way it learned."""
LEAST_SPREAD = 1e-9


@dataclass(frozen=True)
class Outcome:
    """What a run of finetune came to.

    Attributes:
        directory: where it is kept.
        complete: false if it was ended by its time limit and waits to be resumed; there is no table then.
        table: scores on the test set, of the model and of what it has to beat.
        coverage: for each target the parts of the test values within one and two half-widths of uncertainty.
        labelled: what was read.
        notes: what is to be said besides, a line each.
    """

    directory: Path
    complete: bool
    table: ScoreTable | None
    coverage: dict[str, tuple[float, float]]
    labelled: Labelled
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "directory": str(self.directory),
            "complete": self.complete,
            "table": self.table and self.table.to_dict(),
            "coverage": {
                name: {"within_one": one, "within_two": two} for name, (one, two) in self.coverage.items()
            },
            "conformers": len(self.labelled),
            "without_value": len(self.labelled.missing),
            "rejected": len(self.labelled.block.rejected),
            "notes": list(self.notes),
        }


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
            ``parity.png``, ``metrics.csv``, ``missing.csv`` if there is something to list, and ``last.pt``.
        targets: known ones, by name, symbol or alias.
        config: the recipe.
        model: autoencoder whose network of atoms is the start, and whose embedding is one of the rows to beat;
            "auto" for the shipped one that fits best.
        by: how to split, see `molgiae.properties.splitting.make_split`.
        shares: of training, validation and test.
        references: what is taken off before learning, see `molgiae.properties.references`.
        device: "auto", "cpu" or "cuda".
        stop_after: seconds of learning after which to save and end, to be resumed.
        resume: continue the run in the directory, if there is one.
        progress: show bars on stderr.
        reading: further arguments of `read_labelled`.

    Raises:
        ConfigError: the directory holds a run and `resume` is false, or the data cannot be learned from.
        CheckpointError: the model has no network of atoms, or the run to resume was made with other settings.
        MolgiaeError: the inputs cannot be read.
    """
    config = config or FinetuneConfig()
    folder, where = Path(directory), choose_device(device)
    if any((folder / name).exists() for name in ("last.pt", FILE)) and not resume:
        raise ConfigError(
            f"{folder} holds a run already; continue it with --resume or name another directory"
        )
    labelled = read_labelled(inputs, targets, **reading)
    pretrained = checkpoint.load(choose(labelled.block).model if model == AUTO_MODEL else model)
    split = make_split(labelled, by, shares, config.seed)
    train, validation, test = (labelled.take(rows) for rows in split.parts)
    folder.mkdir(parents=True, exist_ok=True)
    _list(folder, labelled)
    run = Run(folder, where, stop_after=stop_after, progress=progress)
    identity = _identity(labelled, split, pretrained.sha256)
    learned = learn(train, validation, pretrained, config, run, references, identity, resume)
    if learned is None:
        return Outcome(folder, False, None, {}, labelled, labelled.notes)

    scale = learned.scale
    value, std = predicted(learned.model, scale, test)
    features, notes = _embeddings(pretrained, labelled)
    rows = baselines(labelled, split, scale.references, features, seed=config.seed)
    own = ROWS[config.mode]
    sizes = (len(train), len(validation), len(test))
    explained = scale.references.of(test.block)
    table = compare(test.values, {**rows, own: value}, labelled.targets, sizes, own, explained)
    covered = coverage(test.values, value, std)
    coverages = {target.name: pair for target, pair in zip(labelled.targets, covered, strict=True)}
    provenance = {
        "molgiae": __version__,
        "torch": torch.__version__,
        "data": [os.path.basename(name) for name in listed(inputs)],
        "data_sha256": {
            os.path.basename(name): sha256_of(Path(name)) for name in listed(inputs) if os.path.isfile(name)
        },
        "pretrained": None
        if config.mode == "scratch"
        else {"name": pretrained.name, "sha256": pretrained.sha256},
        "training": config.to_dict(),
        "conformers": dict(zip(("train", "validation", "test"), sizes, strict=True)),
        "step": learned.step,
        "seconds": round(learned.seconds),
        "device": where,
        "test": table.to_dict(),
        "coverage": coverages,
    }
    save(folder / FILE, learned.model.cpu(), scale, measure_domain(train.block), provenance)
    _write_test(folder / "test.csv", test, value, std)
    notes = (*labelled.notes, *notes)
    outcome = Outcome(folder, True, table, coverages, labelled, notes)
    (folder / "report.json").write_text(json.dumps(outcome.to_dict(), indent=1) + "\n", encoding="utf-8")
    if find_spec("matplotlib"):
        parity_plot(folder / "parity.png", test.values, value, labelled.targets, std, explained)
    return outcome


@dataclass(frozen=True, eq=False)
class Learned:
    """A model of properties with its scale, and what it took."""

    model: PropertyModel
    scale: Scale
    step: int
    seconds: float


def learn(
    train: Labelled,
    validation: Labelled,
    pretrained: checkpoint.Checkpoint,
    config: FinetuneConfig,
    run: Run,
    references: Kind = "auto",
    identity: str = "",
    resume: bool = False,
) -> Learned | None:
    """Fit references, weights and uncertainty; None if time ran out before.

    Args:
        train: conformers to learn from.
        validation: conformers to choose weights and calibrate the uncertainty by.
        pretrained: the start.
        config: the recipe.
        run: where and how.
        references: what is taken off before learning.
        identity: tells these data from others.
        resume: continue the fit in the directory, if there is one.
    """
    reference = fit_references(train.block, train.values, train.targets, references)
    spread = np.nanstd(train.values - reference.of(train.block), axis=0)
    scale = Scale(train.targets, reference, np.maximum(spread, LEAST_SPREAD), np.ones(len(spread)))
    torch.manual_seed(config.seed)
    network = initial(pretrained, scale, config).to(run.device)
    examples = [Examples(p.block, scale.standardized(p.block, p.values)) for p in (train, validation)]
    trainer = fitter(network, examples[0], examples[1], config, run, identity)
    if resume and trainer.last.exists():
        trainer.restore()
    metrics = trainer.fit()
    if not metrics["complete"]:
        return None
    network.load_state_dict(trainer.best_weights)
    network.eval()
    return Learned(network, calibrated(scale, network, validation), int(metrics["step"]), trainer.seconds)


def initial(pretrained: checkpoint.Checkpoint, scale: Scale, config: FinetuneConfig) -> PropertyModel:
    """The network at the start: pretrained features of atoms, or random ones of the same size, and a random head.

    Raises:
        CheckpointError: the pretrained model has no network of atoms.
    """
    sizes = pretrained.model.config
    if not sizes.atom_width or sizes.architecture != "slots":
        raise CheckpointError(
            f"{pretrained.name}: has no network of atoms to start from; "
            "take another --model or pretrain one with --atom-width"
        )
    network = PropertyModel(
        sizes.atom_width, sizes.atom_layers, [target.extensive for target in scale.targets]
    )
    if config.mode != "scratch":
        network.atoms.load_state_dict(pretrained.model.encoder.atoms.state_dict())
    return network


def calibrated(scale: Scale, model: PropertyModel, validation: Labelled) -> Scale:
    """The scale with half-widths that hold 68.3 % of the validation values."""
    value, uncertainty = predict_standardized(model, validation.block)
    ratio = np.abs(scale.standardized(validation.block, validation.values) - value) / uncertainty
    factor = np.array([np.quantile(r[np.isfinite(r)], ONE_SIGMA) for r in ratio.T])
    return Scale(scale.targets, scale.references, scale.spread, np.maximum(factor, LEAST_SPREAD))


def predicted(model: PropertyModel, scale: Scale, labelled: Labelled) -> tuple[Floats, Floats]:
    """Values and half-widths of uncertainty, both (M, T), in the units of the targets."""
    value, uncertainty = predict_standardized(model, labelled.block)
    return scale.value(labelled.block, value), scale.std(uncertainty)


def coverage(truth: Floats, value: Floats, std: Floats) -> list[tuple[float, float]]:
    """For each target the parts of the values that are within one and two half-widths."""
    ratio = np.abs(truth - value) / std
    known = [column[np.isfinite(column)] for column in ratio.T]
    return [(float((r <= 1).mean()), float((r <= 2).mean())) for r in known]


def _embeddings(
    pretrained: checkpoint.Checkpoint, labelled: Labelled
) -> tuple[dict[str, Floats], tuple[str, ...]]:
    """Embeddings (M, D) by the name of their row, or none and why."""
    result = Embedder(pretrained, device="cpu").embed(labelled.block)
    if len(result) < len(labelled):
        refused = result.block.rejected[len(labelled.block.rejected) :]
        return {}, (
            f"no kernel ridge regression on the embedding: model {pretrained.name} refuses {len(refused)} "
            f"of {len(labelled)} conformers ({refused[0].reason})",
        )
    return {"embedding": result["embedding"].astype(np.float64)}, ()


def _identity(labelled: Labelled, split: Split, sha256: str) -> str:
    """Tells data, split and start of a run from others."""
    block = labelled.block
    digest = hashlib.sha256(sha256.encode())
    for part in (block.atomic_number, block.position, labelled.values, *split.parts):
        digest.update(np.ascontiguousarray(part).tobytes())
    digest.update(json.dumps([target.to_dict() for target in labelled.targets]).encode())
    return digest.hexdigest()


def _list(folder: Path, labelled: Labelled) -> None:
    """Write down what was read and cannot be learned from, or only in part."""
    listed_records: list[Rejected] = [*labelled.block.rejected, *labelled.missing, *labelled.gaps]
    if listed_records:
        write_rejected(PartialFile(folder / "missing.csv", overwrite=True), listed_records)


def _write_test(path: Path, test: Labelled, value: Floats, std: Floats) -> None:
    """Predictions for the test set as CSV."""
    headings = [target.heading for target in test.targets]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = CsvWriter(file)
        columns = [f"{heading}{what}" for heading in headings for what in ("", ", predicted", ", std")]
        writer.row(["title", "source", "record", *columns])
        for m in range(len(test)):
            cells = np.stack([test.values[m], value[m], std[m]], axis=1).flatten().tolist()
            block = test.block
            writer.row([block.title[m], block.source[m], int(block.record[m]), *cells])

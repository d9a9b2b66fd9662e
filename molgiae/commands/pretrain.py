"""Pretraining from files: what to read, how to split it, how to size the model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from molgiae.config import ModelConfig, TrainConfig
from molgiae.data.blocks import concatenate
from molgiae.data.inputs import is_stored, read_inputs
from molgiae.data.npz import SPLITS, read_npz
from molgiae.errors import ConfigError
from molgiae.model.checkpoint import load
from molgiae.model.embedder import choose_device
from molgiae.model.header import sha256_of
from molgiae.output.files import write_rejected
from molgiae.parallel import ranks
from molgiae.plots import training_curve
from molgiae.training import Data, Metrics, Run, teaching, train
from molgiae.training.labels import Labels, read_labels
from molgiae.training.overlays import read_overlays
from molgiae.training.stream import HELD_ATOMS, atoms_in, files_of, rejected_in, scanned

VALIDATION_SHARE = 0.05
"""Share of the molecules that is kept for validation."""


@ranks.among_ranks
def pretrain(
    inputs: Sequence[str | os.PathLike[str]],
    directory: str | os.PathLike[str],
    model: ModelConfig,
    config: TrainConfig,
    *,
    device: str = "auto",
    evaluate_every: int = 1000,
    stop_after: float | None = None,
    resume: bool = False,
    progress: bool = False,
    labels: Sequence[str | os.PathLike[str]] = (),
    overlays: Sequence[str | os.PathLike[str]] = (),
    start_from: str | os.PathLike[str] | None = None,
    again: Sequence[str] = (),
) -> Metrics:
    """Pretrain on files and write checkpoint, metrics and plot to a directory.

    Args:
        inputs: SDF, XYZ and HDF5 files, and at most one QM9 npz file.
        directory: where the run is kept.
        model: the network, which is enlarged to the elements and the largest conformer of the data.
        config: the recipe.
        device: "auto", "cpu" or "cuda".
        evaluate_every: steps between validations.
        stop_after: seconds after which to save and end, to be resumed.
        resume: continue the run in the directory.
        progress: show bars on stderr.
        labels: npz files of cheap labels, see `molgiae.training.labels`.
        overlays: npz files of overlays, see `molgiae.training.overlays`.
        start_from: name or path of a model whose smooth parts are taken as they are.
        again: of its overlay and shape parts those that are trained on.

    Returns:
        metrics of the last validation, see `molgiae.training.train`; "rejected", how many records could not be
        read (``rejected.csv`` lists them); "left_out", how many conformers were of validation or test molecules.

    Raises:
        ConfigError: if the directory holds a run and `resume` is false, or there is nothing to learn from.
        MolgiaeError: if an input cannot be read.

    Examples:
        >>> from molgiae.config import ModelConfig, TrainConfig
        >>> none = ("features_dim", "overlay_dim", "color_dim", "shape_dim", "atom_width", "property_width")
        >>> model = ModelConfig(embedding_dim=8, width=16, layers=1, **dict.fromkeys(none, 0))  # a first try
        >>> config = TrainConfig(steps=2, batch_size=8)
        >>> molgiae.pretrain(["measured.xyz"], "small", model, config)["complete"]
        1.0
    """
    shown = progress and ranks.is_first()
    run = Run(Path(directory), choose_device(device), evaluate_every, stop_after, shown)
    run.check_free(resume)
    data = read_data(inputs, config.seed)
    learned = {"labels": labels, "overlays": overlays, "start-from": [start_from] if start_from else []}
    further = [Path(path) for paths in learned.values() for path in paths]
    data = replace(
        data,
        labels=read_labels([Path(path) for path in labels]) if labels else None,
        overlays=read_overlays([Path(path) for path in overlays]) if overlays else None,
        sha256=data.sha256 | {path.name: sha256_of(path) for path in further if path.is_file()},
        learned={option: [Path(path).name for path in paths] for option, paths in learned.items() if paths}
        | ({"again": list(again)} if again else {}),
    )
    origin = None if start_from is None else load(os.fspath(start_from))
    metrics = train(data, model, config, run, resume, origin, again)
    if data.rejected and ranks.is_first():
        write_rejected(run.directory / "rejected.csv", data.rejected)
    _draw(run.directory)
    return metrics | {"rejected": len(data.rejected), "left_out": data.left_out}


def _draw(directory: Path) -> None:
    table = directory / "metrics.csv"
    if ranks.is_first() and table.exists() and find_spec("matplotlib"):
        training_curve(table, directory / "curve.png")


@ranks.among_ranks
def teach(
    inputs: Sequence[str | os.PathLike[str]],
    directory: str | os.PathLike[str],
    model: str | os.PathLike[str],
    config: TrainConfig,
    *,
    device: str = "auto",
    evaluate_every: int = 1000,
    stop_after: float | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Metrics:
    """Teach the network that fine-tuning starts from by further cheap labels; the rest of the model stays.

    Args:
        inputs: npz files of `molgiae label`; one that is named twice counts twice.
        directory: where the run is kept.
        model: name or path of the model.
        config: the recipe, see `molgiae.training.teaching.teach`.
        device: as of `pretrain`, like what follows.
        evaluate_every: steps between validations.
        stop_after: seconds after which to save and end, to be resumed.
        resume: continue the run in the directory.
        progress: show a bar on stderr.

    Returns:
        errors of labels, see `molgiae.training.teaching.teach`.

    Raises:
        ConfigError: if the directory holds a run and `resume` is false.
        MolgiaeError: if an input cannot be read, or the model has no such network.
    """
    shown = progress and ranks.is_first()
    run = Run(Path(directory), choose_device(device), evaluate_every, stop_after, shown)
    run.check_free(resume)
    paths = list(dict.fromkeys(map(Path, inputs)))
    files = [read_labels([path]) for path in paths]
    labels = Labels.joined(files)
    often = Counter(map(Path, inputs))
    times = torch.tensor(
        [often[path] for path, file in zip(paths, files, strict=True) for _ in range(len(file))]
    )
    learned = {
        "files": [Path(path).name for path in inputs],
        "sha256": {path.name: sha256_of(path) for path in paths},
    }
    metrics = teaching.teach(load(os.fspath(model)), labels, config, run, resume, learned, times)
    _draw(run.directory)
    return metrics


def read_data(inputs: Sequence[str | os.PathLike[str]], seed: int) -> Data:
    """Read training and validation conformers.

    A QM9 npz file brings its own split: conformers whose titles it knows go where it says, to training or, if they are
    of validation or test molecules, nowhere. All other conformers are split by title, so that those of a molecule stay
    on one side; those without a title are split one by one.

    HDF5 files and directories of more atoms than `HELD_ATOMS` are streamed.
    """
    paths = [Path(path) for path in inputs]
    if not paths:
        raise ConfigError("no input was named")
    name = ", ".join(path.name for path in paths)
    if all(map(is_stored, paths)) and atoms_in(paths) > HELD_ATOMS:
        stream = ranks.of_first(lambda: scanned(paths, seed))
        files = {file.relative_to(path.parent): file for path in paths for file in files_of(path)}
        digests = ranks.of_first(lambda: {str(name): sha256_of(file) for name, file in files.items()})
        return Data(stream.sample(), stream.validation(), name, digests, rejected_in(paths), stream=stream)
    digests = {path.name: sha256_of(path) for path in paths if path.is_file()}
    split = [path for path in paths if path.suffix == ".npz"]
    if len(split) > 1:
        raise ConfigError(f"{split[1]}: one npz file at a time brings the split")
    blocks = [block for path in paths if path not in split for block in read_inputs(path, keep_text=False)]
    rejected = tuple(bad for block in blocks for bad in block.rejected)
    parts = {part: read_npz(split[0], part) for part in SPLITS} if split else {}
    if parts:
        name += ", split train"
    more = concatenate(blocks)
    part_of = {title: part for part, block in parts.items() for title in block.title if title}
    part = np.array([part_of.get(title, "new") for title in more.title], dtype=object)
    new, known = more.take(part == "new"), more.take(part == "train")
    held = held_out(new.title, seed, at_least=0 if parts else 1)
    train, validation = [known, new.take(~held)], [new.take(held)]
    if parts:
        train, validation = [parts["train"], *train], [parts["validation"], *validation]
    left_out = len(more) - len(new) - len(known)
    return Data(concatenate(train), concatenate(validation), name, digests, rejected, left_out)


def held_out(titles: Sequence[str], seed: int, at_least: int = 1) -> np.ndarray:
    """Return (M,) bool, the conformers kept for validation: about `VALIDATION_SHARE` of the titles, and never all."""
    names = [title or f"\0{m}" for m, title in enumerate(titles)]
    distinct = sorted(set(names))
    if at_least and len(distinct) < 2:
        raise ConfigError(
            f"{len(distinct)} molecules: pretraining needs at least two, to keep one for validation"
        )
    size = max(at_least, round(VALIDATION_SHARE * len(distinct)))
    chosen = np.random.default_rng(seed).permutation(len(distinct))[:size]
    held = {distinct[i] for i in chosen.tolist()}
    return np.array([name in held for name in names], dtype=bool)

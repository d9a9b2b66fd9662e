"""Everything that is measured of a model, beside baselines that show what each figure is worth."""

from __future__ import annotations

import functools
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from molgiae import __version__
from molgiae.config import AUTO_MODEL, BATCH_SIZE
from molgiae.data.blocks import Result, concatenate
from molgiae.data.conformer import ConformerBlock
from molgiae.data.inputs import read_inputs
from molgiae.data.npz import has_splits, read_npz
from molgiae.errors import ConfigError
from molgiae.evaluation.descriptors import (
    embedding,
    random_weights,
    sample,
    scales,
)
from molgiae.evaluation.embedding_map import read_colour
from molgiae.evaluation.feature_learning import read_targets
from molgiae.evaluation.report import Figures, Report, plain
from molgiae.evaluation.sections import SECTIONS, Sections, Settings, Study
from molgiae.model.domain import accepted
from molgiae.model.embedder import Embedder
from molgiae.parallel.progress import progress_bar

Data = str | os.PathLike[str] | ConformerBlock


def evaluate(
    inputs: Data,
    model: str | Embedder = AUTO_MODEL,
    *,
    split: str | None = "test",
    conformers: Data | None = None,
    colour: str | None = None,
    targets: Sequence[str] = (),
    table: str | os.PathLike[str] | None = None,
    sections: Iterable[str] | None = None,
    settings: Settings | None = None,
    device: str = "auto",
    batch_size: int = BATCH_SIZE,
    progress: bool = False,
) -> Report:
    """Measure a model on conformers.

    Args:
        inputs: QM9 or other npz, SDF, XYZ or HDF5 file, or a block. The training split of QM9 feeds the linear
            baseline, which is left out otherwise.
        model: name of a shipped model, path of a checkpoint, a model in use, or "auto" for the default one.
        split: of QM9; ignored for data that have none.
        conformers: several conformers of each title, in a file or a block, for distance fidelity within molecules
            and for neighbours; by default those of `inputs`, if titles repeat there.
        colour: property that colours the map of embeddings, a target of `molgiae.properties.targets` or a column of the
            file; by default the enthalpy of an npz file that has it.
        targets: properties that are learned from the embedding, known ones by name or symbol, others by column. Data
            that say their split are read again for the training conformers.
        table: CSV file of their values, a row for each title.
        sections: names in `SECTIONS`; None for all.
        settings: how much is measured.
        device: "auto", "cpu" or "cuda"; for a model given by name.
        batch_size: conformers in a batch; for a model given by name.
        progress: show bars on stderr.

    Raises:
        ConfigError: if a section is unknown, the model in use leaves out parts of the embedding, no conformer is
            accepted by it, no title repeats among the `conformers` asked for, or the colour is not there.
        MolgiaeError: if an input or the model cannot be read.

    Examples:
        >>> report = molgiae.evaluate("conformers.sdf", "qm9", sections=["reconstruction"])
        >>> report.sections["reconstruction"]["qm9"]["rmsd_mean"] < 0.01
        True
    """
    settings, chosen = settings or Settings(), list(SECTIONS if sections is None else sections)
    if unknown := [name for name in chosen if name not in SECTIONS]:
        raise ConfigError(f"no section {', '.join(unknown)}; known are {', '.join(SECTIONS)}")
    if isinstance(inputs, ConformerBlock) and colour is not None:
        raise ConfigError(f"colour={colour!r}: conformers in memory have no properties; give a file")
    if isinstance(inputs, ConformerBlock) and targets:
        raise ConfigError(f"targets={targets!r}: conformers in memory have no properties; give a file")
    given = read_data(inputs, split)
    embedder = model if isinstance(model, Embedder) else Embedder(model, device=device, batch_size=batch_size)
    if not embedder.is_whole:
        raise ConfigError("evaluate measures whole embeddings; give it the model with all its parts")
    result = embedder.embed(sample(given, settings.conformers, settings.seed))
    if not len(result):
        raise ConfigError(f"{_name(inputs)}: the model accepts none of {len(given)} conformers")
    ensembles = _ensembles(embedder, given if conformers is None else read_data(conformers, split))
    if conformers is not None and ensembles is None:
        raise ConfigError(
            f"{_name(conformers)}: no title stands twice among the conformers that the model accepts, so there is "
            "nothing to compare; give a file with several conformers of each title"
        )
    labelled = None
    if not isinstance(inputs, ConformerBlock) and targets and "features" in chosen:
        labelled = read_targets(inputs, targets, table)
        labelled = labelled.take(np.flatnonzero(accepted(embedder.model.config, labelled.block)))
    study = Study(
        embedder=embedder,
        untrained=random_weights(embedder, settings.seed),
        block=result.block,
        train=read_data(inputs, "train") if "linear_baseline" in chosen and _has_splits(inputs) else None,
        conformers=ensembles,
        settings=settings,
        track=functools.partial(progress_bar, leave=False, show=progress),
        colour=None
        if isinstance(inputs, ConformerBlock) or "map" not in chosen
        else read_colour(inputs, colour),
        labelled=labelled,
        spread=scales(embedding(result), embedder.parts),
    )
    figures: dict[str, Sections] = {}
    seconds: dict[str, float] = {}
    for name in progress_bar(chosen, desc="evaluate", show=progress):
        started = time.monotonic()
        figures[name] = plain(SECTIONS[name](study))
        seconds[name] = round(time.monotonic() - started, 2)
    data = _name(inputs) + (f", split {split}" if _has_splits(inputs) and split else "")
    about = {**_about(study, result, data), "seconds": seconds}
    return Report(plain(about), {name: found for name, found in figures.items() if found})


def _about(study: Study, result: Result, data: str) -> Figures:
    return {
        "model": study.name,
        "model_sha256": study.embedder.checkpoint.sha256,
        "dimension": study.embedder.dimension,
        "data": data,
        "conformers": len(result),
        "refused": len(result.block.rejected),
        "out_of_domain": len(result) - int(result["in_domain"].sum()),
        "settings": asdict(study.settings),
        "molgiae": __version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def read_data(data: Data, split: str | None = None) -> ConformerBlock:
    """Return all conformers of a file, those of one split where it has any, or the block as it is.

    Raises:
        MolgiaeError: if it cannot be read.
    """
    if isinstance(data, ConformerBlock):
        return data
    if Path(data).suffix == ".npz":
        return read_npz(Path(data), split if _has_splits(data) else None)
    return concatenate(list(read_inputs(Path(data), keep_text=True)))  # with the orders of bonds


def _has_splits(data: Data) -> bool:
    return not isinstance(data, ConformerBlock) and Path(data).suffix == ".npz" and has_splits(Path(data))


def _name(data: Data) -> str:
    return "conformers in memory" if isinstance(data, ConformerBlock) else Path(data).name


def _ensembles(embedder: Embedder, block: ConformerBlock) -> ConformerBlock | None:
    """Return the conformers that the model accepts, if any title occurs more than once among them."""
    if not _repeats(block.title):
        return None
    accepted = embedder.embed(block).block
    return accepted if _repeats(accepted.title) else None


def _repeats(titles: list[str]) -> bool:
    named = [title for title in titles if title]
    return len(set(named)) < len(named)

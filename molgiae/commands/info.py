"""What is in a file that molgiae wrote, and which models it brings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from molgiae.config import ModelConfig
from molgiae.data.elements import SYMBOLS
from molgiae.data.hdf5.dataset import is_dataset
from molgiae.data.hdf5.opening import open as open_stored
from molgiae.data.npz import describe_npz
from molgiae.data.tables import TABLE_SUFFIXES, describe_table
from molgiae.data.writers import structure_suffix
from molgiae.errors import MolgiaeError
from molgiae.model.header import Kind, read_header, sha256_of
from molgiae.model.shipped import ShippedModel, catalogue, default_model, locate


def describe(name: str) -> dict[str, Any]:
    """Contents of an HDF5 file, table or npz of molgiae, a directory of parts, or a checkpoint or shipped model.

    Raises:
        MolgiaeError: if it is none of these, or a value in the file is none that can be.
    """
    if is_dataset(name):
        return _stored(name)
    suffix = Path(name).suffix.lower()
    if suffix in (*TABLE_SUFFIXES, ".npz"):
        if not Path(name).is_file():
            raise MolgiaeError(f"{name}: no such file")
        about = {"path": name, "bytes": Path(name).stat().st_size}
        if suffix == ".npz":
            return {"kind": "npz", **about, **describe_npz(Path(name))}
        if (table := describe_table(name)) is not None:
            return {"kind": "table", **about, **table}
        return _stored(name)
    if structure_suffix(name):
        raise MolgiaeError(
            f"{name}: holds conformers; `molgiae report {name}` shows them, and what is made of them"
        )
    path = locate(name)
    header = read_header(path, None)
    if header["kind"] == Kind.AUTOENCODER:
        header["parts"] = [part.to_dict() for part in ModelConfig.from_dict(header["config"]).parts]
    return {"name": name, "sha256": sha256_of(path), "bytes": path.stat().st_size, **header}


def _stored(name: str) -> dict[str, Any]:
    with open_stored(name) as stored:
        stored.verify()
        return {"kind": "embeddings", **stored.summary()}


def shipped_models() -> list[dict[str, Any]]:
    """Return the models that come with molgiae as plain data, smallest domain first.

    Keys: name, auto (whether "auto" stands for it), dimension, parts (of each name, start, stop, unit, meaning),
    elements (symbols), n_atoms, n_heavy and charge (least and most), bytes, sha256, data (of the training), card (where
    its figures are from, or why there are none), measured (for each table of the card
    `molgiae.evaluation.report.Report.measured`).

    Raises:
        CheckpointError: if one is damaged.
    """
    return [{**_described(model), "auto": model.name == default_model().name} for model in catalogue()]


def _described(model: ShippedModel) -> dict[str, Any]:
    digest = model.sha256
    card, measured = _measured(model, digest)
    return {
        "name": model.name,
        "dimension": model.config.embedding_dim,
        "parts": [part.to_dict() for part in model.config.parts],
        "elements": [SYMBOLS[element] for element in model.domain.elements],
        "n_atoms": list(model.domain.n_atoms),
        "n_heavy": list(model.domain.n_heavy),
        "charge": list(model.domain.charge),
        "bytes": model.bytes,
        "sha256": digest,
        "data": model.provenance.get("data", ""),
        "card": card,
        "measured": measured,
    }


def _measured(model: ShippedModel, digest: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the name of the card and the figures beside it, or what is wrong with these."""
    if not model.figures.is_file():
        return f"no {model.figures.name}", []
    tables: list[dict[str, Any]] = json.loads(model.figures.read_text(encoding="utf-8"))
    if not all(digest.startswith(table["sha256"]) for table in tables):
        return f"{model.figures.name} is about other weights", []
    return model.card.name, tables

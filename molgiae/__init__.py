"""molgiae: invariant embeddings, canonical forms and exact group actions of molecular conformers.

The names below are loaded when they are first used, so that importing molgiae does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "ConformerEmbedder": "molgiae.sklearn",
    "Conformer": "molgiae.data.conformer",
    "ConformerBlock": "molgiae.data.conformer",
    "Embedder": "molgiae.model.embedder",
    "EmbeddingDataset": "molgiae.data.hdf5.dataset",
    "EmbeddingFile": "molgiae.data.hdf5.reader",
    "MolgiaeError": "molgiae.errors",
    "Options": "molgiae.commands.run",
    "Predictor": "molgiae.properties.predictor",
    "canonical_forms": "molgiae.canonical.forms",
    "align": "molgiae.commands.align",
    "canonicalize": "molgiae.commands.canonicalize",
    "cluster": "molgiae.commands.cluster",
    "compare": "molgiae.commands.compare",
    "conformers_of": "molgiae.data.given",
    "convert": "molgiae.commands.convert",
    "deduplicate": "molgiae.commands.dedup",
    "embed": "molgiae.commands.embed",
    "evaluate": "molgiae.commands.evaluate",
    "finetune": "molgiae.commands.finetune",
    "from_ase": "molgiae.data.toolkits",
    "from_rdkit": "molgiae.data.toolkits",
    "generate_conformers": "molgiae.commands.conformers",
    "in_shards": "molgiae.shards.drive",
    "interpolate": "molgiae.commands.interpolate",
    "label": "molgiae.commands.label",
    "merge": "molgiae.commands.merge",
    "open": "molgiae.data.hdf5.opening",
    "predict": "molgiae.commands.predict",
    "pretrain": "molgiae.commands.pretrain",
    "read_conformers": "molgiae.data.readers",
    "reconstruct": "molgiae.commands.reconstruct",
    "report": "molgiae.commands.report",
    "rmsd": "molgiae.commands.rmsd",
    "rmsd_matrix": "molgiae.commands.rmsd",
    "select": "molgiae.commands.select",
}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604 (names of the table above)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'molgiae' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__

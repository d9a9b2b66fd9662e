"""molgiae: invariant embeddings, canonical forms and exact group actions of molecular conformers.

The names below are loaded when they are first used, so that importing molgiae does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Conformer": "molgiae.data.conformer",
    "ConformerBlock": "molgiae.data.conformer",
    "Embedder": "molgiae.inference",
    "EmbeddingFile": "molgiae.data.hdf5",
    "MolgiaeError": "molgiae.errors",
    "Options": "molgiae.pipeline",
    "Predictor": "molgiae.properties.predictor",
    "align": "molgiae.alignment",
    "canonicalize": "molgiae.pipeline",
    "deduplicate": "molgiae.deduplication",
    "embed": "molgiae.pipeline",
    "evaluate": "molgiae.evaluation",
    "finetune": "molgiae.properties.finetuning",
    "from_ase": "molgiae.data.toolkits",
    "from_rdkit": "molgiae.data.toolkits",
    "generate_conformers": "molgiae.generation",
    "predict": "molgiae.properties.predicting",
    "pretrain": "molgiae.pretraining",
    "read_conformers": "molgiae.data.readers",
    "reconstruct": "molgiae.pipeline",
}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604 (names of the table above)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'molgiae' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__

"""What is in a file that molgiae wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from molgiae.checkpoint import locate, read_header, sha256_of
from molgiae.data.hdf5 import EmbeddingFile
from molgiae.errors import MolgiaeError


def describe(name: str) -> dict[str, Any]:
    """Contents of an HDF5 file, or of a checkpoint given by path or by the name of a shipped model.

    Raises:
        MolgiaeError: if it is neither.
    """
    if name.lower().endswith((".h5", ".hdf5")):
        if not Path(name).is_file():
            raise MolgiaeError(f"{name}: no such file")
        with EmbeddingFile(name) as file:
            return {"kind": "embeddings", **file.summary()}
    path = locate(name)
    return {
        "kind": "model",
        "name": name,
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
        **read_header(path),
    }

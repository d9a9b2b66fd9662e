"""The model that embeddings are of, by the digest of its weights: embeddings of two models are never compared."""

from __future__ import annotations

from molgiae.config import AUTO_MODEL
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model.header import sha256_of
from molgiae.model.shipped import locate, shipped_names

SHOWN_DIGITS = 12


def model_of(file: EmbeddingFile, model: str | None = None) -> str:
    """Return the model that a file was embedded with, as a name or path it can be loaded by.

    Args:
        file: with embeddings.
        model: name or path; None or "auto" for the name that the file gives, or a shipped model of the same digest.

    Raises:
        ConfigError: if the file holds no embeddings.
        CheckpointError: if there is no such model, or it is another one.
    """
    if not file.dimension:
        raise ConfigError(f"{file.path}: holds no embeddings; make it with molgiae embed")
    name, digest = str(file.attributes["model"]), str(file.attributes["model_sha256"])
    stored = f"was embedded with model {_shown(name, digest)}"
    if model is None or model == AUTO_MODEL:
        asked, candidates = name, _at_hand(name)
    else:
        asked, candidates = model, {model: sha256_of(locate(model))}
    for candidate, found in candidates.items():
        if found == digest:
            return candidate
    if asked in candidates:
        raise CheckpointError(
            f"{file.path}: {stored}, not with {_shown(asked, candidates[asked])}; embeddings of two models "
            "cannot be compared: give the first with --model, or make the file again with molgiae embed and the second"
        )
    raise CheckpointError(
        f"{file.path}: {stored}, which is not here; give its file with --model, or make the file again with molgiae "
        "embed and another"
    )


def _at_hand(name: str) -> dict[str, str]:
    """Return name to digest of the model of that name or path, if there is one, and of the shipped ones."""
    try:
        first = {name: sha256_of(locate(name))}
    except CheckpointError:
        first = {}
    return first | {shipped: sha256_of(locate(shipped)) for shipped in shipped_names()}


def _shown(name: str, sha256: str) -> str:
    return f"{name} (sha256 {sha256[:SHOWN_DIGITS]})"

"""Which model embeddings are of. Those of two models share no axes: they are never compared, but refused by name."""

from __future__ import annotations

from dataclasses import dataclass

from molgiae.config import AUTO_MODEL
from molgiae.data.hdf5.writer import EmbeddingFile
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model.header import sha256_of
from molgiae.model.shipped import locate, shipped_names

SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Identity:
    """A model: the digest decides, the name is what people call it.

    Attributes:
        name: of a shipped model, or path of a checkpoint.
        sha256: of its file.
    """

    name: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} (sha256 {self.sha256[:SHOWN_DIGITS]})"


def identity_of(file: EmbeddingFile) -> Identity:
    """The model that a file was embedded with.

    Raises:
        ConfigError: if the file holds no embeddings.
    """
    if not file.dimension:
        raise ConfigError(f"{file.path}: holds no embeddings; make it with molgiae embed")
    return Identity(str(file.attributes["model"]), str(file.attributes["model_sha256"]))


def check_model(file: EmbeddingFile, model: Identity) -> None:
    """Refuse a file that was embedded with another model.

    Args:
        file: with embeddings.
        model: that its embeddings are to be used with.

    Raises:
        ConfigError: if the file holds no embeddings.
        CheckpointError: with both names and what to do, if its model is another.
    """
    stored = identity_of(file)
    if stored.sha256 != model.sha256:
        raise CheckpointError(
            f"{file.path}: was embedded with model {stored}, not with {model}; embeddings of two models cannot be "
            "compared: give the first with --model, or make the file again with molgiae embed and the second"
        )


def model_of(file: EmbeddingFile, model: str | None = None) -> str:
    """The model that a file was embedded with, as a name or path it can be loaded by.

    Args:
        file: with embeddings.
        model: name or path; None or "auto" for the name that the file gives, or a shipped model of the same digest.

    Raises:
        ConfigError: if the file holds no embeddings.
        CheckpointError: if there is no such model, or it is another one.
    """
    stored = identity_of(file)
    if model is not None and model != AUTO_MODEL:
        check_model(file, Identity(model, sha256_of(locate(model))))
        return model
    try:
        found = Identity(stored.name, sha256_of(locate(stored.name)))
    except CheckpointError:
        found = None
    if found == stored:
        return stored.name
    for name in shipped_names():
        if sha256_of(locate(name)) == stored.sha256:
            return name
    if found is not None:
        check_model(file, found)
    raise CheckpointError(
        f"{file.path}: was embedded with model {stored}, which is not here; give its file with --model, or make "
        "the file again with molgiae embed and another"
    )

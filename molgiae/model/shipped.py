"""Where models are: those that come with molgiae, by name, and any other by path. Their weights are not loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from molgiae.config import AUTO_MODEL, Domain, ModelConfig
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model.header import Kind, read_header, sha256_of

SHOWN_DIGITS = 12
"""Digits of a digest in messages."""


def pretrained() -> Path:
    """Return the folder of weights NAME.safetensors, model cards NAME.md and figures NAME.json."""
    try:
        return Path(str(resources.files("molgiae.pretrained")))
    except ModuleNotFoundError:  # Python was started in a clone, whose folder hides the installed package
        return Path(__file__).parents[2] / "pretrained"


def shipped_names() -> list[str]:
    """Return the names of the models that come with molgiae."""
    return sorted(path.stem for path in pretrained().glob("*.safetensors"))


def locate(name: str, kind: Kind = Kind.AUTOENCODER) -> Path:
    """Return the file of a shipped model, by name, or of any other, by path or the directory of its run.

    "auto" is `default_model`. The kind that is wanted decides what the error says.

    Raises:
        CheckpointError: if there is no such file.
    """
    shipped = shipped_names()
    if name == AUTO_MODEL and kind is Kind.AUTOENCODER:
        return default_model().path
    if name in shipped:
        return pretrained() / f"{name}.safetensors"
    path = Path(name)
    if path.is_dir() and (path / "model.safetensors").exists():
        path = path / "model.safetensors"
    if path.is_file():
        return path
    names = ", ".join(shipped) or "(none shipped)"
    if kind is Kind.PROPERTY:
        known = "a directory or a .safetensors file written by molgiae finetune"
    else:
        known = f"one of {names}, or the path of a .safetensors file written by molgiae pretrain"
    raise CheckpointError(f"{name}: no such model; give {known}")


@dataclass(frozen=True)
class ShippedModel:
    """A model of the folder `molgiae.pretrained`, its weights not loaded."""

    name: str
    path: Path
    config: ModelConfig
    domain: Domain
    provenance: dict[str, Any]

    @property
    def size(self) -> tuple[int, int, int, str]:
        """The key that sorts models by domain: most atoms, elements, embedding; the name decides ties."""
        return self.domain.n_atoms[1], len(self.domain.elements), self.config.embedding_dim, self.name

    @property
    def bytes(self) -> int:
        """The size of the weights on disk."""
        return self.path.stat().st_size

    @property
    def sha256(self) -> str:
        """The digest of the weights."""
        return sha256_of(self.path)

    @property
    def card(self) -> Path:
        """The model card."""
        return self.path.with_suffix(".md")

    @property
    def figures(self) -> Path:
        """What was measured of the model: JSON, a list of `molgiae.evaluation.report.Report.measured`."""
        return self.path.with_suffix(".json")


def catalogue() -> list[ShippedModel]:
    """Return the shipped models, smallest domain first.

    Raises:
        CheckpointError: if one is damaged.
    """
    return sorted(map(_described, shipped_names()), key=lambda model: model.size)


def default_model() -> ShippedModel:
    """Return the model that "auto" stands for: that of the widest domain, whatever the conformers.

    A choice by the conformers would give parts of one job different models, whose embeddings cannot be joined.

    Raises:
        CheckpointError: if no model is shipped, or one is damaged.
    """
    if models := catalogue():
        return models[-1]
    raise CheckpointError("no model is shipped with this molgiae; name the path of a checkpoint with --model")


def _described(name: str) -> ShippedModel:
    path = locate(name)
    header = read_header(path)
    config, domain = ModelConfig.from_dict(header["config"]), Domain.from_dict(header["domain"])
    return ShippedModel(name, path, config, domain, header["provenance"])


def model_of(file: Embeddings, model: str | None = None) -> str:
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


def check_one_model(files: Sequence[Embeddings]) -> None:
    """Check that files were embedded with one model.

    Raises:
        ConfigError: if a file holds no embeddings.
        CheckpointError: if one was embedded with another model than the first.
    """
    for file in files:
        if not file.dimension:
            raise ConfigError(f"{file.path}: holds no embeddings; make it with molgiae embed")
        here, first = (
            (str(f.attributes["model"]), str(f.attributes["model_sha256"])) for f in (file, files[0])
        )
        if here[1] != first[1]:
            raise CheckpointError(
                f"{file.path}: was embedded with model {_shown(*here)}, {files[0].path} with {_shown(*first)}; "
                "embeddings of two models cannot be compared or joined: make one again with molgiae embed and the "
                "other model, as --model names it"
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

"""The models that come with molgiae: what each was trained for, without loading its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molgiae.config import Domain, ModelConfig
from molgiae.model.checkpoint import locate, read_header, sha256_of, shipped


@dataclass(frozen=True)
class ShippedModel:
    """A file of the folder `molgiae.pretrained`.

    Attributes:
        name: of the model.
        path: of its weights.
        config: network.
        domain: what it was trained on.
        provenance: data, seed, steps.
    """

    name: str
    path: Path
    config: ModelConfig
    domain: Domain
    provenance: dict[str, Any]

    @property
    def size(self) -> tuple[int, int, int, str]:
        """By which the smaller of two is known: most atoms, number of elements, embedding; the name decides ties."""
        return self.domain.n_atoms[1], len(self.domain.elements), self.config.embedding_dim, self.name

    @property
    def bytes(self) -> int:
        """On disk."""
        return self.path.stat().st_size

    @property
    def sha256(self) -> str:
        """Of the file."""
        return sha256_of(self.path)

    @property
    def card(self) -> Path:
        """Its model card."""
        return self.path.with_suffix(".md")


def catalogue() -> list[ShippedModel]:
    """The shipped models, smallest domain first.

    Raises:
        CheckpointError: if one is damaged.
    """
    return sorted(map(_described, shipped()), key=lambda model: model.size)


def by_default(models: list[ShippedModel]) -> list[ShippedModel]:
    """Of models for the same elements and sizes the one with most dimensions; compact ones are used on request.

    Args:
        models: smallest first, as from `catalogue`.
    """
    # a later model of the same domain has more dimensions and takes the place of the former
    return list({(model.domain.elements, model.domain.n_atoms): model for model in models}.values())


def _described(name: str) -> ShippedModel:
    path = locate(name)
    header = read_header(path)
    return ShippedModel(
        name,
        path,
        ModelConfig.from_dict(dict(header["config"])),
        Domain.from_dict(dict(header["domain"])),
        dict(header["provenance"]),
    )

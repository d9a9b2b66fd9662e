"""Models on disk: one safetensors file with the weights and, as JSON in its header, everything else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import nn

from molgiae.autoencoder import ConformerAutoencoder
from molgiae.config import AUTO_MODEL, Domain, ModelConfig
from molgiae.data.partial import PartialFile
from molgiae.errors import CheckpointError, ConfigError
from molgiae.models import build

FORMAT_VERSION = 4

AUTOENCODER, PROPERTY = "autoencoder", "property"
KINDS = {
    AUTOENCODER: "an autoencoder, which predicts no property; train one from it with molgiae finetune --model",
    PROPERTY: "a model of properties, which embeds nothing; use it with molgiae predict",
}
"""What a checkpoint may be, and what to say where it is of no use."""


def _without_atoms(header: dict[str, Any]) -> dict[str, Any]:
    """Version 3, of autoencoders alone, knew no network of atoms."""
    return header | {"kind": AUTOENCODER, "config": {**header["config"], "atom_width": 0}}


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {3: _without_atoms}
"""Version n to the function that turns its header into that of version n + 1.

Versions 1 and 2, of no release, ordered atoms in ways that are gone.
"""


@dataclass(frozen=True)
class Checkpoint:
    """A model with its origin.

    Attributes:
        name: short name, or path, it was asked for by.
        model: ready for inference, on the CPU.
        domain: what it was trained on.
        provenance: package versions, data with sha256, seed, steps, metrics, units.
        sha256: of the file.
    """

    name: str
    model: ConformerAutoencoder
    domain: Domain
    provenance: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""


def shipped() -> list[str]:
    """Names of the models that come with molgiae."""
    return sorted(path.stem for path in pretrained().glob("*.safetensors"))


def pretrained() -> Path:
    """The folder of shipped weights, NAME.safetensors, and their model cards, NAME.md."""
    return Path(str(resources.files("molgiae.pretrained")))


def locate(name: str) -> Path:
    """The file of a shipped model, by name, or of any other, by path.

    Raises:
        CheckpointError: if there is neither.
    """
    if name in shipped():
        return pretrained() / f"{name}.safetensors"
    path = Path(name)
    if path.is_dir() and (path / "model.safetensors").exists():
        path = path / "model.safetensors"
    if name == AUTO_MODEL and not path.is_file():
        raise CheckpointError(
            f"{name}: goes by the conformers of a file, which are not at hand here; "
            f"name one of {', '.join(shipped()) or '(none shipped)'}"
        )
    if not path.is_file():
        raise CheckpointError(
            f"{name}: no such model; give one of {', '.join(shipped()) or '(none shipped)'}, "
            "or the path of a .safetensors file written by molgiae pretrain"
        )
    return path


def save(
    path: Path,
    model: ConformerAutoencoder,
    domain: Domain,
    provenance: dict[str, Any],
    dtype: torch.dtype = torch.float32,
    single: Sequence[str] = (),
) -> None:
    """Write an autoencoder.

    Args:
        path: ends in .safetensors.
        model: its weights and configuration.
        domain: what it was trained on.
        provenance: plain data.
        dtype: of the stored weights; float16 halves the file.
        single: parts of the names of weights that stay in single precision all the same.
    """
    header = {"config": model.config.to_dict(), "domain": domain.to_dict(), "provenance": provenance}
    write(path, model, AUTOENCODER, header, dtype, single)


def write(
    path: Path,
    model: nn.Module,
    kind: str,
    header: dict[str, Any],
    dtype: torch.dtype,
    single: Sequence[str] = (),
) -> None:
    """Write the weights of a model and a header of plain data, under a temporary name until it is complete.

    Args:
        path: ends in .safetensors.
        model: its weights.
        kind: one of `KINDS`.
        header: all else; gets the kind and the version of the format.
        dtype: of the stored weights.
        single: as in `save`.
    """
    header = {"format_version": FORMAT_VERSION, "kind": kind, **header}
    weights = {
        name: t.detach()
        .cpu()
        .to(torch.float32 if any(part in name for part in single) else dtype)
        .contiguous()
        for name, t in model.state_dict().items()
    }
    # not save_file: its files are readable by their owner alone
    with PartialFile(path, overwrite=True).writing() as temporary:
        temporary.write_bytes(serialized(weights, metadata={"molgiae": json.dumps(header)}))


def read_header(path: Path, kind: str | None = AUTOENCODER) -> dict[str, Any]:
    """The header of a checkpoint of one kind, or of any, upgraded to the current format, without reading weights.

    Raises:
        CheckpointError: if the file is not a molgiae checkpoint of this kind or is newer than this molgiae.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a checkpoint, or a damaged one ({error}); expected a .safetensors file"
        ) from error
    if "molgiae" not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but not one written by molgiae")
    header, version = _decoded(path, metadata["molgiae"])
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: checkpoint format {version}, this molgiae reads up to {FORMAT_VERSION}; upgrade molgiae"
        )
    for old in range(version, FORMAT_VERSION):
        if old not in UPGRADES:
            raise CheckpointError(
                f"{path}: checkpoint format {version} is no longer read; train the model again"
            )
        header = UPGRADES[old](header)
    if kind is not None and header["kind"] != kind:
        raise CheckpointError(f"{path}: holds {KINDS.get(header['kind'], 'a model of an unknown kind')}")
    return header


def _decoded(path: Path, text: str) -> tuple[dict[str, Any], int]:
    """The header and its format version."""
    try:
        header = json.loads(text)
        version = header["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: its header is damaged ({error})") from error
    if not isinstance(version, int) or version < 1:
        raise CheckpointError(f"{path}: its header is damaged (format version {version!r})")
    return header, version


def load(name: str) -> Checkpoint:
    """Load a shipped model by name, or any checkpoint by path, ready for inference.

    Raises:
        CheckpointError: if it is missing, damaged, too new or does not fit its own configuration.
    """
    path = locate(name)
    header = read_header(path)
    try:
        model = build(ModelConfig.from_dict(dict(header["config"])))
        domain = Domain.from_dict(dict(header["domain"]))
        with safe_open(path, framework="pt") as file:
            weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)
        model.load_state_dict(weights)
        provenance = dict(header["provenance"])
    except (ConfigError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: weights and configuration do not fit ({reason})") from error
    model.eval().requires_grad_(False)
    return Checkpoint(name, model, domain, provenance, sha256_of(path))


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Models on disk: one safetensors file with the weights and, as JSON in its header, everything else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import nn

from molgiae.config import AUTO_MODEL, Domain, ModelConfig
from molgiae.data.partial import PartialFile
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model.architectures import build
from molgiae.model.autoencoder import ConformerAutoencoder

FORMAT_VERSION = 4

FLOATS = ("F64", "F32", "F16", "BF16")
"""Types of stored weights, as safetensors names them."""
FAULTS = (SafetensorError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What reading a damaged file may raise."""

AUTOENCODER, PROPERTY = "autoencoder", "property"
KINDS = {
    AUTOENCODER: "an autoencoder, which predicts no property; train one from it with molgiae finetune --model",
    PROPERTY: "a model of properties, which embeds nothing; use it with molgiae predict",
}
"""What a checkpoint may be, and what to say where it is of no use."""


def _without_atoms(header: dict[str, Any]) -> dict[str, Any]:
    """Version 3, of autoencoders alone, knew no network of atoms."""
    return header | {"kind": AUTOENCODER, "config": {**header["config"], "atom_width": 0}}


PARTS: dict[str, dict[str, type]] = {
    AUTOENCODER: {"config": dict, "domain": dict},
    PROPERTY: {
        "config": dict,
        "domain": dict,
        "targets": list,
        "references": dict,
        "spread": list,
        "calibration": list,
    },
}
"""What the header of each kind has to hold, as JSON."""

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
        try:
            header = UPGRADES[old](header)
        except FAULTS as error:
            raise damaged(path, f"its header of format {old} lacks {error}") from error
    found = header.get("kind")
    if not isinstance(found, str) or found not in KINDS:
        raise damaged(path, f"its header has kind {found!r:.60}, expected one of {', '.join(KINDS)}")
    if kind is not None and found != kind:
        raise CheckpointError(f"{path}: holds {KINDS[found]}")
    for part, wanted in PARTS[found].items():
        if not isinstance(header.get(part), wanted):
            raise damaged(
                path, f"its header has {part} {header.get(part)!r:.60}, expected a {wanted.__name__}"
            )
    return header


def provenance_of(header: dict[str, Any]) -> dict[str, Any]:
    """Return where a model comes from.

    Raises:
        ConfigError: if the header does not say.
    """
    found = header.get("provenance")
    if not isinstance(found, dict):
        raise ConfigError(f"provenance is {found!r:.60}, expected a dict")
    return found


def damaged(path: Path, fault: object) -> CheckpointError:
    """Return the error that says in one line what is wrong with a file, and what to do."""
    text = " ".join(str(fault).split())
    return CheckpointError(f"{path}: is damaged: {text}; take another copy, or train the model again")


def _decoded(path: Path, text: str) -> tuple[dict[str, Any], int]:
    """The header and its format version."""
    try:
        header = json.loads(text)
        version = header["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its header is damaged ({error})") from error
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise CheckpointError(f"{path}: its header is damaged (format version {version!r:.60})")
    return header, version


Model = TypeVar("Model", bound=nn.Module)


def with_weights(path: Path, make: Callable[[], Model]) -> Model:
    """Return a model, ready for inference, with the weights of a file.

    Names, types and shapes are compared before the model takes any memory: a header can ask for any size.

    Args:
        path: of a checkpoint.
        make: makes the model, with any weights.

    Raises:
        CheckpointError: if the weights are not those of the model, or not finite numbers.
    """
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in make().state_dict().items()}
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        if names != set(expected):
            odd = sorted(names ^ set(expected))
            raise damaged(
                path, f"weights and configuration do not fit ({', '.join(odd)[:200]} in one of them only)"
            )
        for name, shape in expected.items():
            part = file.get_slice(name)
            found, dtype = tuple(part.get_shape()), part.get_dtype()
            if found != shape or dtype not in FLOATS:
                raise damaged(
                    path,
                    f"weights and configuration do not fit ({name} is {dtype} of shape {found}, expected floats of "
                    f"shape {shape})",
                )
        weights = {name: file.get_tensor(name).float() for name in expected}
    if wrong := [name for name, t in weights.items() if not t.isfinite().all()]:
        raise damaged(path, f"{wrong[0]} is not finite everywhere")
    model = make()
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


def load(name: str) -> Checkpoint:
    """Load a shipped model by name, or any checkpoint by path, ready for inference.

    Raises:
        CheckpointError: if it is missing, damaged, too new or does not fit its own configuration.
    """
    path = locate(name)
    header = read_header(path)
    try:
        config = ModelConfig.from_dict(header["config"])
        domain = Domain.from_dict(header["domain"])
        model = with_weights(path, lambda: build(config))
        provenance = provenance_of(header)
    except (ConfigError, *FAULTS) as error:
        raise damaged(path, f"weights and configuration do not fit ({error})") from error
    return Checkpoint(name, model, domain, provenance, sha256_of(path))


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

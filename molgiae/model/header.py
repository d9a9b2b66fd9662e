"""The header of a checkpoint: a safetensors file keeps, as JSON beside its weights, what it is and comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from molgiae.errors import CheckpointError, ConfigError, ShapeError

FORMAT_VERSION = 8
METADATA_KEY = "molgiae"

FAULTS = (SafetensorError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What reading a damaged file may raise."""


class Kind(StrEnum):
    """What a checkpoint holds."""

    AUTOENCODER = "autoencoder"
    PROPERTY = "property"


USES = {
    Kind.AUTOENCODER: "an autoencoder, which predicts no property; train one from it with molgiae finetune --model",
    Kind.PROPERTY: "a model of properties, which embeds nothing; use it with molgiae predict",
}
"""What to say of a checkpoint where it is of no use."""

_EVERY: dict[str, type] = {"config": dict, "domain": dict, "provenance": dict}
PARTS: dict[Kind, dict[str, type]] = {
    Kind.AUTOENCODER: _EVERY,
    Kind.PROPERTY: _EVERY
    | {
        "targets": list,
        "references": dict,
        "spread": list,
        "calibration": list,
        "baseline": str,
        "pooling": str,
    },
}
"""What the header of each kind has to hold, as JSON."""


def _without_atoms(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header of version 3, of autoencoders that knew no network of atoms, as one of version 4."""
    return header | {"kind": Kind.AUTOENCODER.value, "config": {**header["config"], "atom_width": 0}}


def _without_learned_frame(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header of version 4, which knew learned frames of slots models, as one of version 5."""
    config = dict(header["config"])
    if config.pop("frame_width", 0):
        raise ConfigError("it has a learned frame, which is no longer read; train the model again")
    return header | {"config": config}


def _without_bond_graph(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header of version 5, whose smooth parts were made of classes of the bond graph, as one of version 6."""
    config = dict(header["config"])
    if config.get("shape_dim") and config["architecture"] == "slots":
        raise ConfigError(
            "its shape part hangs on perceived bonds and is no longer read; train the model again"
        )
    if header.get("kind") == Kind.AUTOENCODER:
        config |= {"features_dim": 0, "atom_rounds": 0}
    return header | {"config": config}


def _without_property_network(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header of version 6, of which fine-tuning started from the features part, as one of version 7."""
    if header.get("kind") == Kind.PROPERTY:
        raise ConfigError("its network of atoms is no longer read; run molgiae finetune again")
    return header | {"config": {**header["config"], "property_width": 0}}


def _without_solvation(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header of version 7, whose network of properties knew no solvents, as one of version 8."""
    if header.get("kind") == Kind.AUTOENCODER and header["config"].get("property_width"):
        raise ConfigError("its network of properties is no longer read; train the model again")
    return header


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    3: _without_atoms,
    4: _without_learned_frame,
    5: _without_bond_graph,
    6: _without_property_network,
    7: _without_solvation,
}
"""Version n to the function that turns its header into that of version n + 1.

Versions 1 and 2, of no release, ordered atoms in ways that are gone.
"""


def header_text(kind: Kind, header: dict[str, Any]) -> dict[str, str]:
    """Return the metadata of a safetensors file: the header, its kind and the version of the format."""
    full = {"format_version": FORMAT_VERSION, "kind": kind.value, **header}
    return {METADATA_KEY: json.dumps(full)}


def read_header(path: Path, kind: Kind | None = Kind.AUTOENCODER) -> dict[str, Any]:
    """Return the header of a checkpoint, upgraded to the current format, without reading weights.

    Raises:
        CheckpointError: if the file is not a molgiae checkpoint of the kind (None: any), or newer than molgiae.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a checkpoint, or a damaged one ({error}); expected a .safetensors file"
        ) from error
    if METADATA_KEY not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but not one written by molgiae")
    header = _upgraded(path, metadata[METADATA_KEY])
    found = header.get("kind")
    if found not in list(Kind):
        raise damaged(path, f"its header has kind {found!r:.60}, expected one of {', '.join(Kind)}")
    if kind is not None and found != kind:
        raise CheckpointError(f"{path}: holds {USES[Kind(found)]}")
    for part, wanted in PARTS[Kind(found)].items():
        if not isinstance(value := header.get(part), wanted):
            raise damaged(path, f"its header has {part} {value!r:.60}, expected a {wanted.__name__}")
    return header


def _upgraded(path: Path, text: str) -> dict[str, Any]:
    """Return the header that a text of any format version stands for."""
    try:
        header: dict[str, Any] = json.loads(text)
        version = header["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(path, f"its header is damaged ({error})") from error
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise damaged(path, f"its header is damaged (format version {version!r:.60})")
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
        except ConfigError as error:
            raise CheckpointError(f"{path}: {error}") from error
        except FAULTS as error:
            raise damaged(path, f"its header of format {old} lacks {error}") from error
    return header


def damaged(path: Path, fault: object) -> CheckpointError:
    """Return the error that says in one line what is wrong with a file, and what to do."""
    text = " ".join(str(fault).split())
    return CheckpointError(f"{path}: is damaged: {text}; take another copy, or train the model again")


@contextmanager
def building_from(path: Path) -> Iterator[None]:
    """Name the file in whatever goes wrong while a model is built from its header and weights.

    Raises:
        CheckpointError: in place of what damaged files raise.
    """
    try:
        yield
    except (ConfigError, ShapeError, *FAULTS) as error:
        raise damaged(path, f"weights and configuration do not fit ({error})") from error


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

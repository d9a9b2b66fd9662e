"""Models on disk: weights of any network with the header of `molgiae.model.header`, in one safetensors file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save as serialized
from torch import nn
from torch.overrides import TorchFunctionMode

from molgiae.config import AUTO_MODEL, Domain, ModelConfig
from molgiae.data.partial import PartialFile
from molgiae.errors import CheckpointError
from molgiae.model.architectures import build
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.header import Kind, building_from, damaged, header_text, read_header, sha256_of
from molgiae.model.shipped import locate

FLOATS = ("F64", "F32", "F16", "BF16")
"""Types of stored weights, as safetensors names them."""
MAX_WEIGHT = 1e6
"""Largest absolute weight that is taken: those of trained models are below 10, and products of larger ones overflow."""

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Checkpoint(Generic[Model]):
    """A model with its origin.

    Attributes:
        name: short name, or path, it was asked for by.
        model: ready for inference, on the CPU.
        domain: what it was trained on.
        provenance: package versions, data with sha256, seed, steps, metrics, units.
        sha256: of the file.
    """

    name: str
    model: Model
    domain: Domain
    provenance: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""


def save(
    path: Path,
    model: ConformerAutoencoder,
    domain: Domain,
    provenance: dict[str, Any],
    dtype: torch.dtype = torch.float32,
    single: Sequence[str] = (),
    shares: Path | None = None,
) -> None:
    """Write an autoencoder, what it was trained on and where it comes from; other arguments as of `write`."""
    header = {"config": model.config.to_dict(), "domain": domain.to_dict(), "provenance": provenance}
    write(path, model, Kind.AUTOENCODER, header, dtype, single, shares)


def write(
    path: Path,
    model: nn.Module,
    kind: Kind,
    header: dict[str, Any],
    dtype: torch.dtype = torch.float32,
    single: Sequence[str] = (),
    shares: Path | None = None,
) -> None:
    """Write the weights of a model and a header, under a temporary name until the file is complete.

    Args:
        path: ends in .safetensors.
        model: its weights.
        kind: of the checkpoint.
        header: plain data; gets the kind and the version of the format.
        dtype: of the stored weights; float16 halves the file.
        single: parts of the names of weights that stay in single precision all the same.
        shares: a checkpoint in the same folder; weights that it has, bit by bit, are left to it.
    """
    weights = {
        name: t.detach()
        .cpu()
        .to(torch.float32 if any(part in name for part in single) else dtype)
        .contiguous()
        for name, t in model.state_dict().items()
    }
    if shares is not None:
        header = header | {"shares": {"file": shares.name, "sha256": sha256_of(shares)}}
        with safe_open(shares, framework="pt") as other:
            there = set(other.keys())
            weights = {
                name: t
                for name, t in weights.items()
                if not (name in there and _identical(t, other.get_tensor(name)))
            }
    # not save_file: its files are readable by their owner alone
    with PartialFile(path, overwrite=True).writing() as temporary:
        temporary.write_bytes(serialized(weights, metadata=header_text(kind, header)))


def load(name: str) -> Checkpoint[ConformerAutoencoder]:
    """Load a shipped model by name, "auto" for the default one, or any autoencoder by path, ready for inference.

    Raises:
        CheckpointError: if it is missing, damaged, too new or does not fit its own configuration.
    """
    path = locate(name)
    header = read_header(path)
    with building_from(path):
        config = ModelConfig.from_dict(header["config"])
        domain = Domain.from_dict(header["domain"])
        model = with_weights(path, lambda: build(config), header.get("shares"))
    name = path.stem if name == AUTO_MODEL else name
    return Checkpoint(name, model, domain, header["provenance"], sha256_of(path))


def _identical(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


def _shared(path: Path, shares: Mapping[str, str]) -> Path:
    """Return the checkpoint in the same folder that holds further weights.

    Raises:
        CheckpointError: if it is not there, or another one than when the first was written.
    """
    other = path.with_name(Path(shares["file"]).name)
    if not other.is_file() or sha256_of(other) != shares["sha256"]:
        raise CheckpointError(
            f"{path}: shares weights with {other.name}, which is not beside it as it was; copy both together"
        )
    return other


class _Uninitialised(TorchFunctionMode):
    """Leaves tensors as they are that would be filled with random numbers.

    On the meta device there is nothing to fill, and torch loads half of its compiler, 100 MB, to do so.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Return the tensor where it would be filled, and call whatever else is called."""
        given = kwargs or {}
        if getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def with_weights(path: Path, make: Callable[[], Model], shares: Mapping[str, str] | None = None) -> Model:
    """Return a model, ready for inference, with the weights of a checkpoint and of one that it `shares` weights with.

    Names, types and shapes are compared before the model takes any memory: a header can ask for any size.

    Raises:
        CheckpointError: if the weights are not those of the model, or not finite numbers.
    """
    misfit = "weights and configuration do not fit"
    with torch.device("meta"), _Uninitialised():
        expected = {name: tuple(t.shape) for name, t in make().state_dict().items()}
    with ExitStack() as opened:
        paths = [path] if shares is None else [_shared(path, shares), path]
        files = [opened.enter_context(safe_open(each, framework="pt")) for each in paths]
        where = {
            name: file
            for file in files
            for name in tuple(file.keys())
            if file is files[-1] or name in expected
        }
        if odd := sorted(set(where) ^ set(expected)):
            raise damaged(path, f"{misfit} ({', '.join(odd)[:200]} in one of them only)")
        for name, shape in expected.items():
            part = where[name].get_slice(name)
            found, dtype = tuple(part.get_shape()), part.get_dtype()
            if found != shape or dtype not in FLOATS:
                raise damaged(
                    path, f"{misfit} ({name} is {dtype} of shape {found}, expected floats of shape {shape})"
                )
        weights = {name: where[name].get_tensor(name).float() for name in expected}
    if wrong := [name for name, t in weights.items() if not t.isfinite().all()]:
        raise damaged(path, f"{wrong[0]} is not finite everywhere")
    if wrong := [name for name, t in weights.items() if (t.abs() > MAX_WEIGHT).any()]:
        raise damaged(path, f"{wrong[0]} is above {MAX_WEIGHT:g} somewhere, which no trained weight is")
    model = make()
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)

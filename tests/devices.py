"""A device that is not there: tensors that say they are on it, are held by the CPU, and refuse to meet others.

It is called "meta", as autograd knows a device of that name on every machine. Under `elsewhere` what is made there gets
numbers, unlike otherwise. An operation on tensors of both devices is an error, as on a GPU; there, too, tensors without
dimensions may come from the CPU, and so may indices.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

import molgiae

ELSEWHERE = "meta"
PACKAGE = str(Path(molgiae.__file__).parent)
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")
MOVES = ("_to_copy", "copy_")


class MixedDevicesError(AssertionError):
    """Tensors of both devices met in one operation."""


class Remote(torch.Tensor):
    """A tensor elsewhere."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Remote:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(ELSEWHERE),
        )

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _done(operation, args, kwargs or {})


def _done(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = operation.overloadpacket.__name__
    tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, torch.Tensor)]
    remote = any(isinstance(part, Remote) for part in tensors)
    local = [part for part in tensors if not isinstance(part, Remote) and part.dim()]
    if remote and local and name not in (*INDEXING, *MOVES):
        raise MixedDevicesError(
            f"{operation} of tensors on both devices, of shapes {[t.shape for t in tensors]}"
        )
    asked = kwargs.get("device")
    to_remote = remote if asked is None else torch.device(asked).type == ELSEWHERE
    if asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    plain = tree_map(lambda part: part.held if isinstance(part, Remote) else part, (args, kwargs))
    found = operation(*plain[0], **plain[1])
    if name.endswith("_") and isinstance(args[0], torch.Tensor) and not name.startswith("_"):
        return args[0]
    return tree_map(
        lambda part: Remote(part) if to_remote and isinstance(part, torch.Tensor) else part, found
    )


class _Dispatched(TorchDispatchMode):
    """Also sees what makes tensors of nothing, and where tensors leave."""

    def __init__(self, left: Counter[str]) -> None:
        super().__init__()
        self.left = left

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        asked = kwargs.get("device")
        leaves = operation.overloadpacket.__name__ == "_to_copy" and isinstance(args[0], Remote)
        if leaves and asked is not None and torch.device(asked).type == "cpu":
            self.left[_caller()] += 1
        return _done(operation, args, kwargs)


class _Called(TorchFunctionMode):
    """What torch would make without numbers is made on the CPU and sent."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.Tensor.new_tensor and isinstance(args[0], Remote):
            return torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)).to(ELSEWHERE)
        asked = kwargs.get("device")
        if function is torch.tensor and asked is not None and torch.device(asked).type == ELSEWHERE:
            return torch.tensor(*args, **(kwargs | {"device": "cpu"})).to(ELSEWHERE)
        return function(*args, **kwargs)


def _caller() -> str:
    """The function of molgiae that is at work."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            return frame.f_code.co_qualname
        frame = frame.f_back  # type: ignore[assignment]
    return "none of molgiae"


@contextmanager
def elsewhere() -> Iterator[Counter[str]]:
    """Make that device work; what it gives counts how often tensors came back from it, by function of molgiae."""
    left: Counter[str] = Counter()
    with _Dispatched(left), _Called():
        yield left

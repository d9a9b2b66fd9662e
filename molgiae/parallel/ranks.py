"""Training by several processes, ranks, each with a part of every batch: the same numbers as by one but for round-off.

All of them draw the same batch and the same noise, whatever their number. A network reads the rows of its rank alone,
what it makes of them is gathered, and every rank computes the loss of the whole batch, however that is normalized; its
gradients flow back through the rows of the rank, and their sum over the ranks is that of the whole batch.

Rank 0 alone validates, writes and speaks. Started by torchrun, see `molgiae.parallel.launched`.
"""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from molgiae.errors import ConfigError, MolgiaeError
from molgiae.parallel.launched import local_rank, tells_errors, together

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long ranks wait for what the first does alone; torchrun ends all when one of them fails."""

_alone: list[bool] = []
"""Not empty while the first rank does something that the others wait for."""


def is_first() -> bool:
    """Return whether this is the process that writes and speaks."""
    return not dist.is_initialized() or dist.get_rank() == 0


def number() -> int:
    """Return how many processes share a batch."""
    return dist.get_world_size() if dist.is_initialized() and not _alone else 1


def among_ranks(command: Callable[P, R]) -> Callable[P, R]:
    """Join the processes that were started together before a command runs; nothing changes where there is one."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not together():
            return command(*args, **kwargs)
        try:
            if not dist.is_initialized():
                _join(str(kwargs.get("device", "auto")))
            return command(*args, **kwargs)
        except BaseException:
            tells_errors()  # before others see that this one is gone
            raise

    return run


def _join(device: str) -> None:
    on_gpu = torch.cuda.is_available() and device != "cpu"
    if on_gpu:
        there = torch.cuda.device_count()
        if local_rank() >= there:
            raise ConfigError(
                f"{there} GPUs are there and more processes were started; start as many as there are GPUs, or give "
                "--device cpu"
            )
        torch.cuda.set_device(local_rank())
    try:
        # until the process ends: it may run another command
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the processes of this run did not find each other: {error}") from error
    atexit.register(dist.destroy_process_group)


@contextmanager
def _meeting() -> Iterator[None]:
    """Say in one line that another rank is gone."""
    try:
        yield
    except RuntimeError as error:
        raise MolgiaeError(f"another process of this run has ended; see what it said ({error})") from error


def of_first(function: Callable[[], T]) -> T:
    """Return to all ranks what the first one finds, while the others wait; an error there is one of all."""
    if number() == 1:
        return function()
    said: list[Any] = [None, None]
    if is_first():
        _alone.append(True)
        try:
            said[0] = function()
        except BaseException as error:
            said[1] = str(error)
            tells_errors()
            raise
        finally:
            _alone.clear()
            with _meeting():
                dist.broadcast_object_list(said, device=torch.device("cpu"))
        return said[0]
    with _meeting():
        dist.broadcast_object_list(said, device=torch.device("cpu"))
    if said[1] is not None:
        raise MolgiaeError(said[1])
    return said[0]


def divided(function: Callable[[Any], T], items: Sequence[Any], alone: bool = False) -> list[T]:
    """Return what a function makes of each item, in their order; every rank does some, and all get everything.

    Each rank does all of it `alone` where not all come to it.
    """
    count = 1 if alone else number()
    if count == 1:
        return [function(item) for item in items]
    own = [function(item) for item in items[dist.get_rank() :: count]]
    every: list[Any] = [None] * count
    with _meeting():
        dist.all_gather_object(every, own)
    return [every[place % count][place // count] for place in range(len(items))]


def is_said(mine: bool) -> bool:
    """Return whether any rank says so."""
    if number() == 1:
        return mine
    said = torch.tensor(float(mine))
    with _meeting():
        dist.all_reduce(said, dist.ReduceOp.MAX)
    return bool(said)


def equalize(module: nn.Module) -> None:
    """Give all ranks the weights and buffers of the first one."""
    if number() > 1:
        with torch.no_grad(), _meeting():
            for tensor in module.state_dict(keep_vars=True).values():
                dist.broadcast(tensor.data, 0)


def shared(function: Callable[..., T], *rows: Tensor) -> T:
    """Return what a function makes of the rows of a batch, each rank of its own, gathered with their gradients.

    Args:
        function: makes of tensors, with as many rows in each, one tensor, or a tuple of some, with a row for each.
        rows: (b, ...) each, the same in all ranks.
    """
    count = number()
    if count == 1:
        return function(*rows)
    size, rank = len(rows[0]), dist.get_rank()
    # one that has no row takes the first, which then does not count: all ranks go the same ways
    first = rank if rank < size else 0
    found: Any = function(*(part[first::count] if rank < size else part[:1] for part in rows))

    def gathered(part: Any) -> Any:
        return _Gathered.apply(part, size) if isinstance(part, Tensor) else part

    if not isinstance(found, tuple | list):
        return gathered(found)
    parts = [gathered(part) for part in found]
    kind: Any = type(found)
    same: T = kind(*parts) if hasattr(found, "_fields") else kind(parts)
    return same


class _Gathered(torch.autograd.Function):
    """Rows of all ranks, in the order of the batch; gradients of those of this rank."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, size: int) -> Tensor:
        count, rank = dist.get_world_size(), dist.get_rank()
        ctx.place, ctx.own = (rank, count, size), len(part)
        each = -(-size // count)
        sent = part.new_zeros(each, *part.shape[1:])
        sent[: len(part)] = part
        if sent.dtype == torch.bfloat16:  # which not every transport knows
            sent = sent.float()
        every = [torch.empty_like(sent) for _ in range(count)]
        with _meeting():
            dist.all_gather(every, sent)
        in_order = torch.stack(every, dim=1).flatten(0, 1)[:size].to(part.dtype)
        if not part.is_floating_point():
            ctx.mark_non_differentiable(in_order)
        return in_order

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        rank, count, size = ctx.place
        grad = grads[0]
        return (grad[rank::count] if rank < size else grad.new_zeros(ctx.own, *grad.shape[1:])), None


def add_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace the gradients of each rank by their sum; those that no rank has stay away."""
    if number() == 1:
        return
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    there = [float(parameter.grad is not None) for parameter in wanted]
    parts = [
        (parameter if parameter.grad is None else parameter.grad).detach().flatten() * has
        for parameter, has in zip(wanted, there, strict=True)
    ]
    flat = torch.cat([*parts, parts[0].new_tensor(there)])
    with _meeting():
        dist.all_reduce(flat)
    *sums, known = flat.split([*map(len, parts), len(parts)])
    for parameter, total, has in zip(wanted, sums, known.tolist(), strict=True):
        parameter.grad = total.view_as(parameter) if has else None

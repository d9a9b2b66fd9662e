"""What the processes of `test_ranks` sum: python -m torch.distributed.run ... -m tests.parallel.gradients DIRECTORY."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from molgiae.parallel import ranks

SIZES = 5, 2, 1
"""Rows of batches; of one row, one rank has none."""


def gradients_of(size: int, broken: bool = False) -> list[Tensor | None]:
    """Gradients of a loss that is no mean over rows, of weights that all rows, a few, and none of them use."""
    torch.manual_seed(size)
    net = nn.ModuleList([nn.Linear(3, 4), nn.Linear(3, 2), nn.Linear(3, 1)]).double()
    x, heavy = torch.randn(size, 3, dtype=torch.float64), torch.arange(size) % 3 == 0

    def read(rows: Tensor, number: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return net[0](rows).tanh(), net[1](rows), number

    first, second, number = ranks.shared(read, x, torch.arange(size))
    assert torch.equal(number, torch.arange(size))
    loss = first[heavy].sum() / heavy.sum() + (second @ second.mT).logsumexp(dim=(0, 1))
    loss.backward()
    if not broken:
        ranks.add_gradients(list(net.parameters()))
    return [parameter.grad for parameter in net.parameters()]


@ranks.among_ranks
def gradients(directory: Path) -> None:
    """Sums of gradients over both, and those of the first alone."""
    found = {size: gradients_of(size) for size in SIZES}
    alone = gradients_of(SIZES[0], broken=True)
    if ranks.is_first():
        torch.save({"sums": found, "alone": alone}, directory / "gradients.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    gradients(Path(sys.argv[1]))

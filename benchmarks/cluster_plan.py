"""A run on a cluster before it is started: core-hours, bytes, and how large shards should be.

    python benchmarks/cluster_plan.py --conformers 1e8 --per-second 450 --cores 64

Arithmetic and a simulation. Rates and bytes are those that `benchmarks/shards.py` has measured, or those of one's own
first shard. The simulation gives shards to cores as these become free. Cores differ in speed, take time to start, and
are lost at random, with the shard on them; tasks of a scheduler are handed out one after the other.
"""

from __future__ import annotations

import argparse
import heapq
from dataclasses import dataclass

import numpy as np

HOUR = 3600.0


@dataclass(frozen=True)
class Cluster:
    """What a run meets.

    Attributes:
        cores: of all nodes, one process on each.
        per_second: conformers a second of a core of average speed.
        start: seconds until a process computes.
        spread: of the logarithm of the speeds of cores.
        losses: of a core, in a thousand hours; it comes back after `start`.
        handing: seconds in which the scheduler hands out one task, one at a time.
    """

    cores: int
    per_second: float
    start: float
    spread: float
    losses: float
    handing: float


def simulated(
    cluster: Cluster, conformers: float, size: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the hours that a run takes, and the share of the cores' time that makes what is kept."""
    left = int(np.ceil(conformers / size))
    speed = np.exp(rng.normal(0, cluster.spread, cluster.cores)) * cluster.per_second
    free = [(rng.uniform(0, 1) + cluster.start, core) for core in range(cluster.cores)]
    heapq.heapify(free)
    handed = end = useful = 0.0
    while left:
        at, core = heapq.heappop(free)
        handed = max(at, handed) + cluster.handing
        need = size / speed[core]
        lost = rng.exponential(1000 * HOUR / cluster.losses) if cluster.losses else np.inf
        if lost < need:
            heapq.heappush(free, (handed + lost + cluster.start, core))
            continue
        left, useful, end = left - 1, useful + need, max(end, handed + need)
        heapq.heappush(free, (handed + need, core))
    return end / HOUR, useful / (end * cluster.cores)


def main() -> None:
    """Print the arithmetic, and a row for each size of shards."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conformers", type=float, default=1e8)
    parser.add_argument("--per-second", type=float, required=True, help="of one core, file to HDF5")
    parser.add_argument("--read", type=float, default=4000, help="bytes of the input for a conformer")
    parser.add_argument("--written", type=float, default=4200, help="bytes of a part for a conformer")
    parser.add_argument("--cores", type=int, default=64)
    parser.add_argument("--start", type=float, default=10.0, help="seconds until a process computes")
    parser.add_argument("--spread", type=float, default=0.2, help="of the logarithm of the speeds of cores")
    parser.add_argument("--losses", type=float, default=5.0, help="of a core in a thousand hours")
    parser.add_argument(
        "--handing", type=float, default=0.01, help="seconds for the scheduler to hand out a task"
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e3, 1e4, 3e4, 1e5, 3e5, 1e6])
    args = parser.parse_args()
    cluster = Cluster(args.cores, args.per_second, args.start, args.spread, args.losses, args.handing)
    seconds = args.conformers / args.per_second
    print(
        f"{seconds / HOUR:.0f} core-hours, {seconds / HOUR / args.cores:.2f} h on {args.cores} cores at best"
    )
    for word, size in (("read", args.read), ("written", args.written)):
        rate = size * args.per_second * args.cores / 1e9
        print(f"{args.conformers * size / 1e12:.2f} TB {word}, {rate:.2f} GB a second by all cores together")
    print(
        "| conformers in a shard | shards | MB a part | files opened a second | hours | of the cores' time |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for size in args.sizes:
        shards = int(np.ceil(args.conformers / size))
        hours, kept = simulated(cluster, args.conformers, size, np.random.default_rng(0))
        opened = 2 * shards / (hours * HOUR)
        print(
            f"| {size:,.0f} | {shards:,} | {size * args.written / 1e6:,.0f} | {opened:.2f} | {hours:.2f} | {kept:.0%} |"
        )


if __name__ == "__main__":
    main()

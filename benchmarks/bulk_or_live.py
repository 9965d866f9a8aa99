"""Bulk extinction with a plan, or evolution inside a kernel without one: what each costs, and from when on which is cheaper.

Three ways to let a topology live, on one level of cells and a CPU:

- `bulk`: an extinction ranks all cells, the chosen split and die together, and a new gather plan is made.
- `live, planned`: a kernel lets each cell decide for itself (it splits or dies by a threshold, claiming and releasing slots
  one by one); then a new gather plan is made.
- `live, unplanned`: the same kernel, and steps by the scatter plan, which runs over the pool as it lies.

A topology that changes every k steps costs a step: `gather + (bulk + plan) / k`, `gather + (live + plan) / k`, and
`scatter + live / k`. The crossover is the k at which the first and the last are equal: where the topology changes more
often, the unplanned kernel is cheaper; else the bulk extinction is.

    python benchmarks/bulk_or_live.py          # writes benchmarks/results/bulk_or_live.json, docs/images/bulk-or-live.png
    python benchmarks/bulk_or_live.py --quick  # small networks; writes nothing
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from record import write_result
from scaling import BATCH, DENSITY, Bench

import dna
from dna.cpu.pool import claim, release

SIZES, SHARES = (10_000, 100_000, 1_000_000), (0.001, 0.01, 0.1)
"""Cells, and the share of them that splits in an event; as many die."""
REPEATS = 15
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "bulk-or-live.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    rows = []
    for n_cells in SIZES[:2] if quick else SIZES:
        steps = {plan: fastest(Level(n_cells, plan).step) for plan in ("gather", "scatter")}
        for share in SHARES:
            rows.append({"cells": n_cells, "share": share, **steps, **measure_events(n_cells, share)})
            rows[-1]["crossover, steps"] = crossover(rows[-1])
            print(line(rows[-1]), flush=True)
    if not quick:
        draw(rows, PICTURE)
        result = {"what": __doc__, "batch": BATCH, "density": DENSITY, "threads": numba.get_num_threads(), "rows": rows}
        print(f"wrote {write_result('bulk_or_live', result)} and {PICTURE}")


class Level(Bench):
    """One level of linear cells, by a plan of our choice."""

    def __init__(self, n_cells: int, plan: str) -> None:
        super().__init__("linear", n_cells)
        self.net.compile(plan)
        self.step()  # from now on cells have optimizer state

    def limits(self, share: float) -> tuple[np.float32, np.float32]:
        """Return below which |w| the share of the weakest lies, and above which that of the strongest."""
        sizes = np.abs(self.net.cells.weight)
        return np.float32(np.quantile(sizes, share)), np.float32(np.quantile(sizes, 1 - share))


def measure_events(n_cells: int, share: float) -> dict[str, float]:
    """Return the seconds of an extinction, of a kernel that does the same unranked, and of a plan; medians of several events."""
    level = Level(n_cells, "gather")
    seconds: dict[str, list[float]] = {"bulk": [], "live": [], "plan": []}
    rule = dna.Extinction(split=share, delete=share, keep_outputs=False)
    for _ in range(REPEATS):
        seconds["bulk"].append(timed(lambda: level.net.extinction(rule)))
        seconds["plan"].append(timed(level.net.engine.plans.ready))
        least, limit = level.limits(share)
        level.net.engine.pool.reserve(n_cells // 4)  # kernels cannot make the pool grow
        seconds["live"].append(timed(lambda low=least, high=limit: branch(level.net, low, high)))
        seconds["plan"].append(timed(level.net.engine.plans.ready))
        level.net.events.clear()  # the record of many extinctions is another matter
    return {name: float(np.median(times[2:])) for name, times in seconds.items()}


def branch(net: dna.Network, least: np.float32, limit: np.float32) -> None:
    """Let every cell decide for itself, all at once."""
    pool = net.engine.pool
    branching()(pool.cells, pool.heap, pool.bump, pool.next_id, np.int32(net.version + 1), least, limit)
    net.settle()


@cache
def branching() -> Callable[..., None]:
    """Return the kernel: a cell below `least` dies, one above `limit` splits in two halves."""

    @numba.njit
    def decide(cells: Any, heap: Any, slot: Any, version: Any, least: Any, limit: Any) -> None:
        weight = abs(cells.weight[slot])
        if weight < least:
            release(cells, heap, slot)
        elif weight > limit:
            child, child_id = claim(heap)
            if child >= 0:
                cells.weight[slot] *= np.float32(0.5)
                cells.source[child], cells.target[child] = cells.source[slot], cells.target[slot]
                cells.weight[child] = cells.weight[slot]
                cells.parent[child], cells.born[child] = cells.id[slot], version
                cells.id[child] = child_id

    @numba.njit(parallel=True)
    def kernel(cells: Any, heap: Any, bump: Any, next_id: Any, version: Any, least: Any, limit: Any) -> None:
        for slot in numba.prange(bump):
            if 0 <= cells.id[slot] < next_id:
                decide(cells, heap, slot, version, least, limit)

    return kernel  # type: ignore[no-any-return]


def crossover(row: dict[str, float]) -> float:
    """Return the steps between two changes from which on bulk extinction with a plan is cheaper than the unplanned kernel."""
    return max(0.0, (row["bulk"] + row["plan"] - row["live"]) / (row["scatter"] - row["gather"]))


def costs(row: dict[str, float], every: np.ndarray) -> dict[str, np.ndarray]:
    """Return the seconds a step of the three ways, if the topology changes every so many steps."""
    return {
        "bulk": row["gather"] + (row["bulk"] + row["plan"]) / every,
        "live, planned": row["gather"] + (row["live"] + row["plan"]) / every,
        "live, unplanned": row["scatter"] + row["live"] / every,
    }


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def fastest(run: Callable[[], object]) -> float:
    run()
    return min(timed(run) for _ in range(REPEATS))


def line(row: dict[str, float]) -> str:
    times = "  ".join(f"{name} {1e3 * row[name]:8.3f}" for name in ("gather", "scatter", "bulk", "live", "plan"))
    return f"{row['cells']:>8} cells, {100 * row['share']:4.1f} %:  {times} ms;  crossover {row['crossover, steps']:.2f} steps"


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Draw the cost of a step against the steps between two changes, a picture a size, at the middle share."""
    import matplotlib.pyplot as plt

    shown = [row for row in rows if row["share"] == SHARES[1]]
    figure, axes = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 3.6), layout="constrained")
    every = np.geomspace(1, 1000, 60)
    for ax, row in zip(axes, shown, strict=True):
        for name, seconds in costs(row, every).items():
            ax.semilogx(every, 1e3 * seconds, label=name)
        if row["crossover, steps"] > 1:
            ax.axvline(row["crossover, steps"], color="grey", linestyle=":")
        ax.set(title=f"{row['cells']:,} cells, 1 % split and 1 % die", xlabel="steps between two changes", ylabel="ms a step")
        ax.set_ylim(0)
        ax.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()

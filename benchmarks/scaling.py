"""What becomes of cost and memory as a topology grows, and as it lives on.

- `cells`: levels of 10^4 to 10^8 cells, 5 % of all pairs of nodes: nanoseconds a cell-sample of a training step, nanoseconds a
  cell of an extinction and of a new plan, and bytes a cell, with Adam's state in the pool. The record of an extinction is memory
  that was not in use before. Where a virtual machine gives free memory back to its host, who touches it first waits for the host,
  some twenty times longer than for a page of the machine's own. So as much memory is taken, touched and given back just before;
  what an extinction takes without that, which depends on what ran before, is there as well.
- `life`: 1,000 extinctions in a row of one network, 10 % and 10 %: a step's time, the pool's bytes and its fragmentation.

    python benchmarks/scaling.py                  # writes benchmarks/results/scaling.json and docs/images/scaling.png
    python benchmarks/scaling.py --most 1e6 --extinctions 50     # smaller; writes nothing
    python benchmarks/scaling.py --kept rows.jsonl --seconds 20  # begins no part later, and keeps those taken for the next call
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from record import write_result

import dna
from dna.training.losses import MSE

DENSITY, BATCH = 0.05, 128
SIZES = (1e4, 1e5, 1e6, 1e7, 1e8)
ADAM = dna.Adam(1e-3)
TAKEN, PAGE = 12, 4096
"""Bytes a cell that an extinction of a tenth takes, and more, and those of a page."""

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "scaling.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=float, default=1e8, help="cells of the largest network")
    parser.add_argument("--extinctions", type=int, default=1000)
    parser.add_argument("--kept", type=Path, help="a file of the parts that were measured before, and are now")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no part later than this")
    options = parser.parse_args()
    end, taken = time.monotonic() + options.seconds, read(options.kept)
    parts = [(kind, n) for kind in ("linear", "relu") for n in SIZES if n <= options.most]
    for kind, n in parts[len(taken) :]:
        if time.monotonic() > end:
            return
        taken.append(measure_size(kind, n))
        print(line_of_size(taken[-1]), flush=True)
        keep(options.kept, taken[-1])
    if time.monotonic() > end:
        return
    life = measure_life(options.extinctions)
    if options.most >= SIZES[-1] and options.extinctions >= 1000:
        draw(taken, life, PICTURE)
        result = {"what": __doc__, "batch": BATCH, "density": DENSITY, "cells": taken, "life": life}
        print(f"wrote {write_result('scaling', result)} and {PICTURE}")


def read(kept: Path | None) -> list[dict[str, Any]]:
    """Return the rows of the sizes that were measured before."""
    return [json.loads(row) for row in kept.read_text().splitlines()] if kept is not None and kept.exists() else []


def keep(kept: Path | None, row: dict[str, Any]) -> None:
    if kept is not None:
        with kept.open("a") as file:
            file.write(json.dumps(row) + "\n")


class Bench:
    """One network of a level, a batch, and the phases of its training step."""

    def __init__(self, kind: str, n_cells: float, seed: int = 0) -> None:
        nodes = round((n_cells / DENSITY) ** 0.5)
        self.net = dna.Network([nodes, nodes], cell=kind, init="he", density=DENSITY, device="cpu", seed=seed)
        rng = np.random.default_rng(seed)
        self.x, self.targets = (rng.random((BATCH, nodes), dtype=np.float32) for _ in range(2))
        self.rows = np.arange(BATCH)

    def step(self) -> None:
        engine = self.net.engine
        engine.load(self.x, self.rows)
        engine.forward()
        engine.loss(MSE, self.targets, self.rows, 1 / BATCH)
        engine.backward(inputs_too=False)
        self.net.apply(ADAM)

    def plan(self) -> None:
        engine, pool = self.net.engine, self.net.engine.pool
        engine.backend.make_plan(engine.plans.name, pool.cells, pool.bump, len(pool), engine.nodes)

    def bytes_a_cell(self) -> dict[str, float]:
        plan = self.net.engine.plans.ready()
        arrays = [array for stage in (*plan.into, *plan.out_of) for array in stage if isinstance(array, np.ndarray)]
        arrays += plan.spare
        whole = [array if array.base is None else array.base for array in arrays]  # stages are views of a few arrays
        held = sum({id(array): array.nbytes for array in whole}.values())
        n = len(self.net)
        return {"pool": self.net.engine.pool.nbytes / n, "plan": held / n}

    def extinction(self, *, at_hand: bool) -> float:
        """Return the seconds of an extinction; its memory is touched before if it is to be at hand."""
        if at_hand:
            np.empty(round(TAKEN * len(self.net)), np.uint8)[::PAGE] = 1
        return self.net.extinction(dna.Extinction(jitter=0.1)).seconds


def measure_size(kind: str, n_cells: float) -> dict[str, Any]:
    bench = Bench(kind, n_cells)
    n = len(bench.net)
    bench.step()
    seconds = {"step": fastest(bench.step, n), "plan": fastest(bench.plan, n)}
    memory = bench.bytes_a_cell()
    fresh, *events = [bench.extinction(at_hand=k > 1) for k in range(4 if n < 2e7 else 3)][1:]
    result = {
        "kind": kind,
        "cells": n,
        "step, ns a cell-sample": seconds["step"] / n / BATCH * 1e9,
        "plan, ns a cell": seconds["plan"] / n * 1e9,
        "extinction, ns a cell": min(events) / n * 1e9,
        "extinction on fresh pages, ns a cell": fresh / n * 1e9,
        "bytes a cell": memory,
    }
    del bench
    gc.collect()
    return result


def measure_life(extinctions: int) -> list[dict[str, float]]:
    """Let one network of a million cells live through many extinctions; look at it now and then."""
    bench, rule = Bench("linear", 1e6), dna.Extinction(passthrough="random", jitter=0.1)
    looks = sorted({0, *np.unique(np.geomspace(1, extinctions, 13).astype(int))})
    life: list[dict[str, float]] = []
    for event in range(extinctions + 1):
        if event in looks:
            bench.step()
            step = fastest(bench.step, len(bench.net))
            pool = bench.net.engine.pool
            point = {"extinctions": event, "step_ms": step * 1e3, "pool_bytes": pool.nbytes, "fragmentation": pool.fragmentation}
            life.append(point | {"cells": len(bench.net)})
            print(line_of_life(life[-1]), flush=True)
        bench.net.extinction(rule)
        bench.net.events.clear()  # the record of a thousand extinctions is another matter than the pool
    return life


def line_of_size(row: dict[str, Any]) -> str:
    step, plan, extinction = (row[what] for what in ("step, ns a cell-sample", "plan, ns a cell", "extinction, ns a cell"))
    fresh = row["extinction on fresh pages, ns a cell"]
    memory = " + ".join(f"{held:.0f} ({part})" for part, held in row["bytes a cell"].items())
    costs = f"a step {step:.3f} ns a cell-sample, a plan {plan:5.1f} and an extinction {extinction:5.1f} ({fresh:.1f}) ns a cell"
    return f"{row['kind']:6} {row['cells']:12,} cells: {costs}, {memory} bytes a cell"


def line_of_life(point: dict[str, float]) -> str:
    pool = f"{point['pool_bytes'] / 1e6:.0f} MB, of whose slots {point['fragmentation']:.1%} are free"
    return f"{point['extinctions']:5} extinctions, {point['cells']:,} cells: a step {point['step_ms']:.2f} ms, a pool of {pool}"


def fastest(run: Callable[[], object], n_cells: int) -> float:
    """Return the seconds of the fastest of several calls, fewer for large networks."""
    times = []
    for _ in range(3 if n_cells > 2e7 else 10 if n_cells > 2e6 else 40):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def draw(cells: list[dict[str, Any]], life: list[dict[str, float]], path: Path) -> None:
    """Draw cost and memory by cells, and a step's time over a thousand extinctions."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(14, 3.4), layout="constrained")
    for kind in ("linear", "relu"):
        own = [row for row in cells if row["kind"] == kind]
        n = [row["cells"] for row in own]
        axes[0].plot(n, [row["step, ns a cell-sample"] for row in own], "o-", label=kind)
        axes[1].plot(n, [row["extinction, ns a cell"] for row in own], "o-", label=f"{kind}, extinction")
        axes[1].plot(n, [row["plan, ns a cell"] for row in own], "o--", label=f"{kind}, new plan")
        axes[2].plot(n, [sum(row["bytes a cell"].values()) for row in own], "o-", label=kind)
    titles = ("training step, ns a cell-sample", "ns a cell", "pool and plan, bytes a cell (Adam)", "step after extinctions, ms")
    axes[3].plot([row["extinctions"] for row in life], [row["step_ms"] for row in life], "o-")
    for ax, title in zip(axes, titles, strict=True):
        ax.set(title=title, xlabel="cells")
        ax.set_ylim(0, 1.15 * ax.get_ylim()[1])
    for ax in axes[:3]:
        ax.set_xscale("log")
        ax.legend(frameon=False)
    axes[3].set(xlabel="extinctions")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()

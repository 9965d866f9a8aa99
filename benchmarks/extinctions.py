"""An extinction beside a training step, and its selection beside the partitions of NumPy and PyTorch.

One level of cells, 784 x 1000 with all of them or a million at 5 %. In each round of one process: training steps at batch 128
(forward, mean squared error, backward, update), whose cells lie out of order since they split and die, unlike those of a new
network, whose step is timed before; an extinction of the 10 % weakest and the 10 % strongest, the plan that its first
step needs, and the selection of such cells alone, slots included. The partitions find the two thresholds of the same scores: by
`np.partition`, a call for each and one call for both, and by `torch.kthvalue`. They give no slots and take no account of ids.

    python benchmarks/extinctions.py              # writes benchmarks/results/extinctions.json; less than a minute
    python benchmarks/extinctions.py --dry        # writes nothing
"""

from __future__ import annotations

import argparse
import gc
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from record import write_result

import dna
from dna.selection import Selection
from dna.training.losses import MSE
from dna.types import DELETE, SPLIT

BATCH, STEPS, SHARE = 128, 5, 10
"""Samples, training steps a round, and the tenth that dies and the tenth that splits."""

RULE = dna.Extinction(split=1 / SHARE, delete=1 / SHARE, jitter=0.1)
SHAPES = {"784 x 1000, all": ([784, 1000], 1.0), "4472 x 4472, 5 %": ([4472, 4472], 0.05)}
OPTIMIZERS: dict[str, Any] = {"SGD": dna.SGD(1e-2), "Adam": dna.Adam(1e-3)}
CASES = [(shape, kind, name) for shape in SHAPES for kind in ("linear", "relu") for name in OPTIMIZERS]


class Bench:
    """One network, a batch of random samples, and what is timed."""

    def __init__(self, shape: str, kind: str, optimizer: str) -> None:
        nodes, density = SHAPES[shape]
        self.net = dna.Network(nodes, cell=kind, init="he", density=density, device="cpu")
        self.net.compile("gather")
        rng = np.random.default_rng(0)
        self.x, self.targets = (rng.random((BATCH, n), dtype=np.float32) for n in nodes)
        self.rows, self.optimizer = np.arange(BATCH), OPTIMIZERS[optimizer]

    def step(self) -> None:
        engine = self.net.engine
        engine.load(self.x, self.rows)
        engine.forward()
        engine.loss(MSE, self.targets, self.rows, 1 / BATCH)
        engine.backward(inputs_too=False)
        self.net.apply(self.optimizer)

    def extinction(self) -> None:
        self.net.extinction(RULE)

    def plan(self) -> None:
        self.net.engine.plans.ready()

    def selection(self) -> None:
        """Choose as an extinction does, and write nothing."""
        engine, model = self.net.engine, self.net
        numbers = {"seed": 0, "event": 0, "version": engine.version + 1}
        selection = Selection(engine.backend, engine.pool, engine.nodes, engine.statistics, **numbers, clock=model.clock)
        for death in RULE.deaths:
            death.mark(selection)
        for birth in RULE.births:
            birth.prepare(selection)
        assert len(selection.slots(DELETE)) == len(selection.slots(SPLIT)) == len(model) // SHARE

    def rivals(self) -> dict[str, Callable[[], object]]:
        """Return what finds the thresholds alone, on scores that are there already."""
        scores = np.abs(self.net.cells.weight)
        n, k, tensor = len(scores), len(scores) // SHARE, torch.from_numpy(scores)
        return {
            "np.partition, two calls": lambda: (np.partition(scores, k - 1), np.partition(scores, n - k)),
            "np.partition, one call": lambda: np.partition(scores, (k - 1, n - k)),
            "torch.kthvalue, two calls": lambda: (tensor.kthvalue(k), tensor.kthvalue(n - k + 1)),
        }


def measure(case: tuple[str, str, str], rounds: int) -> dict[str, Any]:
    """Return medians over the rounds, in milliseconds, and their ratios."""
    bench, times = Bench(*case), defaultdict(list)
    bench.step()  # compiles, or loads what was compiled
    times["new step"] = [seconds(bench.step) for _ in range(3 * STEPS)]
    for phase in (bench.extinction, bench.plan, bench.step, bench.selection):
        phase()
    for _ in range(rounds):
        times["step"].append(float(np.median([seconds(bench.step) for _ in range(STEPS)])))
        times["extinction"].append(seconds(bench.extinction))
        times["plan"].append(seconds(bench.plan))
        bench.step()
        times["selection"].append(min(seconds(bench.selection) for _ in range(2)))
        for name, run in bench.rivals().items():
            times[name].append(seconds(run))
    ms = {name: float(np.median(values)) * 1e3 for name, values in times.items()}
    whole = np.array(times["extinction"]) + np.array(times["plan"])
    return {
        "shape": case[0],
        "cells": len(bench.net),
        "kind": case[1],
        "optimizer": case[2],
        "ms": ms,
        "steps an extinction and its plan take": float(np.median(whole / np.array(times["step"]))),
        "new steps an extinction and its plan take": float(np.median(whole)) * 1e3 / ms["new step"],
        "times faster than": {name: value / ms["selection"] for name, value in ms.items() if "call" in name},
    }


def seconds(run: Callable[[], object]) -> float:
    """Return what one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as text."""
    heads = ("new step", "step", "extinction", "plan", "selection")
    lines = [f"{'':36}" + "".join(f"{head:>12}" for head in heads) + f"{'new steps':>11}{'steps':>7}   selection beside"]
    for row in rows:
        name = f"{row['shape']}, {row['kind']}, {row['optimizer']}"
        times = "".join(f"{row['ms'][head]:9.2f} ms" for head in heads)
        ratios = ", ".join(f"{rival} {ratio:.1f}x" for rival, ratio in row["times faster than"].items())
        takes = (row[f"{what}steps an extinction and its plan take"] for what in ("new ", ""))
        lines.append(f"{name:36}{times}{next(takes):11.2f}{next(takes):7.2f}   {ratios}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    options = parser.parse_args()
    rows = []
    for case in CASES:
        rows.append(measure(case, options.rounds))
        gc.collect()
    print(table(rows))
    if not options.dry:
        print(f"wrote {write_result('extinctions', {'what': __doc__, 'batch': BATCH, 'rows': rows})}")


if __name__ == "__main__":
    main()

"""What extinctions buy: rules beside each other and beside a random control, on the whole of MNIST, several seeds each.

    python benchmarks/study_extinction.py single --data DIR     # one level: three cell kinds, five rules
    python benchmarks/study_extinction.py budget --data DIR     # two and three levels at a budget of cells

Each part writes `benchmarks/results/study_<part>.json` with every run (accuracy, cells, extinctions, the loss around
each) and prints a table of mean and deviation. A row can be run alone: `--only NAME`. `--seeds` and `--epochs` shorten it.
Test images judge and are used for nothing else: no rule, rate or epoch was chosen on them by this script.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from record import write_result

import dna
from dna.data import Dataset, load_idx_folder

BATCH = 128


@dataclass(frozen=True)
class Row:
    """One setting of a study."""

    name: str
    layers: tuple[int, ...]
    rule: Callable[[int], dna.Extinction | None]  # of the number of steps in all
    epochs: int
    options: dict[str, Any] = field(default_factory=dict)  # of the network
    lr: float = 1e-3
    calm: int = 0  # last epochs without extinctions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("single", "budget"))
    parser.add_argument("--data", type=Path, required=True, help="the four IDX files of MNIST")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="instead of each row's own; the result is not written")
    parser.add_argument("--only", help="rows whose name holds this; the result is not written")
    options = parser.parse_args()
    data = load_idx_folder(options.data)
    rows = [row for row in ROWS[options.part]() if options.only is None or options.only in row.name]
    results = []
    for row in rows:
        runs = [train(row, data, seed, options.epochs or row.epochs) for seed in range(options.seeds)]
        results.append({"name": row.name, "epochs": row.epochs, "layers": row.layers, **summary(runs), "runs": runs})
        print(line(results[-1]), flush=True)
    if options.only is None and options.epochs is None:
        print(f"wrote {write_result(f'study_{options.part}', {'what': __doc__, 'batch': BATCH, 'rows': results})}")


def train(row: Row, data: Dataset, seed: int, epochs: int) -> dict[str, Any]:
    """Train one network, and return what became of it."""
    start = time.perf_counter()
    net = dna.Network(row.layers, device="cpu", seed=seed, **row.options)
    cells = len(net)
    steps = epochs * -(-len(data.x) // BATCH)
    common = {"batch_size": min(BATCH, len(data.x)), "optimizer": dna.Adam(row.lr), "progress": False}
    living = epochs - min(row.calm, epochs)
    history = net.fit(data.x, data.y, epochs=living, extinction=row.rule(steps), **common).epochs
    history += net.fit(data.x, data.y, epochs=epochs - living, **common).epochs
    x, y = (data.x, data.y) if data.x_test is None else (data.x_test, data.y_test)
    judged = net.evaluate(x, y)
    events = [{"epoch": e.epoch, "died": e.n_died, "before": e.loss_before, "after": e.loss_after} for e in net.fossils]
    return {
        "seed": seed, "accuracy": judged["accuracy"], "loss": judged["loss"], "cells at first": cells, "cells": len(net),
        "most cells": max([cells, *(e.cells_after for e in net.fossils)]), "seconds": time.perf_counter() - start,
        "events": len(events) if len(events) > 40 else events, "loss by epoch": [round(epoch.loss, 5) for epoch in history],
    }  # fmt: skip


def summary(runs: list[dict[str, Any]]) -> dict[str, float]:
    accuracy = np.array([run["accuracy"] for run in runs])
    return {
        "accuracy": float(accuracy.mean()),
        "deviation": float(accuracy.std(ddof=1)) if len(runs) > 1 else 0.0,
        "cells": float(np.mean([run["cells"] for run in runs])),
        "most cells": float(max(run["most cells"] for run in runs)),
        "seconds": float(np.mean([run["seconds"] for run in runs])),
    }


def line(result: dict[str, Any]) -> str:
    return (
        f"{result['name']:44} {100 * result['accuracy']:6.2f} ± {100 * result['deviation']:.2f} %  "
        f"{result['cells']:8.0f} cells (most {result['most cells']:.0f})  {result['seconds']:.1f} s"
    )


# one level


def single_rows() -> list[Row]:
    """Return the fixed layer, the article's extinction by its own and by its code's measure, controls, constant budgets."""
    plateau = dna.Plateau(every=2, patience=0, min_delta=5e-3)
    rules = {
        "fixed": None,
        "article, |w|": dna.Extinction(passthrough="weight", rule="article", when=plateau),
        "code, |w + b|": dna.Extinction(passthrough="weight_bias", rule="article", when=plateau),
        "random control": dna.Extinction(passthrough="random", rule="article", when=plateau),
        "function-preserving, |w|, jitter": dna.Extinction(passthrough="weight", jitter=0.3, when=plateau),
        "function-preserving, gradient, jitter": dna.Extinction(passthrough="gradient", jitter=0.3, when=plateau),
        "function-preserving, random, jitter": dna.Extinction(passthrough="random", jitter=0.3, when=plateau),
    }
    return [
        Row(f"{cell}: {name}", (784, 10), lambda steps, rule=rule: rule, 30, {"cell": cell, "init": init}, calm=5)
        for cell, init in (("linear", "ones"), ("relu", "spread"), ("tanh", "spread"))
        for name, rule in rules.items()
    ]


# a budget of cells


BUDGET_LAYERS, BUDGETS = (784, 100, 50, 10), (2000, 4000, 8000, 16000, 40000)


def budget_rows() -> list[Row]:
    """Return networks that never hold more than their budget, by the rule that moves cells about."""
    return [
        Row(f"{cells} cells: {name}", BUDGET_LAYERS, rule, 12, {"density": densities(cells), "activation": "relu"}, lr=2e-3)
        for cells in BUDGETS
        for name, rule in BUDGET_RULES.items()
    ] + [
        Row(f"{cells} cells, 60 epochs: {name}", BUDGET_LAYERS, BUDGET_RULES[name], 60, {"density": densities(cells)}, lr=2e-3)
        for cells in BUDGETS
        for name in ("fixed", "regrow by gradient (RigL)")
    ]


def densities(cells: int) -> list[float]:
    """Return densities by which a level has cells in proportion to its nodes on both sides (Mocanu et al. 2018), none above 1."""
    pairs = [a * b for a, b in pairwise(BUDGET_LAYERS)]
    ends = np.array([a + b for a, b in pairwise(BUDGET_LAYERS)], float)
    low, high = 0.0, float(cells)
    for _ in range(60):  # the factor of proportion, as full levels take no more
        factor = (low + high) / 2
        low, high = (factor, high) if np.minimum(factor * ends, pairs).sum() < cells else (low, factor)
    return [float(d) for d in np.minimum(low * ends / pairs, 1.0)]


def rewired(birth: Callable[[], Any]) -> Callable[[int], dna.Extinction]:
    """Return the rule by which the weakest die and as many are born, level by level, ever fewer, over 3/4 of the steps."""

    def rule(steps: int) -> dna.Extinction:
        last = 3 * steps // 4
        deaths = dna.Delete(share=dna.Cosine(0.3, until=last, unit="steps"), scope="layer")
        return dna.Extinction(deaths=deaths, births=birth(), when=dna.Every(steps=100, until=last))

    return rule


BUDGET_RULES: dict[str, Callable[[int], dna.Extinction | None]] = {
    "fixed": lambda steps: None,
    "split the strongest": rewired(lambda: dna.Split(share="died", scope="layer", jitter=0.3)),
    "regrow at random (SET)": rewired(lambda: dna.Regrow(share="died", by="random", scope="layer")),
    "regrow by gradient (RigL)": rewired(lambda: dna.Regrow(share="died", by="gradient", scope="layer")),
    "regrow by correlation (Hebb)": rewired(lambda: dna.Regrow(share="died", by="correlation", scope="layer")),
}


ROWS: dict[str, Callable[[], list[Row]]] = {"single": single_rows, "budget": budget_rows}


if __name__ == "__main__":
    main()

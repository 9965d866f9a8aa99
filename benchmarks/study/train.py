"""One setting of a study, trained with one seed, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

import dna
from dna.data import Dataset

BATCH = 128


@dataclass(frozen=True)
class Row:
    """One setting. What depends on the length of the training is a function of its number of steps."""

    name: str
    group: str  # the table that it stands in
    layers: tuple[int, ...]
    epochs: int
    rule: Callable[[int], dna.Extinction | None] = lambda steps: None
    optimizer: Callable[[int], dna.Optimizer] = lambda steps: dna.Adam(1e-3)
    options: dict[str, Any] = field(default_factory=dict)  # of the network
    calm: int = 0  # last epochs without extinctions


class Curve(dna.Callback):
    """Accuracy on the images that judge, and cells, epoch by epoch."""

    def __init__(self, data: Dataset) -> None:
        self.data, self.accuracy, self.cells = data, [], []  # type: ignore[var-annotated]

    def on_epoch(self, network: dna.Network, epoch: dna.training.Epoch) -> None:
        self.accuracy.append(round(network.evaluate(self.data.x_test, self.data.y_test)["accuracy"], 4))
        self.cells.append(len(network))


def train(row: Row, data: Dataset, seed: int, epochs: int | None = None) -> dict[str, Any]:
    """Train one network. `epochs` takes the place of the row's own."""
    start = time.perf_counter()
    epochs = row.epochs if epochs is None else epochs
    net = dna.Network(row.layers, device="cpu", seed=seed, **row.options)
    cells, curve = len(net), Curve(data)
    steps = epochs * -(-len(data.x) // BATCH)
    common = {"batch_size": min(BATCH, len(data.x)), "optimizer": row.optimizer(steps), "progress": False, "callbacks": [curve]}
    calm = min(row.calm, epochs)
    history = net.fit(data.x, data.y, epochs=epochs - calm, extinction=row.rule(steps), **common).epochs
    if calm:
        history += net.fit(data.x, data.y, epochs=calm, **common).epochs
    judged = net.evaluate(data.x_test, data.y_test)
    return {
        "seed": seed, "accuracy": judged["accuracy"], "loss": judged["loss"], "training accuracy": history[-1].metric,
        "cells at first": cells, "cells": len(net), "most cells": max([cells, *(e.cells_after for e in net.fossils)]),
        "pairs": len(set(zip(net.cells.source.tolist(), net.cells.target.tolist(), strict=True))),
        "seconds": time.perf_counter() - start, "extinctions": len(net.fossils), **price(net),
        "training loss by epoch": [round(epoch.loss, 5) for epoch in history],
        "accuracy by epoch": curve.accuracy, "cells by epoch": curve.cells,
    }  # fmt: skip


def price(net: dna.Network) -> dict[str, float]:
    """Return what an extinction did to the watched loss on average: at once, and an epoch of training later."""
    told = [event for event in net.fossils if event.loss_before is not None and event.loss_after is not None]
    after = [event.loss_after - event.loss_before for event in told]
    later = [event.loss_next - event.loss_before for event in told if event.loss_next is not None]
    return {name: float(np.mean(values)) for name, values in (("loss at once", after), ("loss later", later)) if values}


def densities(layers: tuple[int, ...], cells: int) -> list[float]:
    """Return densities by which a level has cells in proportion to its nodes on both sides (Mocanu et al. 2018), none above 1."""
    pairs = [a * b for a, b in pairwise(layers)]
    ends = np.array([a + b for a, b in pairwise(layers)], float)
    low, high = 0.0, float(cells)
    for _ in range(60):  # the factor of proportion, as full levels take no more
        factor = (low + high) / 2
        low, high = (factor, high) if np.minimum(factor * ends, pairs).sum() < cells else (low, factor)
    return [float(d) for d in np.minimum(low * ends / pairs, 1.0)]


def summary(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return means over seeds, and the deviation of the accuracy."""
    accuracy = np.array([run["accuracy"] for run in runs])
    means = ("training accuracy", "cells", "pairs", "extinctions", "seconds", "loss at once", "loss later")
    return {
        "accuracy": float(accuracy.mean()),
        "deviation": float(accuracy.std(ddof=1)) if len(runs) > 1 else 0.0,
        "most cells": float(max(run["most cells"] for run in runs)),
        **{name: float(np.mean([run[name] for run in runs])) for name in means if all(name in run for run in runs)},
    }

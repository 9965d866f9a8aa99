"""n-bit parity, grown from the smallest network: whether all seeds solve it, and how many hidden nodes that takes.

python benchmarks/study_parity.py [--bits 4 8] [--seeds 0 1 2 3 4] [--rules grow ...] [--epochs 4000]

Data are all 2^n patterns of n inputs in {-1, 1}; the output is a logit of whether an odd number of them is 1. Solved means that
all patterns are on the right side. Networks of linear cells begin without hidden nodes, those that split nodes with one `relu`
node, and get nodes whenever the loss has stalled. Training ends at the first epoch after which all patterns are right. There is
no held-out part: the study asks what the births of nodes let a network represent and reach, and not how it generalises.

Prints a line a run and writes benchmarks/results/study_parity.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from record import write_result

import dna

WHEN = dna.Plateau(every=60, patience=15, min_delta=1e-3)
LEARNING_RATE = 0.03
BATCH = 64

Start = Callable[[int], list[int]]


def _bare(bits: int) -> list[int]:
    return [bits, 1]


def _one_node(bits: int) -> list[int]:
    return [bits, 1, 1]


RULES: dict[str, tuple[Start, dna.Extinction]] = {
    "grow": (_bare, dna.width_first(nodes=1, when=WHEN)),
    "grow at random": (_bare, dna.Extinction(births=dna.GrowNodes(candidates=1), when=WHEN)),
    "split": (_one_node, dna.width_first(nodes=1, by="split", when=WHEN)),
    "hybrid": (_bare, dna.hybrid(nodes=1, when=WHEN)),
}
"""Where each begins and how it grows. "grow at random" is the control: newborns look in one direction drawn at random."""


class UntilSolved(dna.Callback):
    """Ends a fit at the first epoch after which all patterns are on the right side."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y

    def solved(self, network: Any) -> bool:
        return bool(((network.predict(self.x, labels=False) > 0) == (self.y > 0.5)).all())

    def on_epoch(self, network: Any, epoch: Any) -> bool:
        return self.solved(network)


def main() -> None:
    parser = argparse.ArgumentParser(description="Grow networks that tell parity.")
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=list(RULES))
    parser.add_argument("--epochs", type=int, default=4000)
    arguments = parser.parse_args()
    rows = [_study(bits, rule, arguments) for bits in arguments.bits for rule in arguments.rules]
    settings = {"seeds": arguments.seeds, "most_epochs": arguments.epochs, "batch_size": BATCH, "when": WHEN.options()}
    optimizer = {"name": "adam", "lr": LEARNING_RATE}
    print(write_result("study_parity", {**settings, "optimizer": optimizer, "loss": "binary_cross_entropy", "rows": rows}))


def parity(bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all patterns, (2^bits, bits) of -1 and 1, and whether an odd number of each is 1, (2^bits, 1)."""
    ones = (np.arange(2**bits)[:, None] >> np.arange(bits)) & 1
    return 2.0 * ones - 1.0, (ones.sum(1, keepdims=True) % 2).astype(np.float64)


def _study(bits: int, rule: str, arguments: argparse.Namespace) -> dict[str, Any]:
    runs = [_grow(bits, rule, seed, arguments.epochs) for seed in arguments.seeds]
    nodes = [run["hidden_nodes"] for run in runs if run["solved"]]
    row: dict[str, Any] = {"bits": bits, "rule": rule, "births": [birth.options() for birth in RULES[rule][1].births]}
    row |= {"solved": sum(run["solved"] for run in runs), "of": len(runs)}
    row |= {"nodes_mean": float(np.mean(nodes)) if nodes else None, "nodes_deviation": float(np.std(nodes)) if nodes else None}
    print(f"{bits} bits, {rule}: {row['solved']} of {row['of']} seeds, hidden nodes {sorted(nodes)}", flush=True)
    return row | {"runs": runs}


def _grow(bits: int, rule: str, seed: int, epochs: int) -> dict[str, Any]:
    start, extinction = RULES[rule]
    x, y = parity(bits)
    net = dna.Network(start(bits), init="glorot", seed=seed, device="cpu")
    until, begin = UntilSolved(x, y), time.perf_counter()
    net.fit(
        x, y, epochs=epochs, batch_size=BATCH, loss="binary_cross_entropy", optimizer=dna.Adam(LEARNING_RATE),
        extinction=extinction, callbacks=[until], progress=False,
    )  # fmt: skip
    topology = net.topology()
    run = {
        "seed": seed,
        "solved": until.solved(net),
        "hidden_nodes": topology.n_nodes - bits - 1,
        "hidden_levels": topology.n_levels - 2,
        "cells": len(net),
        "epochs": net.epoch,
        "events": len(net.fossils),
        "loss": net.evaluate(x, y, loss="binary_cross_entropy")["loss"],
        "seconds": round(time.perf_counter() - begin, 1),
    }
    print(f"  {bits} bits, {rule}, seed {seed}: {run}", flush=True)
    return run


if __name__ == "__main__":
    main()

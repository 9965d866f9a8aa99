"""One epoch of `fit` on MNIST, 784-300-100-10 with 20,000 cells, beside PyTorch at the same shape: dense, and dense with masks.

All three take the same shuffled batches of 128 with Adam and ReLU, and load them from arrays in memory; validation is left out.

    python benchmarks/mnist_epoch.py --data DIR    # the four IDX files; writes benchmarks/results/mnist_epoch.json
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from record import write_result

import dna
from dna.data import Dataset, load_idx_folder

SIZES, CELLS, BATCH, ROUNDS = (784, 300, 100, 10), 20_000, 128, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = load_idx_folder(parser.parse_args().data)
    net = sparse_network()
    runs = {
        "dna": lambda: epoch_of_dna(net, data),
        "torch dense": torch_epoch(data, masked=False),
        "torch masked": torch_epoch(data, masked=True),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            times[name].append(seconds(run))
    median = {name: float(np.median(taken)) for name, taken in times.items()}
    accuracy = net.evaluate(data.x_test, data.y_test)["accuracy"]
    for name, taken in median.items():
        print(f"{name:13} {taken:6.3f} s an epoch, {taken / median['dna']:5.2f} times dna's")
    result = {"what": __doc__, "cells": len(net), "seconds": median, "all": times, "accuracy of dna after them": accuracy}
    print(f"wrote {write_result('mnist_epoch', result)}")


def sparse_network() -> dna.Network:
    """Return 784-300-100-10 with 20,000 cells: the last level dense, the others by their sizes."""
    rest = CELLS - SIZES[2] * SIZES[3]
    pairs = SIZES[0] * SIZES[1] + SIZES[1] * SIZES[2]
    return dna.Network(SIZES, activation="relu", density=[rest / pairs, rest / pairs, 1.0], device="cpu")


def epoch_of_dna(net: dna.Network, data: Dataset) -> None:
    net.fit(data.x, data.y, epochs=1, batch_size=BATCH, optimizer=dna.Adam(1e-3), progress=False)


def torch_epoch(data: Dataset, *, masked: bool) -> Callable[[], None]:
    """Return a function that takes one epoch."""
    generator = torch.Generator().manual_seed(0)
    layers = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(SIZES)]
    share = [(CELLS - SIZES[2] * SIZES[3]) / (SIZES[0] * SIZES[1] + SIZES[1] * SIZES[2])] * 2 + [1.0]
    drawn = [torch.rand(layer.weight.shape, generator=generator) for layer in layers]
    masks = [(draw < part).float() for draw, part in zip(drawn, share, strict=True)]
    optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()], lr=1e-3)
    x, y = torch.tensor(data.x), torch.tensor(data.y).long()

    def forward(v: torch.Tensor) -> torch.Tensor:
        for k, (layer, mask) in enumerate(zip(layers, masks, strict=True)):
            weight = layer.weight * mask if masked else layer.weight
            v = torch.nn.functional.linear(v, weight, layer.bias)
            v = torch.relu(v) if k < len(layers) - 1 else v
        return v

    def epoch() -> None:
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(forward(x[rows]), y[rows]).backward()
            optimizer.step()

    return epoch


def seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

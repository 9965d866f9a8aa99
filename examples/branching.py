"""Evolution inside a kernel: one launch updates all cells, and lets them branch and die while it runs.

A cell whose weight grows past a limit claims a slot and splits; one whose weight fades releases its slot. No schedule, no
ranking, no transaction: each cell decides for itself, as it goes. The same function runs as a CUDA kernel and as a loop on a CPU.

    python examples/branching.py [--device cpu|cuda]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import dna

try:
    from numba import cuda
except ImportError:  # then there is the CPU
    cuda = None

LEARNING_RATE = 0.01
"""Of one cell: a pair with k cells learns k times as fast."""
LIMIT = 0.5
"""A cell with |w| above it splits."""
LEAST = 0.01
"""A cell with |w| below it dies."""


def build_live(jit: Callable[..., Any], claim: Any, release: Any) -> Any:
    """Build `live(cells, heap, slot, version)`: a step of descent for one linear cell, which then may split or die.

    The split is the article's, (w/2, b) and (w/2, 0), which leaves the function of linear cells as it is.
    """
    rate, limit, least, half = np.float32(LEARNING_RATE), np.float32(LIMIT), np.float32(LEAST), np.float32(0.5)

    def live(cells: Any, heap: Any, slot: Any, version: Any) -> None:
        weight = cells.weight[slot] - rate * cells.weight_grad[slot]
        cells.bias[slot] -= rate * cells.bias_grad[slot]
        if abs(weight) < least:
            release(cells, heap, slot)
            return
        if abs(weight) > limit:
            child, child_id = claim(heap)
            if child >= 0:  # else there is no room: the cell stays whole
                weight *= half
                cells.source[child], cells.target[child] = cells.source[slot], cells.target[slot]
                cells.weight[child] = weight
                cells.parent[child], cells.born[child] = cells.id[slot], version
                cells.id[child] = child_id  # last: with its id it lives
        cells.weight[slot] = weight

    return jit(live)


@cache
def cpu_step() -> Callable[..., None]:
    """Return `step(cells, heap, bump, next_id, version)` for a CPU.

    Cells that are born while it runs have ids from `next_id` on, and wait for the next launch.
    """
    import numba

    from dna.cpu.pool import claim, release

    live = build_live(numba.njit, claim, release)

    @numba.njit
    def step(cells: Any, heap: Any, bump: Any, next_id: Any, version: Any) -> None:
        for slot in range(bump):
            if 0 <= cells.id[slot] < next_id:
                live(cells, heap, slot, version)

    return step  # type: ignore[no-any-return]


@cache
def cuda_step() -> Callable[..., None]:
    """Return the same for a GPU, a thread a slot."""
    from dna.cuda.pool import claim, release

    live = build_live(cuda.jit(device=True), claim, release)

    @cuda.jit
    def kernel(cells: Any, heap: Any, bump: Any, next_id: Any, version: Any) -> None:
        slot = cuda.grid(1)
        if slot < bump and 0 <= cells.id[slot] < next_id:
            live(cells, heap, slot, version)

    def step(cells: Any, heap: Any, bump: int, next_id: int, version: int) -> None:
        threads = 64
        kernel[-(-bump // threads), threads](cells, heap, bump, next_id, version)

    return step


def train(net: dna.Network, x: np.ndarray, y: np.ndarray, steps: int) -> list[float]:
    """Fit `y` by least squares, every step one launch; return the losses before each step."""
    step = cpu_step() if net.device == "cpu" else cuda_step()
    pool, losses = net.engine.pool, []
    for _ in range(steps):
        error = net.forward(x) - y
        losses.append(float((error**2).mean()))
        net.backward(error / len(x))
        pool.reserve(len(pool))  # kernels cannot make the pool grow: room for everybody to split
        step(pool.cells, pool.heap, pool.bump, pool.next_id, np.int32(net.version + 1))
        net.settle()
    return losses


def task(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y and the weights behind them: of 8 inputs each of 3 outputs uses some, with weights from 0 to 4."""
    rng = np.random.default_rng(seed)
    weights = rng.choice([0.0, 0.0, 0.25, 1.0, 2.0, 4.0], (8, 3)).astype(np.float32)
    x = rng.standard_normal((256, 8)).astype(np.float32)
    return x, x @ weights, weights


def count_cells(net: dna.Network) -> np.ndarray:
    """Return how many cells join each input to each output, (inputs, outputs)."""
    counts = np.zeros((net.n_in, net.n_out), int)
    np.add.at(counts, (net.cells.source, net.cells.target - net.n_in), 1)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1; auto takes a GPU where one works")
    x, y, weights = task()
    net = dna.Network([8, 3], device=parser.parse_args().device)
    print(net, "begins with one cell a pair and w = 1")
    losses = train(net, x, y, steps=400)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.2g} in {net.version} launches; {net}")
    counts = count_cells(net)
    for size in np.unique(np.abs(weights)):
        print(f"  pairs whose weight is {size:4.2f} have {counts[np.abs(weights) == size].mean():5.2f} cells on average")


if __name__ == "__main__":
    main()

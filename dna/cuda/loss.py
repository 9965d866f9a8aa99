"""Loss on the GPU: a thread a sample, then sums in float64 and in a fixed order by the block that is done last."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.backend import LossMaths
from dna.cuda.device import BLOCK, WARP, cuda, jit, kernel
from dna.cuda.grid import last_block
from dna.cuda.warp import warp_sum

WARPS = BLOCK // WARP


@cache
def loss_kernel(loss_maths: LossMaths, real: type) -> Callable[..., Any]:
    """Build `loss(potentials, gradient, outputs, targets, rows, scale, values, sums, place, done)` for blocks of BLOCK threads.

    It writes the gradient of each sample, its loss and hits to `values`, 2 numbers a sample, and their sums to `sums[place[0]]`,
    adding in the same order on every run, and moves `place` on. A thread a lane; lanes past the end of the batch get zeros of
    gradient. `done[0]` is 0 before and after.

    Bytes a sample and output: two `real` of potential read and one of gradient written; a sample: 32 more.
    """
    start, *maths = loss_maths.build(real)
    see, settle, judge = (jit(function) for function in maths)
    labels, one, zero = loss_maths.labels, real(1), real(0)
    is_last, total = last_block(), pair_summer()

    @jit
    def wanted(targets: Any, row: Any, o: Any) -> Any:
        if labels:
            return one if targets[row, 0] == o else zero
        return targets[row, o]

    @jit
    def sample(potentials: Any, gradient: Any, tile: Any, lane: Any, outputs: Any, targets: Any, row: Any, scale: Any) -> Any:
        a, b, c, d = start
        for o in range(outputs.shape[0]):
            a, b, c, d = see(a, b, c, d, potentials[tile, outputs[o], lane], wanted(targets, row, o))
        a, b, c, d = settle(a, b, c, d, outputs.shape[0])
        value, hits = zero, zero
        for o in range(outputs.shape[0]):
            loss, slope, hit = judge(a, b, c, d, potentials[tile, outputs[o], lane], wanted(targets, row, o))
            gradient[tile, outputs[o], lane] = scale * slope
            value += loss
            hits += hit
        return value, hits

    @kernel
    def loss(
        potentials: Any, gradient: Any, outputs: Any, targets: Any, rows: Any, scale: Any, values: Any, sums: Any, place: Any,
        done: Any,
    ) -> None:  # fmt: skip
        tile = potentials.shape[2]
        for i in range(cuda.grid(1), potentials.shape[0] * tile, cuda.gridsize(1)):
            if i >= rows.shape[0]:
                for o in range(outputs.shape[0]):
                    gradient[i // tile, outputs[o], i % tile] = 0
                continue
            value, hit = sample(potentials, gradient, i // tile, i % tile, outputs, targets, rows[i], scale)
            values[2 * i], values[2 * i + 1] = value, hit
        if is_last(done, 0):
            total(values, rows.shape[0], sums, place[0])
            cuda.syncthreads()
            if cuda.threadIdx.x == 0:
                done[0] = 0
                place[0] = (place[0] + 1) % sums.shape[0]

    return loss


@cache
def pair_summer() -> Callable[..., Any]:
    """Build the device function `total(values, n, sums, place)` for one block: `sums[place, q]` sums up `values[2 * i + q]`."""
    sum_over_warp = warp_sum()

    @jit
    def total(values: Any, n: Any, sums: Any, place: Any) -> None:
        parts = cuda.shared.array((2, WARPS), np.float64)
        lane, warp = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
        value, hit = 0.0, 0.0
        for i in range(cuda.threadIdx.x, n, BLOCK):
            value += values[2 * i]
            hit += values[2 * i + 1]
        value, hit = sum_over_warp(value), sum_over_warp(hit)
        if lane == 0:
            parts[0, warp], parts[1, warp] = value, hit
        cuda.syncthreads()
        if cuda.threadIdx.x < 2:
            result = 0.0
            for w in range(WARPS):
                result += parts[cuda.threadIdx.x, w]
            sums[place, cuda.threadIdx.x] = result

    return total

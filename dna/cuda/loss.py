"""Loss on the GPU: a thread a sample, then sums in float64 and in a fixed order by one block."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.backend import LossMaths
from dna.cuda.device import BLOCK, WARP, cuda, jit, kernel
from dna.cuda.warp import warp_sum

WARPS = BLOCK // WARP


@cache
def samples_kernel(loss_maths: LossMaths, real: type) -> Callable[..., Any]:
    """Build `loss(potentials, gradient, outputs, targets, rows, scale, values, hits)`: each sample's loss, hits and gradient.

    A thread a lane; lanes past the end of the batch get zeros of gradient.

    Bytes a sample and output: about three `real` of potential read, two of gradient written and read back.
    """
    sample = jit(loss_maths.build(real))

    @kernel
    def loss(
        potentials: Any, gradient: Any, outputs: Any, targets: Any, rows: Any, scale: Any, values: Any, hits: Any
    ) -> None:  # fmt: skip
        tile = potentials.shape[2]
        for i in range(cuda.grid(1), potentials.shape[0] * tile, cuda.gridsize(1)):
            if i >= rows.shape[0]:
                for o in range(outputs.shape[0]):
                    gradient[i // tile, outputs[o], i % tile] = 0
                continue
            value, hit = sample(potentials, gradient, i // tile, i % tile, outputs, targets, rows[i], scale)
            values[i] = value
            hits[i] = hit

    return loss


@cache
def sums_kernel() -> Callable[..., Any]:
    """Build `total(values, hits, n, sums)` for one block: `sums[0]` and `sums[1]`, in the same order of additions on every run.

    Bytes a sample: 16 read; 2 additions.
    """
    sum_over_warp = warp_sum()

    @kernel
    def total(values: Any, hits: Any, n: Any, sums: Any) -> None:
        parts = cuda.shared.array((2, WARPS), np.float64)
        lane, warp = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
        value, hit = 0.0, 0.0
        for i in range(cuda.threadIdx.x, n, BLOCK):
            value += values[i]
            hit += hits[i]
        value, hit = sum_over_warp(value), sum_over_warp(hit)
        if lane == 0:
            parts[0, warp], parts[1, warp] = value, hit
        cuda.syncthreads()
        if cuda.threadIdx.x < 2:
            result = 0.0
            for w in range(WARPS):
                result += parts[cuda.threadIdx.x, w]
            sums[cuda.threadIdx.x] = result

    return total

"""Loss on the CPU: one sample after another, blocks of samples over threads, sums in float64 and in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.backend import LossMaths
from dna.cpu.compiler import jit, kernel

BLOCK = 16
"""Samples that one thread takes at a time: a cache line of each output's row, so that no two threads write to one."""


@cache
def loss_kernel(loss_maths: LossMaths, real: type) -> Callable[..., Any]:
    """Build `loss(potentials, gradient, outputs, targets, rows, scale) -> (sum of losses, sum of hits)`."""
    sample_maths = loss_maths.build(real)
    sample = jit(sample_maths)

    @kernel(sample_maths, real, parallel=True)
    def loss(potentials: Any, gradient: Any, outputs: Any, targets: Any, rows: Any, scale: Any) -> Any:
        tile = potentials.shape[2]
        blocks = potentials.shape[0] * tile // BLOCK
        values, hits = np.zeros(blocks, np.float64), np.zeros(blocks, np.float64)
        for block in numba.prange(blocks):
            t, first = block * BLOCK // tile, block * BLOCK % tile
            end = max(first, min(first + BLOCK, len(rows) - t * tile))
            for o in outputs:
                for k in range(end, first + BLOCK):
                    gradient[t, o, k] = 0
            for k in range(first, end):
                value, hit = sample(potentials, gradient, t, k, outputs, targets, rows[t * tile + k], scale)
                values[block] += value
                hits[block] += hit
        value, hit = 0.0, 0.0
        for block in range(blocks):
            value += values[block]
            hit += hits[block]
        return value, hit

    return loss

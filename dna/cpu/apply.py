"""Apply on the CPU: one pass over the pool's columns. Free slots are passed too: all is zero there, and stays so."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.backend import OptimizerMaths
from dna.cpu.compiler import jit, kernel

BLOCK = 4096


@cache
def column_updater(optimizer: type[OptimizerMaths], moments: int, real: type) -> Callable[..., Any]:
    """Build `update(value, gradient, state, row, low, high, h)`, for kernels: slots of a column, whose state is at `row`.

    No index is negative, so that nobody asks which end it counts from; and no view is made, whose owners threads would count.
    """
    update = jit(optimizer.update(real))
    zero = real(0)

    @jit
    def column(value: Any, gradient: Any, state: Any, row: Any, low: Any, high: Any, h: Any) -> None:
        first, second = np.uint64(row), np.uint64(row + 2)
        for s in range(np.uint64(low), np.uint64(high)):
            if moments == 0:
                value[s], _, _ = update(value[s], gradient[s], zero, zero, h)
            elif moments == 1:
                value[s], state[first, s], _ = update(value[s], gradient[s], state[first, s], zero, h)
            else:
                value[s], state[first, s], state[second, s] = update(
                    value[s], gradient[s], state[first, s], state[second, s], h
                )

    return column


@cache
def apply_kernel(optimizer: type[OptimizerMaths], moments: int, real: type, alone: bool) -> Callable[..., Any]:
    """Build `apply(cells, bump, h)` for an optimizer of 0, 1 or 2 moments, for one thread or all; biases learn at h[0] * h[7]."""
    column = column_updater(optimizer, moments, real)

    @kernel(optimizer.update(real), moments, real, parallel=not alone)
    def apply(cells: Any, bump: Any, h: Any) -> None:
        h_bias = h.copy()
        h_bias[0] *= h[7]
        for block in numba.prange((bump + BLOCK - 1) // BLOCK):
            low, high = block * BLOCK, min(block * BLOCK + BLOCK, bump)
            column(cells.weight, cells.weight_grad, cells.state, 0, low, high, h)
            column(cells.bias, cells.bias_grad, cells.state, 1, low, high, h_bias)

    return apply

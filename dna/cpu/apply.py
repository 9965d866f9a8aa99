"""Apply on the CPU: one pass over the pool's columns. Free slots are passed too: all is zero there, and stays so."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba

from dna.backend import OptimizerMaths
from dna.cpu.compiler import jit, kernel

BLOCK = 4096


@cache
def apply_kernel(optimizer: type[OptimizerMaths], moments: int, real: type) -> Callable[..., Any]:
    """Build `apply(cells, bump, h)` for an optimizer of 0, 1 or 2 moments; biases learn at h[0] * h[7]."""
    update_maths = optimizer.update(real)
    update = jit(update_maths)
    zero = real(0)

    @jit
    def column(value: Any, gradient: Any, state: Any, row: Any, own: Any, h: Any) -> None:
        value, gradient = value[own], gradient[own]  # indexed from 0, so that nobody asks which end an index counts from
        if moments == 0:
            for s in range(len(value)):
                value[s], _, _ = update(value[s], gradient[s], zero, zero, h)
        elif moments == 1:
            first = state[row][own]
            for s in range(len(value)):
                value[s], first[s], _ = update(value[s], gradient[s], first[s], zero, h)
        else:
            first, second = state[row][own], state[row + 2][own]
            for s in range(len(value)):
                value[s], first[s], second[s] = update(value[s], gradient[s], first[s], second[s], h)

    @kernel(update_maths, moments, real, parallel=True)
    def apply(cells: Any, bump: Any, h: Any) -> None:
        h_bias = h.copy()
        h_bias[0] *= h[7]
        for block in numba.prange((bump + BLOCK - 1) // BLOCK):
            own = slice(block * BLOCK, min(block * BLOCK + BLOCK, bump))
            column(cells.weight, cells.weight_grad, cells.state, 0, own, h)
            column(cells.bias, cells.bias_grad, cells.state, 1, own, h_bias)

    return apply

"""Between two training steps of the dense plan on the CPU: the parts' gradients are summed, and the cells learn.

One thread does it: the matrix is small, and half of what is summed comes from another core either way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.backend import OptimizerMaths
from dna.cpu.apply import column_updater
from dna.cpu.compiler import jit
from dna.cpu.matrix import give_gradient, sum_into
from dna.cpu.room import PARTS


@cache
def finisher(optimizer: type[OptimizerMaths], moments: int, real: type) -> Callable[..., Any]:
    """Build `finish(n_parts, gathers, learns, cells, matrix, room, h)`, for kernels: end a step, and begin the next.

    It `gathers` the gradients of all parts for the cells, the cells learn, and the sums of their biases are there for the next
    step, and their matrix. `matrix` is that of `dna.cpu.matrix.Matrix`: (weight, by_weight, totals, place, row, regular).
    Where it is regular, the pool's columns are the matrix: an output's cells are finished while they are in the nearest cache.
    """
    update, gather = column_updater(optimizer, moments, real), _gatherer(real)
    zero = real(0)

    @jit
    def finish_row(j: Any, n_parts: Any, gathers: Any, learns: Any, cells: Any, room: Any, h: Any, h_bias: Any) -> None:
        low, high = j * np.uint64(room.parts.shape[2]), (j + np.uint64(1)) * np.uint64(room.parts.shape[2])
        if gathers:
            total = gather(j, n_parts, room, cells.weight_grad)
            for s in range(low, high):
                cells.bias_grad[s] = -total
        if learns:
            update(cells.weight, cells.weight_grad, cells.state, 0, low, high, h)
            update(cells.bias, cells.bias_grad, cells.state, 1, low, high, h_bias)
        total = zero
        for s in range(low, high):
            total += cells.bias[s]
        room.offset[j] = total

    @jit
    def rates_of_biases(h: Any) -> Any:
        h_bias = h.copy()
        h_bias[0] *= h[7]
        return h_bias

    @jit
    def finish_rows(n_parts: Any, gathers: Any, learns: Any, cells: Any, matrix: Any, room: Any, h: Any) -> None:
        h_bias = rates_of_biases(h)
        for j in range(np.uint64(len(room.offset))):
            finish_row(j, n_parts, gathers, learns, cells, room, h, h_bias)

    @jit
    def finish_cells(n_parts: Any, gathers: Any, learns: Any, cells: Any, matrix: Any, room: Any, h: Any) -> None:
        h_bias = rates_of_biases(h)
        weight, by_weight, totals, place, row, _ = matrix
        flat = by_weight.reshape(by_weight.size)
        if gathers:
            for j in range(np.uint64(len(totals))):
                totals[j] = gather(j, n_parts, room, flat)
            for s in range(np.uint64(len(place))):
                give_gradient(s, flat, totals, place, row, cells.weight_grad, cells.bias_grad)
        if learns:
            update(cells.weight, cells.weight_grad, cells.state, 0, 0, len(place), h)
            update(cells.bias, cells.bias_grad, cells.state, 1, 0, len(place), h_bias)
        sum_into(cells.weight, cells.bias, place, row, weight, room.offset)

    @jit
    def finish(n_parts: Any, gathers: Any, learns: Any, cells: Any, matrix: Any, room: Any, h: Any) -> None:
        if matrix[5]:
            finish_rows(n_parts, gathers, learns, cells, matrix, room, h)
        else:
            finish_cells(n_parts, gathers, learns, cells, matrix, room, h)

    finished: Callable[..., Any] = finish
    return finished


def _gatherer(real: type) -> Callable[..., Any]:
    zero = real(0)

    @jit
    def gather(j: Any, n_parts: Any, room: Any, by_weight: Any) -> Any:
        """Write the sum of all parts to an output's row of the flat matrix; return that of its gradients over samples."""
        width, own, total = np.uint64(room.parts.shape[2]), room.parts, zero
        low = j * width
        if n_parts == PARTS:
            for i in range(width):  # eight streams at once, half of which come from another core
                lower, upper = own[0, j, i] + own[1, j, i] + own[2, j, i] + own[3, j, i], own[4, j, i] + own[5, j, i]
                by_weight[low + i] = lower + upper + own[6, j, i] + own[7, j, i]
        else:
            for i in range(width):
                by_weight[low + i] = own[0, j, i]
            for part in range(np.uint64(1), np.uint64(n_parts)):
                for i in range(width):
                    by_weight[low + i] += own[part, j, i]
        for part in range(np.uint64(n_parts)):
            total += room.totals[part, j]
        return total

    gathered: Callable[..., Any] = gather
    return gathered

"""Outer products on the CPU: backward of a matrix for a few samples, its gradient and that of the inputs in one pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import Activation
from dna.cpu.compiler import jit, kernel


@cache
def few_rows_backward(activation: Activation, real: type, alone: bool) -> Callable[..., Any]:
    """Build `backward(gy, data, outputs, potentials, gradient, weight, by_weight, totals, bias_grad, room, out) -> finite`.

    The gradients of the matrix, of the inputs as rows in `out`, and of the cells' biases unless `bias_grad` is empty; nothing is
    written where `gy` is not finite. `room` is (parts, batch, n_in): each part of the outputs sums gradients of the inputs of its
    own, which are added in order. A place of the matrix costs one load and, with biases, two stores.
    """
    slope_maths = activation.build(real).slope
    slope, identity = jit(slope_maths), activation.name == "identity"
    zero = real(0)

    @jit
    def first(g: Any, x: Any, w: Any, by_w: Any, by_x: Any) -> None:
        for i in range(len(x)):
            by_w[i] = g * x[i]
            by_x[i] += g * w[i]

    @jit
    def next_one(g: Any, x: Any, w: Any, by_w: Any, by_x: Any) -> None:
        for i in range(len(x)):
            by_w[i] += g * x[i]
            by_x[i] += g * w[i]

    @jit
    def visit(
        j: Any, data: Any, own: Any, outputs: Any, gradient: Any, weight: Any, by_weight: Any, totals: Any, bias_grad: Any
    ) -> None:
        total, row = zero, gradient[0, np.uint64(outputs[j])]
        for s in range(len(data)):
            total += row[s]
            if s == 0:
                first(row[s], data[s], weight[j], by_weight[j], own[s])
            else:
                next_one(row[s], data[s], weight[j], by_weight[j], own[s])
        totals[j] = total
        if len(bias_grad) > 0:
            width = weight.shape[1]
            of_row = bias_grad[j * width : (j + 1) * width]
            for i in range(width):
                of_row[i] = -total

    @kernel("few rows backward", slope_maths, real, identity, parallel=not alone)
    def backward(
        gy: Any, data: Any, outputs: Any, potentials: Any, gradient: Any, weight: Any, by_weight: Any, totals: Any,
        bias_grad: Any, room: Any, out: Any,
    ) -> Any:  # fmt: skip
        wrong = 0
        for row in gy:
            for j in range(len(row)):
                wrong |= row[j] - row[j] != 0
        if wrong != 0:
            return False
        n, width, parts = len(gy), len(outputs), len(room)
        for j in range(np.uint64(width)):
            node = np.uint64(outputs[j])
            for s in range(gradient.shape[2]):
                g = gy[s, j] if s < n else zero
                gradient[0, node, s] = g if identity else g * slope(potentials[0, node, s])
        for part in numba.prange(parts):
            own = out if alone else room[part]
            own[:] = zero
            for j in range(np.uint64(part * width // parts), np.uint64((part + 1) * width // parts)):
                visit(j, data, own, outputs, gradient, weight, by_weight, totals, bias_grad)
        if not alone:
            for s in range(n):
                of_sample = out[s]
                of_sample[:] = zero
                for part in range(parts):
                    more = room[part, s]
                    for i in range(len(more)):
                        of_sample[i] += more[i]
        return True

    return backward

"""Apply on the GPU: one pass over the pool's columns. Free slots are passed too: all is zero there, and stays so."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dna.backend import OptimizerMaths
from dna.cuda.device import cuda, jit, kernel


@cache
def apply_kernel(optimizer: type[OptimizerMaths], moments: int, real: type) -> Callable[..., Any]:
    """Build `apply(weight, bias, weight_grad, bias_grad, state, bump, h)` for an optimizer of 0 to 2 moments; `h` is a tuple.

    A thread a slot; biases learn at h[0] * h[7]. Bytes a cell: `4 + 2 * moments` reals read, `2 + 2 * moments` written;
    operations: twice the update (2 for plain SGD, about 12 for Adam).
    """
    update = jit(optimizer.update(real))
    zero = real(0)

    @jit
    def step(value: Any, gradient: Any, state: Any, row: Any, s: Any, h: Any) -> Any:
        first, second = zero, zero
        if moments > 0:
            first = state[row, s]
        if moments > 1:
            second = state[row + 2, s]
        value, first, second = update(value, gradient, first, second, h)
        if moments > 0:
            state[row, s] = first
        if moments > 1:
            state[row + 2, s] = second
        return value

    @kernel
    def apply(weight: Any, bias: Any, weight_grad: Any, bias_grad: Any, state: Any, bump: Any, h: Any) -> None:
        h_bias = (h[0] * h[7], h[1], h[2], h[3], h[4], h[5], h[6], h[7])
        for s in range(cuda.grid(1), bump, cuda.gridsize(1)):
            weight[s] = step(weight[s], weight_grad[s], state, 0, s, h)
            bias[s] = step(bias[s], bias_grad[s], state, 1, s, h_bias)

    return apply

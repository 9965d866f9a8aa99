"""Apply on the GPU: a pass over the pool's columns, or the last thing that backward does with a cell.

The pass takes free slots too: all is zero there, and stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dna.backend import OptimizerMaths, Update
from dna.cuda.device import cuda, jit, kernel
from dna.cuda.wide import storer
from dna.types import Array, Cells

FUSED_STATE = 2**17
"""Numbers of optimizer state up to which an update is a part of backward. There state is visited in the order of the plan, and
where slots are scattered each 4 bytes of it move a sector of 32. Above this that costs more than a pass of its own."""


def fuses(update: Update | None, bump: int) -> bool:
    """Whether backward does this update of so many slots by itself."""
    return update is not None and 2 * update.optimizer.moments * bump <= FUSED_STATE


def finisher(cells: Cells, update: Update | None, real: type) -> tuple[Callable[..., Any], tuple[Array, ...]]:
    """Return what backward does with a cell's gradients, and the arrays that it takes beside weight, bias and gradients."""
    if update is None:
        return gradient_keeper(), ()
    return cell_updater(type(update.optimizer), update.optimizer.moments, real), (cells.state, update.coefficients)


@jit
def spread(h: Any) -> Any:
    """Return the coefficients, (8,), as tuples for weights and for biases, which learn at h[0] * h[7]."""
    return (h[0], h[1], h[2], h[3], h[4], h[5], h[6]), (h[0] * h[7], h[1], h[2], h[3], h[4], h[5], h[6])


@cache
def stepper(optimizer: type[OptimizerMaths], moments: int, real: type) -> Callable[..., Any]:
    """Build the device function `step(weight, bias, state, s, by_w, by_b, h)`: the update of the cell in slot s.

    `by_w` and `by_b` are its gradients, `h` the optimizer's coefficients as `spread` returns them.
    """
    update, zero = jit(optimizer.update(real)), real(0)

    @jit
    def step_one(value: Any, gradient: Any, state: Any, row: Any, s: Any, h: Any) -> Any:
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

    @jit
    def step(weight: Any, bias: Any, state: Any, s: Any, by_w: Any, by_b: Any, h: Any) -> None:
        of_weight, of_bias = h
        weight[s] = step_one(weight[s], by_w, state, 0, s, of_weight)
        bias[s] = step_one(bias[s], by_b, state, 1, s, of_bias)

    return step


@cache
def gradient_keeper() -> Callable[..., Any]:
    """Build the device function `finish(own, slot, dw, db, is_last)` that keeps a cell's gradients.

    Bytes a cell: two `real` written.
    """
    store = storer(1)

    @jit
    def keep(own: Any, slot: Any, dw: Any, db: Any, is_last: Any) -> None:
        store(own[2], slot, (dw,))
        store(own[3], slot, (db,))

    return keep


@cache
def cell_updater(optimizer: type[OptimizerMaths], moments: int, real: type) -> Callable[..., Any]:
    """Build the device function `finish(own, slot, dw, db, is_last)` that updates a cell once its gradients are whole.

    `own` ends with the optimizer's state and coefficients. The warp that staged a cell updates it, after its last use. Bytes a
    cell: two `real` read, which the same warp has just read for its currents, two written, and four a moment. A pass of its own
    takes two `real` more to write the gradients and four to read them and the cell: 24 bytes of float32 are spared, of the 40
    that backward and plain SGD move of a cell's numbers. The floor is that of backward.
    """
    step, keep = stepper(optimizer, moments, real), gradient_keeper()

    @jit
    def finish(own: Any, slot: Any, dw: Any, db: Any, is_last: Any) -> None:
        if is_last:
            step(own[0], own[1], own[4], slot, dw, db, spread(own[5]))
        else:
            keep(own, slot, dw, db, is_last)

    return finish


@cache
def apply_kernel(optimizer: type[OptimizerMaths], moments: int, real: type) -> Callable[..., Any]:
    """Build `apply(weight, bias, weight_grad, bias_grad, state, bump, h)` for an optimizer of 0 to 2 moments.

    A thread a slot. Bytes a cell: `4 + 2 * moments` reals read, `2 + 2 * moments` written; operations: twice the update (2 for
    plain SGD, about 12 for Adam).
    """
    step = stepper(optimizer, moments, real)

    @kernel
    def apply(weight: Any, bias: Any, weight_grad: Any, bias_grad: Any, state: Any, bump: Any, h: Any) -> None:
        numbers = spread(h)
        for s in range(cuda.grid(1), bump, cuda.gridsize(1)):
            step(weight, bias, state, s, weight_grad[s], bias_grad[s], numbers)

    return apply

"""Whole training steps of the dense plan on the CPU: a sample goes forward, is judged and goes back while it is in a near cache.

A batch is cut into parts, a part into groups of samples; a part belongs to one thread. Then the cells get the sum of the parts'
gradients, in order, and are updated at once (`dna.cpu.finish`). Several steps are one call, and threads start once for all of
them: from step to step they wait for each other, which takes less than another start.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.backend import LossMaths, OptimizerMaths
from dna.cells import Activation
from dna.cpu.atomics import atomic_add, claim, read_at_once, wait_for_other, write_at_once
from dna.cpu.compiler import jit, kernel
from dna.cpu.finish import finisher
from dna.cpu.loss import GROUP, group_judge
from dna.cpu.products import SAMPLES, add_products, outputs_at_a_time, put_products
from dna.cpu.room import CLAIMS, DONE, LINE, READY, borrowed, parts_of


@cache
def steps_kernel(
    loss_maths: LossMaths, optimizer: type[OptimizerMaths], moments: int, activation: Activation, real: type, alone: bool
) -> Callable[..., Any]:
    """Build `take(samples, cells, matrix, outputs, ends, room, span, rates, sums) -> steps taken`.

    `samples` are (data, targets, order, size), `matrix` is that of `finisher`, `ends` are all potentials and gradients, `span` is
    (first batch, how many, go, learn); `rates` and `sums` have a row a batch. Steps end before the update where a loss is not
    finite. One that only goes leaves the gradients of the cells, from which a later call that only learns updates them; these two
    do what one call does, bit by bit.
    """
    activation_maths, sample_maths, update_maths = activation.build(real), loss_maths.build(real), optimizer.update(real)
    value, slope, judge = jit(activation_maths.value), jit(activation_maths.slope), group_judge(loss_maths, real, GROUP)
    finish, count_parts, identity = finisher(optimizer, moments, real), jit(parts_of), activation.name == "identity"
    some, zero, one = outputs_at_a_time(), real(0), real(1)

    @jit
    def four_of(rows: Any, s: Any) -> Any:
        """Return the rows of four samples; past the end that of the last one, whose gradients there are zeros."""
        last = np.uint64(len(rows) - 1)
        a, b, c, d = s, s + np.uint64(1), s + np.uint64(2), s + np.uint64(3)
        return rows[min(a, last)], rows[min(b, last)], rows[min(c, last)], rows[min(d, last)]

    @jit
    def go_forward(data: Any, rows: Any, s: Any, ahead: Any, weight: Any, offset: Any, out: Any) -> None:
        n_out, last = np.uint64(len(weight)), np.uint64(len(rows) - 1)
        whole = n_out // np.uint64(some) * np.uint64(some)
        for j in range(np.uint64(0), whole, np.uint64(some)):  # their rows of the matrix stay in the nearest cache for a group
            for k in range(np.uint64(0), np.uint64(GROUP), np.uint64(SAMPLES)):
                put_products(out, k, data, four_of(rows, s + k), weight, offset, j, some, rows[min(ahead, last)])
                ahead += np.uint64(1)
        for j in range(whole, n_out):
            for k in range(np.uint64(0), np.uint64(GROUP), np.uint64(SAMPLES)):
                put_products(out, k, data, four_of(rows, s + k), weight, offset, j, 1, rows[min(ahead, last)])
                ahead += np.uint64(1)
        if not identity:
            for j in range(n_out):
                for k in range(np.uint64(GROUP)):
                    out[j, k] = value(out[j, k])

    @jit
    def go_back(data: Any, rows: Any, s: Any, ahead: Any, gradient: Any, own: Any) -> None:
        n_out, last = np.uint64(len(own)), np.uint64(len(rows) - 1)
        whole = n_out // np.uint64(some) * np.uint64(some)
        for j in range(np.uint64(0), whole, np.uint64(some)):
            for k in range(np.uint64(0), np.uint64(GROUP), np.uint64(SAMPLES)):
                add_products(gradient, k, data, four_of(rows, s + k), own, j, some, rows[min(ahead, last)])
                ahead += np.uint64(1)
        for j in range(whole, n_out):
            for k in range(np.uint64(0), np.uint64(GROUP), np.uint64(SAMPLES)):
                add_products(gradient, k, data, four_of(rows, s + k), own, j, 1, rows[min(ahead, last)])
                ahead += np.uint64(1)

    @jit
    def through_activation(potentials: Any, gradient: Any) -> None:
        if not identity:
            for j in range(np.uint64(len(potentials))):
                for k in range(np.uint64(GROUP)):
                    gradient[j, k] *= slope(potentials[j, k])

    @jit
    def show(group: Any, tiles: Any, outputs: Any, s: Any) -> None:
        """Write a group's potentials or gradients to where everybody looks for them."""
        t, first = s // np.uint64(tiles.shape[2]), s % np.uint64(tiles.shape[2])
        for j in range(np.uint64(len(outputs))):
            for k in range(np.uint64(GROUP)):
                tiles[t, np.uint64(outputs[j]), first + k] = group[0, j, k]

    @jit
    def blank(tiles: Any, outputs: Any, n: Any) -> None:
        """Let the lanes past the last group be zeros."""
        t, tile = (n - 1) // tiles.shape[2], tiles.shape[2]
        for o in outputs:
            for k in range((n + GROUP - 1) // GROUP * GROUP - t * tile, tile):
                tiles[t, o, k] = zero

    @jit
    def run_part(
        first: Any, end: Any, data: Any, targets: Any, rows: Any, weight: Any, outputs: Any, ends: Any, own: Any, totals: Any,
        part: Any, group: Any, room: Any,
    ) -> None:  # fmt: skip
        own[:] = zero
        totals[:] = zero
        sums, scale, offset, numbers = room.sums, one / real(len(rows)), room.offset, room.numbers
        sums[part, 0] = sums[part, 1] = 0
        potentials, gradient = borrowed(group, 0), borrowed(group, 1)
        out, into = borrowed(potentials, 0), borrowed(gradient, 0)
        all_potentials, all_gradient = ends
        for s in range(first, end, GROUP):
            here, ahead = np.uint64(s), np.uint64(s + GROUP)
            half = ahead + np.uint64(GROUP // 2)
            go_forward(data, rows, here, ahead, weight, offset, out)
            judge(potentials, gradient, numbers, targets, rows, s, 0, scale, sums, part)
            through_activation(out, into)
            go_back(data, rows, here, half, into, own)
            show(potentials, all_potentials, outputs, here)
            show(gradient, all_gradient, outputs, here)
            for j in range(np.uint64(len(own))):
                total = zero
                for k in range(np.uint64(GROUP)):
                    total += into[j, k]
                totals[j] += total

    @jit
    def end_step(batch: Any, n_parts: Any, learn: Any, cells: Any, matrix: Any, room: Any, rates: Any, sums: Any) -> Any:
        """Sum the losses of all parts, then their gradients, and learn; return whether the loss is finite, or nothing is done."""
        loss, hits = 0.0, 0.0
        for part in range(n_parts):
            loss += room.sums[part, 0]
            hits += room.sums[part, 1]
        sums[batch, 0], sums[batch, 1] = loss, hits
        if not abs(loss) < np.inf:  # `isfinite` subtracts, and the difference of a sum and itself is reordered away
            return False
        finish(n_parts, True, learn, cells, matrix, room, rates[batch])
        return True

    @jit
    def take_part(
        player: Any, samples: Any, cells: Any, matrix: Any, outputs: Any, ends: Any, room: Any, span: Any, rates: Any, sums: Any
    ) -> None:
        """Run parts of one step after the other, whichever nobody has claimed; who ends a step's last part ends the step.

        A thread waits only for parts that others are at. So all gets done by as many threads as come, even by one.
        """
        data, targets, order, size = samples
        first, count, _, learn = span
        turns, n = room.turns, min(size, len(order) - first * size)
        n_parts, step = count_parts(n), read_at_once(room.turns, READY)
        while 0 <= step < count:
            rows = order[(first + step) * size : (first + step) * size + n]
            for k in range(n_parts):
                part = (player + k) % n_parts
                if claim(turns, CLAIMS + part * LINE, step):
                    begin, end = part * n // n_parts // GROUP * GROUP, (part + 1) * n // n_parts // GROUP * GROUP
                    if part == n_parts - 1:
                        end = n
                    own, totals, group = borrowed(room.parts, part), borrowed(room.totals, part), borrowed(room.ends, part)
                    run_part(begin, end, data, targets, rows, matrix[0], outputs, ends, own, totals, part, group, room)
                    if atomic_add(turns, DONE, 1) == (step + 1) * n_parts - 1:
                        good = end_step(first + step, n_parts, learn, cells, matrix, room, rates, sums)
                        write_at_once(turns, READY, step + 1 if good else -1 - step)
            step = wait_for_other(turns, READY, step)

    @kernel(*sample_maths, loss_maths.labels, update_maths, moments, *activation_maths, identity, real, some, parallel=not alone)
    def take(samples: Any, cells: Any, matrix: Any, outputs: Any, ends: Any, room: Any, span: Any, rates: Any, sums: Any) -> Any:
        (_, _, order, size), (first, count, go, learn) = samples, span
        finish(0, False, learn and not go, cells, matrix, room, rates[first])
        if not go:
            return count
        room.turns[:] = 0
        n = min(size, len(order) - first * size)
        for player in numba.prange(count_parts(n)):
            take_part(player, samples, cells, matrix, outputs, ends, room, span, rates, sums)
        taken = room.turns[READY]
        if taken < 0:
            taken = -1 - taken
        blank(ends[1], outputs, n)
        return taken

    return take

"""Loss on the CPU: groups of samples over threads, SIMD over the samples of a group, sums in float64 and in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.backend import LossMaths
from dna.cpu.compiler import jit, kernel, pasted
from dna.cpu.lanes import new_row
from dna.cpu.memory import ON_A_LINE, line_loader
from dna.cpu.threads import zeros

GROUP = 16
"""The fewest samples that one thread takes at a time: a cache line of each output's row, so that no two threads write to one."""

GROUPS = 4
"""Groups of a full tile, where all threads take part: the longer a row, the less it takes to go from one output to the next."""

LONG = 64
"""Lanes from which a loop of a length that the compiler knows becomes SIMD code; see `group_judge`."""


@cache
def loss_kernel(loss_maths: LossMaths, real: type, lanes: int, alone: bool) -> Callable[..., Any]:
    """Build `loss(potentials, gradient, outputs, targets, rows, scale) -> (sum of losses, sum of hits)`.

    For tiles of `lanes` samples; for one thread alone, which takes a tile at a time, or for all.
    """
    group = lanes if alone else max(GROUP, lanes // GROUPS)
    judge = group_judge(loss_maths, real, group)

    @kernel(*loss_maths.build(real), loss_maths.labels, real, group, parallel=not alone)
    def loss(potentials: Any, gradient: Any, outputs: Any, targets: Any, rows: Any, scale: Any) -> Any:
        n = potentials.shape[0] * potentials.shape[2] // group
        sums = zeros((n, 2), np.float64)
        for g in numba.prange(n):
            judge(potentials, gradient, outputs, targets, rows, g * group, g * group, scale, sums, g)
        value, hits = 0.0, 0.0
        for g in range(n):
            value += sums[g, 0]
            hits += sums[g, 1]
        return value, hits

    return loss


@cache
def group_judge(loss_maths: LossMaths, real: type, group: int) -> Callable[..., Any]:
    """Build `judge(potentials, gradient, outputs, targets, rows, at, lane, scale, sums, place)`, for kernels.

    It judges the samples `rows[at:]`, `group` of them, whose potentials begin at a lane of the tiles; adds their losses and hits
    to `sums[place]` and writes `scale` times their gradients. Lanes past the last sample get zeros of gradient.

    Loops over samples are over rows on the stack, which overlap nothing, so that they become SIMD code. `lanes` is `group` as
    well, but of a short one the compiler does not know: a short loop of a length that it knows is unrolled into scalar code.
    """
    (a0, b0, c0, d0), see, settle, judge_output = sample_maths(loss_maths, real)
    labels, zero, one = loss_maths.labels, real(0), real(1)
    load = line_loader()

    @jit
    def lay_out(gradient: Any, outputs: Any, tile: Any, first: Any, targets: Any, rows: Any, at: Any, count: Any) -> None:
        """Write the targets to where the gradients will be, output by output."""
        whole = count // ON_A_LINE * ON_A_LINE
        for k in range(np.uint64(0), np.uint64(whole), np.uint64(ON_A_LINE)):
            more = k + np.uint64(2 * ON_A_LINE) <= np.uint64(whole)
            load(gradient[tile], outputs, 0, len(outputs), targets, rows, np.uint64(at) + k, first + k, more)
        for k in range(np.uint64(whole), np.uint64(count)):
            row = np.uint64(rows[np.uint64(at) + k])
            for o in range(np.uint64(len(outputs))):
                gradient[tile, np.uint64(outputs[o]), first + k] = targets[row, o]

    @pasted
    def read_output(node: Any, tile: Any, first: Any, potentials: Any, gradient: Any, v: Any, t: Any) -> None:
        for k in range(np.uint64(group)):
            v[k] = potentials[tile, node, first + k]
        if not labels:
            for k in range(np.uint64(group)):
                t[k] = gradient[tile, node, first + k]

    @pasted
    def wanted(k: Any, o: Any, own: Any, t: Any) -> Any:
        return (one if own[k] == np.int32(o) else zero) if labels else t[k]

    @pasted
    def see_outputs(
        tile: Any, first: Any, outputs: Any, potentials: Any, gradient: Any, a: Any, b: Any, c: Any, d: Any, own: Any
    ) -> None:
        v, t = new_row(potentials, group), new_row(potentials, group)
        for k in range(np.uint64(group)):
            a[k], b[k], c[k], d[k] = a0, b0, c0, d0
        for o in range(np.uint64(len(outputs))):
            read_output(np.uint64(outputs[o]), tile, first, potentials, gradient, v, t)
            for k in range(np.uint64(group)):
                a[k], b[k], c[k], d[k] = see(a[k], b[k], c[k], d[k], v[k], wanted(k, o, own, t))
        for k in range(np.uint64(group)):
            a[k], b[k], c[k], d[k] = settle(a[k], b[k], c[k], d[k], len(outputs))

    @pasted
    def judge_outputs(
        tile: Any, first: Any, count: Any, outputs: Any, potentials: Any, gradient: Any, scale: Any, a: Any, b: Any, c: Any,
        d: Any, own: Any, losses: Any, hits: Any,
    ) -> None:  # fmt: skip
        lanes = np.uint64(group) if group >= LONG else min(np.uint64(group), np.uint64(potentials.shape[2]))
        v, t, slopes = new_row(potentials, group), new_row(potentials, group), new_row(potentials, group)
        for k in range(np.uint64(group)):
            losses[k], hits[k] = zero, zero
        for o in range(np.uint64(len(outputs))):
            node = np.uint64(outputs[o])
            read_output(node, tile, first, potentials, gradient, v, t)
            for k in range(lanes):
                loss, slopes[k], hit = judge_output(a[k], b[k], c[k], d[k], v[k], wanted(k, o, own, t))
                losses[k] += loss
                hits[k] += hit
            for k in range(lanes):
                gradient[tile, node, first + k] = scale * slopes[k]
            for k in range(np.uint64(count), np.uint64(group)):
                gradient[tile, node, first + k] = zero

    @jit
    def judge(
        potentials: Any, gradient: Any, outputs: Any, targets: Any, rows: Any, at: Any, lane: Any, scale: Any, sums: Any,
        place: Any,
    ) -> None:  # fmt: skip
        tile, first = np.uint64(lane // potentials.shape[2]), np.uint64(lane % potentials.shape[2])
        count = min(group, max(0, len(rows) - at))
        a, b = new_row(potentials, group), new_row(potentials, group)
        c, d = new_row(potentials, group), new_row(potentials, group)
        own, losses, hits = new_row(outputs, group), new_row(potentials, group), new_row(potentials, group)
        if labels:
            for k in range(np.uint64(count)):
                own[k] = targets[np.uint64(rows[np.uint64(at) + k]), 0]
        else:
            lay_out(gradient, outputs, tile, first, targets, rows, at, count)
        see_outputs(tile, first, outputs, potentials, gradient, a, b, c, d, own)
        judge_outputs(tile, first, count, outputs, potentials, gradient, scale, a, b, c, d, own, losses, hits)
        for k in range(np.uint64(count)):
            sums[place, 0] += losses[k]
            sums[place, 1] += hits[k]

    return judge


@cache
def sample_maths(loss_maths: LossMaths, real: type) -> tuple[Any, ...]:
    """Return what `LossMaths.build` does, its functions for kernels: those of every size are made of the same."""
    start, *functions = loss_maths.build(real)
    return start, *(jit(function) for function in functions)

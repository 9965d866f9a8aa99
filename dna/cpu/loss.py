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
from dna.cpu.memory import line_loader
from dna.cpu.threads import zeros

GROUP = 16
"""Samples that one thread takes at a time: a cache line of each output's row, so that no two threads write to one."""


@cache
def loss_kernel(loss_maths: LossMaths, real: type) -> Callable[..., Any]:
    """Build `loss(potentials, gradient, outputs, targets, rows, scale) -> (sum of losses, sum of hits)`."""
    judge = group_judge(loss_maths, real)

    @kernel(*loss_maths.build(real), loss_maths.labels, real, parallel=True)
    def loss(potentials: Any, gradient: Any, outputs: Any, targets: Any, rows: Any, scale: Any) -> Any:
        tile = potentials.shape[2]
        groups = potentials.shape[0] * tile // GROUP
        sums = zeros((groups, 2), np.float64)
        for group in numba.prange(groups):
            judge(potentials, gradient, outputs, targets, rows, group * GROUP, group * GROUP, scale, sums, group)
        value, hits = 0.0, 0.0
        for group in range(groups):
            value += sums[group, 0]
            hits += sums[group, 1]
        return value, hits

    return loss


@cache
def group_judge(loss_maths: LossMaths, real: type) -> Callable[..., Any]:
    """Build `judge(potentials, gradient, outputs, targets, rows, at, lane, scale, sums, place)`, for kernels.

    It judges the GROUP samples `rows[at:]`, whose potentials begin at a lane of the tiles; adds their losses and hits to
    `sums[place]` and writes `scale` times their gradients. Lanes past the last sample get zeros of gradient.

    Loops over samples are over rows on the stack, which overlap nothing, so that they become SIMD code. `lanes` is GROUP as well,
    but the compiler does not know: a short loop of a length that it knows is unrolled into scalar code before.
    """
    start, *maths = loss_maths.build(real)
    see, settle, judge_output = (jit(function) for function in maths)
    labels, zero, one = loss_maths.labels, real(0), real(1)
    a0, b0, c0, d0 = start
    load = line_loader()

    @jit
    def lay_out(gradient: Any, outputs: Any, tile: Any, first: Any, targets: Any, rows: Any, at: Any, count: Any) -> None:
        """Write the targets to where the gradients will be, output by output."""
        if count == GROUP:
            load(gradient[tile], outputs, 0, len(outputs), targets, rows, at, first, False)
        else:
            for k in range(np.uint64(count)):
                row = np.uint64(rows[np.uint64(at) + k])
                for o in range(np.uint64(len(outputs))):
                    gradient[tile, np.uint64(outputs[o]), first + k] = targets[row, o]

    @pasted
    def read_output(node: Any, tile: Any, first: Any, potentials: Any, gradient: Any, v: Any, t: Any) -> None:
        for k in range(np.uint64(GROUP)):
            v[k] = potentials[tile, node, first + k]
        if not labels:
            for k in range(np.uint64(GROUP)):
                t[k] = gradient[tile, node, first + k]

    @pasted
    def wanted(k: Any, o: Any, own: Any, t: Any) -> Any:
        return (one if own[k] == np.int32(o) else zero) if labels else t[k]

    @pasted
    def see_outputs(
        tile: Any, first: Any, outputs: Any, potentials: Any, gradient: Any, a: Any, b: Any, c: Any, d: Any, own: Any
    ) -> None:
        v, t = new_row(potentials, GROUP), new_row(potentials, GROUP)
        for k in range(np.uint64(GROUP)):
            a[k], b[k], c[k], d[k] = a0, b0, c0, d0
        for o in range(np.uint64(len(outputs))):
            read_output(np.uint64(outputs[o]), tile, first, potentials, gradient, v, t)
            for k in range(np.uint64(GROUP)):
                a[k], b[k], c[k], d[k] = see(a[k], b[k], c[k], d[k], v[k], wanted(k, o, own, t))
        for k in range(np.uint64(GROUP)):
            a[k], b[k], c[k], d[k] = settle(a[k], b[k], c[k], d[k], len(outputs))

    @pasted
    def judge_outputs(
        tile: Any, first: Any, count: Any, outputs: Any, potentials: Any, gradient: Any, scale: Any, a: Any, b: Any, c: Any,
        d: Any, own: Any, losses: Any, hits: Any,
    ) -> None:  # fmt: skip
        lanes = min(np.uint64(GROUP), np.uint64(potentials.shape[2]))
        v, t, slopes = new_row(potentials, GROUP), new_row(potentials, GROUP), new_row(potentials, GROUP)
        for k in range(np.uint64(GROUP)):
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
            for k in range(np.uint64(count), np.uint64(GROUP)):
                gradient[tile, node, first + k] = zero

    @jit
    def judge(
        potentials: Any, gradient: Any, outputs: Any, targets: Any, rows: Any, at: Any, lane: Any, scale: Any, sums: Any,
        place: Any,
    ) -> None:  # fmt: skip
        tile, first = np.uint64(lane // potentials.shape[2]), np.uint64(lane % potentials.shape[2])
        count = min(GROUP, max(0, len(rows) - at))
        a, b = new_row(potentials, GROUP), new_row(potentials, GROUP)
        c, d = new_row(potentials, GROUP), new_row(potentials, GROUP)
        own, losses, hits = new_row(outputs, GROUP), new_row(potentials, GROUP), new_row(potentials, GROUP)
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

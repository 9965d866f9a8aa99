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
        sums = np.zeros((groups, 2), np.float64)
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
    """
    start, *maths = loss_maths.build(real)
    see, settle, judge_output = (jit(function) for function in maths)
    labels, zero, one = loss_maths.labels, real(0), real(1)
    a0, b0, c0, d0 = start

    @pasted
    def read_output(node: Any, o: Any, tile: Any, first: Any, potentials: Any, targets: Any, own: Any, v: Any, t: Any) -> None:
        """Copy what lies elsewhere to rows that overlap nothing, so that the loop that follows becomes SIMD code."""
        for k in range(np.uint64(GROUP)):
            v[k] = potentials[tile, node, first + k]
        if not labels:
            for k in range(np.uint64(GROUP)):
                t[k] = targets[np.uint64(own[k]), o]

    @pasted
    def wanted(k: Any, o: Any, own: Any, t: Any) -> Any:
        return (one if own[k] == np.int32(o) else zero) if labels else t[k]

    @jit
    def judge(
        potentials: Any, gradient: Any, outputs: Any, targets: Any, rows: Any, at: Any, lane: Any, scale: Any, sums: Any,
        place: Any,
    ) -> None:  # fmt: skip
        tile, first = np.uint64(lane // potentials.shape[2]), np.uint64(lane % potentials.shape[2])
        count, n_out = min(GROUP, max(0, len(rows) - at)), np.uint64(len(outputs))
        a, b, c = new_row(potentials, GROUP), new_row(potentials, GROUP), new_row(potentials, GROUP)
        d, v, t = new_row(potentials, GROUP), new_row(potentials, GROUP), new_row(potentials, GROUP)
        losses, hits, slopes = new_row(potentials, GROUP), new_row(potentials, GROUP), new_row(potentials, GROUP)
        own = new_row(outputs if labels else rows, GROUP)
        for k in range(np.uint64(GROUP)):
            a[k], b[k], c[k], d[k], losses[k], hits[k] = a0, b0, c0, d0, zero, zero
            row = np.uint64(rows[np.uint64(min(at + np.int64(k), len(rows) - 1))])
            own[k] = targets[row, 0] if labels else row
        for o in range(n_out):
            node = np.uint64(outputs[o])
            read_output(node, o, tile, first, potentials, targets, own, v, t)
            for k in range(np.uint64(GROUP)):
                a[k], b[k], c[k], d[k] = see(a[k], b[k], c[k], d[k], v[k], wanted(k, o, own, t))
        for k in range(np.uint64(GROUP)):
            a[k], b[k], c[k], d[k] = settle(a[k], b[k], c[k], d[k], len(outputs))
        for o in range(n_out):
            node = np.uint64(outputs[o])
            read_output(node, o, tile, first, potentials, targets, own, v, t)
            for k in range(np.uint64(GROUP)):
                loss, slopes[k], hit = judge_output(a[k], b[k], c[k], d[k], v[k], wanted(k, o, own, t))
                losses[k] += loss
                hits[k] += hit
            for k in range(np.uint64(GROUP)):
                gradient[tile, node, first + k] = scale * slopes[k]
            for k in range(np.uint64(count), np.uint64(GROUP)):
                gradient[tile, node, first + k] = zero
        for k in range(np.uint64(count)):
            sums[place, 0] += losses[k]
            sums[place, 1] += hits[k]

    return judge

"""Backward on the CPU: gradients of one level's nodes, and of all cells that leave them. SIMD runs over the samples of a tile."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import Activation, CellKind
from dna.cpu.atomics import atomic_add
from dna.cpu.compiler import jit, kernel


@cache
def gather(kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `backward(level_nodes, cells, plan, potentials, gradient, pass_on)`, source-stationary.

    A node and all cells that leave it belong to one thread: the node's potentials and the gradient that gathers there stay in L1
    while four cells at a time stream the gradients of their targets. No atomics, and the same bits at any number of threads.
    `pass_on` says whether dL/dV of the nodes is wanted; it is written to `gradient`.
    """
    maths = kind.build(real)
    current, slopes = jit(maths.current), jit(maths.slopes)
    zero = real(0)

    @jit
    def one_cell(c: Any, node: Any, cells: Any, plan: Any, potentials: Any, gradient: Any, pass_on: Any, dv: Any) -> None:
        s, target = plan.by_source[c], plan.by_source_target[c]
        w, b = cells.weight[s], cells.bias[s]
        dw, db = zero, zero
        for t in range(potentials.shape[0]):
            v, g, into = potentials[t, node], gradient[t, target], dv[t]
            for k in range(len(v)):
                by_w, by_v, by_b = slopes(w, v[k], b, current(w, v[k], b))
                dw += g[k] * by_w
                db += g[k] * by_b
                if pass_on:
                    into[k] += g[k] * by_v
        cells.weight_grad[s], cells.bias_grad[s] = dw, db

    @jit
    def four_cells(c: Any, node: Any, cells: Any, plan: Any, potentials: Any, gradient: Any, pass_on: Any, dv: Any) -> None:
        p, q, r, s = plan.by_source[c], plan.by_source[c + 1], plan.by_source[c + 2], plan.by_source[c + 3]
        w0, w1, w2, w3 = cells.weight[p], cells.weight[q], cells.weight[r], cells.weight[s]
        b0, b1, b2, b3 = cells.bias[p], cells.bias[q], cells.bias[r], cells.bias[s]
        j0, j1 = plan.by_source_target[c], plan.by_source_target[c + 1]
        j2, j3 = plan.by_source_target[c + 2], plan.by_source_target[c + 3]
        dw0, dw1, dw2, dw3, db0, db1, db2, db3 = zero, zero, zero, zero, zero, zero, zero, zero
        for t in range(potentials.shape[0]):
            v, into = potentials[t, node], dv[t]
            g0, g1, g2, g3 = gradient[t, j0], gradient[t, j1], gradient[t, j2], gradient[t, j3]
            for k in range(len(v)):
                x = v[k]
                by_w0, by_v0, by_b0 = slopes(w0, x, b0, current(w0, x, b0))
                by_w1, by_v1, by_b1 = slopes(w1, x, b1, current(w1, x, b1))
                by_w2, by_v2, by_b2 = slopes(w2, x, b2, current(w2, x, b2))
                by_w3, by_v3, by_b3 = slopes(w3, x, b3, current(w3, x, b3))
                dw0 += g0[k] * by_w0
                dw1 += g1[k] * by_w1
                dw2 += g2[k] * by_w2
                dw3 += g3[k] * by_w3
                db0 += g0[k] * by_b0
                db1 += g1[k] * by_b1
                db2 += g2[k] * by_b2
                db3 += g3[k] * by_b3
                if pass_on:
                    into[k] += (g0[k] * by_v0 + g1[k] * by_v1) + (g2[k] * by_v2 + g3[k] * by_v3)
        cells.weight_grad[p], cells.weight_grad[q], cells.weight_grad[r], cells.weight_grad[s] = dw0, dw1, dw2, dw3
        cells.bias_grad[p], cells.bias_grad[q], cells.bias_grad[r], cells.bias_grad[s] = db0, db1, db2, db3

    @jit
    def leave_node(node: Any, cells: Any, plan: Any, potentials: Any, gradient: Any, pass_on: Any, dv: Any) -> None:
        start, end = plan.source_start[node], plan.source_start[node + 1]
        fours = start + (end - start) // 4 * 4
        dv[:] = zero
        for c in range(start, fours, 4):
            four_cells(c, node, cells, plan, potentials, gradient, pass_on, dv)
        for c in range(fours, end):
            one_cell(c, node, cells, plan, potentials, gradient, pass_on, dv)
        if pass_on:
            for t in range(potentials.shape[0]):
                gradient[t, node] = dv[t]

    @kernel(maths.current, maths.slopes, real, parallel=True)
    def backward(level_nodes: Any, cells: Any, plan: Any, potentials: Any, gradient: Any, pass_on: Any) -> None:
        n = len(level_nodes)
        chunks = min(n, 64)
        for chunk in numba.prange(chunks):
            dv = np.empty((potentials.shape[0], potentials.shape[2]), potentials.dtype)
            for i in range(chunk * n // chunks, (chunk + 1) * n // chunks):
                leave_node(level_nodes[i], cells, plan, potentials, gradient, pass_on, dv)

    return backward


@cache
def scatter(kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `backward(level, level_nodes, cells, bump, node_level, potentials, gradient, pass_on)`, straight over the pool.

    A tile belongs to one thread; threads meet in the gradients of a cell, which they add to atomically, once a cell and tile.
    Those are to be zero beforehand.
    """
    maths = kind.build(real)
    current, slopes = jit(maths.current), jit(maths.slopes)
    zero = real(0)

    @kernel(maths.current, maths.slopes, real, parallel=True)
    def backward(
        level: Any, level_nodes: Any, cells: Any, bump: Any, node_level: Any, potentials: Any, gradient: Any, pass_on: Any
    ) -> None:
        tile = potentials.shape[2]
        for t in numba.prange(potentials.shape[0]):
            if pass_on:
                for node in level_nodes:
                    for k in range(tile):
                        gradient[t, node, k] = zero
            for s in range(bump):
                if cells.id[s] >= 0 and node_level[cells.source[s]] == level:
                    w, b = cells.weight[s], cells.bias[s]
                    v, g = potentials[t, cells.source[s]], gradient[t, cells.target[s]]
                    into = gradient[t, cells.source[s]]
                    dw, db = zero, zero
                    for k in range(tile):
                        by_w, by_v, by_b = slopes(w, v[k], b, current(w, v[k], b))
                        dw += g[k] * by_w
                        db += g[k] * by_b
                        if pass_on:
                            into[k] += g[k] * by_v
                    atomic_add(cells.weight_grad, s, dw)
                    atomic_add(cells.bias_grad, s, db)

    return backward


@cache
def through_activation(activation: Activation, real: type) -> Callable[..., Any]:
    """Build `through(level_nodes, potentials, gradient)`: dL/dV becomes dL/d(sum of currents), in place."""
    slope_maths = activation.build(real).slope
    slope = jit(slope_maths)

    @kernel(slope_maths, real)
    def through(level_nodes: Any, potentials: Any, gradient: Any) -> None:
        for t in range(potentials.shape[0]):
            for node in level_nodes:
                for k in range(potentials.shape[2]):
                    gradient[t, node, k] *= slope(potentials[t, node, k])

    return through

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
    while each cell streams the gradient of its target. No atomics, and the same bits at any number of threads. `pass_on` says
    whether dL/dV of the nodes is wanted; it is written to `gradient`.
    """
    maths = kind.build(real)
    current, slopes = jit(maths.current), jit(maths.slopes)
    zero = real(0)

    @jit
    def cell_gradients(w: Any, b: Any, v: Any, g: Any) -> Any:
        dw, db = zero, zero
        for k in range(len(v)):
            by_w, _, by_b = slopes(w, v[k], b, current(w, v[k], b))
            dw += g[k] * by_w
            db += g[k] * by_b
        return dw, db

    @jit
    def cell_gradients_passed_on(w: Any, b: Any, v: Any, g: Any, dv: Any) -> Any:
        dw, db = zero, zero
        for k in range(len(v)):
            by_w, by_v, by_b = slopes(w, v[k], b, current(w, v[k], b))
            dw += g[k] * by_w
            db += g[k] * by_b
            dv[k] += g[k] * by_v
        return dw, db

    @jit
    def leave_node(node: Any, cells: Any, plan: Any, potentials: Any, gradient: Any, pass_on: Any, dv: Any) -> None:
        start, end = plan.source_start[node], plan.source_start[node + 1]
        for t in range(potentials.shape[0]):
            v = potentials[t, node]
            dv[:] = zero
            for c in range(start, end):
                s = plan.by_source[c]
                w, b = cells.weight[s], cells.bias[s]
                g = gradient[t, plan.by_source_target[c]]
                if pass_on:
                    dw, db = cell_gradients_passed_on(w, b, v, g, dv)
                else:
                    dw, db = cell_gradients(w, b, v, g)
                if t == 0:
                    cells.weight_grad[s], cells.bias_grad[s] = dw, db
                else:
                    cells.weight_grad[s] += dw
                    cells.bias_grad[s] += db
            if pass_on:
                into = gradient[t, node]
                for k in range(len(into)):
                    into[k] = dv[k]

    @kernel(maths.current, maths.slopes, real, parallel=True)
    def backward(level_nodes: Any, cells: Any, plan: Any, potentials: Any, gradient: Any, pass_on: Any) -> None:
        n = len(level_nodes)
        chunks = min(n, 64)
        for chunk in numba.prange(chunks):
            dv = np.empty(potentials.shape[2], potentials.dtype)
            for i in range(chunk * n // chunks, (chunk + 1) * n // chunks):
                leave_node(level_nodes[i], cells, plan, potentials, gradient, pass_on, dv)

    return backward


@cache
def scatter(kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `backward(level, level_nodes, cells, bump, node_level, potentials, gradient, pass_on)`, straight over the pool.

    A tile belongs to one thread; threads meet in the gradients of a cell, which they add to atomically, once a cell and tile. Those
    are to be zero beforehand.
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

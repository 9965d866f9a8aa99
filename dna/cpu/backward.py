"""Backward on the CPU: gradients of one level's nodes, and of all cells that leave them. SIMD runs over the samples of a tile."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import Activation, CellKind
from dna.cpu.atomics import atomic_add
from dna.cpu.compiler import jit, kernel, pasted
from dna.cpu.lanes import add_scaled, copy_row, dot, fill, new_row, row_at
from dna.cpu.plan import chunks_of


@cache
def gather(kind: CellKind, real: type, lanes: int, pass_on: bool, alone: bool) -> Callable[..., Any]:
    """Build `backward(stage, cells, potentials, gradient, totals)`, source-stationary, for tiles of `lanes` samples.

    A node and all cells that leave it belong to one thread: the gradient that gathers at the node stays in registers while the
    cells of one block stream the gradients of their targets. No atomics, and the same bits at any number of threads. With
    `pass_on`, dL/dV of the nodes is written to `gradient`. `totals` are the gradients of all nodes above, summed over samples;
    only affine cells want them.
    """
    maths = kind.build(real)
    current, slopes, count = jit(maths.current), jit(maths.slopes), jit(chunks_of)
    affine = kind.affine
    zero = real(0)

    @pasted
    def visit_cells(
        first: Any, end: Any, t: Any, v: Any, dv: Any, cells: Any, grads: Any, stage: Any, gradient: Any, totals: Any
    ) -> None:
        weight_grad, bias_grad = grads
        for c in range(np.uint64(first), np.uint64(end)):
            s, target = np.uint64(stage.slot[c]), np.uint64(stage.other[c])
            w, b = cells.weight[s], cells.bias[s]
            g = row_at(gradient, t, target, lanes)
            dw, db = zero, zero
            if affine:
                dw = dot(g, v, lanes)
                db = -totals[target] if t == 0 else zero
                if pass_on:
                    add_scaled(dv, 0, w, g, lanes)
            else:
                for k in range(lanes):
                    by_w, by_v, by_b = slopes(w, v[k], b, current(w, v[k], b))
                    dw += g[k] * by_w
                    db += g[k] * by_b
                    if pass_on:
                        dv[k] += g[k] * by_v
            if t > 0:
                dw += weight_grad[s]
                db += bias_grad[s]
            weight_grad[s] = dw
            bias_grad[s] = db

    @pasted
    def visit_chunk(
        low: Any, high: Any, cells: Any, grads: Any, stage: Any, potentials: Any, gradient: Any, totals: Any
    ) -> None:
        v, dv = new_row(potentials, lanes), new_row(potentials, lanes)
        for block in range(stage.tiles):
            starts = low * stage.tiles + block * (high - low)
            for t in range(potentials.shape[0]):
                for j in range(low, high):
                    first, end = stage.start[starts + j - low], stage.start[starts + j - low + 1]
                    into = row_at(gradient, t, stage.nodes[j], lanes)
                    if pass_on and block == 0:
                        fill(dv, 0, zero, lanes)
                    elif first == end:
                        continue
                    elif pass_on:
                        copy_row(dv, into, lanes)
                    copy_row(v, row_at(potentials, t, stage.nodes[j], lanes), lanes)
                    visit_cells(first, end, t, v, dv, cells, grads, stage, gradient, totals)
                    if pass_on:
                        copy_row(into, dv, lanes)

    @kernel(maths.current, maths.slopes, real, lanes, pass_on, affine, parallel=not alone)
    def backward(stage: Any, cells: Any, potentials: Any, gradient: Any, totals: Any) -> None:
        n = len(stage.nodes)
        chunks = count(n)
        grads = cells.weight_grad, cells.bias_grad  # what is written within `prange` must not be reached through a named tuple
        for chunk in numba.prange(chunks):
            visit_chunk(chunk * n // chunks, (chunk + 1) * n // chunks, cells, grads, stage, potentials, gradient, totals)

    return backward


@cache
def sample_summer(real: type) -> Callable[..., Any]:
    """Build `sum_samples(nodes, gradient, totals)`: each node's gradient summed over all samples."""
    zero = real(0)

    @kernel("sum samples", real)
    def sum_samples(nodes: Any, gradient: Any, totals: Any) -> None:
        for node in nodes:
            total = zero
            for t in range(gradient.shape[0]):
                for k in range(gradient.shape[2]):
                    total += gradient[t, node, k]
            totals[node] = total

    return sum_samples


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

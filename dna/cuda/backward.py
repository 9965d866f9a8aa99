"""Backward on the GPU: gradients of one level's nodes and of all cells that leave them. Lanes of a warp hold samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cells import Activation, CellKind
from dna.cuda.device import FULL, WARP, cuda, jit, kernel


@cache
def warp_sum() -> Callable[..., Any]:
    """Build the device function `sum(value) -> value`: a butterfly over a whole warp; all lanes get the same bits."""

    @jit
    def sum_over_warp(value: Any) -> Any:
        distance = WARP // 2
        while distance > 0:
            value += cuda.shfl_xor_sync(FULL, value, distance)
            distance //= 2
        return value

    return sum_over_warp


@cache
def gather(kind: CellKind, real: type, tile: int) -> Callable[..., Any]:
    """Build `gather_level(level_nodes, weight, bias, weight_grad, bias_grad, order, potentials, gradient, pass_on)`.

    Source-stationary; `order` is cells by source. A node and all cells that leave it belong to one warp: the node's potentials
    and the gradient that gathers there stay in registers, `tile / 32` samples a lane, while each cell streams the gradient of its
    target. No atomics, and the same order of sums on every run. A cell's gradients are kept by one lane until 32 cells are done,
    and are then written side by side. `pass_on` says whether dL/dV of the nodes is wanted; it is written to `gradient`.

    Bytes a cell-sample: one `real` of gradient read; for each warp and tile 8 bytes of plan, two `real` read and two written.
    Operations: the slopes (0 for a linear cell), 3 multiply-adds, and 20 / (tile / 32) shuffles and additions.
    """
    maths = kind.build(real)
    current, slopes, sum_over_warp = jit(maths.current), jit(maths.slopes), warp_sum()
    zero, each, dtype = real(0), tile // WARP, np.dtype(real)

    @kernel
    def gather_level(
        level_nodes: Any, weight: Any, bias: Any, weight_grad: Any, bias_grad: Any, order: Any, potentials: Any, gradient: Any,
        pass_on: Any,
    ) -> None:  # fmt: skip
        v = cuda.local.array(each, dtype)
        dv = cuda.local.array(each, dtype)
        lane = cuda.threadIdx.x % WARP
        for i in range(cuda.grid(1) // WARP, level_nodes.shape[0], cuda.gridsize(1) // WARP):
            node = level_nodes[i]
            start, end = order.start[node], order.start[node + 1]
            for t in range(potentials.shape[0]):
                for q in range(each):
                    v[q] = potentials[t, node, q * WARP + lane]
                    dv[q] = zero
                for first in range(start, end, WARP):
                    kept_dw, kept_db = zero, zero
                    for c in range(first, min(first + WARP, end)):
                        s, target = order.slots[c], order.others[c]
                        w, b = weight[s], bias[s]
                        dw, db = zero, zero
                        for q in range(each):
                            g = gradient[t, target, q * WARP + lane]
                            by_w, by_v, by_b = slopes(w, v[q], b, current(w, v[q], b))
                            dw += g * by_w
                            db += g * by_b
                            dv[q] += g * by_v
                        dw, db = sum_over_warp(dw), sum_over_warp(db)
                        if lane == c - first:
                            kept_dw, kept_db = dw, db
                    if first + lane < end:
                        s = order.slots[first + lane]
                        if t > 0:
                            kept_dw += weight_grad[s]
                            kept_db += bias_grad[s]
                        weight_grad[s], bias_grad[s] = kept_dw, kept_db
                if pass_on:
                    for q in range(each):
                        gradient[t, node, q * WARP + lane] = dv[q]

    return gather_level


@cache
def scatter(kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `scatter_level(level, cells, bump, node_level, potentials, gradient, pass_on)`, straight over the pool.

    A warp a cell. Only the gradients of nodes are added to atomically; a cell's own belong to its warp. Bytes a cell-sample: two
    `real` read and, with `pass_on`, one atomic addition; operations: the slopes and 3 multiply-adds.
    """
    maths = kind.build(real)
    current, slopes, sum_over_warp = jit(maths.current), jit(maths.slopes), warp_sum()
    zero = real(0)

    @kernel
    def scatter_level(level: Any, cells: Any, bump: Any, node_level: Any, potentials: Any, gradient: Any, pass_on: Any) -> None:
        lane = cuda.threadIdx.x % WARP
        for s in range(cuda.grid(1) // WARP, bump, cuda.gridsize(1) // WARP):
            if cells.id[s] >= 0 and node_level[cells.source[s]] == level:
                source, target = cells.source[s], cells.target[s]
                w, b = cells.weight[s], cells.bias[s]
                dw, db = zero, zero
                for t in range(potentials.shape[0]):
                    for k in range(lane, potentials.shape[2], WARP):
                        g = gradient[t, target, k]
                        by_w, by_v, by_b = slopes(w, potentials[t, source, k], b, current(w, potentials[t, source, k], b))
                        dw += g * by_w
                        db += g * by_b
                        if pass_on:
                            cuda.atomic.add(gradient, (t, source, k), g * by_v)
                dw, db = sum_over_warp(dw), sum_over_warp(db)
                if lane == 0:
                    cells.weight_grad[s], cells.bias_grad[s] = dw, db

    return scatter_level


@cache
def through_activation(activation: Activation, real: type) -> Callable[..., Any]:
    """Build `through(level_nodes, potentials, gradient)`: dL/dV becomes dL/d(sum of currents), in place.

    Bytes a node and sample: two `real` read, one written.
    """
    slope = jit(activation.build(real).slope)

    @kernel
    def through(level_nodes: Any, potentials: Any, gradient: Any) -> None:
        n, tile = level_nodes.shape[0], potentials.shape[2]
        for job in range(cuda.grid(1), potentials.shape[0] * n * tile, cuda.gridsize(1)):
            t, node, k = job // (n * tile), level_nodes[job // tile % n], job % tile
            gradient[t, node, k] *= slope(potentials[t, node, k])

    return through

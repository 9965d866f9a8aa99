"""Forward on the CPU: potentials of one level from those below it. SIMD runs over samples, threads over tiles and nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import Activation, CellKind
from dna.cpu.compiler import jit, kernel


@cache
def gather(kind: CellKind, activation: Activation, real: type) -> Callable[..., Any]:
    """Build `forward(level_nodes, cells, plan, potentials)`.

    A node's cells are summed in the order of the plan by one thread, so the bits do not depend on the number of threads. Four
    cells are taken at a time, which quarters the traffic of the sum.
    """
    current_maths, value_maths = kind.build(real).current, activation.build(real).value
    current, value = jit(current_maths), jit(value_maths)

    @jit
    def sum_currents(node: Any, t: Any, weight: Any, bias: Any, plan: Any, potentials: Any, total: Any) -> None:
        tile = potentials.shape[2]
        start, end = plan.target_start[node], plan.target_start[node + 1]
        for k in range(tile):
            total[k] = 0
        fours = start + (end - start) // 4 * 4
        for c in range(start, fours, 4):
            s0, s1, s2, s3 = plan.by_target[c], plan.by_target[c + 1], plan.by_target[c + 2], plan.by_target[c + 3]
            w0, w1, w2, w3 = weight[s0], weight[s1], weight[s2], weight[s3]
            b0, b1, b2, b3 = bias[s0], bias[s1], bias[s2], bias[s3]
            v0, v1 = potentials[t, plan.by_target_source[c]], potentials[t, plan.by_target_source[c + 1]]
            v2, v3 = potentials[t, plan.by_target_source[c + 2]], potentials[t, plan.by_target_source[c + 3]]
            for k in range(tile):
                total[k] += (current(w0, v0[k], b0) + current(w1, v1[k], b1)) + (current(w2, v2[k], b2) + current(w3, v3[k], b3))
        for c in range(fours, end):
            s = plan.by_target[c]
            w, b = weight[s], bias[s]
            v = potentials[t, plan.by_target_source[c]]
            for k in range(tile):
                total[k] += current(w, v[k], b)

    @kernel(current_maths, value_maths, real, parallel=True)
    def forward(level_nodes: Any, cells: Any, plan: Any, potentials: Any) -> None:
        tiles, tile = potentials.shape[0], potentials.shape[2]
        n = len(level_nodes)
        chunks = min(n, 64)
        weight, bias = cells.weight, cells.bias
        for job in numba.prange(tiles * chunks):
            t, chunk = job // chunks, job % chunks
            total = np.empty(tile, potentials.dtype)
            for j in range(chunk * n // chunks, (chunk + 1) * n // chunks):
                node = level_nodes[j]
                sum_currents(node, t, weight, bias, plan, potentials, total)
                for k in range(tile):
                    potentials[t, node, k] = value(total[k])

    return forward


@cache
def scatter(kind: CellKind, activation: Activation, real: type) -> Callable[..., Any]:
    """Build `forward(level, level_nodes, cells, bump, node_level, potentials)`, straight over the pool.

    A tile belongs to one thread, so its sums need no atomics.
    """
    current_maths, value_maths = kind.build(real).current, activation.build(real).value
    current, value = jit(current_maths), jit(value_maths)

    @kernel(current_maths, value_maths, real, parallel=True)
    def forward(level: Any, level_nodes: Any, cells: Any, bump: Any, node_level: Any, potentials: Any) -> None:
        tile = potentials.shape[2]
        for t in numba.prange(potentials.shape[0]):
            for node in level_nodes:
                for k in range(tile):
                    potentials[t, node, k] = 0
            for s in range(bump):
                if cells.id[s] >= 0 and node_level[cells.target[s]] == level:
                    w, b = cells.weight[s], cells.bias[s]
                    source, target = potentials[t, cells.source[s]], potentials[t, cells.target[s]]
                    for k in range(tile):
                        target[k] += current(w, source[k], b)
            for node in level_nodes:
                for k in range(tile):
                    potentials[t, node, k] = value(potentials[t, node, k])

    return forward

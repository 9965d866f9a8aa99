"""Forward on the CPU: potentials of one level from those below it. SIMD runs over samples, threads over tiles and nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import Activation, CellKind
from dna.cpu.compiler import jit, kernel, pasted
from dna.cpu.lanes import new_row, row_at
from dna.cpu.plan import chunks_of


@cache
def gather(kind: CellKind, activation: Activation, real: type, lanes: int) -> Callable[..., Any]:
    """Build `forward(stage, cells, potentials)` for tiles of `lanes` samples.

    A node's cells are summed by one thread in the order of the plan, so the bits do not depend on the number of threads. The sum
    stays in registers while the cells of one block pass by.
    """
    current_maths, value_maths = kind.build(real).current, activation.build(real).value
    current, value, count = jit(current_maths), jit(value_maths), jit(chunks_of)
    affine, identity = kind.affine, activation.name == "identity"
    zero = real(0)

    @pasted
    def add_cells(first: Any, end: Any, t: Any, cells: Any, stage: Any, potentials: Any, total: Any) -> None:
        offset = zero
        for c in range(np.uint64(first), np.uint64(end)):
            s = np.uint64(stage.slot[c])
            w, b = cells.weight[s], cells.bias[s]
            v = row_at(potentials, t, stage.other[c], lanes)
            if affine:
                offset += b
                for k in range(lanes):
                    total[k] += w * v[k]
            else:
                for k in range(lanes):
                    total[k] += current(w, v[k], b)
        if affine:
            for k in range(lanes):
                total[k] -= offset

    @pasted
    def sum_chunk(low: Any, high: Any, t: Any, cells: Any, stage: Any, potentials: Any) -> None:
        total = new_row(potentials, lanes)
        for block in range(stage.tiles):
            starts = low * stage.tiles + block * (high - low)
            for j in range(low, high):
                first, end = stage.start[starts + j - low], stage.start[starts + j - low + 1]
                potential = row_at(potentials, t, stage.nodes[j], lanes)
                if block == 0:
                    for k in range(lanes):
                        total[k] = zero
                elif first == end:
                    continue
                else:
                    for k in range(lanes):
                        total[k] = potential[k]
                add_cells(first, end, t, cells, stage, potentials, total)
                for k in range(lanes):
                    potential[k] = total[k]

    @kernel(current_maths, value_maths, real, lanes, affine, identity, parallel=True)
    def forward(stage: Any, cells: Any, potentials: Any) -> None:
        n = len(stage.nodes)
        chunks = count(n)
        for job in numba.prange(potentials.shape[0] * chunks):
            t, chunk = job // chunks, job % chunks
            low, high = chunk * n // chunks, (chunk + 1) * n // chunks
            sum_chunk(low, high, t, cells, stage, potentials)
            if not identity:
                for j in range(low, high):
                    potential = row_at(potentials, t, stage.nodes[j], lanes)
                    for k in range(lanes):
                        potential[k] = value(potential[k])

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

"""Forward on the CPU: potentials of one level from those below it. SIMD runs over samples, threads over tiles and nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import Activation, CellKind
from dna.cpu.compiler import jit, kernel, pasted
from dna.cpu.lanes import add_scaled, copy_row, fill, fold, lanes_of_machine, new_row, row_at
from dna.cpu.plan import chunks_of
from dna.cpu.prefetch import CELLS_AHEAD, prefetch_slot

SUMS = 4
"""Sums of a node at a time, where rows are so short that an addition would wait for the one before."""


@cache
def chunk_runner(kind: CellKind, activation: Activation, real: type, lanes: int, ahead: bool) -> Callable[..., Any]:
    """Build `run(low, high, t, cells, stage, potentials)`, to be pasted: the nodes `low` to `high` of a level, for one tile.

    With `ahead`, the weights and biases of cells are asked for before their turn; see `prefetch.asks_ahead`. The sum of a node
    stays in registers while the cells of one block pass by.
    """
    current, value = jit(kind.build(real).current), jit(activation.build(real).value)
    affine, identity = kind.affine, activation.name == "identity"
    zero = real(0)
    parts = SUMS if lanes * SUMS <= lanes_of_machine(real) else 1
    all_lanes = parts * lanes

    @pasted
    def ask(c: Any, cells: Any, stage: Any) -> None:
        if ahead:
            soon = stage.slot[min(c + np.uint64(CELLS_AHEAD), np.uint64(len(stage.slot) - 1))]
            prefetch_slot(cells.weight, soon)
            prefetch_slot(cells.bias, soon)

    @pasted
    def add_affine(first: Any, end: Any, t: Any, cells: Any, stage: Any, potentials: Any, sums: Any) -> Any:
        offset, c, last = zero, np.uint64(first), np.uint64(end)
        if parts == SUMS:
            while c + np.uint64(SUMS) <= last:
                s0, s1 = np.uint64(stage.slot[c]), np.uint64(stage.slot[c + np.uint64(1)])
                s2, s3 = np.uint64(stage.slot[c + np.uint64(2)]), np.uint64(stage.slot[c + np.uint64(3)])
                offset += (cells.bias[s0] + cells.bias[s1]) + (cells.bias[s2] + cells.bias[s3])
                add_scaled(sums, 0, cells.weight[s0], row_at(potentials, t, stage.other[c], lanes), lanes)
                add_scaled(sums, 1, cells.weight[s1], row_at(potentials, t, stage.other[c + np.uint64(1)], lanes), lanes)
                add_scaled(sums, 2, cells.weight[s2], row_at(potentials, t, stage.other[c + np.uint64(2)], lanes), lanes)
                add_scaled(sums, 3, cells.weight[s3], row_at(potentials, t, stage.other[c + np.uint64(3)], lanes), lanes)
                c += np.uint64(SUMS)
        while c < last:
            ask(c, cells, stage)
            s = np.uint64(stage.slot[c])
            offset += cells.bias[s]
            add_scaled(sums, 0, cells.weight[s], row_at(potentials, t, stage.other[c], lanes), lanes)
            c += np.uint64(1)
        return offset

    @pasted
    def sum_affine_chunk(low: Any, high: Any, t: Any, cells: Any, stage: Any, potentials: Any) -> None:
        sums = new_row(potentials, all_lanes)
        for block in range(stage.tiles):
            starts = low * stage.tiles + block * (high - low)
            for j in range(low, high):
                first, end = stage.start[starts + j - low], stage.start[starts + j - low + 1]
                potential = row_at(potentials, t, stage.nodes[j], lanes)
                fill(sums, 0, zero, all_lanes)
                if block > 0:
                    if first == end:
                        continue
                    copy_row(sums, potential, lanes)
                offset = add_affine(first, end, t, cells, stage, potentials, sums)
                fold(potential, sums, parts, offset, lanes)

    @pasted
    def add_cells(first: Any, end: Any, t: Any, cells: Any, stage: Any, potentials: Any, total: Any) -> None:
        for c in range(np.uint64(first), np.uint64(end)):
            ask(c, cells, stage)
            s = np.uint64(stage.slot[c])
            w, b = cells.weight[s], cells.bias[s]
            v = row_at(potentials, t, stage.other[c], lanes)
            for k in range(lanes):
                total[k] += current(w, v[k], b)

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

    @pasted
    def run_chunk(low: Any, high: Any, t: Any, cells: Any, stage: Any, potentials: Any) -> None:
        if affine:
            sum_affine_chunk(low, high, t, cells, stage, potentials)
        else:
            sum_chunk(low, high, t, cells, stage, potentials)
        if not identity:
            for j in range(low, high):
                potential = row_at(potentials, t, stage.nodes[j], lanes)
                for k in range(lanes):
                    potential[k] = value(potential[k])

    return run_chunk


@cache
def gather(kind: CellKind, activation: Activation, real: type, lanes: int, *, alone: bool, ahead: bool) -> Callable[..., Any]:
    """Build `forward(stage, cells, potentials)` for tiles of `lanes` samples, for one thread alone or for all.

    A node's cells are summed by one thread in the order of the plan, so the bits do not depend on the number of threads.
    """
    run_chunk, count = chunk_runner(kind, activation, real, lanes, ahead), jit(chunks_of)
    maths = kind.build(real).current, activation.build(real).value

    @kernel(*maths, real, lanes, kind.affine, activation.name == "identity", ahead, parallel=not alone)
    def forward(stage: Any, cells: Any, potentials: Any) -> None:
        n = len(stage.nodes)
        chunks = count(n)
        for job in numba.prange(potentials.shape[0] * chunks):
            t, chunk = job // chunks, job % chunks
            run_chunk(chunk * n // chunks, (chunk + 1) * n // chunks, t, cells, stage, potentials)

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

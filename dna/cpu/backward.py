"""Backward on the CPU: gradients of one level's nodes, and of all cells that leave them. SIMD runs over the samples of a tile."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import Activation, CellKind
from dna.cells.pull import puller
from dna.cpu.atomics import atomic_add
from dna.cpu.compiler import jit, kernel, pasted
from dna.cpu.plan import chunks_of
from dna.cpu.prefetch import LARGE
from dna.cpu.visit import chunk_visitor

FEWEST_TILES = 4
"""Tiles from which threads take halves of a batch, so that each meets the samples that it met before; see `gather`."""

FEWER = 4
"""Chunks that are taken as one where a level is not cut into tiles of nodes: each reads the gradients of all samples again."""


@cache
def gather(
    kind: CellKind, real: type, lanes: int, pass_on: bool, *, one: bool, alone: bool, ahead: bool, rows_ahead: bool
) -> Callable[..., Any]:
    """Build `backward(stage, cells, potentials, gradient, totals)`, source-stationary, for tiles of `lanes` samples.

    A node and all cells that leave it belong to one thread: the gradient that gathers at the node stays in registers while the
    cells of one block stream the gradients of their targets. No atomics, and the same bits at any number of threads. With
    `pass_on`, dL/dV of the nodes is written to `gradient`. `totals` are the gradients of all nodes above, summed over samples;
    only affine cells want them. `one` says that the batch is one tile; with `ahead`, cells are asked for before their turn, with
    `rows_ahead` gradients at their other ends.

    Many tiles are taken in two halves, whose sums are added at the end: a thread then reads and writes the samples that it laid
    out and will store, and hardly any that are in another core's cache. Whether so goes by sizes, so bits do not depend on it.
    """
    maths = kind.build(real)
    visit_chunk, count = chunk_visitor(kind, real, lanes, pass_on, one=one, ahead=ahead, rows_ahead=rows_ahead), jit(chunks_of)
    affine, divides = kind.affine, not one and not alone

    @pasted
    def add_other_half(low: Any, high: Any, grads: Any, rest: Any, stage: Any) -> None:
        for c in range(np.uint64(stage.start[low * stage.tiles]), np.uint64(stage.start[high * stage.tiles])):
            s = np.uint64(stage.slot[c])
            grads[0][s] += rest[0, s]
            if not affine:
                grads[1][s] += rest[1, s]

    @kernel(*maths, real, lanes, pass_on, affine, one, ahead, rows_ahead, parallel=not alone)
    def backward(stage: Any, cells: Any, potentials: Any, gradient: Any, totals: Any) -> None:
        n, tiles = len(stage.nodes), potentials.shape[0]
        halves = 2 if divides and tiles >= FEWEST_TILES and stage.n_cells <= LARGE else 1
        chunks = count(n) if halves == 1 or stage.tiles > 1 else max(1, count(n) // FEWER)
        grads = cells.weight_grad, cells.bias_grad  # what is written within `prange` must not be reached through a named tuple
        rest: Any = np.empty((2, len(cells.weight_grad) if halves == 2 else 0), real)
        for job in numba.prange(halves * chunks):
            half, chunk = job // chunks, job % chunks
            ends = half * tiles // halves, (half + 1) * tiles // halves
            into = grads if half == 0 else (rest[0], rest[1])
            visit_chunk(chunk * n // chunks, (chunk + 1) * n // chunks, ends, cells, into, stage, potentials, gradient, totals)
        if divides and halves == 2:
            for chunk in numba.prange(chunks):
                add_other_half(chunk * n // chunks, (chunk + 1) * n // chunks, grads, rest, stage)

    return backward


@cache
def tile_summer(real: type) -> Callable[..., Any]:
    """Build `sum_tile(nodes, rows, sums)`, for kernels: each node's row summed over its lanes."""
    zero = real(0)

    @jit
    def sum_tile(nodes: Any, rows: Any, sums: Any) -> None:
        for j in range(len(nodes)):
            row, total = rows[np.uint64(nodes[j])], zero
            for k in range(len(row)):
                total += row[k]
            sums[j] = total

    return sum_tile


@cache
def sample_summer(real: type, alone: bool) -> Callable[..., Any]:
    """Build `sum_samples(nodes, gradient, totals)`: each node's gradient summed over all samples, tile by tile."""
    zero, sum_tile = real(0), tile_summer(real)

    @kernel("sum samples", real, parallel=not alone)
    def sum_samples(nodes: Any, gradient: Any, totals: Any) -> None:
        sums = np.empty((gradient.shape[0], len(nodes)), real)
        for t in numba.prange(gradient.shape[0]):
            sum_tile(nodes, gradient[t], sums[t])
        for j in range(len(nodes)):
            total = zero
            for t in range(gradient.shape[0]):
                total += sums[t, j]
            totals[nodes[j]] = total

    return sum_samples


@cache
def scatter(kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `backward(level, level_nodes, cells, bump, node_level, potentials, gradient, pass_on)`, straight over the pool.

    A tile belongs to one thread; threads meet in the gradients of a cell, which they add to atomically, once a cell and tile.
    Those are to be zero beforehand.
    """
    maths = kind.build(real)
    current, pull = jit(maths.current), puller(maths, jit)
    zero = real(0)

    @kernel(*maths, real, parallel=True)
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
                        by_w, by_v, by_b = pull(w, v[k], b, current(w, v[k], b), g[k])
                        dw += by_w
                        db += by_b
                        if pass_on:
                            into[k] += by_v
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

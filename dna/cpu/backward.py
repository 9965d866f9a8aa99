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
from dna.cpu.lanes import add_scaled, copy_row, dot, fill, new_row, row_at
from dna.cpu.plan import chunks_of
from dna.cpu.prefetch import CELLS_AHEAD, LARGE, prefetch_slot

FEWEST_TILES = 4
"""Tiles from which threads take halves of a batch, so that each meets the samples that it met before; see `gather`."""

FEWER = 4
"""Chunks that are taken as one where a level is not cut into tiles of nodes: each reads the gradients of all samples again."""

WEIGHT, BIAS, BY_WEIGHT, BY_BIAS = range(4)
"""Rows of what is held of a block's cells while the tiles of a batch pass: pool columns are far apart in the order of a visit."""


@cache
def gather(kind: CellKind, real: type, lanes: int, pass_on: bool, *, one: bool, alone: bool, ahead: bool) -> Callable[..., Any]:
    """Build `backward(stage, cells, potentials, gradient, totals)`, source-stationary, for tiles of `lanes` samples.

    A node and all cells that leave it belong to one thread: the gradient that gathers at the node stays in registers while the
    cells of one block stream the gradients of their targets. No atomics, and the same bits at any number of threads. With
    `pass_on`, dL/dV of the nodes is written to `gradient`. `totals` are the gradients of all nodes above, summed over samples;
    only affine cells want them. `one` says that the batch is one tile; with `ahead`, cells are asked for before their turn.

    Many tiles are taken in two halves, whose sums are added at the end: a thread then reads and writes the samples that it laid
    out and will store, and hardly any that are in another core's cache. Whether so goes by sizes, so bits do not depend on it.
    """
    maths = kind.build(real)
    current, pull, count = jit(maths.current), puller(maths, jit), jit(chunks_of)
    most_in_block = jit(most_cells_in_block)
    affine = kind.affine
    uses_weight = pass_on or not affine
    zero, divides = real(0), not one and not alone

    @pasted
    def hold(held: Any, q: Any, w: Any, b: Any) -> None:
        if uses_weight:
            held[WEIGHT, q] = w
        if not affine:
            held[BIAS, q] = b

    @pasted
    def recall(held: Any, q: Any) -> Any:
        return held[WEIGHT, q] if uses_weight else zero, zero if affine else held[BIAS, q]

    def visitor(begins: bool, ends: bool) -> Callable[..., Any]:
        """Build the visit of the cells that leave a node, for the tile of samples that begins or ends a batch, or neither."""

        @pasted
        def visit_cells(
            low: Any, high: Any, t: Any, v: Any, dv: Any, cells: Any, grads: Any, stage: Any, gradient: Any, totals: Any,
            before: Any, held: Any,
        ) -> None:  # fmt: skip
            weight_grad, bias_grad = grads
            for c in range(np.uint64(low), np.uint64(high)):
                s, q, target = np.uint64(stage.slot[c]), c - np.uint64(before), np.uint64(stage.other[c])
                g = row_at(gradient, t, target, lanes)
                if begins and ahead:
                    soon = stage.slot[min(c + np.uint64(CELLS_AHEAD), np.uint64(len(stage.slot) - 1))]
                    if uses_weight:
                        prefetch_slot(cells.weight, soon)
                    if not affine:
                        prefetch_slot(cells.bias, soon)
                if begins:
                    w, b = cells.weight[s], cells.bias[s]
                else:
                    w, b = recall(held, q)
                dw, db = zero, zero
                if affine:
                    dw = dot(g, v, lanes)
                    if pass_on:
                        add_scaled(dv, 0, w, g, lanes)
                else:
                    for k in range(lanes):
                        by_w, by_v, by_b = pull(w, v[k], b, current(w, v[k], b), g[k])
                        dw += by_w
                        db += by_b
                        if pass_on:
                            dv[k] += by_v
                if not begins:
                    dw += held[BY_WEIGHT, q]
                    if not affine:
                        db += held[BY_BIAS, q]
                if ends:
                    weight_grad[s], bias_grad[s] = dw, -totals[target] if affine else db
                else:
                    held[BY_WEIGHT, q] = dw
                    if not affine:
                        held[BY_BIAS, q] = db
                if begins and not ends:
                    hold(held, q, w, b)

        return visit_cells

    def sweeper(visit_cells: Callable[..., Any]) -> Callable[..., Any]:
        """Build the visit of a block's nodes for one tile. Branches stay outside of it: each makes Numba count references."""

        @pasted
        def sweep(
            low: Any, high: Any, t: Any, block: Any, v: Any, dv: Any, cells: Any, grads: Any, stage: Any, potentials: Any,
            gradient: Any, totals: Any, held: Any,
        ) -> None:  # fmt: skip
            starts = low * stage.tiles + block * (high - low)
            before = stage.start[starts]
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
                visit_cells(first, end, t, v, dv, cells, grads, stage, gradient, totals, before, held)
                if pass_on:
                    copy_row(into, dv, lanes)

        return sweep

    sweep_only, sweep_first = sweeper(visitor(True, True)), sweeper(visitor(True, False))
    sweep_next, sweep_last = sweeper(visitor(False, False)), sweeper(visitor(False, True))

    @pasted
    def visit_chunk(
        low: Any, high: Any, ends: Any, cells: Any, grads: Any, stage: Any, potentials: Any, gradient: Any, totals: Any
    ) -> None:
        begin, end = ends
        v, dv = new_row(potentials, lanes), new_row(potentials, lanes)
        held = gradient[0] if one else np.empty((4, most_in_block(stage, low, high)), real)  # one tile holds nothing
        for block in range(stage.tiles):
            if one:
                sweep_only(low, high, 0, block, v, dv, cells, grads, stage, potentials, gradient, totals, held)
            else:
                sweep_first(low, high, begin, block, v, dv, cells, grads, stage, potentials, gradient, totals, held)
                for t in range(begin + 1, end - 1):
                    sweep_next(low, high, t, block, v, dv, cells, grads, stage, potentials, gradient, totals, held)
                sweep_last(low, high, end - 1, block, v, dv, cells, grads, stage, potentials, gradient, totals, held)

    @pasted
    def add_other_half(low: Any, high: Any, grads: Any, rest: Any, stage: Any) -> None:
        for c in range(np.uint64(stage.start[low * stage.tiles]), np.uint64(stage.start[high * stage.tiles])):
            s = np.uint64(stage.slot[c])
            grads[0][s] += rest[0, s]
            if not affine:
                grads[1][s] += rest[1, s]

    @kernel(*maths, real, lanes, pass_on, affine, one, ahead, parallel=not alone)
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


def most_cells_in_block(stage: Any, low: Any, high: Any) -> Any:
    """Return the cells of the largest block of a chunk of nodes."""
    most, n = 0, high - low
    for block in range(stage.tiles):
        starts = low * stage.tiles + block * n
        most = max(most, stage.start[starts + n] - stage.start[starts])
    return most


@cache
def sample_summer(real: type, alone: bool) -> Callable[..., Any]:
    """Build `sum_samples(nodes, gradient, totals)`: each node's gradient summed over all samples, tile by tile."""
    zero = real(0)

    @jit
    def sum_tile(nodes: Any, lanes: Any, sums: Any) -> None:
        for j in range(len(nodes)):
            row, total = lanes[np.uint64(nodes[j])], zero
            for k in range(len(row)):
                total += row[k]
            sums[j] = total

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

"""Calls from outside of several tiles of samples, by the gather plan: a thread takes a tile from its rows to its results.

What a thread laid out is in its cache when cells want it, and so is what they computed when it is read back. Threads meet once,
where the gradients of a cell are summed over the tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import Activation, CellKind
from dna.cpu.backward import tile_summer
from dna.cpu.compiler import jit, kernel
from dna.cpu.forward import chunk_runner
from dna.cpu.lanes import FEWEST_LANES, row_at
from dna.cpu.memory import finite_checker, tile_loader, tile_storer
from dna.cpu.plan import chunks_of
from dna.cpu.threads import MOVE, is_little
from dna.cpu.visit import chunk_visitor

PARTS = 8
"""A batch is cut into at most so many parts, and gradients of cells are summed part by part: so many threads have work."""

ROOM = 1 << 21
"""Gradients of cells that all parts together may have, beside those of the pool."""

FEW_CELLS = 32
"""Cells a node up to which a batch of one tile is cut into two: each then finds all cells, but has its samples for itself."""

ADD = 8
"""Multiply-adds that take as long as adding the gradient of one part."""


def parts_of(tiles: int) -> int:
    """Return the parts of a batch: its tiles, or where they are many, groups of two and more."""
    return tiles if tiles <= PARTS else PARTS // 2 if tiles < 2 * PARTS else PARTS


def suits(tiles: int, n_cells: int) -> bool:
    """Whether a batch of so many tiles goes tile by tile: two threads have equal work, and all parts have room."""
    return tiles > 1 and (tiles % 2 == 0 or tiles > PARTS) and parts_of(tiles) * n_cells <= ROOM


def halved(tile: int, batch: int, n_nodes: int, n_cells: int) -> int:
    """Return half a tile of so many samples where it is the only one, can be halved, and has little work for its cells."""
    little = is_little((n_cells + MOVE * n_nodes) * batch)
    halves = tile // 2 >= FEWEST_LANES and tile // 2 < batch <= tile and n_cells <= FEW_CELLS * n_nodes and not little
    return tile // 2 if halves else tile


@cache
def answerer(
    kind: CellKind, activation: Activation, real: type, lanes: int, looks: bool, alone: bool, ahead: bool
) -> Callable[..., Any]:
    """Build `answer(data, inputs, rows, stage, cells, potentials, outputs, out) -> finite`, as that of `dna.cpu.laid`."""
    finite, load, store = finite_checker(looks), tile_loader(), tile_storer()
    run_chunk, count = chunk_runner(kind, activation, real, lanes, ahead), jit(chunks_of)
    maths = kind.build(real).current, activation.build(real).value
    choices = lanes, kind.affine, activation.name == "identity", ahead

    @kernel("answer by tiles", finite, *maths, real, *choices, parallel=not alone)
    def answer(
        data: Any, inputs: Any, rows: Any, stage: Any, cells: Any, potentials: Any, outputs: Any, out: Any
    ) -> Any:
        if not finite(data):
            return False
        n = len(stage.nodes)
        chunks = count(n)
        for t in numba.prange(potentials.shape[0]):
            load(potentials, inputs, 0, len(inputs), data, rows, t)
            for chunk in range(chunks):
                run_chunk(chunk * n // chunks, (chunk + 1) * n // chunks, t, cells, stage, potentials)
            store(potentials, outputs, 0, len(outputs), out, rows, t)
        return True

    return answer


@cache
def gradient_returner(
    kind: CellKind, activation: Activation, real: type, lanes: int, looks: bool, alone: bool, ahead: bool, one: bool,
    adds_alone: bool,
) -> Callable[..., Any]:  # fmt: skip
    """Build `back(gy, outputs, rows, stage, by_level, cells, potentials, gradient, sums, inputs, out) -> finite`, likewise.

    `one` says that each part is one tile.
    """
    maths, slope_maths = kind.build(real), activation.build(real).slope
    finite, load, store, slope = finite_checker(looks), tile_loader(), tile_storer(), jit(slope_maths)
    visit_chunk, count = chunk_visitor(kind, real, lanes, True, one=one, ahead=ahead, by_slot=False), jit(chunks_of)
    sum_tile, cut = tile_summer(real), jit(parts_of)
    affine, identity, zero = kind.affine, activation.name == "identity", real(0)

    @jit
    def through(nodes: Any, t: Any, potentials: Any, gradient: Any) -> None:
        for j in range(len(nodes)):
            v, g = row_at(potentials, t, nodes[j], lanes), row_at(gradient, t, nodes[j], lanes)
            for k in range(lanes):
                g[k] *= slope(v[k])

    @jit
    def add_parts(first: Any, end: Any, parts: Any, stage: Any, columns: Any, by_cell: Any, totals: Any) -> None:
        (weight_grad, bias_grad), n = columns, np.uint64(stage.n_cells)
        for k in range(by_cell.shape[0]):
            for p in range(1, parts):
                at = np.uint64(p) * n
                for c in range(np.uint64(first), np.uint64(end)):
                    by_cell[k, c] += by_cell[k, at + c]
        for c in range(np.uint64(first), np.uint64(end)):
            s = np.uint64(stage.slot[c])
            weight_grad[s] = by_cell[0, c]
            bias_grad[s] = -totals[np.uint64(stage.other[c])] if affine else by_cell[1, c]

    choices = lanes, affine, identity, ahead, one, adds_alone

    @kernel("back by tiles", finite, *maths, slope_maths, real, *choices, parallel=not alone)
    def back(
        gy: Any, outputs: Any, rows: Any, stage: Any, by_level: Any, cells: Any, potentials: Any, gradient: Any, sums: Any,
        inputs: Any, out: Any,
    ) -> Any:  # fmt: skip
        if not finite(gy):
            return False
        n, n_cells, tiles = len(stage.nodes), stage.n_cells, potentials.shape[0]
        parts = cut(tiles)
        chunks = count(n)
        by_cell, totals = sums.by_cell, sums.totals
        of_tile = np.empty((tiles, len(outputs)), real)
        columns = cells.weight_grad, cells.bias_grad  # not reached through a named tuple within `prange`
        for part in numba.prange(parts):
            begin, end = part * tiles // parts, (part + 1) * tiles // parts
            grads = by_cell[0, part * n_cells :], by_cell[len(by_cell) - 1, part * n_cells :]
            for t in range(begin, end):
                load(gradient, outputs, 0, len(outputs), gy, rows, t)
                if not identity:
                    through(outputs, t, potentials, gradient)
                if affine:
                    sum_tile(outputs, gradient[t], of_tile[t])
            for chunk in range(chunks):
                low, high = chunk * n // chunks, (chunk + 1) * n // chunks
                visit_chunk(low, high, (begin, end), cells, grads, stage, potentials, gradient, totals)
            for t in range(begin, end):
                store(gradient, inputs, 0, len(inputs), out, rows, t)
        if affine:
            for j in range(len(outputs)):
                total = zero
                for t in range(tiles):
                    total += of_tile[t, j]
                totals[outputs[j]] = total
        if adds_alone:
            add_parts(0, n_cells, parts, stage, columns, by_cell, totals)
        else:
            for q in numba.prange(PARTS):
                add_parts(q * n_cells // PARTS, (q + 1) * n_cells // PARTS, parts, stage, columns, by_cell, totals)
        return True

    return back

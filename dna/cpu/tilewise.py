"""Calls from outside of several tiles of samples, by the gather plan: a thread takes a tile from its rows to its results.

What a thread laid out is in its cache when cells want it, and so is what they computed when it is read back. Threads start once
a call and claim tiles (`dna.cpu.turns`). They meet when all numbers have been looked at, as nothing is written before, and where
the gradients of a cell are summed over the tiles.
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
from dna.cpu.memory import row_is_finite, tile_loader, tile_storer
from dna.cpu.plan import chunks_of
from dna.cpu.room import borrowed
from dna.cpu.threads import LITTLE, MOVE, is_little
from dna.cpu.turns import READY, begin_phase, end_job, new_turns, object_to, take, wait_for
from dna.cpu.visit import chunk_visitor

PARTS = 8
"""A batch is cut into at most so many parts, and gradients of cells are summed part by part: so many threads have work."""

ROOM = 1 << 21
"""Gradients of cells that all parts together may have, beside those of the pool."""

FEW_CELLS, FEW_OF_ANY = 32, 24
"""Affine cells a node, and any others, up to which a batch of one tile is cut into two: each then finds all cells, but has its
samples for itself."""

PLAYERS = 64
"""Threads that may take tiles forward; each asks for every tile."""

COLUMNS = 2
"""Gradients of a cell: that of its weight, and that of its bias. A thread sums one of them."""

ADDITION = 8
"""Multiply-adds that take as long as adding the gradient of one part."""

LOOK, RUN, ADD = range(3)
"""The phases of a call; forward adds nothing."""


def parts_of(tiles: int) -> int:
    """Return the parts of a batch: its tiles, or where they are many, groups of two and more."""
    return tiles if tiles <= PARTS else PARTS // 2 if tiles < 2 * PARTS else PARTS


def ranges_of(gradients: int) -> int:
    """Return the ranges of cells in which so many gradients of parts are summed, side by side.

    One where they are few: those of cells that share a cache line lie apart in the order of the plan, and what two cores write
    to in turn is slow.
    """
    return 1 if ADDITION * gradients <= LITTLE else PARTS


def suits(tiles: int, n_cells: int) -> bool:
    """Whether a batch of so many tiles goes tile by tile: two threads have equal work, and all parts have room."""
    return tiles > 1 and (tiles % 2 == 0 or tiles > PARTS) and parts_of(tiles) * n_cells <= ROOM


def works_alone(batch: int, n_nodes: int, n_cells: int) -> bool:
    """Whether one thread takes all tiles."""
    return is_little((n_cells + MOVE * n_nodes) * batch)


def halved(tile: int, batch: int, n_nodes: int, n_cells: int, affine: bool) -> int:
    """Return half a tile of so many samples where it is the only one, can be halved, and has little work for its cells."""
    alone, fits = works_alone(batch, n_nodes, n_cells), tile // 2 >= FEWEST_LANES and tile // 2 < batch <= tile
    few = n_cells <= (FEW_CELLS if affine else FEW_OF_ANY) * n_nodes
    return tile // 2 if fits and few and not alone else tile


@cache
def answerer(kind: CellKind, activation: Activation, real: type, lanes: int, alone: bool, ahead: bool) -> Callable[..., Any]:
    """Build `answer(data, inputs, rows, stage, cells, potentials, outputs, out) -> finite`, as that of `dna.cpu.laid`."""
    load, store, look = tile_loader(seen=True), tile_storer(), looker()
    run_chunk, count = chunk_runner(kind, activation, real, lanes, ahead), jit(chunks_of)
    maths = kind.build(real).current, activation.build(real).value
    choices = lanes, kind.affine, activation.name == "identity", ahead

    @jit
    def run_tile(
        t: Any, data: Any, inputs: Any, rows: Any, stage: Any, cells: Any, potentials: Any, outputs: Any, out: Any
    ) -> None:
        n = len(stage.nodes)
        chunks = count(n)
        load(potentials, inputs, 0, len(inputs), data, rows, t)
        for chunk in range(chunks):
            run_chunk(chunk * n // chunks, (chunk + 1) * n // chunks, t, cells, stage, potentials)
        store(potentials, outputs, 0, len(outputs), out, rows, t)

    @kernel("answer by tiles", *maths, real, *choices, parallel=not alone)
    def answer(data: Any, inputs: Any, rows: Any, stage: Any, cells: Any, potentials: Any, outputs: Any, out: Any) -> Any:
        tiles = potentials.shape[0]
        players, turns = min(tiles, PLAYERS), new_turns(tiles)
        for player in numba.prange(players):
            first = player * tiles // players  # where a thread begins in each phase, to find in its cache what it had before
            look(first, data, tiles, tiles, lanes, turns)
            if wait_for(turns, RUN):
                for k in range(tiles):
                    t = (first + k) % tiles
                    if take(turns, t, RUN):
                        run_tile(t, data, inputs, rows, stage, cells, potentials, outputs, out)
        return turns[READY] == RUN

    return answer


@cache
def gradient_returner(
    kind: CellKind,
    activation: Activation,
    real: type,
    lanes: int,
    alone: bool,
    ahead: bool,
    rows_ahead: bool,
    one: bool,
) -> Callable[..., Any]:
    """Build `back(gy, outputs, rows, stage, cells, potentials, gradient, sums, inputs, out) -> finite`, likewise.

    `one` says that each part is one tile.
    """
    maths, slope_maths = kind.build(real), activation.build(real).slope
    load, store, look, slope = tile_loader(seen=True), tile_storer(), looker(), jit(slope_maths)
    asks = {"ahead": ahead, "rows_ahead": rows_ahead}
    visit_chunk, count = chunk_visitor(kind, real, lanes, True, one=one, by_slot=False, **asks), jit(chunks_of)
    sum_tile, cut, ranges = tile_summer(real), jit(parts_of), jit(ranges_of)
    affine, identity, zero = kind.affine, activation.name == "identity", real(0)

    @jit
    def through(nodes: Any, t: Any, potentials: Any, gradient: Any) -> None:
        for j in range(len(nodes)):
            v, g = row_at(potentials, t, nodes[j], lanes), row_at(gradient, t, nodes[j], lanes)
            for k in range(lanes):
                g[k] *= slope(v[k])

    @jit
    def add_parts(first: Any, end: Any, parts: Any, stage: Any, column: Any, by_cell: Any) -> None:
        for p in range(1, parts):
            at = np.uint64(p) * np.uint64(stage.n_cells)
            for c in range(np.uint64(first), np.uint64(end)):
                by_cell[c] += by_cell[at + c]
        for c in range(np.uint64(first), np.uint64(end)):
            column[np.uint64(stage.slot[c])] = by_cell[c]

    @jit
    def spread_totals(first: Any, end: Any, stage: Any, column: Any, totals: Any) -> None:
        for c in range(np.uint64(first), np.uint64(end)):
            column[np.uint64(stage.slot[c])] = -totals[np.uint64(stage.other[c])]

    @jit
    def add_job(job: Any, jobs: Any, parts: Any, stage: Any, columns: Any, by_cell: Any, totals: Any) -> None:
        ranges, q = jobs // COLUMNS, job // COLUMNS
        first, end = q * stage.n_cells // ranges, (q + 1) * stage.n_cells // ranges
        if job % COLUMNS == 0:
            add_parts(first, end, parts, stage, columns[0], by_cell[0])
        elif affine:
            spread_totals(first, end, stage, columns[1], totals)
        else:
            add_parts(first, end, parts, stage, columns[1], by_cell[1])

    @jit
    def run_part(
        part: Any, parts: Any, gy: Any, outputs: Any, rows: Any, stage: Any, cells: Any, potentials: Any, gradient: Any,
        by_cell: Any, totals: Any, of_tile: Any, inputs: Any, out: Any,
    ) -> None:  # fmt: skip
        n, n_cells, tiles = len(stage.nodes), stage.n_cells, potentials.shape[0]
        begin, end, chunks = part * tiles // parts, (part + 1) * tiles // parts, count(n)
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

    @jit
    def add_tiles(outputs: Any, of_tile: Any, totals: Any) -> None:
        for j in range(len(outputs)):
            total = zero
            for t in range(len(of_tile)):
                total += of_tile[t, j]
            totals[outputs[j]] = total

    choices = lanes, affine, identity, ahead, rows_ahead, one

    @kernel("back by tiles", *maths, slope_maths, real, *choices, parallel=not alone)
    def back(
        gy: Any, outputs: Any, rows: Any, stage: Any, cells: Any, potentials: Any, gradient: Any, sums: Any, inputs: Any, out: Any
    ) -> Any:  # fmt: skip
        tiles = potentials.shape[0]
        parts = cut(tiles)
        jobs = COLUMNS * ranges(parts * stage.n_cells)
        of_tile, turns = np.empty((tiles, len(outputs)), real), new_turns(parts + jobs)
        by_cell, totals = sums.by_cell, sums.totals
        columns = cells.weight_grad, cells.bias_grad  # not reached through a named tuple within `prange`
        for player in numba.prange(parts):
            look(player, gy, parts, tiles, lanes, turns)
            if wait_for(turns, RUN):
                for k in range(parts):
                    part = (player + k) % parts
                    if take(turns, part, RUN):
                        ends = potentials, gradient, by_cell, totals, of_tile
                        run_part(part, parts, gy, outputs, rows, stage, cells, *ends, inputs, out)
                        if end_job(turns, 2 * parts):
                            if affine:
                                add_tiles(outputs, of_tile, totals)
                            begin_phase(turns, ADD)
            if wait_for(turns, ADD):
                for k in range(jobs):
                    job = (player * jobs // parts + k) % jobs
                    if take(turns, parts + job, LOOK):  # a job of its own, at its first phase
                        add_job(job, jobs, parts, stage, columns, by_cell, totals)
        return turns[READY] == ADD

    return back


@cache
def looker() -> Callable[..., Any]:
    """Build `look(first, data, parts, tiles, lanes, turns)`, for kernels: the first phase, which begins with the part `first`."""

    @jit
    def look(first: Any, data: Any, parts: Any, tiles: Any, lanes: Any, turns: Any) -> None:
        for k in range(parts):
            part = (first + k) % parts
            if take(turns, part, LOOK):
                bad = False
                begin, end = part * tiles // parts * lanes, (part + 1) * tiles // parts * lanes
                for s in range(begin, min(end, len(data))):
                    bad |= not row_is_finite(borrowed(data, s))
                if bad:
                    object_to(turns)
                if end_job(turns, parts):
                    begin_phase(turns, RUN)

    return look

"""Visits: the cells that leave a chunk of nodes, for one tile of samples after the other; how the gather plan goes backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dna.cells import CellKind
from dna.cells.kind import CellMaths
from dna.cells.pull import puller
from dna.cpu.compiler import jit, pasted
from dna.cpu.lanes import add_scaled, copy_row, dot, fill, new_row, row_at, sum_both
from dna.cpu.prefetch import CELLS_AHEAD, ROWS_AHEAD, prefetch_row, prefetch_slot

WEIGHT, BIAS, BY_WEIGHT, BY_BIAS = range(4)
"""Rows of what is held of a block's cells while the tiles of a batch pass: pool columns are far apart in the order of a visit."""


def chunk_visitor(
    kind: CellKind, real: type, lanes: int, pass_on: bool, *, one: bool, ahead: bool, rows_ahead: bool, by_slot: bool = True
) -> Callable[..., Any]:
    """Build `visit(low, high, (begin, end), cells, grads, stage, potentials, gradient, totals)`, to be pasted.

    It visits the nodes `low` to `high` of a level and all cells that leave them, for the tiles `begin` to `end`, of which there
    is only `one` or more than that. The gradient that gathers at a node stays in registers while the cells of one block stream
    the gradients of their targets. `grads` are the gradients of weights and of biases: columns of the pool, or, unless
    `by_slot`, two arrays in the order of the plan of a network of one level; then those of the biases of affine cells are left
    out, as `totals` tell them.
    """
    maths = kind.build(real)
    pull_row = row_puller(maths, lanes, pass_on)
    most_in_block = jit(most_cells_in_block)
    affine = kind.affine
    uses_weight = pass_on or not affine
    zero = real(0)

    @pasted
    def ask_for_cell(c: Any, cells: Any, stage: Any) -> None:
        if ahead:
            soon = stage.slot[min(c + np.uint64(CELLS_AHEAD), np.uint64(len(stage.slot) - 1))]
            if uses_weight:
                prefetch_slot(cells.weight, soon)
            if not affine:
                prefetch_slot(cells.bias, soon)

    @pasted
    def ask_for_row(c: Any, t: Any, stage: Any, gradient: Any) -> None:
        if rows_ahead:
            soon = stage.other[min(c + np.uint64(ROWS_AHEAD), np.uint64(len(stage.other) - 1))]
            prefetch_row(row_at(gradient, t, soon, lanes), lanes)

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
            low: Any, high: Any, t: Any, own: Any, cells: Any, grads: Any, stage: Any, gradient: Any, totals: Any,
            before: Any, held: Any,
        ) -> None:  # fmt: skip
            (weight_grad, bias_grad), (v, dv, by_w, by_b) = grads, own
            for c in range(np.uint64(low), np.uint64(high)):
                s, q, target = np.uint64(stage.slot[c]), c - np.uint64(before), np.uint64(stage.other[c])
                g = row_at(gradient, t, target, lanes)
                ask_for_row(c, t, stage, gradient)
                if begins:
                    ask_for_cell(c, cells, stage)
                    w, b = cells.weight[s], cells.bias[s]
                else:
                    w, b = recall(held, q)
                db = zero
                if affine:
                    dw = dot(g, v, lanes)
                    if pass_on:
                        add_scaled(dv, 0, w, g, lanes)
                else:
                    dw, db = pull_row(w, b, g, v, dv, by_w, by_b)
                if not begins:
                    dw += held[BY_WEIGHT, q]
                    if not affine:
                        db += held[BY_BIAS, q]
                if ends and by_slot:
                    weight_grad[s], bias_grad[s] = dw, -totals[target] if affine else db
                elif ends:
                    weight_grad[c] = dw
                    if not affine:
                        bias_grad[c] = db
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
            low: Any, high: Any, t: Any, block: Any, own: Any, cells: Any, grads: Any, stage: Any, potentials: Any,
            gradient: Any, totals: Any, held: Any,
        ) -> None:  # fmt: skip
            v, dv, _, _ = own
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
                visit_cells(first, end, t, own, cells, grads, stage, gradient, totals, before, held)
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
        own = new_row(potentials, lanes), new_row(potentials, lanes), new_row(potentials, lanes), new_row(potentials, lanes)
        held = gradient[0] if one else np.empty((4, most_in_block(stage, low, high)), real)  # one tile holds nothing
        for block in range(stage.tiles):
            if one:
                sweep_only(low, high, begin, block, own, cells, grads, stage, potentials, gradient, totals, held)
            else:
                sweep_first(low, high, begin, block, own, cells, grads, stage, potentials, gradient, totals, held)
                for t in range(begin + 1, end - 1):
                    sweep_next(low, high, t, block, own, cells, grads, stage, potentials, gradient, totals, held)
                sweep_last(low, high, end - 1, block, own, cells, grads, stage, potentials, gradient, totals, held)

    return visit_chunk


def row_puller(maths: CellMaths, lanes: int, pass_on: bool) -> Callable[..., Any]:
    """Build `pull_row(w, b, g, v, dv, by_w, by_b) -> (dL/dw, dL/db)` of a cell, to be pasted; dL/dV is added to `dv`.

    A cell with a gate costs little beside its two sums, which are reduced together; `by_w` and `by_b` are rows for that, and
    leave no registers to any other kind.
    """
    current, pull, gated = jit(maths.current), puller(maths, jit), maths.gate is not None

    @pasted
    def pull_row(w: Any, b: Any, g: Any, v: Any, dv: Any, by_w: Any, by_b: Any) -> Any:
        dw, db = dv.dtype.type(0), dv.dtype.type(0)
        for k in range(lanes):
            to_w, to_v, to_b = pull(w, v[k], b, current(w, v[k], b), g[k])
            if gated:
                by_w[k], by_b[k] = to_w, to_b
            else:
                dw += to_w
                db += to_b
            if pass_on:
                dv[k] += to_v
        return sum_both(by_w, by_b, lanes) if gated else (dw, db)

    return pull_row


def most_cells_in_block(stage: Any, low: Any, high: Any) -> Any:
    """Return the cells of the largest block of a chunk of nodes."""
    most, n = 0, high - low
    for block in range(stage.tiles):
        starts = low * stage.tiles + block * n
        most = max(most, stage.start[starts + n] - stage.start[starts])
    return most

"""Short rows on the CPU: one sample, or a few of affine cells. A cell costs what it takes to read it.

Potentials are (1, n_nodes, lanes), with 1, 2, 4 or 8 lanes, which SIMD runs over, and 1 for cells that are not affine. Those of
one sample lie next to each other and stay in the nearest cache, so cells need no order by the nodes that they read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import Activation, CellKind
from dna.cells.pull import puller
from dna.cpu.compiler import jit, kernel, pasted
from dna.cpu.lanes import add_scaled, copy_row, dot, fill, fold, new_row, row_at

SUMS = 4
"""Sums of a node at a time, as an addition would wait for the one before."""

PARTS = 16
"""Parts of a level's nodes that are summed side by side."""


@cache
def level_forward(kind: CellKind, activation: Activation, real: type, lanes: int, alone: bool) -> Callable[..., Any]:
    """Build `forward(data, inputs, nodes, outputs, start, other, weight, bias, offset, potentials, out) -> finite`, for a level.

    Cells are packed (see `dna.cpu.packed`). Unless `data` are empty they are looked at and laid out as potentials of the inputs
    first; where they are not finite nothing is written. Unless `out` is empty, the potentials of the outputs are its rows.
    An affine cell costs one multiply-add and 8 bytes that are read once, any other 12; a node's sum belongs to one thread.
    """
    current_maths, value_maths = kind.build(real).current, activation.build(real).value
    current, affine = jit(current_maths), kind.affine
    value, identity = jit(value_maths), activation.name == "identity"
    zero, all_lanes = real(0), SUMS * lanes

    @pasted
    def sum_one(j: Any, start: Any, other: Any, weight: Any, bias: Any, offset: Any, potentials: Any) -> None:
        total = -offset[j] if affine else zero
        for c in range(np.uint64(start[j]), np.uint64(start[j + np.uint64(1)])):
            v = row_at(potentials, 0, other[c], 1)[0]
            total += weight[c] * v if affine else current(weight[c], v, bias[c])
        potentials[0, j, 0] = total

    @pasted
    def sum_row(j: Any, start: Any, other: Any, weight: Any, offset: Any, potentials: Any, sums: Any) -> None:
        fill(sums, 0, zero, lanes)
        fill(sums, 1, zero, lanes)
        fill(sums, 2, zero, lanes)
        fill(sums, 3, zero, lanes)
        c, end = np.uint64(start[j]), np.uint64(start[j + np.uint64(1)])
        while c + np.uint64(SUMS) <= end:
            add_scaled(sums, 0, weight[c], row_at(potentials, 0, other[c], lanes), lanes)
            add_scaled(sums, 1, weight[c + np.uint64(1)], row_at(potentials, 0, other[c + np.uint64(1)], lanes), lanes)
            add_scaled(sums, 2, weight[c + np.uint64(2)], row_at(potentials, 0, other[c + np.uint64(2)], lanes), lanes)
            add_scaled(sums, 3, weight[c + np.uint64(3)], row_at(potentials, 0, other[c + np.uint64(3)], lanes), lanes)
            c += np.uint64(SUMS)
        while c < end:
            add_scaled(sums, 0, weight[c], row_at(potentials, 0, other[c], lanes), lanes)
            c += np.uint64(1)
        fold(row_at(potentials, 0, j, lanes), sums, SUMS, offset[j], lanes)

    @pasted
    def sum_part(
        low: Any, high: Any, nodes: Any, start: Any, other: Any, weight: Any, bias: Any, offset: Any, potentials: Any
    ) -> None:
        sums = new_row(potentials, all_lanes)
        for i in range(np.uint64(low), np.uint64(high)):
            j = np.uint64(nodes[i])
            if lanes == 1:
                sum_one(j, start, other, weight, bias, offset, potentials)
            else:
                sum_row(j, start, other, weight, offset, potentials, sums)
            if not identity:
                for k in range(lanes):
                    potentials[0, j, k] = value(potentials[0, j, k])

    @kernel(current_maths, value_maths, real, lanes, affine, identity, parallel=not alone)
    def forward(
        data: Any, inputs: Any, nodes: Any, outputs: Any, start: Any, other: Any, weight: Any, bias: Any, offset: Any,
        potentials: Any, out: Any,
    ) -> Any:  # fmt: skip
        if not _lay_out(data, inputs, potentials):
            return False
        n, parts = len(nodes), min(PARTS, len(nodes))
        for part in numba.prange(parts):
            sum_part(part * n // parts, (part + 1) * n // parts, nodes, start, other, weight, bias, offset, potentials)
        _read_back(potentials, outputs, out)
        return True

    return forward


@cache
def output_gradient(activation: Activation, real: type) -> Callable[..., Any]:
    """Build `lay_out(gy, outputs, potentials, gradient, totals) -> finite`: dL/d(sum of currents) of the outputs.

    `totals` are the gradients of nodes, summed over samples.
    """
    slope_maths = activation.build(real).slope
    through = _through(slope_maths, activation.name == "identity", real)

    @kernel("output gradient", slope_maths, real)
    def lay_out(gy: Any, outputs: Any, potentials: Any, gradient: Any, totals: Any) -> Any:
        if not _lay_out(gy, outputs, gradient):
            return False
        through(outputs, potentials, gradient, totals)
        return True

    return lay_out


@cache
def level_backward(
    kind: CellKind, activation: Activation, real: type, lanes: int, only: bool, regular: bool, alone: bool
) -> Callable[..., Any]:
    """Build `backward(members, level, levels, start, cells, bump, weight_grad, bias_grad, potentials, gradient, ...)`.

    It runs over the pool in the order of slots, and takes the cells that leave a level, the `members`, which are all cells if it
    is the `only` one below the outputs. An affine cell costs 28 bytes, each read or written once, and 16 in a `regular` pool,
    where the cells into a node follow one another from its `start` on and share its gradient; any other cell 4 bytes more. The
    members' gradients are summed in `room`, (parts, n_nodes, lanes), each part of the pool by itself, and parts are added in
    order. Unless `out` is empty they are its rows.
    """
    maths, slope_maths = kind.build(real), activation.build(real).slope
    current, pull, affine = jit(maths.current), puller(maths, jit), kind.affine
    through = _through(slope_maths, activation.name == "identity", real)
    zero = real(0)

    @pasted
    def visit(
        s: Any, i: Any, row: Any, less: Any, cells: Any, weight_grad: Any, bias_grad: Any, potentials: Any, own: Any
    ) -> None:
        if not affine:
            w, b, v, into = cells.weight[s], cells.bias[s], row_at(potentials, 0, i, 1)[0], row_at(own, 0, i, 1)
            by_w, by_v, by_b = pull(w, v, b, current(w, v, b), row[0])
            weight_grad[s], bias_grad[s] = by_w, by_b
            into[0] += by_v
        elif lanes == 1:
            g, into = row[0], row_at(own, 0, i, 1)
            weight_grad[s], bias_grad[s] = g * row_at(potentials, 0, i, 1)[0], -g
            into[0] += g * cells.weight[s]
        else:
            weight_grad[s], bias_grad[s] = dot(row, row_at(potentials, 0, i, lanes), lanes), less
            add_scaled(row_at(own, 0, i, lanes), 0, cells.weight[s], row, lanes)

    @pasted
    def visit_slots(
        first: Any, end: Any, level: Any, levels: Any, start: Any, cells: Any, weight_grad: Any, bias_grad: Any,
        potentials: Any, gradient: Any, totals: Any, own: Any,
    ) -> None:  # fmt: skip
        for s in range(np.uint64(first), np.uint64(end)):
            i, j = np.uint64(cells.source[s]), np.uint64(cells.target[s])
            if cells.id[s] >= 0 and (only or levels[i] == level):
                visit(s, i, row_at(gradient, 0, j, lanes), -totals[j], cells, weight_grad, bias_grad, potentials, own)

    @pasted
    def visit_targets(
        first: Any, end: Any, level: Any, levels: Any, start: Any, cells: Any, weight_grad: Any, bias_grad: Any,
        potentials: Any, gradient: Any, totals: Any, own: Any,
    ) -> None:  # fmt: skip
        row = new_row(gradient, lanes)
        for j in range(np.searchsorted(start, first, "right") - 1, np.searchsorted(start, end)):
            copy_row(row, row_at(gradient, 0, j, lanes), lanes)
            less = -totals[j]
            for s in range(np.uint64(max(first, start[j])), np.uint64(min(end, start[j + 1]))):
                i = np.uint64(cells.source[s])
                if only or levels[i] == level:
                    visit(s, i, row, less, cells, weight_grad, bias_grad, potentials, own)

    visit_part = visit_targets if regular else visit_slots

    @kernel("slots backward", *maths, affine, slope_maths, real, lanes, only, regular, parallel=not alone)
    def backward(
        members: Any, level: Any, levels: Any, start: Any, cells: Any, bump: Any, weight_grad: Any, bias_grad: Any,
        potentials: Any, gradient: Any, totals: Any, room: Any, out: Any,
    ) -> None:  # fmt: skip
        parts = len(room)
        for part in numba.prange(parts):
            first, end, own = part * bump // parts, (part + 1) * bump // parts, room[part : part + 1]
            for j in members:
                for k in range(lanes):
                    own[0, j, k] = zero
            visit_part(first, end, level, levels, start, cells, weight_grad, bias_grad, potentials, gradient, totals, own)
        for j in members:
            for k in range(lanes):
                total = room[0, j, k]
                for part in range(1, parts):
                    total += room[part, j, k]
                gradient[0, j, k] = total
        through(members, potentials, gradient, totals)
        _read_back(gradient, members, out)

    return backward


@jit
def _lay_out(data: Any, nodes: Any, rows: Any) -> Any:
    """Write samples to short rows, and zeros past their end; return False, with nothing written, where they are not finite."""
    wrong = 0
    for sample in data:
        for i in range(len(sample)):
            wrong |= sample[i] - sample[i] != 0
    if wrong != 0:
        return False
    for k in range(rows.shape[2] if len(data) > 0 else 0):
        for i in range(np.uint64(len(nodes))):
            rows[0, np.uint64(nodes[i]), k] = data[k, i] if k < len(data) else 0
    return True


@jit
def _read_back(rows: Any, nodes: Any, out: Any) -> None:
    for k in range(len(out)):
        for i in range(np.uint64(len(nodes))):
            out[k, i] = rows[0, np.uint64(nodes[i]), k]


def _through(slope_maths: Any, identity: bool, real: type) -> Any:
    slope, zero = jit(slope_maths), real(0)

    @jit
    def through(nodes: Any, potentials: Any, gradient: Any, totals: Any) -> None:
        """dL/dV becomes dL/d(sum of currents), in place, and is summed over samples."""
        for j in nodes:
            total = zero
            for k in range(gradient.shape[2]):
                if not identity:
                    gradient[0, j, k] *= slope(potentials[0, j, k])
                total += gradient[0, j, k]
            totals[j] = total

    return through

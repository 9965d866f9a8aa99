"""Cells as a matrix on the CPU: where each stands in it, its sums over parallel cells, and the way back of its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.backend import Inputs
from dna.cpu.compiler import jit, kernel
from dna.cpu.memory import aligned_zeros
from dna.cpu.room import Room
from dna.cpu.threads import LOOK, MOVE, is_little
from dna.types import Array, Cells, Nodes

SUMS = 4
"""Sums of an output's biases at a time, as an addition would wait for the one before."""


class Matrix:
    """The affine cells between inputs and outputs as one matrix, (n_out, n_in), and room for its gradient.

    Parallel cells are summed in it, since to their nodes they are one cell; each gets the gradient of the sum. Where the pool's
    slots lie like the matrix already, its columns are the matrix.

    Attributes
    ----------
    place, row : (bump,) int32
        Where each slot's cell stands in the flat matrix, and in which row; -1 for free slots.
    regular : bool
        Whether every place is its slot.
    weight, by_weight : (n_out, n_in) real
        Sums over parallel cells, and their gradient; views of the pool's columns where it is regular.
    offset, totals : (n_out,) real
        Sums of the biases of an output, and of its gradient over samples.
    parts : (n_parts - 1, n_out, n_in) real, or None
        Room for the gradients of parts of a batch.
    kept : list of Inputs
        The batch of the last call from outside, and room for the next one.
    room : (n_parts, batch, n_in) real
        Room for gradients of the inputs, of parts of the outputs.
    run, run_back : kernels
        For batches of that size.
    steps_room, steps_room_for : Room, int
        Scratch memory of whole steps, and for which batches.
    """

    def __init__(self, cells: Cells, bump: int, nodes: Nodes) -> None:
        n_in, n_out, dtype = len(nodes.inputs), len(nodes.outputs), cells.weight.dtype
        column = np.zeros(len(nodes.level), np.int32)
        column[nodes.inputs], column[nodes.outputs] = np.arange(n_in), np.arange(n_out)
        self.place, self.row = np.empty(bump, np.int32), np.empty(bump, np.int32)
        in_place = placer()(cells.source, cells.target, cells.id, column, n_in, self.place, self.row)
        self.regular = bool(in_place) and bump == n_in * n_out
        self.offset, self.totals = np.empty(n_out, dtype), np.empty(n_out, dtype)
        if not self.regular:
            self.weight, self.by_weight = aligned_zeros((n_out, n_in), dtype), aligned_zeros((n_out, n_in), dtype)
        self.parts: Array | None = None
        nothing = np.empty((0, n_in), dtype)
        self.kept, self.room = [Inputs(nothing, np.arange(0))], nothing[np.newaxis]
        self.run: Callable[..., Any]
        self.run_back: Callable[..., Any]
        self.steps_room: Room | None = None
        self.steps_room_for = 0
        self._cells: Cells | None = None
        self._seen: Cells | None = None
        self._moment = -1

    def look_at(self, cells: Cells) -> None:
        """Let these columns be the matrix and its gradient, where they lie like it."""
        if self.regular and self._seen is not cells:
            bump, shape = len(self.place), (len(self.offset), -1)
            self.weight, self.by_weight = cells.weight[:bump].reshape(shape), cells.weight_grad[:bump].reshape(shape)
            self._seen = cells

    def sum_up(self, cells: Cells, moment: int) -> None:
        """Sum the cells as they are; they are what they were while `moment` stays."""
        if self._cells is cells and self._moment == moment:
            return
        self.look_at(cells)
        if self.regular:
            bump = len(self.place)
            row_summer(is_little(LOOK * bump))(cells.bias[:bump], self.offset)
        else:
            cell_summer()(cells.weight, cells.bias, self.place, self.row, self.weight, self.offset)
        self._cells, self._moment = cells, moment

    def spread(self, cells: Cells) -> None:
        """Give every cell its gradients, from those of the matrix."""
        bump = len(self.place)
        if self.regular:
            row_spreader(is_little(LOOK * bump))(self.totals, cells.bias_grad[:bump])
        else:
            spread = spreader(is_little(MOVE * bump))
            spread(self.by_weight, self.totals, self.place, self.row, cells.weight_grad, cells.bias_grad)


@cache
def placer() -> Callable[..., Any]:
    """Build `place(source, target, ids, column, n_in, places, rows) -> regular`: whether every slot is at its own place."""

    @kernel("place")
    def place(source: Any, target: Any, ids: Any, column: Any, n_in: Any, places: Any, rows: Any) -> Any:
        regular = True
        for s in range(len(places)):
            places[s], rows[s] = -1, -1
            if ids[s] >= 0:
                rows[s] = column[target[s]]
                places[s] = rows[s] * n_in + column[source[s]]
            regular &= places[s] == s
        return regular

    return place


@cache
def row_summer(alone: bool) -> Callable[..., Any]:
    """Build `sum_rows(bias, offset)`: the biases of a regular pool by output."""

    @kernel("sum rows", parallel=not alone)
    def sum_rows(bias: Any, offset: Any) -> None:
        n = len(offset)
        width = len(bias) // n
        for j in numba.prange(n):
            own = bias[j * width : (j + 1) * width]
            total = own[0]
            for i in range(1, width):
                total += own[i]
            offset[j] = total

    return sum_rows


@cache
def cell_summer() -> Callable[..., Any]:
    """Build `sum_cells(weight, bias, place, row, matrix, offset)`, in the order of slots."""

    @kernel("sum cells")
    def sum_cells(weight: Any, bias: Any, place: Any, row: Any, matrix: Any, offset: Any) -> None:
        sum_into(weight, bias, place, row, matrix, offset)

    return sum_cells


@jit
def sum_into(weight: Any, bias: Any, place: Any, row: Any, matrix: Any, offset: Any) -> None:
    """Sum cells to the matrix, and their biases by output: `SUMS` apart, as cells of one output often follow one another."""
    flat, sums = matrix.reshape(matrix.size), np.zeros((SUMS, len(offset)), offset.dtype)
    flat[:] = 0
    for s in range(np.uint64(len(place))):
        if place[s] >= 0:
            flat[np.uint64(place[s])] += weight[s]
            sums[s % np.uint64(SUMS), np.uint64(row[s])] += bias[s]
    for j in range(len(offset)):
        offset[j] = (sums[0, j] + sums[1, j]) + (sums[2, j] + sums[3, j])


@cache
def spreader(alone: bool) -> Callable[..., Any]:
    """Build `spread(by_weight, totals, place, row, weight_grad, bias_grad)`: each cell's gradient from that of the matrix."""

    @kernel("spread", parallel=not alone)
    def spread(by_weight: Any, totals: Any, place: Any, row: Any, weight_grad: Any, bias_grad: Any) -> None:
        flat = by_weight.reshape(by_weight.size)
        for s in numba.prange(len(place)):
            give_gradient(np.uint64(s), flat, totals, place, row, weight_grad, bias_grad)

    return spread


@jit
def give_gradient(s: Any, flat: Any, totals: Any, place: Any, row: Any, weight_grad: Any, bias_grad: Any) -> None:
    """Give the cell of a slot its gradient from that of the flat matrix; a free slot has none."""
    if place[s] >= 0:
        weight_grad[s] = flat[np.uint64(place[s])]
        bias_grad[s] = -totals[np.uint64(row[s])]


@cache
def row_spreader(alone: bool) -> Callable[..., Any]:
    """Build `spread(totals, bias_grad)`: the gradients of the biases of a regular pool."""

    @kernel("spread rows", parallel=not alone)
    def spread(totals: Any, bias_grad: Any) -> None:
        width = len(bias_grad) // len(totals)
        for j in numba.prange(len(totals)):
            own = bias_grad[j * width : (j + 1) * width]
            for i in range(width):
                own[i] = -totals[j]

    return spread

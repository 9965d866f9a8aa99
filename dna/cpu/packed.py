"""Cells packed on the CPU: weights and other ends by target, one after another, for passes that read each once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cpu.compiler import kernel, pasted
from dna.cpu.memory import aligned_zeros
from dna.cpu.threads import MOVE, is_little
from dna.types import NODE, OFFSET, SLOT, Cells

PARTS = 16
"""Parts of the nodes whose cells are packed side by side."""


class Packed:
    """The living cells by (target, slot): what a sum over a node's cells reads lies together.

    Where many samples go through a cell it does not matter where its weight lies; where one does, that is what its time goes
    into. The cells are packed anew when they have changed, which takes as long as one pass over cells by their slots. Where the
    slots lie like that already, the pool's columns are read, and nothing is packed.

    Attributes
    ----------
    bump : int
        Slots in use when they were packed.
    regular : bool
        Whether the slots lie like that already, as in a new network.
    start : (n_nodes + 1,) int64
        Where the cells of each target begin.
    slot, other : (n_cells,) int32
        Slots of the cells, and their sources.
    weight, bias : (n_cells,) real
        Of affine cells, whose biases are summed by target, no biases are packed.
    offset : (n_nodes,) real
        The sum of the biases of a target, for affine cells.
    """

    def __init__(self, cells: Cells, bump: int, n_cells: int, n_nodes: int, affine: bool) -> None:
        self.bump, dtype = bump, cells.weight.dtype
        self.start, self.slot, self.other = np.zeros(n_nodes + 2, OFFSET), np.empty(n_cells, SLOT), np.empty(n_cells, NODE)
        self.regular: bool = sorter()(cells.target, cells.source, cells.id, bump, self.start, self.slot, self.other)
        self.start = self.start[:-1]
        self.offset = np.empty(n_nodes, dtype)
        if not self.regular:
            self.weight, self.bias = aligned_zeros(n_cells, dtype), aligned_zeros(0 if affine else n_cells, dtype)
        self._affine = affine
        self._cells: Cells | None = None
        self._moment = -1

    def renew(self, cells: Cells, moment: int) -> None:
        """Pack the cells as they are; they are what they were while `moment` stays."""
        if self._moment == moment and self._cells is cells:
            return
        alone = is_little(MOVE * len(self.slot))
        if not self.regular:
            pack = packer(self._affine, alone)
            pack(self.start, self.slot, cells.weight, cells.bias, self.weight, self.bias, self.offset)
        else:
            self.weight, self.bias = cells.weight[: self.bump], cells.bias[: self.bump]
            if self._affine:
                summer(alone)(self.start, self.bias, self.offset)
        self._cells, self._moment = cells, moment


@cache
def sorter() -> Callable[..., Any]:
    """Build `sort(node, other, ids, bump, start, slot, others) -> regular`: cells by (node, slot), whether they were so before.

    A counting sort. `start` is (n_nodes + 2,) zeros; its places move from each node's beginning to its end, which is where
    the next one begins.
    """

    @kernel("sort packed")
    def sort(node: Any, other: Any, ids: Any, bump: Any, start: Any, slot: Any, others: Any) -> Any:
        regular = True
        for s in range(np.uint64(bump)):
            if ids[s] >= 0:
                start[np.uint64(node[s]) + np.uint64(2)] += 1
        for j in range(2, len(start)):
            start[j] += start[j - 1]
        for s in range(np.uint64(bump)):
            if ids[s] >= 0:
                row = np.uint64(node[s]) + np.uint64(1)
                c = np.uint64(start[row])
                slot[c], others[c] = s, other[s]
                regular &= c == s
                start[row] += 1
        return regular and len(slot) == bump

    return sort


@cache
def packer(affine: bool, alone: bool) -> Callable[..., Any]:
    """Build `pack(start, slot, weight, bias, weights, biases, offset)`: columns in the order of `slot`.

    Of affine cells the biases are summed by node, and not packed.
    """

    @kernel("pack", affine, parallel=not alone)
    def pack(start: Any, slot: Any, weight: Any, bias: Any, weights: Any, biases: Any, offset: Any) -> None:
        for part in numba.prange(PARTS):
            for j in range(np.uint64(first_node(part, start)), np.uint64(first_node(part + 1, start))):
                total = weight.dtype.type(0)
                for c in range(np.uint64(start[j]), np.uint64(start[j + np.uint64(1)])):
                    s = np.uint64(slot[c])
                    weights[c] = weight[s]
                    if affine:
                        total += bias[s]
                    else:
                        biases[c] = bias[s]
                offset[j] = total

    return pack


@cache
def summer(alone: bool) -> Callable[..., Any]:
    """Build `add_up(start, bias, offset)`: sums of the biases of a regular pool by node."""

    @kernel("sum biases", parallel=not alone)
    def add_up(start: Any, bias: Any, offset: Any) -> None:
        for part in numba.prange(PARTS):
            for j in range(np.uint64(first_node(part, start)), np.uint64(first_node(part + 1, start))):
                total = bias.dtype.type(0)
                for c in range(np.uint64(start[j]), np.uint64(start[j + np.uint64(1)])):
                    total += bias[c]
                offset[j] = total

    return add_up


@pasted
def first_node(part: Any, start: Any) -> Any:
    """Return the first node of a part; parts have about as many cells each, and together all nodes."""
    n = len(start) - 1
    return np.searchsorted(start[:n], part * start[n] // PARTS) if 0 < part < PARTS else min(part, 1) * n

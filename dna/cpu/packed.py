"""Cells packed on the CPU: weights and other ends by target, one after another, for passes that read each once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cpu.compiler import kernel
from dna.cpu.memory import aligned_zeros
from dna.cpu.threads import MOVE, is_little
from dna.types import NODE, OFFSET, SLOT, Cells

PARTS = 16
"""Parts of the nodes whose cells are packed side by side."""


class Packed:
    """The living cells of affine kind by (target, slot): what a sum over a node's cells reads lies together.

    Where many samples go through a cell it does not matter where its weight lies; where one does, that is what its time goes
    into. The weights are packed anew when cells have changed, which takes as long as one pass over cells by their slots.

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
    weight : (n_cells,) real
    offset : (n_nodes,) real
        The sum of the biases of a target.
    """

    def __init__(self, cells: Cells, bump: int, n_cells: int, n_nodes: int) -> None:
        self.bump, dtype = bump, cells.weight.dtype
        self.start, self.slot, self.other = np.zeros(n_nodes + 2, OFFSET), np.empty(n_cells, SLOT), np.empty(n_cells, NODE)
        self.regular: bool = sorter()(cells.target, cells.source, cells.id, bump, self.start, self.slot, self.other)
        self.start = self.start[:-1]
        self.weight, self.offset = aligned_zeros(n_cells, dtype), np.empty(n_nodes, dtype)
        self._cells: Cells | None = None
        self._moment = -1

    def renew(self, cells: Cells, moment: int) -> None:
        """Pack the cells as they are; they are what they were while `moment` stays."""
        if self._moment != moment or self._cells is not cells:
            pack = packer(is_little(MOVE * len(self.slot)))
            pack(self.start, self.slot, cells.weight, cells.bias, self.weight, self.offset)
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
def packer(alone: bool) -> Callable[..., Any]:
    """Build `pack(start, slot, weight, bias, packed, offset)`: weights in the order of `slot`, and sums of biases by node."""

    @kernel("pack", parallel=not alone)
    def pack(start: Any, slot: Any, weight: Any, bias: Any, packed: Any, offset: Any) -> None:
        n, n_cells = len(offset), len(slot)
        for part in numba.prange(PARTS):
            first = np.searchsorted(start[:n], part * n_cells // PARTS) if part > 0 else 0
            end = np.searchsorted(start[:n], (part + 1) * n_cells // PARTS) if part + 1 < PARTS else n
            for j in range(np.uint64(first), np.uint64(end)):
                total = weight.dtype.type(0)
                for c in range(np.uint64(start[j]), np.uint64(start[j + np.uint64(1)])):
                    s = np.uint64(slot[c])
                    packed[c] = weight[s]
                    total += bias[s]
                offset[j] = total

    return pack

"""How a level's cells are cut for the kernels of the gather plan: into panels of nodes, and shelves of those at the other ends.

A **panel** is the nodes of a level that one block of threads works for, a few a warp; what is summed up for them stays in
registers. A **shelf** is a stretch of nodes whose rows of one tile fit into shared memory together. A block takes one shelf after
another: it copies the rows of a shelf, and each of its warps goes through the cells between its nodes and those rows. So a row is
read from memory once a panel, and from shared memory once a cell. Where the cells are too sparse for that, there is one shelf for
all, which is not copied: a cell's row is read where it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dna.cuda.device import SIMULATED, multiprocessors
from dna.cuda.memory import TILE
from dna.types import Array

WARPS = 2 if SIMULATED else 16
THREADS = 32 * WARPS

SHARED_BYTES = 3072 if SIMULATED else 49152
"""Shared memory of a block: as much as every kernel may have. Staged cells take some of it, and the rows of a shelf the rest."""

RECORD = 4
"""Numbers of a staged cell: weight, bias, and in the bits of the third where its row is. One load takes them all."""

FORWARD, BACKWARD = "forward", "backward"
"""The sides of a plan: cells by target, and cells by source."""

EACH: dict[tuple[str, Any], tuple[int, ...]] = {
    (FORWARD, np.float32): (1, 4, 8),
    (BACKWARD, np.float32): (1, 4),
    (FORWARD, np.float64): (1, 4),
    (BACKWARD, np.float64): (1, 2),
}
"""Nodes a warp that kernels are compiled for. Forward keeps a row of sums a node in registers; backward two rows, of potentials
and of their gradient."""

USES = 4.0
"""Cells that are to use a row of a shelf in a panel. Then 1 byte a cell and sample comes from beyond shared memory."""

FEWEST_USES = 2.0
"""With fewer, copying a shelf costs as much as it saves."""

BLOCKS_WANTED = 4
"""Blocks a multiprocessor is to get of a launch, where splitting the shelves among blocks can provide them."""


class Layout(NamedTuple):
    """How one level is cut on one side of the plan."""

    each: int  # nodes of a warp
    shelves: int
    shared: bool  # whether shelves are copied to shared memory


class Stage(NamedTuple):
    """One level on one side of the plan: its nodes, and where their cells are in the order.

    The cells of node i of the level, with the other end on shelf f, have the key `first + (p * shelves + f) * width + r`, where
    p and r are quotient and remainder of i / width. Cells lie in the order of their keys.
    """

    nodes: Array  # (n,) int32: the nodes of the level
    layout: Layout
    first: int  # the level's first key
    low: int  # the first node of the first shelf

    @property
    def width(self) -> int:
        """Nodes of a panel."""
        return self.layout.each * WARPS

    @property
    def panels(self) -> int:
        return -(-len(self.nodes) // self.width)

    @property
    def keys(self) -> int:
        return self.panels * self.layout.shelves * self.width

    def splits(self, jobs: int) -> int:
        """Return among how many blocks the shelves of a panel are to be split, where the grid has `jobs` blocks without that."""
        if self.layout.shelves == 1:
            return 1
        wanted = BLOCKS_WANTED * multiprocessors()
        return max(1, min(self.layout.shelves, -(-wanted // max(jobs, 1))))


def blocks_at_once(real: type) -> int:
    """Return how many blocks a multiprocessor is to hold at a time; more registers a thread are needed for float64."""
    return 8 // np.dtype(real).itemsize


def rows_of(real: type) -> int:
    """Return the rows of a shelf, for the largest tile."""
    size = np.dtype(real).itemsize
    return (SHARED_BYTES - THREADS * RECORD * size) // (TILE * size)


def choose_layout(n: int, n_cells: int, span: int, real: type, side: str) -> Layout:
    """Return how to cut a level of `n` nodes with `n_cells` cells, whose other ends lie among `span` neighbouring nodes."""
    cells_a_row = n_cells / span
    for each in EACH[side, real]:
        uses = cells_a_row * min(1.0, each * WARPS / n)
        if uses >= USES or each * WARPS >= n:
            break
    if uses < FEWEST_USES:
        return Layout(1, 1, shared=False)
    return Layout(each, -(-span // rows_of(real)), shared=True)

"""The gather plan on the GPU: living slots by target and by source, each by a stable radix sort on the bits of the nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from dna.cuda.device import BLOCK, FULL, SIMULATED, WARP, blocks_for, cuda, kernel, launch, launch_over
from dna.cuda.memory import empty
from dna.cuda.scan import exclusive_scan
from dna.types import NODE, OFFSET, SLOT, Array, Cells

DIGIT_BITS = 8
DIGITS = 1 << DIGIT_BITS
WARPS = BLOCK // WARP

RUN = 2 * WARP if SIMULATED else 32 * WARP
"""Items that a warp counts and places at least, one after another in their order; that makes the sort stable."""

MOST_RUNS = 8192
"""More items make runs longer, so that the table of counts, a column a run, stays small."""


class Order(NamedTuple):
    """Cells sorted by one of their ends."""

    slots: Array  # (n_cells,) int32: slots sorted by (node, slot)
    others: Array  # (n_cells,) int32: the node at their other end
    start: Array  # (n_nodes + 1,) int64: slots[start[j]:start[j + 1]] belong to node j


class GatherPlan(NamedTuple):
    into: Order  # cells by target, for forward
    out_of: Order  # cells by source, for backward


def make_gather(cells: Cells, bump: int, n_cells: int, n_nodes: int) -> GatherPlan:
    """Return the gather plan of the living cells."""
    by_target = sort_by_node(cells.target, cells.source, cells.id, bump, n_cells, n_nodes)
    return GatherPlan(by_target, sort_by_node(cells.source, cells.target, cells.id, bump, n_cells, n_nodes))


def make_scatter() -> GatherPlan:
    """Return the scatter plan: it runs over the pool as it is, and holds nothing."""
    nothing = Order(empty(0, SLOT), empty(0, NODE), empty(0, OFFSET))
    return GatherPlan(nothing, nothing)


def sort_by_node(node: Array, other: Array, ids: Array, bump: int, n_cells: int, n_nodes: int) -> Order:
    """Return the living slots by (node, slot).

    A least-significant-digit radix sort (Knuth, TAOCP 3, 5.2.5): each pass counts digits by runs, scans the counts, and places.
    Free slots sort as if they belonged to a node after the last, and so drop off the end.
    """
    keys, slots = empty(bump, NODE), empty(bump, SLOT)
    launch_over(labeller(), bump, node, ids, n_nodes, keys, slots)
    for shift, bins in _digits(n_nodes):
        keys, slots = _sort_digit(keys, slots, shift, bins)
    order = Order(empty(n_cells, SLOT), empty(n_cells, NODE), empty(n_nodes + 1, OFFSET))
    launch_over(finisher(), max(n_cells, n_nodes + 1), keys, slots, other, order)
    return order


def _digits(n_nodes: int) -> list[tuple[int, int]]:
    """Return (shift, bins) of each pass: digits of equal width, as narrow as the keys 0 to n_nodes allow."""
    bits = n_nodes.bit_length()
    passes = -(-bits // DIGIT_BITS)
    width = -(-bits // passes)
    return [(i * width, 1 << width) for i in range(passes)]


def _sort_digit(keys: Array, slots: Array, shift: int, bins: int) -> tuple[Array, Array]:
    n = len(keys)
    run = max(RUN, -(-n // MOST_RUNS // WARP) * WARP)
    runs = -(-n // run)
    counts = empty(bins * runs, NODE)
    blocks = blocks_for(runs, WARPS)
    launch(digit_counter(), blocks, BLOCK, keys, shift, bins, run, counts)
    exclusive_scan(counts)
    keys_out, slots_out = empty(n, NODE), empty(n, SLOT)
    launch(digit_placer(), blocks, BLOCK, keys, slots, shift, bins, run, counts, keys_out, slots_out)
    return keys_out, slots_out


@cache
def labeller() -> Callable[..., Any]:
    """Build `label(node, ids, n_nodes, keys, slots)`: every slot used so far with its node, or `n_nodes` where it is free.

    Bytes a slot: 12 read, 8 written.
    """

    @kernel
    def label(node: Any, ids: Any, n_nodes: Any, keys: Any, slots: Any) -> None:
        for s in range(cuda.grid(1), keys.shape[0], cuda.gridsize(1)):
            keys[s] = node[s] if ids[s] >= 0 else n_nodes
            slots[s] = s

    return label


@cache
def digit_counter() -> Callable[..., Any]:
    """Build `count(keys, shift, bins, run, counts)`: how often each digit comes in each run, `counts[digit * runs + r]`.

    A warp a run. Bytes a slot: 4 read; one atomic in shared memory. Sums of integers, so their order does not matter.
    """

    @kernel
    def count(keys: Any, shift: Any, bins: Any, run: Any, counts: Any) -> None:
        tallies = cuda.shared.array((WARPS, DIGITS), np.int32)
        lane, warp = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
        n, runs = keys.shape[0], counts.shape[0] // bins
        for r in range(cuda.grid(1) // WARP, runs, cuda.gridsize(1) // WARP):
            for digit in range(lane, bins, WARP):
                tallies[warp, digit] = 0
            cuda.syncwarp()
            for i in range(r * run + lane, min(r * run + run, n), WARP):
                cuda.atomic.add(tallies, (warp, (keys[i] >> shift) & (bins - 1)), 1)
            cuda.syncwarp()
            for digit in range(lane, bins, WARP):
                counts[digit * runs + r] = tallies[warp, digit]
            cuda.syncwarp()

    return count


@cache
def digit_placer() -> Callable[..., Any]:
    """Build `place(keys, slots, shift, bins, run, starts, keys_out, slots_out)`: a stable move to where the scanned counts say.

    A warp a run, 32 items at a time: lanes of one digit find each other by `match_any_sync` and queue up in their order. Bytes a
    slot: 8 read, 8 written (scattered).
    """

    @kernel
    def place(
        keys: Any, slots: Any, shift: Any, bins: Any, run: Any, starts: Any, keys_out: Any, slots_out: Any
    ) -> None:  # fmt: skip
        cursors = cuda.shared.array((WARPS, DIGITS), np.int32)
        lane, warp = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
        n, runs = keys.shape[0], starts.shape[0] // bins
        for r in range(cuda.grid(1) // WARP, runs, cuda.gridsize(1) // WARP):
            for digit in range(lane, bins, WARP):
                cursors[warp, digit] = starts[digit * runs + r]
            cuda.syncwarp()
            end = min(r * run + run, n)
            for base in range(r * run, end, WARP):
                i = base + lane
                digit = (keys[i] >> shift) & (bins - 1) if i < end else -1
                peers = cuda.match_any_sync(FULL, digit)
                ahead = cuda.popc(peers & cuda.lanemask_lt())
                if digit >= 0:
                    at = cursors[warp, digit] + ahead
                    keys_out[at], slots_out[at] = keys[i], slots[i]
                cuda.syncwarp()
                if digit >= 0 and ahead == 0:
                    cursors[warp, digit] += cuda.popc(peers)
                cuda.syncwarp()

    return place


@cache
def finisher() -> Callable[..., Any]:
    """Build `finish(keys, slots, other, order)`: the other ends, and where each node starts, by binary search of the sorted keys.

    Bytes a cell: 8 read, one random read of 4, 8 written; about log2(slots) reads a node.
    """

    @kernel
    def finish(keys: Any, slots: Any, other: Any, order: Any) -> None:
        for i in range(cuda.grid(1), order.slots.shape[0], cuda.gridsize(1)):
            order.slots[i] = slots[i]
            order.others[i] = other[slots[i]]
        for node in range(cuda.grid(1), order.start.shape[0], cuda.gridsize(1)):
            low, high = 0, keys.shape[0]
            while low < high:
                middle = (low + high) // 2
                if keys[middle] < node:
                    low = middle + 1
                else:
                    high = middle
            order.start[node] = low

    return finish

"""The pool on CUDA: claims and releases in bulk and in order, and slot by slot from the threads of any kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.allocation import (
    build_claim,
    build_clear,
    build_fold,
    build_grant,
    build_release,
    build_settle,
    build_slot_of,
    build_tally,
)
from dna.cuda.device import BLOCK, SIMULATED, cuda, jit, kernel, launch, launch_over
from dna.cuda.memory import full
from dna.cuda.scan import MOST_WARPS, block_scan
from dna.types import CLAIMED, FREE, FREE_COUNT, ID, NODE, OFFSET, RELEASED, SLOT, Cells, Heap


@jit
def draw_by_thread(counters: Any, place: Any) -> Any:
    """Draw one ticket by one atomic."""
    return cuda.atomic.add(counters, place, 1)


@jit
def draw_by_warp(counters: Any, place: Any) -> Any:
    """Draw tickets for all lanes that are here at the time by one atomic: the lowest lane draws for its peers.

    Peers are the active lanes that draw from one and the same counter. `activemask` alone does not tell them: lanes of two pools,
    or of a claim and a release whose code the compiler merged, may be active together; so lanes are matched by the counter's
    address. Whatever part of a diverged warp arrives together is served together, and each lane is in exactly one such part. The
    lanes of a mask share their path since it was formed, but for the leader's atomic, and the shuffle that names the mask waits
    for all of them.
    """
    peers = cuda.match_any_sync(cuda.activemask(), counters.ctypes.data + place * counters.itemsize)
    leader = cuda.ffs(peers) - 1
    first = np.int64(0)
    if cuda.laneid == leader:
        first = cuda.atomic.add(counters, place, cuda.popc(peers))
    return cuda.shfl_sync(peers, first, leader) + cuda.popc(peers & cuda.lanemask_lt())


@jit
def exchange(array: Any, index: Any, value: Any) -> Any:
    return cuda.atomic.exch(array, index, value)


draw = draw_by_thread if SIMULATED else draw_by_warp
"""The simulator has no warps, so user code that claims runs there too."""

claim = build_claim(jit, draw)
"""`claim(heap) -> (slot, id)`, callable from a user's own kernel by any number of threads at once; (-1, -1) when exhausted."""

release = build_release(jit, draw, exchange)
"""`release(cells, heap, slot) -> bool`, likewise; False where the slot was free already."""


@cache
def block_claim() -> Callable[..., Any]:
    """Build the device function `claim(heap, wanted) -> (slot, id)`, one atomic a block.

    Every thread of the block must call it at the same place; blocks are whole warps in one dimension. Threads that want a cell
    get tickets in their order; the others, and those for whom there is none, get (-1, -1). It holds four barriers.

    Bytes a claim: 4 of the stack read, and an atomic of 8 a block.
    """
    scan, grant = block_scan(), build_grant(jit)

    @jit
    def claim_by_block(heap: Any, wanted: Any) -> Any:
        scratch = cuda.shared.array(MOST_WARPS, np.int32)
        first = cuda.shared.array(1, np.int64)
        before, total = scan(np.int32(1 if wanted else 0), scratch)
        if cuda.threadIdx.x == 0:
            first[0] = cuda.atomic.add(heap.counters, CLAIMED, total)
        cuda.syncthreads()
        ticket = first[0] + before
        cuda.syncthreads()
        if not wanted:
            return -1, -1
        return grant(heap, ticket)

    return claim_by_block


def new_pool(capacity: int, rows: int, dtype: np.dtype) -> tuple[Cells, Heap]:
    """Return empty columns with `rows` rows of optimizer state, and a heap whose slots are all above the bump pointer."""
    cells = Cells(
        source=full(capacity, 0, NODE),
        target=full(capacity, 0, NODE),
        weight=full(capacity, 0, dtype),
        bias=full(capacity, 0, dtype),
        weight_grad=full(capacity, 0, dtype),
        bias_grad=full(capacity, 0, dtype),
        state=full((rows, capacity), 0, dtype),
        id=full(capacity, FREE, ID),
        parent=full(capacity, FREE, ID),
        born=full(capacity, 0, np.dtype(np.int32)),
    )
    return cells, Heap(free=full(capacity, 0, SLOT), counters=full(5, 0, OFFSET))


def grow(cells: Cells, heap: Heap, capacity: int) -> tuple[Cells, Heap]:
    """Return columns and heap of a larger capacity with the same content; the old arrays stay as they are."""
    larger, heap_larger = new_pool(capacity, cells.state.shape[0], cells.weight.dtype)
    launch_over(copy_kernel(), heap.free.shape[0], cells, heap, larger, heap_larger)
    return larger, heap_larger


def bulk_claim(heap: Heap, slots: Any) -> None:
    """Write tickets 0, 1, 2, ... as slots. The capacity must suffice."""
    count = slots.shape[0]
    launch_over(claim_kernel(), count, heap, slots)
    launch(bulk_settle_kernel(), 1, 1, heap, count, 0)


def bulk_release(cells: Cells, heap: Heap, slots: Any) -> None:
    """Release slots onto the stack in the order given. All must be living and distinct."""
    count = slots.shape[0]
    launch_over(release_kernel(), count, cells, heap, slots)
    launch(bulk_settle_kernel(), 1, 1, heap, 0, count)


def settle(heap: Heap) -> None:
    """Fold the tickets that kernels drew into the counters."""
    launch(settle_kernel(), 1, BLOCK, heap)


@cache
def copy_kernel() -> Callable[..., Any]:
    """Build `copy(cells, heap, larger, heap_larger)`.

    Bytes a slot: all columns and the stack, 48 of float32 and 4 a row of state, read and written.
    """

    @kernel
    def copy(cells: Any, heap: Any, larger: Any, heap_larger: Any) -> None:
        first, step = cuda.grid(1), cuda.gridsize(1)
        for s in range(first, heap.free.shape[0], step):
            larger.source[s], larger.target[s] = cells.source[s], cells.target[s]
            larger.weight[s], larger.bias[s] = cells.weight[s], cells.bias[s]
            larger.weight_grad[s], larger.bias_grad[s] = cells.weight_grad[s], cells.bias_grad[s]
            for row in range(cells.state.shape[0]):
                larger.state[row, s] = cells.state[row, s]
            larger.id[s], larger.parent[s], larger.born[s] = cells.id[s], cells.parent[s], cells.born[s]
            heap_larger.free[s] = heap.free[s]
        for place in range(first, heap.counters.shape[0], step):
            heap_larger.counters[place] = heap.counters[place]

    return copy


@cache
def claim_kernel() -> Callable[..., Any]:
    """Build `claim_in_order(heap, slots)`. The counters stand still until `bulk_settle_kernel` has its turn.

    Bytes a claim: 4 read, 4 written.
    """
    slot_of = build_slot_of(jit)

    @kernel
    def claim_in_order(heap: Any, slots: Any) -> None:
        for ticket in range(cuda.grid(1), slots.shape[0], cuda.gridsize(1)):
            slots[ticket] = slot_of(heap, ticket)

    return claim_in_order


@cache
def release_kernel() -> Callable[..., Any]:
    """Build `release_in_order(cells, heap, slots)`; likewise.

    Bytes a release: 4 read; the stack and all columns written, 48 of float32 and 4 a row of state.
    """
    clear = build_clear(jit)

    @kernel
    def release_in_order(cells: Any, heap: Any, slots: Any) -> None:
        top = heap.counters[FREE_COUNT]
        for i in range(cuda.grid(1), slots.shape[0], cuda.gridsize(1)):
            slot = slots[i]
            clear(cells, slot)
            cells.id[slot] = FREE
            heap.free[top + i] = slot

    return release_in_order


@cache
def bulk_settle_kernel() -> Callable[..., Any]:
    """Build `settle_bulk(heap, claimed, released)` for one thread: settle a bulk claim or a bulk release, one of them being 0."""
    settle_one = build_settle(jit)

    @kernel
    def settle_bulk(heap: Any, claimed: Any, released: Any) -> None:
        heap.counters[CLAIMED] = claimed
        heap.counters[RELEASED] = released
        settle_one(heap)

    return settle_bulk


@cache
def settle_kernel() -> Callable[..., Any]:
    """Build `settle(heap)` for one block: `dna.allocation.build_settle` with the slots moved by many threads."""
    tally, fold = build_tally(jit), build_fold(jit)

    @kernel
    def settle_heap(heap: Any) -> None:
        granted, taken, released = tally(heap)
        top, thread = heap.counters[FREE_COUNT], cuda.threadIdx.x
        if taken > 0:
            # A round reads all its slots before it writes them, and writes below what later rounds read.
            for start in range(0, released, cuda.blockDim.x):
                i = start + thread
                slot = heap.free[top + i] if i < released else -1
                cuda.syncthreads()
                if i < released:
                    heap.free[top - taken + i] = slot
        cuda.syncthreads()
        if thread == 0:
            fold(heap, granted, taken, released)

    return settle_heap

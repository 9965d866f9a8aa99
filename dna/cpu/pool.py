"""The pool on the CPU: claims and releases in bulk and in order, and slot by slot from any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.allocation import build_claim, build_clear, build_release, build_settle, build_slot_of
from dna.cpu.atomics import atomic_add, atomic_exchange
from dna.cpu.compiler import jit, kernel
from dna.cpu.memory import aligned_zeros
from dna.types import CLAIMED, FREE, FREE_COUNT, ID, NODE, OFFSET, RELEASED, SLOT, Cells, Heap

BLOCK = 1024
"""Slots that one thread handles at a time."""


@jit
def _draw(counters: Any, place: Any) -> Any:
    return atomic_add(counters, place, 1)


claim = build_claim(jit, _draw)
"""`claim(heap) -> (slot, id)`, callable from a user's own `numba.njit` code by many threads at once; (-1, -1) when exhausted."""

release = build_release(jit, _draw, atomic_exchange)
"""`release(cells, heap, slot) -> bool`, likewise; False where the slot was free already."""


def new_pool(capacity: int, rows: int, dtype: np.dtype) -> tuple[Cells, Heap]:
    """Return empty columns with `rows` rows of optimizer state, and a heap whose slots are all above the bump pointer."""
    cells = Cells(
        source=np.zeros(capacity, NODE),
        target=np.zeros(capacity, NODE),
        weight=aligned_zeros(capacity, dtype),
        bias=aligned_zeros(capacity, dtype),
        weight_grad=aligned_zeros(capacity, dtype),
        bias_grad=aligned_zeros(capacity, dtype),
        state=aligned_zeros((rows, capacity), dtype),
        id=np.full(capacity, FREE, ID),
        parent=np.full(capacity, FREE, ID),
        born=np.zeros(capacity, np.int32),
    )
    return cells, Heap(free=np.zeros(capacity, SLOT), counters=np.zeros(5, OFFSET))


def grow(cells: Cells, heap: Heap, capacity: int) -> tuple[Cells, Heap]:
    """Return columns and heap of a larger capacity with the same content; the old arrays stay as they are."""
    larger, heap_larger = new_pool(capacity, cells.state.shape[0], cells.weight.dtype)
    n = len(cells.id)
    for old, new in zip(cells, larger, strict=True):
        new[..., :n] = old
    heap_larger.free[: len(heap.free)] = heap.free
    heap_larger.counters[:] = heap.counters
    return larger, heap_larger


@cache
def bulk_claim() -> Callable[..., Any]:
    """Build `claim(heap, slots)`: tickets 0, 1, 2, ... at once. The capacity must suffice."""
    slot_of = build_slot_of(jit)
    settle = build_settle(jit)

    @kernel("claim")
    def claim_in_order(heap: Any, slots: Any) -> None:
        for ticket in range(len(slots)):
            slots[ticket] = slot_of(heap, ticket)
        heap.counters[CLAIMED] = len(slots)
        settle(heap)

    return claim_in_order


@cache
def bulk_release() -> Callable[..., Any]:
    """Build `release(cells, heap, slots)`: onto the stack in the order given. All slots must be living and distinct."""
    clear = build_clear(jit)
    settle = build_settle(jit)

    @jit
    def release_block(cells: Any, slots: Any, stack: Any) -> None:
        for i in range(len(slots)):
            slot = slots[i]
            clear(cells, np.uint64(slot))
            cells.id[np.uint64(slot)] = FREE
            stack[i] = slot

    @kernel("release", parallel=True)
    def release_in_order(cells: Any, heap: Any, slots: Any) -> None:
        top, n = heap.counters[FREE_COUNT], len(slots)
        for block in numba.prange((n + BLOCK - 1) // BLOCK):
            first, end = block * BLOCK, min(block * BLOCK + BLOCK, n)
            release_block(cells, slots[first:end], heap.free[top + first : top + end])
        heap.counters[RELEASED] = len(slots)
        settle(heap)

    return release_in_order


@cache
def taker() -> Callable[..., Any]:
    """Build `take(column, slots, values)`: values = column[slots]."""

    @jit
    def take_block(column: Any, slots: Any, values: Any) -> None:
        for i in range(len(slots)):
            values[i] = column[np.uint64(slots[i])]

    @kernel("take", parallel=True)
    def take(column: Any, slots: Any, values: Any) -> None:
        for block in numba.prange((len(slots) + BLOCK - 1) // BLOCK):
            first, end = block * BLOCK, min(block * BLOCK + BLOCK, len(slots))
            take_block(column, slots[first:end], values[first:end])

    return take


@cache
def settlement() -> Callable[..., Any]:
    """Build `settle(heap)`."""
    settle = build_settle(jit)

    @kernel("settle")
    def settle_once(heap: Any) -> None:
        settle(heap)

    return settle_once

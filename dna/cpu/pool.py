"""The pool on the CPU: claims and releases in bulk and in order, and slot by slot from any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache, partial
from typing import Any

import numba
import numpy as np

from dna.allocation import build_claim, build_clear, build_release, build_settle, build_slot_at
from dna.cpu.atomics import atomic_add, atomic_exchange
from dna.cpu.compiler import jit, kernel
from dna.cpu.memory import aligned_zeros
from dna.types import BUMP, CLAIMED, FREE, FREE_COUNT, ID, NODE, OFFSET, RELEASED, SLOT, Array, Cells, Heap

BLOCK = 1024
"""Slots that one thread handles at a time."""


@jit
def _draw(counters: Any, place: Any) -> Any:
    return atomic_add(counters, place, 1)


claim = build_claim(partial(jit, alone=True), _draw)
"""`claim(heap) -> (slot, id)`, callable from a user's own `numba.njit` code by many threads at once; (-1, -1) when exhausted."""

release = build_release(partial(jit, alone=True), _draw, atomic_exchange)
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


def take_cells(
    cells: Cells, first: tuple[Array, Collection[str]], second: tuple[Array, Collection[str]]
) -> tuple[dict[str, Array], ...]:
    """Return the columns of these names at some slots, and others at others, of which both are ascending."""
    found, wanted = [_room_for(cells, len(slots), names) for slots, names in (first, second)], (first, second)
    cells_taker()(cells, first[0], found[0], second[0], found[1])
    return tuple({name: getattr(room, name) for name in names} for room, (_, names) in zip(found, wanted, strict=True))


def _room_for(cells: Cells, count: int, names: Collection[str]) -> Cells:
    """Return columns for so many cells under some names, and empty ones under the others."""
    shapes = {name: (*column.shape[:-1], count if name in names else 0) for name, column in cells._asdict().items()}
    return Cells(**{name: np.empty(shape, getattr(cells, name).dtype) for name, shape in shapes.items()})


@cache
def bulk_claim() -> Callable[..., Any]:
    """Build `claim(heap, slots)`: tickets 0, 1, 2, ... at once. The capacity must suffice."""
    slot_at, settle = build_slot_at(jit), settler()

    @kernel("claim")
    def claim_in_order(heap: Any, slots: Any) -> None:
        free, bump = heap.counters[FREE_COUNT], heap.counters[BUMP]
        for ticket in range(len(slots)):
            slots[ticket] = slot_at(heap.free, free, bump, ticket)
        heap.counters[CLAIMED] = len(slots)
        settle(heap)

    return claim_in_order


@cache
def bulk_release() -> Callable[..., Any]:
    """Build `release(cells, heap, slots, again)`: onto the stack in the order given. All slots must be living and distinct.

    The last so many, `again`, are left as they are.
    """
    clear, settle = build_clear(jit), settler()

    @jit
    def clear_block(cells: Any, slots: Any) -> None:
        for slot in slots:
            clear(cells, np.uint64(slot))
            cells.id[np.uint64(slot)] = FREE

    @jit
    def push(slots: Any, free: Any, top: Any) -> None:
        for i in range(np.uint64(len(slots))):
            free[np.uint64(top) + i] = slots[i]

    @kernel("release", parallel=True)
    def release_in_order(cells: Any, heap: Any, slots: Any, again: Any) -> None:
        top, n = heap.counters[FREE_COUNT], len(slots) - again
        for block in numba.prange((n + BLOCK - 1) // BLOCK):
            clear_block(cells, slots[block * BLOCK : min(block * BLOCK + BLOCK, n)])
        push(slots, heap.free, top)
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
def cells_taker() -> Callable[..., Any]:
    """Build `take(cells, slots, found, slots_2, found_2)`: columns at some slots, and at others.

    `found` are as `Cells` with a place for each slot; columns without any are not asked for. Blocks of both lie in the same
    parts of the pool, so that each part is read once.
    """

    @jit
    def take_part(column: Any, slots: Any, values: Any, first: Any, end: Any) -> None:
        for i in range(np.uint64(first), np.uint64(min(end, len(values)))):
            values[i] = column[np.uint64(slots[i])]

    @jit
    def take_both(column: Any, slots: Any, values: Any, ends: Any, slots_2: Any, values_2: Any, ends_2: Any) -> None:
        take_part(column, slots, values, ends[0], ends[1])
        take_part(column, slots_2, values_2, ends_2[0], ends_2[1])

    @kernel("take cells", BLOCK, parallel=True)
    def take(cells: Any, slots: Any, found: Any, slots_2: Any, found_2: Any) -> None:
        n, n_2 = len(slots), len(slots_2)
        parts = (max(n, n_2) + BLOCK - 1) // BLOCK
        for part in numba.prange(parts):
            ends, ends_2 = (part * n // parts, (part + 1) * n // parts), (part * n_2 // parts, (part + 1) * n_2 // parts)
            take_both(cells.source, slots, found.source, ends, slots_2, found_2.source, ends_2)
            take_both(cells.target, slots, found.target, ends, slots_2, found_2.target, ends_2)
            take_both(cells.weight, slots, found.weight, ends, slots_2, found_2.weight, ends_2)
            take_both(cells.bias, slots, found.bias, ends, slots_2, found_2.bias, ends_2)
            take_both(cells.weight_grad, slots, found.weight_grad, ends, slots_2, found_2.weight_grad, ends_2)
            take_both(cells.bias_grad, slots, found.bias_grad, ends, slots_2, found_2.bias_grad, ends_2)
            take_both(cells.id, slots, found.id, ends, slots_2, found_2.id, ends_2)
            take_both(cells.parent, slots, found.parent, ends, slots_2, found_2.parent, ends_2)
            take_both(cells.born, slots, found.born, ends, slots_2, found_2.born, ends_2)
            for row in range(cells.state.shape[0]):
                take_both(cells.state[row], slots, found.state[row], ends, slots_2, found_2.state[row], ends_2)

    return take


@cache
def settlement() -> Callable[..., Any]:
    """Build `settle(heap)`."""
    settle = settler()

    @kernel("settle")
    def settle_once(heap: Any) -> None:
        settle(heap)

    return settle_once


@cache
def settler() -> Callable[..., Any]:
    """Build the same for kernels: what several kernels are made of is compiled once."""
    return build_settle(jit)

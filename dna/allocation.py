"""The maths of the allocator: which slot a ticket stands for. Written once; the atomics are handed in by each backend.

A heap is a stack of free slots under a bump pointer. Whoever wants a slot draws a ticket from a counter. Ticket t stands for the
t-th slot from the top of the stack or, past its bottom, for a slot above the bump pointer. Stack height, bump pointer and next id
stand still until the heap is settled, so that no slot can be handed out twice and ids come with the tickets. Bulk claims take
tickets 0, 1, 2, ... in order, hence the same slots and ids on every backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dna.cells import Scalar
from dna.types import BUMP, CLAIMED, FREE, FREE_COUNT, NEXT_ID, RELEASED


def build_slot_at(jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `slot_at(stack, free, bump, ticket) -> slot`, or -1 where the capacity ends; `free` slots lie on the stack."""

    def slot_at(stack: Any, free: Any, bump: Any, ticket: Any) -> Any:
        if ticket < free:
            return stack[free - 1 - ticket]
        slot = bump + ticket - free
        return slot if slot < stack.shape[0] else -1

    return jit(slot_at)


def build_slot_of(jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `slot_of(heap, ticket) -> slot`, likewise."""
    slot_at = build_slot_at(jit)

    def slot_of(heap: Any, ticket: Any) -> Any:
        return slot_at(heap.free, heap.counters[FREE_COUNT], heap.counters[BUMP], ticket)

    return jit(slot_of)


def build_grant(jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `grant(heap, ticket) -> (slot, id)`; both are -1 where the capacity ends."""
    slot_of = build_slot_of(jit)

    def grant(heap: Any, ticket: Any) -> Any:
        slot = slot_of(heap, ticket)
        if slot < 0:
            return -1, -1
        return slot, heap.counters[NEXT_ID] + ticket

    return jit(grant)


def build_claim(jit: Callable[[Scalar], Scalar], draw: Scalar) -> Scalar:
    """Build `claim(heap) -> (slot, id)`; both are -1 when the pool is exhausted.

    `draw(counters, place) -> ticket` adds one to a counter at once and returns what was there.
    """
    grant = build_grant(jit)

    def claim(heap: Any) -> Any:
        return grant(heap, draw(heap.counters, CLAIMED))

    return jit(claim)


def build_clear(jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `clear(cells, slot)`: zeros in every column but the id, so that a free slot is inert in every pass."""

    def clear(cells: Any, slot: Any) -> None:
        cells.source[slot] = 0
        cells.target[slot] = 0
        cells.weight[slot] = 0
        cells.bias[slot] = 0
        cells.weight_grad[slot] = 0
        cells.bias_grad[slot] = 0
        for row in range(cells.state.shape[0]):
            cells.state[row, slot] = 0
        cells.parent[slot] = FREE
        cells.born[slot] = 0

    return jit(clear)


def build_release(jit: Callable[[Scalar], Scalar], draw: Scalar, exchange: Scalar) -> Scalar:
    """Build `release(cells, heap, slot) -> bool`: False, and nothing changed, where the slot is free already or was never used.

    `exchange(array, index, value) -> old` swaps a value at once; so of several threads that release one slot one succeeds.
    """
    clear = build_clear(jit)

    def release(cells: Any, heap: Any, slot: Any) -> Any:
        if slot < 0 or slot >= heap.free.shape[0]:
            return False
        old = exchange(cells.id, slot, FREE)
        if old < 0:
            return False
        place = heap.counters[FREE_COUNT] + draw(heap.counters, RELEASED)
        if place >= heap.free.shape[0]:
            exchange(cells.id, slot, old)
            return False
        clear(cells, slot)
        heap.free[place] = slot
        return True

    return jit(release)


def build_tally(jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `tally(heap) -> (granted, taken, released)`: what the tickets drawn since the last settlement come to.

    Slots granted, those of them that were taken from the stack, and slots released; tickets past the capacity count for nothing.
    """

    def tally(heap: Any) -> Any:
        counters, capacity = heap.counters, heap.free.shape[0]
        free = counters[FREE_COUNT]
        granted = min(counters[CLAIMED], free + capacity - counters[BUMP])
        return granted, min(granted, free), min(counters[RELEASED], capacity - free)

    return jit(tally)


def build_fold(jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `fold(heap, granted, taken, released)`: a tally becomes stack height, bump pointer and next id. For one thread."""

    def fold(heap: Any, granted: Any, taken: Any, released: Any) -> None:
        counters = heap.counters
        counters[FREE_COUNT] += released - taken
        counters[BUMP] += granted - taken
        counters[NEXT_ID] += granted
        counters[CLAIMED] = 0
        counters[RELEASED] = 0

    return jit(fold)


def build_settle(jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `settle(heap)`: fold the tickets that kernels drew into stack height, bump pointer and next id. For one thread.

    Slots released while others were claimed lie above the old top of the stack; they move down to the new one.
    """
    tally, fold = build_tally(jit), build_fold(jit)

    def settle(heap: Any) -> None:
        granted, taken, released = tally(heap)
        top = heap.counters[FREE_COUNT]
        if taken > 0:
            for i in range(released):
                heap.free[top - taken + i] = heap.free[top + i]
        fold(heap, granted, taken, released)

    return jit(settle)

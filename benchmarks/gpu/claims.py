"""Kernels in which every thread claims or releases, and what counts their results on the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from dna.allocation import build_claim, build_release
from dna.backend import Backend
from dna.cuda import pool
from dna.cuda.device import cuda, jit, kernel, launch_over
from dna.types import FREE, FREE_COUNT, SLOT, Array, Cells, Heap

DRAWS = {"by warp": pool.draw_by_warp, "by thread": pool.draw_by_thread}

NOTHING, REFUSED = -9, -1
"""What a result holds before its thread has run, and where the pool was exhausted."""


class Census(NamedTuple):
    """What a pool holds, counted on the device."""

    living: int
    free: int  # slots below the bump pointer without a cell
    on_stack: int
    stacked_wrongly: int  # on the stack more than once, or while they live, or free and not on it
    not_blank: int  # free slots with something left in them


@cache
def claiming(draw: str) -> Callable[..., Any]:
    """Build `claim_each(cells, heap, slots, ids, each)`: thread i claims `each` cells one after another, in a loop."""
    claim = build_claim(jit, DRAWS[draw])

    @kernel
    def claim_each(cells: Any, heap: Any, slots: Any, ids: Any, each: Any) -> None:
        for i in range(cuda.grid(1), slots.shape[0] // each, cuda.gridsize(1)):
            for k in range(each):
                slot, cell_id = claim(heap)
                slots[i * each + k], ids[i * each + k] = slot, cell_id
                if slot >= 0:
                    cells.weight[slot], cells.parent[slot] = 1, cell_id
                    cells.id[slot] = cell_id

    return claim_each


@cache
def claiming_by_block() -> Callable[..., Any]:
    """Build `claim_each(cells, heap, slots, ids, each)`: a cell a thread, the threads of a block together; `each` is 1."""
    claim = pool.block_claim()

    @kernel
    def claim_each(cells: Any, heap: Any, slots: Any, ids: Any, each: Any) -> None:
        n = slots.shape[0] // each
        for base in range(cuda.blockIdx.x * cuda.blockDim.x, n, cuda.gridsize(1)):  # all threads of a block go round together
            i = base + cuda.threadIdx.x
            slot, cell_id = claim(heap, i < n)
            if i < n:
                slots[i], ids[i] = slot, cell_id
            if slot >= 0:
                cells.weight[slot], cells.parent[slot] = 1, cell_id
                cells.id[slot] = cell_id

    return claim_each


@cache
def releasing(draw: str) -> Callable[..., Any]:
    """Build `release_each(cells, heap, slots, turns, done)`: `turns` threads release each slot, at about the same time."""
    release = build_release(jit, DRAWS[draw], pool.exchange)

    @kernel
    def release_each(cells: Any, heap: Any, slots: Any, turns: Any, done: Any) -> None:
        for i in range(cuda.grid(1), slots.shape[0] * turns, cuda.gridsize(1)):
            if release(cells, heap, slots[i // turns]):
                cuda.atomic.add(done, i // turns, 1)

    return release_each


@cache
def mixing(draw: str) -> Callable[..., Any]:
    """Build `mix(cells, heap, old, slots, ids, done)`: in every warp a third of the threads release and the others claim."""
    claim, release = build_claim(jit, DRAWS[draw]), build_release(jit, DRAWS[draw], pool.exchange)

    @kernel
    def mix(cells: Any, heap: Any, old: Any, slots: Any, ids: Any, done: Any) -> None:
        for i in range(cuda.grid(1), slots.shape[0], cuda.gridsize(1)):
            if i % 3 == 0:
                if i // 3 < old.shape[0] and release(cells, heap, old[i // 3]):
                    cuda.atomic.add(done, i // 3, 1)
            else:
                slot, cell_id = claim(heap)
                slots[i], ids[i] = slot, cell_id
                if slot >= 0:
                    cells.weight[slot], cells.parent[slot] = 1, cell_id
                    cells.id[slot] = cell_id

    return mix


@cache
def _marker() -> Callable[..., Any]:
    """Build `mark(values, first, seen, outside)`: count each value from `first` on; those below 0 are left out."""

    @kernel
    def mark(values: Any, first: Any, seen: Any, outside: Any) -> None:
        for i in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
            place = values[i] - first
            if values[i] >= 0:
                if place >= 0 and place < seen.shape[0]:
                    cuda.atomic.add(seen, place, 1)
                else:
                    cuda.atomic.add(outside, 0, 1)

    return mark


@cache
def _tallier() -> Callable[..., Any]:
    """Build `tally(seen, counts)`: how many were seen not at all, once, more often."""

    @kernel
    def tally(seen: Any, counts: Any) -> None:
        for i in range(cuda.grid(1), seen.shape[0], cuda.gridsize(1)):
            cuda.atomic.add(counts, min(seen[i], 2), 1)

    return tally


@cache
def _examiner() -> Callable[..., Any]:
    """Build `examine(cells, heap, bump, stacked, counts)`: living, free, wrongly stacked, not blank."""

    @kernel
    def examine(cells: Any, heap: Any, bump: Any, stacked: Any, counts: Any) -> None:
        for s in range(cuda.grid(1), bump, cuda.gridsize(1)):
            free = cells.id[s] < 0
            cuda.atomic.add(counts, 1 if free else 0, 1)
            if stacked[s] != (1 if free else 0):
                cuda.atomic.add(counts, 2, 1)
            if free and (cells.weight[s] != 0 or cells.parent[s] != FREE):
                cuda.atomic.add(counts, 3, 1)

    return examine


def count_seen(backend: Backend, values: Array, first: int, n: int) -> dict[str, int]:
    """Return how many of `first` to `first + n - 1` are among the values not at all, once, more often; and what lies outside."""
    seen, counts, outside = (backend.zeros(max(size, 1), np.dtype(np.int32)) for size in (n, 3, 1))
    launch_over(_marker(), values.shape[0], values, first, seen, outside)
    if n > 0:
        launch_over(_tallier(), n, seen, counts)
    never, once, more = (int(count) for count in backend.download(counts))
    return {"never": never, "once": once, "more": more, "outside": int(backend.download(outside)[0])}


def take_census(backend: Backend, cells: Cells, heap: Heap, bump: int) -> Census:
    """Count what the pool holds. It must be settled."""
    top = int(backend.download(heap.counters)[FREE_COUNT])
    stacked, counts, outside = (backend.zeros(max(size, 1), np.dtype(np.int32)) for size in (bump, 4, 1))
    if top > 0:
        launch_over(_marker(), top, heap.free[:top], 0, stacked, outside)
    launch_over(_examiner(), bump, cells, heap, bump, stacked, counts)
    living, free, wrong, left = (int(count) for count in backend.download(counts))
    return Census(living, free, top, wrong + int(backend.download(outside)[0]), left)


def new_results(backend: Backend, n: int) -> tuple[Array, Array]:
    """Return slots and ids that no thread has written yet."""
    slots, ids = np.full(n, NOTHING, SLOT), np.full(n, NOTHING, np.int64)
    return backend.upload(slots), backend.upload(ids)

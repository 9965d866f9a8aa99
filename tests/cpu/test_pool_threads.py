"""`claim` and `release` of the CPU, called by a user's own compiled code from many threads at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import Any

import numba
import numpy as np
import pytest

from dna.cpu import pool
from dna.cpu.compiler import use_safe_threads
from dna.types import BUMP, CLAIMED, FREE, FREE_COUNT, NEXT_ID, RELEASED, Cells, Heap

N = 250_000
ROUNDS = 8  # threads do not always run at the same time on a busy machine, so races get several chances
WORKERS = 4  # more than a small machine has cores, so that threads are also interrupted in the middle of a claim


@cache
def claimer() -> Callable[..., Any]:
    """Return compiled code that claims a cell for each place from `start` to `end`."""

    @numba.njit(nogil=True)
    def claim_range(cells: Any, heap: Any, slots: Any, ids: Any, start: int, end: int) -> None:
        for i in range(start, end):
            slots[i], ids[i] = pool.claim(heap)
            if slots[i] >= 0:
                cells.id[slots[i]] = ids[i]

    return claim_range


@cache
def releaser() -> Callable[..., Any]:
    """Return compiled code that releases the slots from `start` to `end` and says of which it succeeded."""

    @numba.njit(nogil=True)
    def release_range(cells: Any, heap: Any, slots: Any, done: Any, start: int, end: int) -> None:
        for i in range(start, end):
            done[i] = pool.release(cells, heap, slots[i])

    return release_range


def in_python_threads(work: Callable[..., Any], n: int, *arguments: Any) -> None:
    """Share the places 0 to n out among Python threads, which run without the GIL."""
    bounds = np.linspace(0, n, WORKERS + 1).astype(int)
    together([(work, (*arguments, *bounds[k : k + 2])) for k in range(WORKERS)])


def together(jobs: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> None:
    """Run each job in a thread of its own; they start when all threads are there."""
    start = Barrier(len(jobs))

    def run(work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        start.wait()
        work(*arguments)

    for work, arguments in jobs:
        work(*arguments[:-2], 0, 0)  # compiled before the race
    with ThreadPoolExecutor(len(jobs)) as workers:
        for job in [workers.submit(run, *job) for job in jobs]:
            job.result()


@cache
def parallel(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return compiled code that runs `work` in a `prange`, a chunk at a time."""
    use_safe_threads()

    @numba.njit(parallel=True)
    def run(first: Any, second: Any, third: Any, fourth: Any, n: int) -> None:
        for chunk in numba.prange((n + 99) // 100):
            work(first, second, third, fourth, chunk * 100, min(chunk * 100 + 100, n))

    return run


def in_prange(work: Callable[..., Any], n: int, *arguments: Any) -> None:
    parallel(work)(*arguments, n)


@pytest.fixture(params=[in_python_threads, in_prange])
def threads(request: pytest.FixtureRequest) -> Callable[..., None]:
    return request.param


def living_pool(capacity: int, n: int) -> tuple[Cells, Heap]:
    """Return a pool whose first n slots hold the cells 0 to n - 1."""
    cells, heap = pool.new_pool(capacity, 2, np.dtype(np.float32))
    slots = np.empty(n, np.int32)
    pool.bulk_claim()(heap, slots)
    for column in (cells.weight, cells.bias, cells.weight_grad, cells.bias_grad, cells.state, cells.source, cells.born):
        column[..., :n] = 1
    cells.id[:n] = np.arange(n)
    return cells, heap


def assert_sound(cells: Cells, heap: Heap) -> None:
    """The stack holds exactly the free slots below the bump pointer, each once; free slots are blank; no id twice."""
    bump, top = heap.counters[BUMP], heap.counters[FREE_COUNT]
    assert heap.counters[CLAIMED] == heap.counters[RELEASED] == 0
    np.testing.assert_array_equal(np.sort(heap.free[:top]), np.flatnonzero(cells.id[:bump] == FREE))
    living = cells.id[cells.id != FREE]
    assert len(np.unique(living)) == len(living)
    for name, column in cells._asdict().items():
        blank = FREE if name in ("id", "parent") else 0
        assert (column[..., cells.id == FREE] == blank).all(), name


def test_no_slot_and_no_id_is_handed_out_twice_or_lost(threads: Callable[..., None]) -> None:
    for _ in range(ROUNDS):
        cells, heap = living_pool(N + 5000, 10_000)
        pool.bulk_release()(cells, heap, np.arange(0, 10_000, 2, dtype=np.int32), 0)
        slots, ids = np.full(N, -9, np.int32), np.full(N, -9, np.int64)
        threads(claimer(), N, cells, heap, slots, ids)
        pool.settlement()(heap)
        np.testing.assert_array_equal(np.sort(ids), np.arange(10_000, 10_000 + N))
        np.testing.assert_array_equal(np.sort(slots), np.r_[np.arange(0, 10_000, 2), np.arange(10_000, N + 5000)])
        assert heap.counters[[FREE_COUNT, BUMP, NEXT_ID]].tolist() == [0, N + 5000, N + 10_000]
        assert_sound(cells, heap)


def test_an_exhausted_pool_gives_the_rest_and_then_nothing(threads: Callable[..., None]) -> None:
    for _ in range(ROUNDS):
        cells, heap = living_pool(N // 2, 100)
        slots, ids = np.full(N, -9, np.int32), np.full(N, -9, np.int64)
        threads(claimer(), N, cells, heap, slots, ids)
        pool.settlement()(heap)
        got = slots >= 0
        np.testing.assert_array_equal(np.sort(slots[got]), np.arange(100, N // 2))
        np.testing.assert_array_equal(np.sort(ids[got]), np.arange(100, N // 2))
        assert (slots[~got] == -1).all()
        assert (ids[~got] == -1).all()
        assert_sound(cells, heap)


def test_of_several_releases_of_one_slot_one_succeeds(threads: Callable[..., None]) -> None:
    for _ in range(ROUNDS):
        n = N // 4
        cells, heap = living_pool(n + 50, n)
        # Each thread walks through all slots in the same order, so that releases of one slot meet.
        slots = np.tile(np.arange(n, dtype=np.int32), WORKERS)
        done = np.zeros(len(slots), np.bool_)
        threads(releaser(), len(slots), cells, heap, slots, done)
        pool.settlement()(heap)
        np.testing.assert_array_equal(np.sort(slots[done]), np.arange(n))
        assert heap.counters[[FREE_COUNT, BUMP, NEXT_ID]].tolist() == [n, n, n]
        assert_sound(cells, heap)


def test_what_is_free_already_or_was_never_used_cannot_be_released() -> None:
    cells, heap = living_pool(150, 100)
    slots = np.array([99, 99, 100, 149, 150, -1, 2**31 - 1], np.int32)
    done = np.zeros(len(slots), np.bool_)
    releaser()(cells, heap, slots, done, 0, len(slots))
    pool.settlement()(heap)
    assert done.tolist() == [True] + [False] * 6
    assert heap.counters[[FREE_COUNT, BUMP]].tolist() == [1, 100]
    assert_sound(cells, heap)


@pytest.mark.parametrize("free", [0, 300_000, 600_000])
def test_claims_and_releases_at_the_same_time_settle(free: int) -> None:
    living, n_claim, n_release, room = 900_000, 400_000, 250_000, 100_000
    cells, heap = living_pool(living + room, living)
    pool.bulk_release()(cells, heap, np.arange(living - 1, living - 1 - free, -1, dtype=np.int32), 0)
    old, done = np.arange(n_release, dtype=np.int32), np.zeros(n_release, np.bool_)
    slots, ids = np.full(n_claim, -9, np.int32), np.full(n_claim, -9, np.int64)
    claims, releases = (cells, heap, slots, ids), (cells, heap, old, done)
    together([
        (claimer(), (*claims, 0, n_claim // 2)), (releaser(), (*releases, 0, n_release // 2)),
        (claimer(), (*claims, n_claim // 2, n_claim)), (releaser(), (*releases, n_release // 2, n_release)),
    ])  # fmt: skip
    pool.settlement()(heap)
    granted = min(n_claim, free + room)
    taken = min(granted, free)
    assert done.all()
    expected = np.r_[np.arange(living - free, living - free + taken), np.arange(living, living + granted - taken)]
    np.testing.assert_array_equal(np.sort(slots[slots >= 0]), expected)
    np.testing.assert_array_equal(np.sort(ids[ids >= 0]), np.arange(living, living + granted))
    assert heap.counters[[FREE_COUNT, BUMP]].tolist() == [free - taken + n_release, living + granted - taken]
    assert_sound(cells, heap)

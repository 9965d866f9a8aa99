"""The pool on CUDA: bulk claims and releases as on the CPU, and claims and releases by many threads of a kernel at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dna.allocation import build_claim, build_release
from dna.backend import Backend, Maths
from dna.cells import ACTIVATIONS, KINDS
from dna.cpu.backend import CpuBackend
from dna.cuda import pool
from dna.cuda.backend import CudaBackend
from dna.cuda.device import cuda, find_device, jit, kernel, launch
from dna.cuda.memory import download, upload
from dna.types import BUMP, CLAIMED, FREE, FREE_COUNT, NEXT_ID, RELEASED, Cells, Heap

pytestmark = pytest.mark.cudasim

MATHS = Maths(KINDS["linear"], (ACTIVATIONS["identity"],) * 2, np.dtype(np.float32))
ROWS = 2
THREADS = 64

DRAWS = {"by thread": pool.draw_by_thread, "by warp": pool.draw_by_warp}


@pytest.fixture(params=list(DRAWS))
def draw(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Both ways to draw tickets: that of the simulator, and that of a GPU, whose warp intrinsics the tests supply."""
    return DRAWS[request.param]


def backends() -> tuple[Backend, Backend]:
    return CpuBackend(MATHS), CudaBackend(MATHS, find_device("cudasim"))


def claiming(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel as a user would write it: every thread claims a cell and says what it got."""
    claim = build_claim(jit, draw)

    @kernel
    def claim_each(cells: Any, heap: Any, slots: Any, ids: Any) -> None:
        i = cuda.grid(1)
        if i < slots.shape[0]:
            slot, cell_id = claim(heap)
            slots[i], ids[i] = slot, cell_id
            if slot >= 0:
                cells.id[slot] = cell_id

    return claim_each


def releasing(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel in which every thread releases the slot that it is given."""
    release = build_release(jit, draw, pool.exchange)

    @kernel
    def release_each(cells: Any, heap: Any, slots: Any, done: Any) -> None:
        i = cuda.grid(1)
        if i < slots.shape[0]:
            done[i] = release(cells, heap, slots[i])

    return release_each


def mixing(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel in which threads of one warp claim and release in turn."""
    claim, release = build_claim(jit, draw), build_release(jit, draw, pool.exchange)

    @kernel
    def mix(cells: Any, heap: Any, old: Any, slots: Any, done: Any) -> None:
        i = cuda.grid(1)
        if i < old.shape[0]:
            if i % 3 == 0:
                done[i] = release(cells, heap, old[i])
            else:
                slot, cell_id = claim(heap)
                slots[i] = slot
                if slot >= 0:
                    cells.id[slot] = cell_id

    return mix


def run(function: Callable[..., Any], n: int, *arguments: Any) -> None:
    launch(function, -(-n // THREADS), THREADS, *arguments)


def living_pool(backend: Backend, capacity: int, n: int) -> tuple[Cells, Heap]:
    """Return a pool whose first n slots hold the cells 0 to n - 1, with values in every column."""
    cells, heap = backend.new_pool(capacity, ROWS)
    backend.claim(heap, n)
    columns = {}
    for name, column in cells._asdict().items():
        host = backend.download(column)
        host[..., :n] = np.arange(n) if name == "id" else 1 + np.arange(n)
        columns[name] = backend.upload(host)
    return Cells(**columns), heap


def assert_sound(cells: Cells, heap: Heap) -> None:
    """The stack holds exactly the free slots below the bump pointer, each once; no id twice; free slots are blank."""
    counters, ids = download(heap.counters), download(cells.id)
    bump, top = counters[BUMP], counters[FREE_COUNT]
    assert counters[CLAIMED] == counters[RELEASED] == 0
    stack = download(heap.free)[:top]
    assert sorted(stack) == np.flatnonzero(ids[:bump] == FREE).tolist()
    assert (ids[bump:] == FREE).all()
    living = ids[ids != FREE]
    assert len(set(living)) == len(living)
    assert (living < counters[NEXT_ID]).all()
    for name, column in cells._asdict().items():
        blank = FREE if name in ("id", "parent") else 0
        assert (download(column)[..., ids == FREE] == blank).all(), name


# in bulk


def test_a_new_pool_is_blank() -> None:
    cells, heap = pool.new_pool(70, ROWS, np.dtype(np.float32))
    assert_sound(cells, heap)
    assert not download(heap.counters).any()
    assert cells.state.shape == (ROWS, 70)
    assert pool.new_pool(5, 0, np.dtype(np.float64))[0].state.shape == (0, 5)


def test_bulk_claims_and_releases_are_those_of_the_cpu() -> None:
    histories = []
    for backend in backends():
        rng, history = np.random.default_rng(1), []
        cells, heap = living_pool(backend, 200, 90)
        for n_release, n_claim in ((30, 10), (40, 75), (0, 20), (5, 0)):
            alive = np.flatnonzero(backend.download(cells.id) != FREE).astype(np.int32)
            backend.release(cells, heap, backend.upload(rng.permutation(alive)[:n_release]))
            slots = backend.download(backend.claim(heap, n_claim))
            ids = backend.download(cells.id)
            ids[slots] = 1000 + np.arange(n_claim)
            cells = cells._replace(id=backend.upload(ids))
            history += [slots, backend.download(heap.counters), backend.download(heap.free)]
        histories.append(history + [backend.download(column) for column in cells])
    for expected, found in zip(*histories, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_growth_keeps_everything_and_the_old_pool() -> None:
    _, backend = backends()
    cells, heap = living_pool(backend, 40, 40)
    backend.release(cells, heap, upload(np.array([3, 17, 5], np.int32)))
    before = [download(column) for column in (*cells, *heap)]
    larger, heap_larger = backend.grow(cells, heap, 100)
    for old, kept, new in zip(before, (*cells, *heap), (*larger, *heap_larger), strict=True):
        np.testing.assert_array_equal(download(kept), old)
        np.testing.assert_array_equal(download(new)[..., : old.shape[-1]], old)
    assert_sound(larger, heap_larger)
    np.testing.assert_array_equal(download(backend.claim(heap_larger, 5)), [5, 17, 3, 40, 41])


# by threads


def test_threads_claim_distinct_slots_and_ids(draw: Callable[..., Any]) -> None:
    _, backend = backends()
    cells, heap = living_pool(backend, 400, 60)
    backend.release(cells, heap, upload(np.arange(0, 60, 2, dtype=np.int32)))
    slots, ids = upload(np.full(200, -9, np.int32)), upload(np.full(200, -9, np.int64))
    run(claiming(draw), 200, cells, heap, slots, ids)
    counters = backend.settle(heap)
    assert counters[[FREE_COUNT, BUMP, NEXT_ID]].tolist() == [0, 230, 260]
    assert sorted(download(ids)) == list(range(60, 260))
    assert sorted(download(slots)) == [*range(0, 60, 2), *range(60, 230)]
    assert_sound(cells, heap)


@pytest.mark.parametrize(("capacity", "granted"), [(400, 133), (120, 90)])
def test_blocks_claim_by_one_atomic_each(capacity: int, granted: int) -> None:
    claim_by_block = pool.block_claim()

    @kernel
    def claim_some(cells: Any, heap: Any, slots: Any, ids: Any) -> None:
        for base in range(cuda.blockIdx.x * THREADS, slots.shape[0], cuda.gridDim.x * THREADS):
            i = base + cuda.threadIdx.x
            slot, cell_id = claim_by_block(heap, i < slots.shape[0] and i % 3 != 0)
            if i < slots.shape[0]:
                slots[i], ids[i] = slot, cell_id
                if slot >= 0:
                    cells.id[slot] = cell_id

    _, backend = backends()
    cells, heap = living_pool(backend, capacity, 60)
    backend.release(cells, heap, upload(np.arange(0, 60, 2, dtype=np.int32)))
    slots, ids = upload(np.full(200, -9, np.int32)), upload(np.full(200, -9, np.int64))
    launch(claim_some, 2, THREADS, cells, heap, slots, ids)
    counters = backend.settle(heap)
    assert counters[[FREE_COUNT, BUMP, NEXT_ID]].tolist() == [0, 30 + granted, 60 + granted]
    found, found_ids = download(slots), download(ids)
    got = found >= 0
    assert not got[::3].any() and got.sum() == granted
    assert sorted(found[got]) == [*range(0, 60, 2), *range(60, 30 + granted)]
    assert sorted(found_ids[got]) == list(range(60, 60 + granted))
    assert (np.diff(found_ids[:THREADS][got[:THREADS]]) == 1).all()  # tickets follow the threads of a block
    assert_sound(cells, heap)


def test_an_exhausted_pool_gives_the_rest_and_then_nothing(draw: Callable[..., Any]) -> None:
    _, backend = backends()
    cells, heap = living_pool(backend, 100, 80)
    backend.release(cells, heap, upload(np.array([7, 70], np.int32)))
    slots, ids = upload(np.full(150, -9, np.int32)), upload(np.full(150, -9, np.int64))
    run(claiming(draw), 150, cells, heap, slots, ids)
    counters = backend.settle(heap)
    got = download(slots)
    assert sorted(got[got >= 0]) == [7, 70, *range(80, 100)]
    assert (got[got < 0] == -1).all()
    np.testing.assert_array_equal(download(ids) == -1, got == -1)
    assert counters[[FREE_COUNT, BUMP, NEXT_ID]].tolist() == [0, 100, 102]
    assert_sound(cells, heap)
    run(claiming(draw), 1, cells, heap, slots, ids)
    assert download(slots)[0] == -1


def test_of_several_releases_of_one_slot_one_succeeds(draw: Callable[..., Any]) -> None:
    _, backend = backends()
    cells, heap = living_pool(backend, 128, 100)
    wanted = np.concatenate([np.tile(np.arange(40), 3), [100, 127, -1, 128, 5000]]).astype(np.int32)
    slots, done = upload(np.random.default_rng(2).permutation(wanted)), upload(np.zeros(len(wanted), np.bool_))
    run(releasing(draw), len(wanted), cells, heap, slots, done)
    counters = backend.settle(heap)
    assert sorted(download(slots)[download(done)]) == list(range(40))
    assert counters[FREE_COUNT] == 40
    assert_sound(cells, heap)
    run(releasing(draw), len(wanted), cells, heap, slots, done)
    assert not download(done).any()
    assert backend.settle(heap)[FREE_COUNT] == 40


@pytest.mark.parametrize("free", [0, 20, 90])
def test_claims_and_releases_of_one_launch_settle(draw: Callable[..., Any], free: int) -> None:
    _, backend = backends()
    cells, heap = living_pool(backend, 260, 250)
    backend.release(cells, heap, upload(np.arange(249, 249 - free, -1, dtype=np.int32)))
    old, n = upload(np.arange(150, dtype=np.int32)), 150
    slots, done = upload(np.full(n, -1, np.int32)), upload(np.zeros(n, np.bool_))
    run(mixing(draw), n, cells, heap, old, slots, done)
    counters = backend.settle(heap)
    granted = min(100, free + 10)
    taken = min(granted, free)
    got = download(slots)
    assert download(done).sum() == 50
    assert sorted(got[got >= 0]) == [*range(250 - free, 250 - free + taken), *range(250, 250 + granted - taken)]
    assert counters[[FREE_COUNT, BUMP, NEXT_ID]].tolist() == [free - taken + 50, 250 + granted - taken, 250 + granted]
    assert_sound(cells, heap)


def test_a_block_settles_more_slots_than_it_has_threads() -> None:
    found = []
    for backend in backends():
        _, heap = backend.new_pool(1000, 0)
        free, counters = np.random.default_rng(3).permutation(1000).astype(np.int32), np.zeros(5, np.int64)
        counters[[FREE_COUNT, BUMP, NEXT_ID, CLAIMED, RELEASED]] = 400, 950, 2000, 37, 300
        heap = Heap(backend.upload(free), backend.upload(counters))
        found.append([backend.settle(heap), backend.download(heap.free)[:663]])
    for expected, got in zip(*found, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert found[1][0][FREE_COUNT] == 663


def test_warps_that_draw_from_two_pools_are_kept_apart() -> None:
    claim = build_claim(jit, pool.draw_by_warp)

    @kernel
    def claim_from_either(first: Any, second: Any, slots: Any) -> None:
        i = cuda.grid(1)
        slot, _ = claim(first if i % 2 == 0 else second)
        slots[i] = slot

    _, backend = backends()
    (_, first), (_, second) = backend.new_pool(100, 0), backend.new_pool(100, 0)
    slots = upload(np.zeros(128, np.int32))
    run(claim_from_either, 128, first, second, slots)
    for heap, own in ((first, download(slots)[::2]), (second, download(slots)[1::2])):
        assert sorted(own) == list(range(64))
        assert backend.settle(heap)[BUMP] == 64


def test_users_functions_work_in_the_simulator_as_they_are() -> None:
    @kernel
    def claim_and_release(cells: Any, heap: Any, slots: Any, done: Any) -> None:
        i = cuda.grid(1)
        slot, cell_id = pool.claim(heap)
        cells.id[slot] = cell_id
        slots[i] = slot
        done[i] = pool.release(cells, heap, slot)

    _, backend = backends()
    cells, heap = backend.new_pool(100, ROWS)
    slots, done = upload(np.zeros(64, np.int32)), upload(np.zeros(64, np.bool_))
    run(claim_and_release, 64, cells, heap, slots, done)
    assert sorted(download(slots)) == list(range(64))
    assert download(done).all()
    assert backend.settle(heap)[[FREE_COUNT, BUMP, NEXT_ID]].tolist() == [64, 64, 64]
    assert_sound(cells, heap)

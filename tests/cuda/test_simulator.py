"""The simulator as the tests mend it: races show, threads that wait in vain are an error, and nobody reads beside an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cudasim_threads
import numpy as np
import pytest

from dna.cuda.device import FULL, cuda, jit, kernel, launch
from dna.cuda.memory import download, upload

pytestmark = pytest.mark.cudasim

THREADS = 64


def zeros(n: int) -> Any:
    return upload(np.zeros(n, np.int64))


def test_atomic_additions_are_whole_and_plain_ones_lose_updates() -> None:
    @kernel
    def count(plain: Any, whole: Any) -> None:
        plain[0] += 1
        cuda.atomic.add(whole, 0, 1)

    plain, whole = zeros(1), zeros(1)
    for _ in range(5):
        launch(count, 4, THREADS, plain, whole)
    assert download(whole)[0] == 5 * 4 * THREADS
    assert download(plain)[0] < 5 * 4 * THREADS


@pytest.mark.parametrize("barrier", [True, False])
def test_a_missing_barrier_shows(barrier: bool) -> None:
    first = 1000 if barrier else 2000  # shared memory may still hold what the other case wrote

    @kernel
    def turn_round(out: Any) -> None:
        shared = cuda.shared.array(THREADS, np.int64)
        i = cuda.threadIdx.x
        shared[i] = first + i
        if barrier:
            cuda.syncthreads()
        out[i] = shared[THREADS - 1 - i]

    out = zeros(THREADS)
    launch(turn_round, 1, THREADS, out)
    assert (download(out) == first + np.arange(THREADS)[::-1]).all() == barrier


def test_blocks_run_side_by_side_and_share_no_array() -> None:
    """Each block waits for the other one, which only blocks that run at the same time can do."""

    @kernel
    def meet(arrived: Any, seen: Any) -> None:
        shared = cuda.shared.array(1, np.int64)
        shared[0] = cuda.blockIdx.x
        cuda.atomic.add(arrived, 0, 1)
        while arrived[0] < 2:
            pass
        seen[cuda.blockIdx.x] = shared[0]

    arrived, seen = zeros(1), zeros(2)
    launch(meet, 2, 1, arrived, seen)
    assert download(seen).tolist() == [0, 1]


def test_a_barrier_does_not_wait_for_those_that_have_ended() -> None:
    @kernel
    def leave(out: Any) -> None:
        i = cuda.threadIdx.x
        if i % 2 == 0:
            out[i] = 1
            return
        cuda.syncthreads()
        out[i] = out[i - 1]

    out = zeros(THREADS)
    launch(leave, 1, THREADS, out)
    assert (download(out) == 1).all()


def test_lanes_that_wait_in_vain_are_an_error_and_not_a_hang() -> None:
    @kernel
    def desert(out: Any) -> None:
        if cuda.threadIdx.x > 0:
            out[0] = cuda.shfl_sync(FULL, 1, 0)

    with pytest.raises(RuntimeError, match="31 threads wait for others that do not come"):
        launch(desert, 1, 32, zeros(1))


def test_lanes_outside_their_mask_are_an_error() -> None:
    @kernel
    def intrude(out: Any) -> None:
        cuda.syncwarp(2)

    with pytest.raises(RuntimeError, match="lane 0 is not in the mask 0x2 that it passes"):
        launch(intrude, 1, 2, zeros(1))


def test_groups_of_all_sizes_meet_at_activemask() -> None:
    @kernel
    def ask(masks: Any) -> None:
        masks[cuda.grid(1)] = cuda.activemask()

    masks, sizes = zeros(4 * THREADS), set()
    for _ in range(5):
        launch(ask, 4, THREADS, masks)
        for warp in download(masks).reshape(-1, 32):
            assert all(int(mask) >> lane & 1 for lane, mask in enumerate(warp))
            sizes |= {int(mask).bit_count() for mask in warp}
    assert len(sizes) > 10


@pytest.mark.parametrize("index", [-1, 8, (0, -1)])
@pytest.mark.parametrize("shared", [False, True])
def test_no_index_leads_out_of_an_array(index: Any, shared: bool) -> None:
    shape = (8, 2) if isinstance(index, tuple) else 8

    def write(array: Any) -> None:
        array[index] = 1

    def read(array: Any) -> None:
        array[index]

    def add(array: Any) -> None:
        cuda.atomic.add(array, index, 1)

    for access in map(jit, (write, read, add)):
        with pytest.raises(IndexError, match=r"below zero|out of bounds"):
            launch(reaching(access, shape, shared), 1, 1, upload(np.zeros(shape, np.int64)))


def reaching(access: Callable[..., Any], shape: Any, shared: bool) -> Callable[..., Any]:
    @kernel
    def reach(array: Any) -> None:
        access(cuda.shared.array(shape, np.int64) if shared else array)

    return reach


def test_the_same_seed_brings_the_same_races() -> None:
    @kernel
    def draw(tickets: Any, counter: Any) -> None:
        tickets[cuda.grid(1)] = cuda.atomic.add(counter, 0, 1)

    def drawn(seed: str) -> list[int]:
        tickets = zeros(2 * THREADS)
        cudasim_threads.seed(seed)
        launch(draw, 2, THREADS, tickets, zeros(1))
        found: list[int] = download(tickets).tolist()
        return found

    assert drawn("one") == drawn("one") != drawn("another")

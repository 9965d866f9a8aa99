"""The CPU's atomics under contention: every thread works on the same few places, so that a lost update shows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numba
import numpy as np
import pytest

from dna.cpu.atomics import atomic_add, atomic_exchange

WORKERS = 4
N = 500_000


def together(work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Run `work(worker, *arguments)` in threads that start when all are there, without the GIL."""
    start = Barrier(WORKERS)

    def run(worker: int) -> Any:
        start.wait()
        return work(worker, *arguments)

    with ThreadPoolExecutor(WORKERS) as workers:
        return list(workers.map(run, range(WORKERS)))


@numba.njit(nogil=True)
def _exchange_often(worker: int, place: Any, seen: Any) -> None:
    for i in range(seen.shape[1]):
        seen[worker, i] = atomic_exchange(place, 0, worker * seen.shape[1] + i)


@numba.njit(nogil=True)
def _add_often(worker: int, sums: Any, seen: Any) -> None:
    for i in range(seen.shape[1]):
        seen[worker, i] = atomic_add(sums, 1, 1)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_an_exchanged_value_comes_out_exactly_once(dtype: Any) -> None:
    place, seen = np.full(1, -1, dtype), np.zeros((WORKERS, N), dtype)
    _exchange_often(0, place, seen[:, :0])
    together(_exchange_often, place, seen)
    out = np.sort(np.append(seen, place))
    np.testing.assert_array_equal(out, np.arange(-1, WORKERS * N))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32, np.float64])
def test_every_addition_counts_and_returns_what_was_there(dtype: Any) -> None:
    sums, seen = np.zeros(3, dtype), np.zeros((WORKERS, N), dtype)
    _add_often(0, sums, seen[:, :0])
    together(_add_often, sums, seen)
    assert sums.tolist() == [0, WORKERS * N, 0]
    np.testing.assert_array_equal(np.sort(seen, axis=None), np.arange(WORKERS * N))

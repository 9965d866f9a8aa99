"""The CPU's atomics under contention: every thread works on the same few places, so that a lost update shows."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from workers import WORKERS, together

from dna.cpu.atomics import atomic_add, atomic_exchange, claim, read_at_once, wait_for_other, write_at_once

N = 500_000


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


@numba.njit(nogil=True)
def _take_turns(worker: int, ready: Any, claims: Any, book: Any, taken: Any) -> None:
    turn = read_at_once(ready, 0)
    while turn < len(book) - 1:
        if claim(claims, 0, turn):
            book[turn + 1] = book[turn] + 1
            taken[worker] += 1
            write_at_once(ready, 0, turn + 1)
        turn = wait_for_other(ready, 0, turn)


def test_a_turn_is_one_worker_s_and_all_that_it_wrote_is_there_for_the_next() -> None:
    def room(turns: int) -> tuple[Any, ...]:
        return np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(turns + 1, np.int64), np.zeros(WORKERS, np.int64)

    _take_turns(0, *room(0))
    ready, claims, book, taken = room(20_000)
    together(_take_turns, ready, claims, book, taken)
    np.testing.assert_array_equal(book, np.arange(20_001))
    assert ready.tolist() == claims.tolist() == [20_000] and taken.sum() == 20_000


def test_a_turn_is_claimed_once() -> None:
    @numba.njit
    def claim_it(claims: Any, turn: int) -> Any:
        return claim(claims, 0, turn)

    claims = np.zeros(1, np.int64)
    assert [claim_it(claims, turn) for turn in (1, 0, 0, 1, 0)] == [False, True, False, True, False]
    assert claims.tolist() == [2]

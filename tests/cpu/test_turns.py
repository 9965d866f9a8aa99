"""Turns of several threads: each job of each phase is done once, and none before the phase before it has ended."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from workers import together

from dna.cpu.turns import CLAIMS, LINE, begin_phase, end_job, object_to, take, wait_for

JOBS, ROUNDS = 5, 3000


@numba.njit(nogil=True)
def _play(worker: int, turns: Any, first: Any, second: Any, wrong: int) -> None:
    for game in range(len(turns)):
        for k in range(JOBS):
            job = (worker + k) % JOBS
            if take(turns[game], job, 0):
                first[game, job] += 1
                if job == wrong:
                    object_to(turns[game])
                if end_job(turns[game], JOBS):
                    begin_phase(turns[game], 1)
        if wait_for(turns[game], 1):
            for job in range(JOBS):
                if take(turns[game], job, 1):
                    second[game, job] += first[game].sum()


@pytest.mark.parametrize(("wrong", "seen"), [(-1, JOBS), (3, 0)])
def test_a_phase_begins_when_all_jobs_of_the_one_before_have_ended_well(wrong: int, seen: int) -> None:
    def room(rounds: int) -> tuple[np.ndarray, ...]:
        turns = np.zeros((rounds, CLAIMS + JOBS * LINE), np.int64)
        return turns, np.zeros((rounds, JOBS), np.int64), np.zeros((rounds, JOBS), np.int64)

    _play(0, *room(0), wrong)
    turns, first, second = room(ROUNDS)
    together(_play, turns, first, second, wrong)
    np.testing.assert_array_equal(first, np.ones((ROUNDS, JOBS)))
    np.testing.assert_array_equal(second, np.full((ROUNDS, JOBS), seen))

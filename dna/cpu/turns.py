"""Turns: threads that start once for a call of several phases, and claim the jobs of each.

A job belongs to the thread that claimed it. A thread waits only for jobs that others are at, so all gets done by as many threads
as come, even by one, in any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dna.cpu.atomics import atomic_add, claim, read_at_once, wait_for_other, write_at_once
from dna.cpu.compiler import jit
from dna.cpu.memory import CACHE_LINE
from dna.cpu.threads import zeros
from dna.types import OFFSET

LINE = CACHE_LINE // OFFSET.itemsize
"""Numbers on a cache line: what threads write to has one of its own."""

READY, DONE, WRONG, CLAIMS = 0, LINE, 2 * LINE, 3 * LINE
"""Places of the turns: the phase that may run, or -1 if something was wrong; jobs done; what was wrong; each job's next phase."""


@jit
def new_turns(jobs: Any) -> Any:
    """Return the turns of so many jobs: zeros, (CLAIMS + jobs * LINE,) int64."""
    return zeros(CLAIMS + jobs * LINE, np.int64)


@jit
def take(turns: Any, job: Any, phase: Any) -> Any:
    """Return whether a job of this phase is the caller's: it is told to one thread only."""
    return claim(turns, CLAIMS + job * LINE, phase)


@jit
def end_job(turns: Any, done: Any) -> Any:
    """Note that a job has ended; return whether with it `done` jobs of all phases have."""
    return atomic_add(turns, DONE, 1) == done - 1


@jit
def object_to(turns: Any) -> None:
    """Note that something is wrong, so that no phase follows."""
    atomic_add(turns, WRONG, 1)


@jit
def begin_phase(turns: Any, phase: Any) -> None:
    """Let all threads go on, or leave if something was wrong."""
    write_at_once(turns, READY, -1 if read_at_once(turns, WRONG) > 0 else phase)


@jit
def wait_for(turns: Any, phase: Any) -> Any:
    """Wait until this phase may run; return whether it may."""
    now = read_at_once(turns, READY)
    while 0 <= now < phase:
        now = wait_for_other(turns, READY, now)
    return now >= phase

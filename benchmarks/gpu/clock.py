"""Time on a GPU: by events around work that was queued ahead, with a cold L2; or on the host, with a wait at both ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from dna.cuda.device import SIMULATED, cuda, kernel, launch
from dna.cuda.memory import empty, fill

Work = Callable[[], Any]

AHEAD = 8
"""Runs that are queued before the first of them may start."""

HOLD_MS = 4
MOST_HOLD_MS = 256


class Timing(NamedTuple):
    """Times of one thing, in milliseconds."""

    ms: float  # the median
    low: float  # quartiles: a difference smaller than their distance is noise
    high: float
    runs: int
    fed: bool  # whether the GPU never waited for the host; False means that launching is part of the time

    def record(self) -> dict[str, Any]:
        return self._asdict()


class Clock:
    """Times work on the current GPU; in the simulator the same calls read the host's clock.

    Parameters
    ----------
    l2 : int
        Bytes of L2; twice as many are written before each timed run, so that nothing is found there.
    budget_ms : float
        About how long the timed runs of one thing may take together.
    """

    def __init__(self, l2: int, budget_ms: float) -> None:
        self._budget = budget_ms
        self._dirt = empty(max(2 * l2 // 4, 1), np.dtype(np.int32))

    def cold(self, work: Work, before: Work | None = None) -> Timing:
        """Return the GPU's time for work that only launches, started on a cold L2 and with its queue full.

        `before` is run ahead of each run and not timed. Work that waits for the GPU is timed by `call`.
        """
        if SIMULATED:
            return self.call(work, before)
        self._wait(work, before)
        one, _ = self._queue(work, before, 1, HOLD_MS)
        repeats = self._repeats(one[0])
        hold, times, fed = HOLD_MS, [], True
        while len(times) < repeats:
            some, fed = self._queue(work, before, min(AHEAD, repeats), hold)
            if fed or hold >= MOST_HOLD_MS:
                times += some
            else:
                hold *= 2
        return _timing(times, fed)

    def call(self, work: Work, before: Work | None = None) -> Timing:
        """Return the time that a caller waits: launches, waits and copies included, L2 as the last run left it."""
        self._wait(work, before)
        first = self._wait(work, before)
        return _timing([self._wait(work, before) for _ in range(self._repeats(first))], fed=False)

    def one_launch(self, run: Work) -> tuple[float, bool]:
        """Return the GPU's time in ms for a single launch, once, on whatever L2 holds; and whether it was queued ahead."""
        if SIMULATED:
            return self._wait(run, None), False
        start, end = cuda.event(), cuda.event()
        launch(_holder(), 1, 1, 2)
        start.record()
        run()
        end.record()
        fed = not start.query()
        end.synchronize()
        return float(start.elapsed_time(end)), fed

    def _queue(self, work: Work, before: Work | None, runs: int, hold: int) -> tuple[list[float], bool]:
        """Queue runs behind a kernel that holds the GPU; return their times, and whether it held until all were queued."""
        starts, ends = [cuda.event() for _ in range(runs)], [cuda.event() for _ in range(runs)]
        launch(_holder(), 1, 1, hold)
        for start, end in zip(starts, ends, strict=True):
            if before is not None:
                before()
            fill(self._dirt, 1)
            start.record()
            work()
            end.record()
        fed = not starts[0].query()
        cuda.synchronize()
        return [float(start.elapsed_time(end)) for start, end in zip(starts, ends, strict=True)], fed

    def _wait(self, work: Work, before: Work | None) -> float:
        if before is not None:
            before()
        cuda.synchronize()
        start = time.perf_counter()
        work()
        cuda.synchronize()
        return 1e3 * (time.perf_counter() - start)

    def _repeats(self, ms: float) -> int:
        if SIMULATED:
            return 1
        return int(min(max(self._budget / max(ms, 1e-3), 3), 40))


def on_gpu(device: str) -> AbstractContextManager[Any]:
    """Make a GPU the current one, for kernels and arrays that belong to no backend."""
    return nullcontext() if SIMULATED else cuda.gpus[int(device.partition(":")[2] or 0)]


def _timing(times: list[float], fed: bool) -> Timing:
    low, middle, high = (float(q) for q in np.percentile(times, (25, 50, 75)))
    return Timing(middle, low, high, len(times), fed)


@cache
def _holder() -> Callable[..., Any]:
    """Build `hold(ms)`: one thread that sleeps for about so many milliseconds, while the host queues work behind it."""

    @kernel
    def hold(ms: Any) -> None:
        for _ in range(ms):
            cuda.nanosleep(np.uint32(1_000_000))

    return hold

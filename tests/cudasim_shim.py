"""Warp intrinsics for Numba's CUDA simulator, which has none, so that tests run the very code that a GPU runs.

The lanes that a mask names meet at a barrier of their own, exchange values, and go on; warps do not wait for each other. As on a
GPU, every lane of a mask must arrive; one that does not makes the others fail instead of hanging. `activemask` may answer with
any set of lanes that are there at the time; here it takes those that arrive within a moment, so groups of all sizes come up.

`install()` before the first launch; call it as often as you like.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

WARP = 32
PATIENCE = 60.0  # seconds until a lane that waits for others gives up
GATHERING = 0.002  # seconds for which the first lane at `activemask` waits for company

_lock = threading.Lock()


class _Meeting:
    """Where the lanes of one mask of one warp exchange values, over and over."""

    def __init__(self, lanes: int) -> None:
        self.barrier = threading.Barrier(lanes)
        self.values: dict[int, Any] = {}

    def exchange(self, lane: int, value: Any) -> dict[int, Any]:
        self.values[lane] = value
        self.barrier.wait(PATIENCE)
        seen = dict(self.values)
        self.barrier.wait(PATIENCE)
        return seen


class _Group:
    """Lanes that come by `activemask` at about the same time."""

    def __init__(self) -> None:
        self.mask = 0
        self.closed = threading.Event()


def _place() -> tuple[Any, int, int]:
    """Return (what lives as long as the block, warp, lane) of the simulated thread that asks."""
    thread: Any = threading.current_thread()
    return thread._manager, thread.thread_id // WARP, thread.thread_id % WARP


def _exchange(mask: int, value: Any) -> tuple[dict[int, Any], int]:
    """Return every lane's value, and the lane that asks."""
    block, warp, lane = _place()
    mask = int(mask) & _lanes_of(block, warp)
    if not mask >> lane & 1:
        raise RuntimeError(f"lane {lane} is not in the mask {mask:#x} that it passes")
    with _lock:
        meetings = block.__dict__.setdefault("_meetings", {})
        meeting = meetings.setdefault((warp, mask), _Meeting(mask.bit_count()))
    return meeting.exchange(lane, value), lane


def _lanes_of(block: Any, warp: int) -> int:
    """Return the mask of the lanes that a warp has; the last one of a block may have fewer than 32."""
    x, y, z = block._block_dim
    return (1 << min(WARP, x * y * z - warp * WARP)) - 1


def _fetch(mask: int, value: Any, source_of: Callable[[int], int]) -> Any:
    """Return the value of the lane `source_of(lane)`, or the own one where that lane is outside the warp."""
    values, lane = _exchange(mask, value)
    source = source_of(lane)
    if not 0 <= source < WARP:
        return value
    if source not in values:
        raise RuntimeError(f"lane {lane} reads from lane {source}, which is not in the mask {int(mask):#x}")
    return values[source]


def shfl_sync(self: Any, mask: int, value: Any, source: int) -> Any:
    return _fetch(mask, value, lambda lane: int(source) % WARP)


def shfl_up_sync(self: Any, mask: int, value: Any, delta: int) -> Any:
    return _fetch(mask, value, lambda lane: lane - int(delta))


def shfl_down_sync(self: Any, mask: int, value: Any, delta: int) -> Any:
    return _fetch(mask, value, lambda lane: lane + int(delta))


def shfl_xor_sync(self: Any, mask: int, value: Any, lanes: int) -> Any:
    return _fetch(mask, value, lambda lane: lane ^ int(lanes))


def ballot_sync(self: Any, mask: int, predicate: Any) -> int:
    values, _ = _exchange(mask, bool(predicate))
    return sum(1 << lane for lane, value in values.items() if value)


def all_sync(self: Any, mask: int, predicate: Any) -> bool:
    return all(_exchange(mask, bool(predicate))[0].values())


def any_sync(self: Any, mask: int, predicate: Any) -> bool:
    return any(_exchange(mask, bool(predicate))[0].values())


def match_any_sync(self: Any, mask: int, value: Any) -> int:
    values, _ = _exchange(mask, value)
    return sum(1 << lane for lane, other in values.items() if other == value)


def syncwarp(self: Any, mask: int = (1 << WARP) - 1) -> None:
    _exchange(mask, None)


def lanemask_lt(self: Any) -> int:
    return (1 << _place()[2]) - 1


def activemask(self: Any) -> int:
    block, warp, lane = _place()
    with _lock:
        groups = block.__dict__.setdefault("_groups", {})
        first = warp not in groups
        group = groups.setdefault(warp, _Group())
        group.mask |= 1 << lane
        full = group.mask == _lanes_of(block, warp)
        if full:
            del groups[warp]
            group.closed.set()
    if first and not full and not group.closed.wait(GATHERING):
        with _lock:
            if not group.closed.is_set():
                del groups[warp]
                group.closed.set()
    group.closed.wait(PATIENCE)
    return group.mask


def shared_array(self: Any, shape: Any, dtype: Any, alignment: int | None = None) -> Any:
    """Return the block's shared array of the line that asks.

    The simulator's own looks and then allocates, without a lock: two threads that come at once get two arrays, and what one of
    them writes there is lost to the others.
    """
    frame = sys._getframe(1)
    place = frame.f_code.co_filename, frame.f_lineno
    with _lock:
        if place not in self._allocations:
            self._allocations[place] = np.empty(shape, dtype)
        return self._allocations[place]


INTRINSICS = (
    shfl_sync, shfl_up_sync, shfl_down_sync, shfl_xor_sync,
    ballot_sync, all_sync, any_sync, match_any_sync,
    syncwarp, lanemask_lt, activemask,
)  # fmt: skip


def install() -> None:
    """Add the intrinsics to the module that the simulator shows to kernels, and mend its shared arrays."""
    from numba.cuda.simulator.kernelapi import FakeCUDAModule, FakeCUDAShared

    FakeCUDAShared.array = shared_array
    for intrinsic in INTRINSICS:
        setattr(FakeCUDAModule, intrinsic.__name__, intrinsic)
    # A block's manager polls its threads; with Python's usual 5 ms it would hold them up at every step.
    sys.setswitchinterval(1e-4)

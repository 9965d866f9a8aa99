"""Numba's CUDA simulator as the tests need it: with warp intrinsics, many times as fast, and with threads that race.

The simulator gives each thread of a block a thread of the operating system, polls them, runs one block after another, and has no
warp intrinsics. Here the threads of a launch are greenlets of one scheduler, so that tests run the very code that a GPU runs:

- Who goes on is drawn at random, from a fixed seed. A thread may lose its turn at any access to an array on the device and
  before any atomic operation, and blocks run side by side.
- Lanes that a mask names exchange values once all have arrived. Threads that wait for others that never come are an error.
- `activemask` answers with any set of lanes that are there at the time, so groups of all sizes come up.
- An index below zero, which NumPy takes from the end, is an error, as is one past the end.

`install()` before the first launch; call it as often as you like.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any

import numpy as np
from cudasim_threads import WARP, Block, interrupt, run
from greenlet import getcurrent
from numba.cuda.simulator import kernel as launches
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
from numba.cuda.simulator.kernelapi import FakeCUDAAtomic, FakeCUDAModule, FakeCUDAShared, swapped_cuda_module

RESIDENT = 8  # blocks that run side by side

_resident: list[Block] = []  # blocks of the present launch that are to run side by side


class Blocks:
    """Stands for the simulator's manager of a block: collects blocks, and runs them side by side."""

    def __init__(self, function: Callable[..., None], grid: tuple[int, ...], size: tuple[int, ...], debug: bool) -> None:
        self.function, self.size, self.last = function, size, tuple(n - 1 for n in grid)

    def run(self, place: tuple[int, ...], *arguments: Any) -> None:
        _resident.append(Block(place, self.size, lambda: self.function(*arguments)))
        if len(_resident) == RESIDENT or place == self.last:
            blocks = list(_resident)
            _resident.clear()
            run(blocks)


def _call(call: Callable[..., Any]) -> Callable[..., Any]:
    """Change the call of kernels and device functions: what they know as `cuda` is swapped once a launch, not at every call."""
    swapped: set[int] = set()
    modules = ExitStack()

    @wraps(call)
    def called(self: Any, *arguments: Any) -> Any:
        context = launches._kernel_context
        if context is None:
            with modules:
                swapped.clear()
                _resident.clear()
                return call(self, *arguments)
        if id(self.fn.__globals__) not in swapped:
            swapped.add(id(self.fn.__globals__))
            modules.enter_context(swapped_cuda_module(self.fn, context))
        return self.fn(*arguments)

    return called


# arrays


def _check(index: Any) -> None:
    for each in index if type(index) is tuple else (index,):
        if type(each) is not slice and each is not Ellipsis and each < 0:
            raise IndexError(f"index {index} is below zero")


def _read(self: Any, index: Any) -> Any:
    interrupt()
    _check(index)
    found = self._ary[index]
    return FakeCUDAArray(found) if type(found) is np.ndarray else found


def _write(self: Any, index: Any, value: Any) -> None:
    interrupt()
    _check(index)
    self._ary[index] = value


def _atomic(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Make an operation whole: nobody else has a turn within it."""

    @wraps(operation)
    def whole(self: Any, array: Any, index: Any, *values: Any) -> Any:
        interrupt()
        _check(index)
        return operation(self, getattr(array, "_ary", array), index, *values)

    return whole


def _shared_array(self: Any, shape: Any, dtype: Any, alignment: int | None = None) -> Any:
    """Return the block's shared array of the line that asks."""
    frame, shared = sys._getframe(1), getcurrent().block.shared
    place = frame.f_code.co_filename, frame.f_lineno
    if place not in shared:
        shared[place] = FakeCUDAArray(np.empty(shape, dtype))
    return shared[place]


# intrinsics


def _exchange(mask: int, value: Any) -> tuple[dict[int, Any], int]:
    """Return every lane's value, and the lane that asks."""
    thread = getcurrent()
    return thread.block.exchange(thread, mask, value), thread.lane


def _fetch(mask: int, value: Any, source_of: Callable[[int], int]) -> Any:
    """Return the value of the lane `source_of(lane)`, or the own one where that lane is outside the warp."""
    values, lane = _exchange(mask, value)
    source = source_of(lane)
    if not 0 <= source < WARP:
        return value
    if source not in values:
        raise RuntimeError(f"lane {lane} reads from lane {source}, which is not in the mask {int(mask):#x}")
    return values[source]


def _vote(of: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    return lambda self, value: of(getcurrent().block.barrier(getcurrent(), value))


def _masked(of: Callable[[dict[int, Any], Any], Any]) -> Callable[..., Any]:
    return lambda self, mask, value: of(_exchange(mask, value)[0], value)


def _mask(lanes: list[int]) -> int:
    return sum(1 << lane for lane in lanes)


INTRINSICS: dict[str, Any] = {
    "threadIdx": property(lambda self: getcurrent().threadIdx),
    "blockIdx": property(lambda self: getcurrent().blockIdx),
    "laneid": property(lambda self: getcurrent().lane),
    "lanemask_lt": lambda self: (1 << getcurrent().lane) - 1,
    "activemask": lambda self: getcurrent().block.gather(getcurrent()),
    "syncthreads": lambda self: getcurrent().block.barrier(getcurrent(), None),
    "syncthreads_count": _vote(lambda votes: sum(map(bool, votes))),
    "syncthreads_and": _vote(all),
    "syncthreads_or": _vote(any),
    "syncwarp": lambda self, mask=(1 << WARP) - 1: _exchange(mask, None),
    "shfl_sync": lambda self, mask, value, source: _fetch(mask, value, lambda lane: int(source) % WARP),
    "shfl_up_sync": lambda self, mask, value, delta: _fetch(mask, value, lambda lane: lane - int(delta)),
    "shfl_down_sync": lambda self, mask, value, delta: _fetch(mask, value, lambda lane: lane + int(delta)),
    "shfl_xor_sync": lambda self, mask, value, lanes: _fetch(mask, value, lambda lane: lane ^ int(lanes)),
    "ballot_sync": _masked(lambda values, value: _mask([lane for lane in values if values[lane]])),
    "all_sync": _masked(lambda values, value: all(values.values())),
    "any_sync": _masked(lambda values, value: any(values.values())),
    "match_any_sync": _masked(lambda values, value: _mask([lane for lane in values if values[lane] == value])),
}


def install() -> None:
    """Change the simulator."""
    if launches.BlockManager is Blocks:
        return
    launches.BlockManager = Blocks
    launches.FakeCUDAKernel.__call__ = _call(launches.FakeCUDAKernel.__call__)
    launches.FakeWithinKernelCUDAArray = lambda array: array
    FakeCUDAArray.__getitem__, FakeCUDAArray.__setitem__ = _read, _write
    FakeCUDAShared.array = _shared_array
    for name in ("add", "sub", "and_", "or_", "xor", "inc", "dec", "exch", "max", "min", "nanmax", "nanmin", "cas"):
        setattr(FakeCUDAAtomic, name, _atomic(getattr(FakeCUDAAtomic, name)))
    for name, intrinsic in INTRINSICS.items():
        setattr(FakeCUDAModule, name, intrinsic)

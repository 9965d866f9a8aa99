"""What the kernels of the gather plan share: the rows of a shelf and the cells of a warp are copied to shared memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cuda.device import FULL, WARP, cuda, jit
from dna.cuda.stages import RECORD, THREADS
from dna.cuda.wide import bits_of, loader, storer

PASS = WARP
"""Cells that a warp stages at a time: one a lane."""


@cache
def row_copier(lanes: int) -> Callable[..., Any]:
    """Build the device function `copy(potentials, origin, shelf, count)`: `count` elements from `origin` on, by the whole block.

    It waits until the block is done with what the shelf held, and returns when the copy is complete.
    """
    load, store = loader(lanes), storer(lanes)

    @jit
    def copy(potentials: Any, origin: Any, shelf: Any, count: Any) -> None:
        cuda.syncthreads()
        for i in range(np.int32(cuda.threadIdx.x * lanes), np.int32(count), np.int32(THREADS * lanes)):
            store(shelf, i, load(potentials, origin + i))
        cuda.syncthreads()

    return copy


@cache
def cell_stager(real: type) -> Callable[..., Any]:
    """Build the device function `stage(order, weight, bias, at, stop, low, scale, records, mine) -> slot`.

    Lane l of the warp stages cell `at + l` of the order, if that is before `stop`, in record `mine`; the row of its other end is
    at (node - low) * scale. It returns the cell's slot, or -1, and waits for the warp before and after.
    """
    load, store, zero = loader(1), storer(RECORD), real(0)
    hide, _ = bits_of(real)

    @jit
    def stage(order: Any, weight: Any, bias: Any, at: Any, stop: Any, low: Any, scale: Any, records: Any, mine: Any) -> Any:
        i = at + cuda.threadIdx.x % WARP
        slot = np.int32(-1)
        cuda.syncwarp()
        if i < stop:
            slot = load(order.slots, i)[0]
            place = (load(order.others, i)[0] - low) * scale
            store(records, RECORD * mine, (load(weight, slot)[0], load(bias, slot)[0], hide(place), zero))
        cuda.syncwarp()
        return slot

    return stage


@cache
def bound_in_pass() -> Callable[..., Any]:
    """Build the device function `bound(bounds, j, at) -> int32`: lane j's bound, counted from `at` and cut to one pass.

    Its type keeps the loop over the cells of a pass in 32 bits.
    """

    @jit
    def bound(bounds: Any, j: Any, at: Any) -> Any:
        place = np.int32(cuda.shfl_sync(FULL, bounds, j) - at)
        return min(max(place, np.int32(0)), np.int32(PASS))

    return bound

"""What the blocks of a grid agree upon: which of them is the last, and so can finish what all began in the same launch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cuda.device import cuda, jit


@cache
def last_block() -> Callable[..., Any]:
    """Build the device function `is_last(counters, place) -> bool`: whether all other blocks of the grid came here before.

    The whole block must call it. What the others wrote before it is there for the last one to read, which has to set the counter
    back to 0 for the next launch. One thread's fences stand for its block, as barriers pass on what it may rely on: the first
    publishes what the block wrote; the second, after the atomic, keeps the last block from reading what its L1 held before.
    """

    @jit
    def is_last(counters: Any, place: Any) -> Any:
        flag = cuda.shared.array(1, np.int32)
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            cuda.threadfence()
            flag[0] = 1 if cuda.atomic.add(counters, place, 1) == cuda.gridDim.x - 1 else 0
            cuda.threadfence()
        cuda.syncthreads()
        return flag[0] != 0

    return is_last

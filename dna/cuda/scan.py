"""Prefix sums, for whatever is placed in order: over the threads of a block, and over an array."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cuda.device import BLOCK, FULL, MOST_BLOCKS, WARP, cuda, jit, kernel, launch
from dna.cuda.memory import empty
from dna.types import Array

MOST_WARPS = 32
"""Warps that a block can have: the length of the scratch array."""

CHUNK = 8 * BLOCK
"""Elements of an array that a block scans at least; up to here one block does it alone."""

MOST_CHUNKS = min(MOST_BLOCKS, 1024)


def exclusive_scan(values: Array) -> None:
    """Replace each value of a 1-D array of integers by the sum of those before it. To get the total too, append a zero."""
    n, dtype = len(values), values.dtype
    chunk = max(CHUNK, -(-n // MOST_CHUNKS))
    chunks = -(-n // chunk)
    scan = chunk_scanner(dtype.type)
    if chunks == 1:
        launch(scan, 1, BLOCK, values, n, empty(0, dtype))
    elif chunks > 1:
        sums = empty(chunks, dtype)
        launch(chunk_summer(dtype.type), chunks, BLOCK, values, chunk, sums)
        launch(scan, 1, BLOCK, sums, chunks, empty(0, dtype))
        launch(scan, chunks, BLOCK, values, chunk, sums)


@cache
def block_scan() -> Callable[..., Any]:
    """Build the device function `scan(value, scratch) -> (sum over the lower threads, sum over the block)`.

    Every thread of the block must call it; blocks are whole warps in one dimension. `scratch` is shared, (MOST_WARPS,), of the
    type of the values. What shared or global memory the threads read before the call may be written after it: it holds two
    barriers.
    """

    @jit
    def scan(value: Any, scratch: Any) -> Any:
        lane, warp = cuda.laneid, cuda.threadIdx.x // WARP
        inclusive = value
        for doubling in range(5):
            below = cuda.shfl_up_sync(FULL, inclusive, 1 << doubling)
            if lane >= 1 << doubling:
                inclusive += below
        if lane == WARP - 1:
            scratch[warp] = inclusive
        cuda.syncthreads()
        before, total = inclusive - value, value - value
        for other in range(cuda.blockDim.x // WARP):
            if other < warp:
                before += scratch[other]
            total += scratch[other]
        cuda.syncthreads()
        return before, total

    return scan


@cache
def chunk_summer(integer: type) -> Callable[..., Any]:
    """Build `sum_chunks(values, chunk, sums)`: block b sums `values[b*chunk : (b+1)*chunk]`. Reads each element once."""
    scan, dtype, zero = block_scan(), np.dtype(integer), integer(0)

    @kernel
    def sum_chunks(values: Any, chunk: Any, sums: Any) -> None:
        shared = cuda.shared.array(MOST_WARPS, dtype)
        start = cuda.blockIdx.x * chunk
        mine = zero
        for i in range(start + cuda.threadIdx.x, min(start + chunk, values.shape[0]), BLOCK):
            mine += values[i]
        _, total = scan(integer(mine), shared)
        if cuda.threadIdx.x == 0:
            sums[cuda.blockIdx.x] = total

    return sum_chunks


@cache
def chunk_scanner(integer: type) -> Callable[..., Any]:
    """Build `scan_chunks(values, chunk, starts)`: block b scans its chunk in place, from `starts[b]` on, or 0 without starts.

    Reads and writes each element once; ten shuffles and additions a thread and round.
    """
    scan, dtype, zero = block_scan(), np.dtype(integer), integer(0)

    @kernel
    def scan_chunks(values: Any, chunk: Any, starts: Any) -> None:
        shared = cuda.shared.array(MOST_WARPS, dtype)
        start = cuda.blockIdx.x * chunk
        end = min(start + chunk, values.shape[0])
        carry = starts[cuda.blockIdx.x] if starts.shape[0] > 0 else zero
        for base in range(start, end, BLOCK):  # all threads go round equally often, as they have to for the barriers
            i = base + cuda.threadIdx.x
            value = values[i] if i < end else zero
            before, total = scan(value, shared)
            if i < end:
                values[i] = carry + before
            carry += total

    return scan_chunks

"""Exclusive prefix sums of integers on the GPU, in place: what counts and places share. The same on every device and at any grid."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cuda.device import BLOCK, FULL, MOST_BLOCKS, WARP, cuda, jit, kernel, launch
from dna.cuda.memory import empty
from dna.types import Array

WARPS = BLOCK // WARP
CHUNK = 8 * BLOCK
"""Elements that a block scans at least; up to here one block does it alone."""

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
def warp_scan(integer: type) -> Callable[..., Any]:
    """Build the device function `scan(value, lane) -> inclusive sum` over the lanes of a whole warp (Hillis and Steele, 1986)."""

    @jit
    def scan(value: Any, lane: Any) -> Any:
        distance = 1
        while distance < WARP:
            below = cuda.shfl_up_sync(FULL, value, distance)
            if lane >= distance:
                value = integer(value + below)
            distance *= 2
        return value

    return scan


@cache
def block_scan(integer: type) -> Callable[..., Any]:
    """Build the device function `scan(value, shared) -> (sum of the threads before, sum of the block)`.

    `shared` is an array of `WARPS` integers in shared memory. Every thread of the block has to call it.
    """
    scan_warp, zero = warp_scan(integer), integer(0)

    @jit
    def scan(value: Any, shared: Any) -> Any:
        lane, warp = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
        inclusive = scan_warp(value, lane)
        if lane == WARP - 1:
            shared[warp] = inclusive
        cuda.syncthreads()
        before, total = zero, zero
        for w in range(WARPS):
            if w < warp:
                before += shared[w]
            total += shared[w]
        cuda.syncthreads()
        return integer(before + inclusive - value), total

    return scan


@cache
def chunk_summer(integer: type) -> Callable[..., Any]:
    """Build `sum_chunks(values, chunk, sums)`: block b sums `values[b*chunk : (b+1)*chunk]`. Reads each element once."""
    scan, dtype, zero = block_scan(integer), np.dtype(integer), integer(0)

    @kernel
    def sum_chunks(values: Any, chunk: Any, sums: Any) -> None:
        shared = cuda.shared.array(WARPS, dtype)
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
    scan, dtype, zero = block_scan(integer), np.dtype(integer), integer(0)

    @kernel
    def scan_chunks(values: Any, chunk: Any, starts: Any) -> None:
        shared = cuda.shared.array(WARPS, dtype)
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

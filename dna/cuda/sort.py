"""A stable radix sort on CUDA, of keys with their slots: least significant digit first (Knuth, TAOCP 3, 5.2.5).

Each pass counts digits by runs, scans the counts, and places.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cuda.device import BLOCK, FULL, SIMULATED, WARP, blocks_for, cuda, kernel, launch
from dna.cuda.memory import empty
from dna.cuda.scan import exclusive_scan
from dna.types import NODE, SLOT, Array

DIGIT_BITS = 8
DIGITS = 1 << DIGIT_BITS
WARPS = BLOCK // WARP

RUN = 2 * WARP if SIMULATED else 32 * WARP
"""Items that a warp counts and places at least, one after another in their order; that makes the sort stable."""

MOST_RUNS = 8192
"""More items make runs longer, so that the table of counts, a column a run, stays small."""


def sort_pairs(keys: Array, slots: Array, last: int) -> tuple[Array, Array]:
    """Return the keys, 0 to `last`, in ascending order, each with its slot; equal ones stay in their order."""
    for shift, bins in _digits(last):
        keys, slots = _sort_digit(keys, slots, shift, bins)
    return keys, slots


def _digits(last: int) -> list[tuple[int, int]]:
    """Return (shift, bins) of each pass: digits of equal width, as narrow as the keys 0 to `last` allow."""
    bits = last.bit_length()
    passes = -(-bits // DIGIT_BITS)
    width = -(-bits // passes)
    return [(i * width, 1 << width) for i in range(passes)]

def _sort_digit(keys: Array, slots: Array, shift: int, bins: int) -> tuple[Array, Array]:
    n = len(keys)
    run = max(RUN, -(-n // MOST_RUNS // WARP) * WARP)
    runs = -(-n // run)
    counts = empty(bins * runs, NODE)
    blocks = blocks_for(runs, WARPS)
    launch(digit_counter(), blocks, BLOCK, keys, shift, bins, run, counts)
    exclusive_scan(counts)
    keys_out, slots_out = empty(n, NODE), empty(n, SLOT)
    launch(digit_placer(), blocks, BLOCK, keys, slots, shift, bins, run, counts, keys_out, slots_out)
    return keys_out, slots_out


@cache
def digit_counter() -> Callable[..., Any]:
    """Build `count(keys, shift, bins, run, counts)`: how often each digit comes in each run, `counts[digit * runs + r]`.

    A warp a run. Bytes a slot: 4 read; one atomic in shared memory. Sums of integers, so their order does not matter.
    """

    @kernel
    def count(keys: Any, shift: Any, bins: Any, run: Any, counts: Any) -> None:
        tallies = cuda.shared.array((WARPS, DIGITS), np.int32)
        lane, warp = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
        n, runs = keys.shape[0], counts.shape[0] // bins
        for r in range(cuda.grid(1) // WARP, runs, cuda.gridsize(1) // WARP):
            for digit in range(lane, bins, WARP):
                tallies[warp, digit] = 0
            cuda.syncwarp()
            for i in range(r * run + lane, min(r * run + run, n), WARP):
                cuda.atomic.add(tallies, (warp, (keys[i] >> shift) & (bins - 1)), 1)
            cuda.syncwarp()
            for digit in range(lane, bins, WARP):
                counts[digit * runs + r] = tallies[warp, digit]
            cuda.syncwarp()

    return count


@cache
def digit_placer() -> Callable[..., Any]:
    """Build `place(keys, slots, shift, bins, run, starts, keys_out, slots_out)`: a stable move to where the scanned counts say.

    A warp a run, 32 items at a time: lanes of one digit find each other by `match_any_sync` and queue up in their order. Bytes a
    slot: 8 read, 8 written (scattered).
    """

    @kernel
    def place(
        keys: Any, slots: Any, shift: Any, bins: Any, run: Any, starts: Any, keys_out: Any, slots_out: Any
    ) -> None:  # fmt: skip
        cursors = cuda.shared.array((WARPS, DIGITS), np.int32)
        lane, warp = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
        n, runs = keys.shape[0], starts.shape[0] // bins
        for r in range(cuda.grid(1) // WARP, runs, cuda.gridsize(1) // WARP):
            for digit in range(lane, bins, WARP):
                cursors[warp, digit] = starts[digit * runs + r]
            cuda.syncwarp()
            end = min(r * run + run, n)
            for base in range(r * run, end, WARP):
                i = base + lane
                digit = (keys[i] >> shift) & (bins - 1) if i < end else -1
                peers = cuda.match_any_sync(FULL, digit)
                ahead = cuda.popc(peers & cuda.lanemask_lt())
                if digit >= 0:
                    at = cursors[warp, digit] + ahead
                    keys_out[at], slots_out[at] = keys[i], slots[i]
                cuda.syncwarp()
                if digit >= 0 and ahead == 0:
                    cursors[warp, digit] += cuda.popc(peers)
                cuda.syncwarp()

    return place

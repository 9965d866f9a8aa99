"""Radix select on CUDA: where in the order of (key, id) the count-th cell lies, found digit by digit without the host.

Each pass counts the candidates' next eight bits in a histogram, and the block that is done last picks the digit in which the
rank lies. What is known so far stays on the device. As soon as a digit's cells are wanted whole, the search is over and the
passes that follow do nothing: ids are looked at only where cells of equal keys must be told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from dna.cuda.device import BLOCK, WARP, cuda, jit, kernel, launch, launch_over
from dna.cuda.grid import last_block
from dna.cuda.histogram import BINS, bin_clearer, bin_flusher
from dna.cuda.memory import empty
from dna.cuda.scan import MOST_WARPS, block_scan
from dna.types import OFFSET, Array

WORD = np.dtype(np.uint64)
LAST = np.uint64(0xFFFFFFFFFFFFFFFF)

BY_KEY, BY_ID = 0, 1
"""Places in `Search.last`."""

COUNT, LOWER, SEARCHING, DONE = range(4)
"""Places in `Search.state`."""


class Search(NamedTuple):
    """A radix select under way and, in the end, its result: the cells up to (last[BY_KEY], last[BY_ID]) are chosen."""

    last: Array  # (2,) uint64: key and id of the last cell that is chosen, as far as their digits are known; zeros below
    state: Array  # (4,) int64: cells to choose, those below all that share the known digits, whether to go on, blocks done
    histogram: Array  # (256,) int32: cells that share the known digits, by the next one


def find_last(keys: Array, ids: Array, candidates: Array, flip: np.uint64, count: int) -> Search:
    """Return the end of the first `count` candidates, or of all where there are fewer, by (key ^ flip up, id up)."""
    search = Search(empty(2, WORD), empty(4, OFFSET), empty(BINS, np.dtype(np.int32)))
    launch(start_kernel(), 1, WARP, search, count)
    for shift in range(8 * keys.dtype.itemsize - 8, -8, -8):
        launch_over(key_counter(), keys.shape[0], keys, candidates, flip, shift, search)
    for shift in range(56, -8, -8):
        launch_over(id_counter(), keys.shape[0], keys, ids, candidates, flip, shift, search)
    return search


@cache
def start_kernel() -> Callable[..., Any]:
    """Build `start(search, count)` for one block.

    A kilobyte written.
    """

    @kernel
    def start(search: Any, count: Any) -> None:
        for digit in range(cuda.threadIdx.x, BINS, cuda.blockDim.x):
            search.histogram[digit] = 0
        if cuda.threadIdx.x == 0:
            search.last[BY_KEY], search.last[BY_ID] = 0, 0
            search.state[COUNT], search.state[LOWER], search.state[SEARCHING], search.state[DONE] = count, 0, 1, 0

    return start


@cache
def key_counter() -> Callable[..., Any]:
    """Build `count_keys(keys, candidates, flip, shift, search)`.

    The digits known so far stand in `last` over zeros. So (word ^ last) >> shift is the next digit where the word shares them,
    and at least 256 where it does not. Bytes a slot: a key and 1 read; an atomic in shared memory where the digits are shared.
    """
    clear, flush, is_last, pick = bin_clearer(), bin_flusher(), last_block(), digit_picker()

    @kernel
    def count_keys(keys: Any, candidates: Any, flip: Any, shift: Any, search: Any) -> None:
        if search.state[SEARCHING] == 0:
            return
        bins = cuda.shared.array(BINS, np.int32)
        clear(bins)
        known, by = search.last[BY_KEY] ^ flip, np.uint64(shift)
        for s in range(cuda.grid(1), keys.shape[0], cuda.gridsize(1)):
            if candidates[s] != 0:
                digit = (np.uint64(keys[s]) ^ known) >> by
                if digit < BINS:
                    cuda.atomic.add(bins, np.int32(digit), 1)
        flush(bins, search.histogram, 0)
        if is_last(search.state, DONE):
            pick(search, BY_KEY, shift)

    return count_keys


@cache
def id_counter() -> Callable[..., Any]:
    """Build `count_ids(keys, ids, candidates, flip, shift, search)`: likewise, over the ids of cells of that key.

    Bytes a slot: a key and 1 read, and 8 for cells of that key.
    """
    clear, flush, is_last, pick = bin_clearer(), bin_flusher(), last_block(), digit_picker()

    @kernel
    def count_ids(keys: Any, ids: Any, candidates: Any, flip: Any, shift: Any, search: Any) -> None:
        if search.state[SEARCHING] == 0:
            return
        bins = cuda.shared.array(BINS, np.int32)
        clear(bins)
        key, known, by = search.last[BY_KEY] ^ flip, search.last[BY_ID], np.uint64(shift)
        for s in range(cuda.grid(1), keys.shape[0], cuda.gridsize(1)):
            if candidates[s] != 0 and np.uint64(keys[s]) == key:
                digit = (np.uint64(ids[s]) ^ known) >> by
                if digit < BINS:
                    cuda.atomic.add(bins, np.int32(digit), 1)
        flush(bins, search.histogram, 0)
        if is_last(search.state, DONE):
            pick(search, BY_ID, shift)

    return count_ids


@cache
def digit_picker() -> Callable[..., Any]:
    """Build the device function `pick(search, word, shift)` for one block of BLOCK threads, which has the histogram for itself.

    It leaves the histogram clear for the next pass. Bins are read by an exchange, as atomics wrote them beyond its cache.
    """
    scan = block_scan()
    share = BINS // BLOCK

    @jit
    def pick(search: Any, word: Any, shift: Any) -> None:
        scratch = cuda.shared.array(MOST_WARPS, np.int32)
        bins = cuda.shared.array(BINS, np.int32)
        count, lower = search.state[COUNT], search.state[LOWER]
        first = cuda.threadIdx.x * share
        mine = np.int32(0)
        for digit in range(first, first + share):
            bins[digit] = cuda.atomic.exch(search.histogram, digit, 0)
            mine += bins[digit]
        before, total = scan(np.int32(mine), scratch)

        count = min(count, lower + total)  # fewer candidates than wanted: only in the first pass
        if first == 0:
            search.state[DONE] = 0
            if total == 0:
                search.state[COUNT], search.state[SEARCHING] = 0, 0
        lower += before
        for digit in range(first, first + share):
            within = bins[digit]
            if lower < count and count <= lower + within:
                known = search.last[word] | (np.uint64(digit) << np.uint64(shift))
                search.state[COUNT], search.state[LOWER] = count, lower
                if count == lower + within:
                    search.state[SEARCHING] = 0
                    known |= (np.uint64(1) << np.uint64(shift)) - np.uint64(1)
                    if word == BY_KEY:
                        search.last[BY_ID] = LAST
                search.last[word] = known
            lower += within

    return pick

"""A stable radix sort on CUDA, of keys with their slots: least significant digit first (Knuth, TAOCP 3, 5.2.5).

Each pass counts digits by tiles of items, scans the counts, and places. A block brings its tile into order in shared memory
first, so that items of one digit are written side by side; scattered one by one, each would cost a sector of 32 bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cuda.device import BLOCK, FULL, SIMULATED, WARP, blocks_for, cuda, kernel, launch
from dna.cuda.memory import empty
from dna.cuda.scan import MOST_WARPS, block_scan, exclusive_scan
from dna.types import NODE, SLOT, Array

DIGIT_BITS = 8
DIGITS = 1 << DIGIT_BITS
WARPS = BLOCK // WARP
SHARE = DIGITS // BLOCK  # digits that a thread looks after

ROUNDS = 2 if SIMULATED else 16
"""Items of a thread; those of a warp's round lie side by side, and so do its rounds."""

TILE = ROUNDS * BLOCK


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
    tiles = -(-n // TILE)
    starts = empty(bins * tiles, NODE)
    blocks = blocks_for(tiles, 1)
    launch(digit_counter(), blocks, BLOCK, keys, shift, bins, starts)
    exclusive_scan(starts)
    keys_out, slots_out = empty(n, NODE), empty(n, SLOT)
    launch(digit_placer(), blocks, BLOCK, keys, slots, shift, bins, starts, keys_out, slots_out)
    return keys_out, slots_out


@cache
def digit_counter() -> Callable[..., Any]:
    """Build `count(keys, shift, bins, counts)`: how often each digit comes in each tile, `counts[digit * tiles + tile]`.

    Bytes an item: 4 read; one atomic in shared memory. Sums of integers, so their order does not matter.
    """

    @kernel
    def count(keys: Any, shift: Any, bins: Any, counts: Any) -> None:
        tallies = cuda.shared.array(DIGITS, np.int32)
        n, tiles = keys.shape[0], counts.shape[0] // bins
        for tile in range(cuda.blockIdx.x, tiles, cuda.gridDim.x):
            for digit in range(cuda.threadIdx.x, bins, BLOCK):
                tallies[digit] = 0
            cuda.syncthreads()
            for i in range(tile * TILE + cuda.threadIdx.x, min(tile * TILE + TILE, n), BLOCK):
                cuda.atomic.add(tallies, (keys[i] >> shift) & (bins - 1), 1)
            cuda.syncthreads()
            for digit in range(cuda.threadIdx.x, bins, BLOCK):
                counts[digit * tiles + tile] = tallies[digit]
            cuda.syncthreads()

    return count


@cache
def digit_placer() -> Callable[..., Any]:
    """Build `place(keys, slots, shift, bins, starts, keys_out, slots_out)`: a stable move to where the scanned counts say.

    Each warp goes through its part of the tile in order, 32 items at a time: lanes of one digit find each other by
    `match_any_sync` and queue up behind those of the rounds before. The queues of all warps, digit by digit, are the order of the
    tile.

    Bytes an item: 8 read, and 4 again from cache, 8 written; a tile's items of one digit side by side.
    """
    scan = block_scan()

    @kernel
    def place(keys: Any, slots: Any, shift: Any, bins: Any, starts: Any, keys_out: Any, slots_out: Any) -> None:
        queues = cuda.shared.array((WARPS, DIGITS), np.int32)  # how long they are, then where they begin in the tile
        moves = cuda.shared.array(DIGITS, np.int32)  # from a place in the tile to one in the whole
        tile_keys = cuda.shared.array(TILE, np.int32)
        tile_slots = cuda.shared.array(TILE, np.int32)
        scratch = cuda.shared.array(MOST_WARPS, np.int32)
        ranks = cuda.local.array(ROUNDS, np.int32)
        lane, warp = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
        n, tiles, mask = keys.shape[0], starts.shape[0] // bins, bins - 1
        first_digit = cuda.threadIdx.x * SHARE
        for tile in range(cuda.blockIdx.x, tiles, cuda.gridDim.x):
            for digit in range(first_digit, first_digit + SHARE):
                for w in range(WARPS):
                    queues[w, digit] = 0
            cuda.syncthreads()

            first = tile * TILE + warp * ROUNDS * WARP + lane
            for r in range(ROUNDS):
                i = first + r * WARP
                digit = (keys[i] >> shift) & mask if i < n else -1
                peers = cuda.match_any_sync(FULL, digit)
                ahead = cuda.popc(peers & cuda.lanemask_lt())
                before = queues[warp, digit] if digit >= 0 else 0
                ranks[r] = before + ahead
                cuda.syncwarp()
                if digit >= 0 and ahead == 0:
                    queues[warp, digit] = before + cuda.popc(peers)
                cuda.syncwarp()
            cuda.syncthreads()

            mine = np.int32(0)
            for digit in range(first_digit, first_digit + SHARE):
                for w in range(WARPS):
                    mine += queues[w, digit]
            begin, _ = scan(np.int32(mine), scratch)
            for digit in range(first_digit, first_digit + SHARE):
                moves[digit] = (starts[digit * tiles + tile] if digit < bins else 0) - begin
                for w in range(WARPS):
                    length = queues[w, digit]
                    queues[w, digit] = begin
                    begin += length
            cuda.syncthreads()

            for r in range(ROUNDS):
                i = first + r * WARP
                if i < n:
                    at = queues[warp, (keys[i] >> shift) & mask] + ranks[r]
                    tile_keys[at], tile_slots[at] = keys[i], slots[i]
            cuda.syncthreads()

            for at in range(cuda.threadIdx.x, min(TILE, n - tile * TILE), BLOCK):
                key = tile_keys[at]
                to = at + moves[(key >> shift) & mask]
                keys_out[to], slots_out[to] = key, tile_slots[at]
            cuda.syncthreads()

    return place

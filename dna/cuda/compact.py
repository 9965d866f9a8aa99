"""Compaction on CUDA: slots of a fate in ascending order, by count, scan and place, so that no order of threads shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cuda.device import BLOCK, cuda, kernel, launch, launch_over
from dna.cuda.memory import empty
from dna.cuda.scan import MOST_WARPS, block_scan, exclusive_scan
from dna.types import SLOT, Array

ROUNDS = 16
"""Slots that a thread looks at: a block's share is ROUNDS times its threads, which sit side by side in each round."""


def compact(fates: Array, fate: int, slots: Array) -> None:
    """Write the slots of a fate: each block counts those of its share, the counts are summed up, each block places its own."""
    if slots.shape[0] == 0:
        return
    blocks = -(-fates.shape[0] // (BLOCK * ROUNDS))
    starts = empty(blocks, SLOT)
    launch(share_counter(), blocks, BLOCK, fates, fate, starts)
    exclusive_scan(starts)
    launch(slot_placer(), blocks, BLOCK, fates, fate, starts, slots)


def take(column: Array, slots: Array) -> Array:
    """Return `column[..., slots]`, a new array on the device; a column may have rows."""
    taken = empty((*column.shape[:-1], slots.shape[0]), column.dtype)
    pairs = [(column, taken)] if len(column.shape) == 1 else [(column[row], taken[row]) for row in range(column.shape[0])]
    if slots.shape[0] > 0:
        for source, target in pairs:
            launch_over(taker(), slots.shape[0], source, slots, target)
    return taken


def put(column: Array, slots: Array, values: Array) -> None:
    """Write `column[slots] = values`; slots are distinct."""
    if slots.shape[0] > 0:
        launch_over(putter(), slots.shape[0], column, slots, values)


@cache
def share_counter() -> Callable[..., Any]:
    """Build `count_share(fates, fate, starts)`: how many slots of the fate each block's share has.

    Bytes a slot: 1 read.
    """
    scan = block_scan()

    @kernel
    def count_share(fates: Any, fate: Any, starts: Any) -> None:
        scratch = cuda.shared.array(MOST_WARPS, np.int32)
        share = ROUNDS * cuda.blockDim.x
        first = cuda.blockIdx.x * share
        found = np.int32(0)
        for s in range(first + cuda.threadIdx.x, min(first + share, fates.shape[0]), cuda.blockDim.x):
            if fates[s] == fate:
                found += np.int32(1)
        _, total = scan(np.int32(found), scratch)
        if cuda.threadIdx.x == 0:
            starts[cuda.blockIdx.x] = total

    return count_share


@cache
def slot_placer() -> Callable[..., Any]:
    """Build `place(fates, fate, starts, slots)`.

    Bytes a slot: 1 read, and 4 written if it is chosen; ten shuffles and additions a thread and round.
    """
    scan = block_scan()

    @kernel
    def place(fates: Any, fate: Any, starts: Any, slots: Any) -> None:
        scratch = cuda.shared.array(MOST_WARPS, np.int32)
        share = ROUNDS * cuda.blockDim.x
        first = cuda.blockIdx.x * share
        running = starts[cuda.blockIdx.x]
        for start in range(first, min(first + share, fates.shape[0]), cuda.blockDim.x):
            s = start + cuda.threadIdx.x
            chosen = np.int32(1) if s < fates.shape[0] and fates[s] == fate else np.int32(0)
            before, total = scan(chosen, scratch)
            if chosen == 1:
                slots[running + before] = s
            running += total

    return place


@cache
def taker() -> Callable[..., Any]:
    """Build `take_each(column, slots, taken)`.

    Bytes a slot: 4 and an element read, an element written.
    """

    @kernel
    def take_each(column: Any, slots: Any, taken: Any) -> None:
        for k in range(cuda.grid(1), slots.shape[0], cuda.gridsize(1)):
            taken[k] = column[slots[k]]

    return take_each


@cache
def putter() -> Callable[..., Any]:
    """Build `put_each(column, slots, values)`.

    Bytes a slot: 4 and an element read, an element written.
    """

    @kernel
    def put_each(column: Any, slots: Any, values: Any) -> None:
        for k in range(cuda.grid(1), slots.shape[0], cuda.gridsize(1)):
            column[slots[k]] = values[k]

    return put_each

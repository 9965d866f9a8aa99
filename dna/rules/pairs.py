"""Pairs of nodes that a new cell may join: their numbering, and an order at random that needs no memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dna.cells import Scalar
from dna.types import FREE, NODE, OFFSET, Array

GROWTH = 0x67726F777468
"""Added to the seed (exclusive or) where pairs are drawn, so that the draws are those of nothing else."""


class Pairs(NamedTuple):
    """All pairs of some levels, numbered from 0, rectangle by rectangle: the sources of one level by the targets of another."""

    order: Array  # (n_nodes,) int32: nodes, level by level
    start: Array  # (r + 1,) int64: the pairs of rectangle k are start[k] to start[k + 1] - 1
    source_first: Array  # (r,) int64: place in `order` of the first source
    source_count: Array  # (r,) int64
    target_first: Array  # (r,) int64


def lay_out_pairs(by_level: Sequence[np.ndarray], targets: Sequence[int], reach: int) -> Pairs:
    """Return the pairs into some levels from at most `reach` levels below, on the host."""
    sizes = [len(nodes) for nodes in by_level]
    first = np.concatenate([[0], np.cumsum(sizes)])
    rectangles = [(low, high) for high in targets for low in range(max(0, high - reach), high)]
    counts = [sizes[low] * sizes[high] for low, high in rectangles]
    return Pairs(
        order=np.concatenate(by_level).astype(NODE),
        start=np.concatenate([[0], np.cumsum(counts)]).astype(OFFSET),
        source_first=np.array([first[low] for low, _ in rectangles], OFFSET),
        source_count=np.array([sizes[low] for low, _ in rectangles], OFFSET),
        target_first=np.array([first[high] for _, high in rectangles], OFFSET),
    )


def half_bits(count: int) -> int:
    """Return half the bits, rounded up, that numbers below `count` need: what `shuffle` takes."""
    return max(1, -(-max(count - 1, 1).bit_length() // 2))


def build_pair_of(jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `pair_of(pairs, number) -> (source, target)`."""

    def pair_of(pairs: Any, number: Any) -> Any:
        k = 0
        while number >= pairs.start[k + 1]:
            k += 1
        place = number - pairs.start[k]
        width = pairs.source_count[k]
        return pairs.order[pairs.source_first[k] + place % width], pairs.order[pairs.target_first[k] + place // width]

    return jit(pair_of)


def build_shuffle(jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `shuffle(number, count, bits, seed, event) -> number`: a permutation of 0 to count - 1, by seed and event.

    A Feistel network of four rounds over 2 * `bits` bits (Luby and Rackoff, 1988), whose round function is the mixer of
    `build_uniform`. A number past `count` goes round again, until it is below.
    """
    u64 = np.uint64
    low32 = u64(0xFFFFFFFF)
    first, second = u64(0x7FEB352D), u64(0x846CA68B)
    s2, s15, s16, s32 = u64(2), u64(15), u64(16), u64(32)
    begin, one = u64(0x9E3779B9), u64(1)

    def shuffle(number: Any, count: Any, bits: Any, seed: Any, event: Any) -> Any:
        half = u64(bits)
        mask = (one << half) - one
        x = u64(number)
        while True:
            left, right = x >> half, x & mask
            for turn in range(4):
                h = begin
                for word in (u64(seed) & low32, u64(seed) >> s32, ((u64(event) << s2) + u64(turn)) & low32, right & low32):
                    h = h ^ word
                    h = ((h ^ (h >> s16)) * first) & low32
                    h = ((h ^ (h >> s15)) * second) & low32
                    h = h ^ (h >> s16)
                left, right = right, left ^ (h & mask)
            x = (left << half) | right
            if x < u64(count):
                return np.int64(x)

    return jit(shuffle)


def build_place(jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `place(key, mask) -> place`: where a table of pairs is first looked at for a key; the mixer is that of `shuffle`."""
    u64 = np.uint64
    low32 = u64(0xFFFFFFFF)
    first, second = u64(0x7FEB352D), u64(0x846CA68B)
    s15, s16, s32 = u64(15), u64(16), u64(32)

    def place(key: Any, mask: Any) -> Any:
        h = u64(0)
        for word in (u64(key) & low32, u64(key) >> s32):
            h = h ^ word
            h = ((h ^ (h >> s16)) * first) & low32
            h = ((h ^ (h >> s15)) * second) & low32
            h = h ^ (h >> s16)
        return np.int64(h) & mask

    return jit(place)


def build_joined(jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `joined(table, key) -> bool`: whether a table of pairs holds a key; see `table_size`."""
    place = build_place(jit)

    def joined(table: Any, key: Any) -> Any:
        mask = table.shape[0] - 1
        at = place(key, mask)
        while table[at] != FREE:
            if table[at] == key:
                return True
            at = (at + 1) & mask
        return False

    return jit(joined)


def table_size(n_cells: int) -> int:
    """Return the places of a table of the pairs that cells join, a power of two: at most half of them are taken.

    It is a set by open addressing with linear probing. The key of a pair is `source * n_nodes + target`, an empty place is -1.
    Which key lies where depends on the order of arrival, which keys it holds does not.
    """
    return 1 << max(1, (2 * n_cells - 1).bit_length())

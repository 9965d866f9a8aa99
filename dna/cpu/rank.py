"""Ranks on the CPU: exactly the first so many of all candidates, by key and then by id, linear in the number of cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cpu.compiler import jit, kernel
from dna.cpu.select import EXEMPT, PARTS
from dna.types import KEEP, SPLIT

FIRST_BITS = 11
"""Bits of a key that the first histogram counts: sign, exponent and two bits of the mantissa of a float32."""


@jit
def _threshold(keys: Any, count: Any, rank: Any) -> Any:
    """Return (key of the given rank among keys[:count], how many are lower): radix select, eight bits at a time."""
    bits = keys.itemsize * 8
    prefix, fixed, lower = np.uint64(0), np.uint64(0), 0
    histogram = np.zeros(256, np.int64)
    for shift in range(bits - 8, -8, -8):
        histogram[:] = 0
        place = np.uint64(shift)
        for i in range(count):
            key = np.uint64(keys[i])
            if (key & fixed) == prefix:
                histogram[(key >> place) & np.uint64(255)] += 1
        digit = 0
        while lower + histogram[digit] <= rank:
            lower += histogram[digit]
            digit += 1
        prefix |= np.uint64(digit) << place
        fixed |= np.uint64(255) << place
    return prefix, lower


@cache
def shortlister() -> Callable[..., Any]:
    """Build `shortlist(keys, cells, node_level, scope, count, fate, flip, fates, slots, ranked) -> (n, n_left, left_to_give)`.

    The first of two steps that give `fate` to exactly the `count` first candidates by (key ^ flip up, id up), or to all where
    there are fewer. Candidates are living cells in scope without a fate; exempt ones only for a split. One histogram of the keys'
    first bits, part by part of the pool, settles all but those of one bin: `n_left` of them stand in `slots` and `ranked`
    afterwards, `left_to_give` of which are to have the fate. n is how many have it in the end.
    """

    @jit
    def find_candidates(
        first: Any, end: Any, keys: Any, cells: Any, node_level: Any, scope: Any, fate: Any, flip: Any, fates: Any,
        slots: Any, ranked: Any, histogram: Any,
    ) -> Any:  # fmt: skip
        place = np.uint64(keys.itemsize * 8 - FIRST_BITS)
        n = np.uint64(0)
        for s in range(np.uint64(first), np.uint64(end)):
            in_scope = cells.id[s] >= 0 and (scope < 0 or node_level[cells.target[s]] == scope)
            if in_scope and (fates[s] == KEEP or (fates[s] == EXEMPT and fate == SPLIT)):
                key = np.uint64(keys[s]) ^ flip
                slots[n], ranked[n] = s, key
                histogram[key >> place] += 1
                n += np.uint64(1)
        return n

    @jit
    def decide_by_bin(n: Any, edge: Any, fate: Any, fates: Any, slots: Any, ranked: Any) -> Any:
        """Give the fate to what lies below the edge's bin, and move the cells of that bin to the front; return how many."""
        place = np.uint64(ranked.itemsize * 8 - FIRST_BITS)
        left = np.uint64(0)
        for i in range(np.uint64(n)):
            found = np.int64(np.uint64(ranked[i]) >> place)
            if found < edge:
                fates[np.uint64(slots[i])] = fate
            elif found == edge:
                slots[left], ranked[left] = slots[i], ranked[i]
                left += np.uint64(1)
        return left

    @kernel("shortlist", PARTS, FIRST_BITS, parallel=True)
    def shortlist(
        keys: Any, cells: Any, node_level: Any, scope: Any, count: Any, fate: Any, flip: Any, fates: Any, slots: Any, ranked: Any
    ) -> Any:
        total = len(keys)
        histogram, candidates = np.zeros((PARTS, 1 << FIRST_BITS), np.int64), np.zeros(PARTS, np.int64)
        for part in numba.prange(PARTS):
            first, end = part * total // PARTS, (part + 1) * total // PARTS
            own, bins = (slots[first:end], ranked[first:end]), histogram[part]
            candidates[part] = find_candidates(first, end, keys, cells, node_level, scope, fate, flip, fates, *own, bins)
        n = 0
        for part in range(PARTS):
            n += candidates[part]
        n = min(n, count)
        edge, lower, here = -1, 0, 0
        while lower + here < n:
            lower += here
            edge += 1
            here = 0
            for part in range(PARTS):
                here += histogram[part, edge]
        for part in numba.prange(PARTS):
            first, end = part * total // PARTS, (part + 1) * total // PARTS
            candidates[part] = decide_by_bin(candidates[part], edge, fate, fates, slots[first:end], ranked[first:end])
        left = 0
        for part in range(PARTS):
            first = part * total // PARTS
            for i in range(first, first + candidates[part]):
                slots[left], ranked[left] = slots[i], ranked[i]
                left += 1
        return n, left, n - lower

    return shortlist


@cache
def decider() -> Callable[..., Any]:
    """Build `decide(count, fate, fates, ids, slots, ranked)`, the second step: exactly `count` of these by (ranked up, id up)."""

    @kernel("decide")
    def decide(count: Any, fate: Any, fates: Any, ids: Any, slots: Any, ranked: Any) -> None:
        n = len(ranked)
        edge, lower = _threshold(ranked, n, count - 1)
        tied_ids = np.empty(n, np.int64)
        tied = 0
        for i in range(n):
            if ranked[i] == edge:
                tied_ids[tied] = ids[slots[i]]
                tied += 1
        last_id, _ = _threshold(tied_ids, tied, count - lower - 1)
        for i in range(n):
            key = np.uint64(ranked[i])
            if key < edge or (key == edge and np.uint64(ids[slots[i]]) <= last_id):
                fates[slots[i]] = fate

    return decide

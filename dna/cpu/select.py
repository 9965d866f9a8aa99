"""Selection on the CPU: exact ranks by radix select over keys, ties by id, linear in the number of cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cpu.compiler import jit, kernel
from dna.rules.keys import KEY_OF, build_key
from dna.types import DELETE, KEEP, SPLIT

PARTS = 32
"""Parts of the pool that are looked at side by side."""

NO_OUTPUT, NONE_YET = -2, -1
"""In place of the slot of a node's last cell: the node is no output; none has been seen yet."""

FIRST_BITS = 11
"""Bits of a key that the first histogram counts: sign, exponent and two bits of the mantissa of a float32."""

EXEMPT = 255
"""A fate that only selection knows: the cell may not die, but may split. It becomes KEEP in the end."""


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
def key_maker(real: type) -> Callable[..., Any]:
    """Build `make_keys(bits, keys)`."""
    key = jit(build_key(np.dtype(real)))

    @kernel("make_keys", real, parallel=True)
    def make_keys(bits: Any, keys: Any) -> None:
        for s in numba.prange(len(bits)):
            keys[s] = key(bits[s])

    return make_keys


@cache
def exemption() -> Callable[..., Any]:
    """Build `exempt(keys, cells, outputs, n_nodes, fates)`.

    Of the cells of each output node that do not die already, the last in the order of the weakest, (key up, id up), is exempt
    from deletion: it would be the last to go, so no output loses all its cells, and nothing changes elsewhere.
    """

    @jit
    def is_later(keys: Any, ids: Any, s: Any, rival: Any) -> Any:
        return keys[s] > keys[rival] or (keys[s] == keys[rival] and ids[s] > ids[rival])

    @jit
    def find_last(first: Any, end: Any, keys: Any, cells: Any, fates: Any, best: Any) -> None:
        for s in range(np.uint64(first), np.uint64(end)):
            if cells.id[s] >= 0 and fates[s] != DELETE:
                node = np.uint64(cells.target[s])
                rival = best[node]
                if rival == NONE_YET or (rival >= 0 and is_later(keys, cells.id, s, rival)):
                    best[node] = s

    @kernel("exempt", PARTS, parallel=True)
    def exempt(keys: Any, cells: Any, outputs: Any, n_nodes: Any, fates: Any) -> None:
        best = np.full((PARTS, n_nodes), NO_OUTPUT, np.int64)
        for part in numba.prange(PARTS):
            for o in outputs:
                best[part, o] = NONE_YET
            find_last(part * len(keys) // PARTS, (part + 1) * len(keys) // PARTS, keys, cells, fates, best[part])
        for o in outputs:
            last = best[0, o]
            for part in range(1, PARTS):
                s = best[part, o]
                if s >= 0 and (last < 0 or is_later(keys, cells.id, s, last)):
                    last = s
            if last >= 0 and fates[last] == KEEP:
                fates[last] = EXEMPT

    return exempt


@cache
def protector() -> Callable[..., Any]:
    """Build `protect(cells, born_after, fates)`: the cells that came later than a version are exempt from deletion."""

    @kernel("protect")
    def protect(cells: Any, born_after: Any, fates: Any) -> None:
        for s in range(len(fates)):
            if cells.id[s] >= 0 and cells.born[s] > born_after and fates[s] == KEEP:
                fates[s] = EXEMPT

    return protect


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


@cache
def divider(real: type) -> Callable[..., Any]:
    """Build `divide(scores, cells, above, below, fates) -> (n_split, n_delete)`: fates by thresholds."""

    @kernel("divide", real)
    def divide(scores: Any, cells: Any, above: Any, below: Any, fates: Any) -> Any:
        n_split, n_delete = 0, 0
        for s in range(len(scores)):
            if cells.id[s] >= 0:
                if scores[s] < below and fates[s] == KEEP:
                    fates[s] = DELETE
                    n_delete += 1
                elif scores[s] > above and (fates[s] == KEEP or fates[s] == EXEMPT):
                    fates[s] = SPLIT
                    n_split += 1
        return n_split, n_delete

    return divide


@cache
def finisher() -> Callable[..., Any]:
    """Build `finish(fates)`: what was exempt and does not split is kept."""

    @kernel("finish")
    def finish(fates: Any) -> None:
        for s in range(len(fates)):
            if fates[s] == EXEMPT:
                fates[s] = KEEP

    return finish


@cache
def level_counter() -> Callable[..., Any]:
    """Build `count(cells, bump, node_level, counts)`: living cells by the level of their target."""

    @kernel("count_levels")
    def count(cells: Any, bump: Any, node_level: Any, counts: Any) -> None:
        for s in range(bump):
            if cells.id[s] >= 0:
                counts[node_level[cells.target[s]]] += 1

    return count


@cache
def compactor() -> Callable[..., Any]:
    """Build `compact(fates, fate, slots)`: the slots of a fate, ascending."""

    @jit
    def count_fate(fates: Any, fate: Any) -> Any:
        n = 0
        for each in fates:
            n += each == fate
        return n

    @kernel("compact", PARTS, parallel=True)
    def compact(fates: Any, fate: Any, slots: Any) -> None:
        total = len(fates)
        place = np.zeros(PARTS + 1, np.int64)
        for part in numba.prange(PARTS):
            place[part + 1] = count_fate(fates[part * total // PARTS : (part + 1) * total // PARTS], fate)
        for part in range(PARTS):
            place[part + 1] += place[part]
        for part in numba.prange(PARTS):
            n = np.uint64(place[part])
            for s in range(np.uint64(part * total // PARTS), np.uint64((part + 1) * total // PARTS)):
                if fates[s] == fate:
                    slots[n] = s
                    n += np.uint64(1)

    return compact


def flip_of(real: type, strongest: bool) -> np.uint64:
    """Return what turns keys round, so that the strongest come first."""
    bits = KEY_OF[np.dtype(real)].itemsize * 8
    return np.uint64((1 << bits) - 1 if strongest else 0)

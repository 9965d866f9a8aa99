"""Selection on the CPU: exact ranks by radix select over keys, ties by id, linear in the number of cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cpu.compiler import jit, kernel
from dna.rules.keys import KEY_OF, build_key
from dna.types import DELETE, KEEP, SPLIT

EXEMPT = 255
"""A fate that only selection knows: the cell may not die, but may split. It becomes KEEP in the end."""


@jit
def _threshold(keys: Any, count: Any, rank: Any, flip: Any) -> Any:
    """Return (key of the given rank among keys[:count] ^ flip, how many are lower): radix select, eight bits at a time."""
    bits = keys.itemsize * 8
    prefix, fixed, lower = np.uint64(0), np.uint64(0), 0
    histogram = np.zeros(256, np.int64)
    for shift in range(bits - 8, -8, -8):
        histogram[:] = 0
        place = np.uint64(shift)
        for i in range(count):
            key = np.uint64(keys[i]) ^ flip
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
    """Build `make_keys(bits)`, in place."""
    key = jit(build_key(np.dtype(real)))

    @kernel("make_keys", real)
    def make_keys(bits: Any) -> None:
        for s in range(len(bits)):
            bits[s] = key(bits[s])

    return make_keys


@cache
def exemption() -> Callable[..., Any]:
    """Build `exempt(keys, cells, outputs, best, fates)`.

    Of the cells of each output node that do not die already, the last in the order of the weakest, (key up, id up), is exempt
    from deletion: it would be the last to go, so no output loses all its cells, and nothing changes elsewhere. `best` is
    scratch, (n_nodes,) int64.
    """

    @kernel("exempt")
    def exempt(keys: Any, cells: Any, outputs: Any, best: Any, fates: Any) -> None:
        best[:] = -2
        for o in outputs:
            best[o] = -1
        for s in range(len(keys)):
            if cells.id[s] >= 0 and fates[s] != DELETE:
                node = cells.target[s]
                rival = best[node]
                if rival == -1 or (
                    rival >= 0 and (keys[s] > keys[rival] or (keys[s] == keys[rival] and cells.id[s] > cells.id[rival]))
                ):
                    best[node] = s
        for o in outputs:
            if best[o] >= 0 and fates[best[o]] == KEEP:
                fates[best[o]] = EXEMPT

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
def ranker() -> Callable[..., Any]:
    """Build `rank(keys, cells, node_level, scope, count, fate, flip, fates) -> n`.

    Gives `fate` to exactly the `count` first candidates by (key ^ flip up, id up), or to all where there are fewer, and
    returns how many. Candidates are living cells in scope without a fate; exempt ones only for a split.
    """

    @kernel("rank")
    def rank(keys: Any, cells: Any, node_level: Any, scope: Any, count: Any, fate: Any, flip: Any, fates: Any) -> Any:
        slots = np.empty(len(keys), np.int32)
        n = 0
        for s in range(len(keys)):
            in_scope = cells.id[s] >= 0 and (scope < 0 or node_level[cells.target[s]] == scope)
            if in_scope and (fates[s] == KEEP or (fates[s] == EXEMPT and fate == SPLIT)):
                slots[n] = s
                n += 1
        count = min(count, n)
        if count == 0:
            return 0
        ranked = np.empty(n, keys.dtype)
        for i in range(n):
            ranked[i] = keys[slots[i]]
        edge, lower = _threshold(ranked, n, count - 1, flip)

        tied_ids = np.empty(n, np.int64)
        tied = 0
        for i in range(n):
            if np.uint64(ranked[i]) ^ flip == edge:
                tied_ids[tied] = cells.id[slots[i]]
                tied += 1
        last_id, _ = _threshold(tied_ids, tied, count - lower - 1, np.uint64(0))

        for i in range(n):
            key = np.uint64(ranked[i]) ^ flip
            if key < edge or (key == edge and np.uint64(cells.id[slots[i]]) <= last_id):
                fates[slots[i]] = fate
        return count

    return rank


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

    @kernel("compact")
    def compact(fates: Any, fate: Any, slots: Any) -> None:
        n = 0
        for s in range(len(fates)):
            if fates[s] == fate:
                slots[n] = s
                n += 1

    return compact


def flip_of(real: type, strongest: bool) -> np.uint64:
    """Return what turns keys round, so that the strongest come first."""
    bits = KEY_OF[np.dtype(real)].itemsize * 8
    return np.uint64((1 << bits) - 1 if strongest else 0)

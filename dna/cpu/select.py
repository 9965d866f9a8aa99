"""Selection on the CPU: keys, exemptions and fates by threshold; exact ranks are in `rank.py`."""

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

EXEMPT = 255
"""A fate that only selection knows: the cell may not die, but may split. It becomes KEEP in the end."""


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

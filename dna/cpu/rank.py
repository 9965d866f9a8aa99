"""Ranks on the CPU: exactly the first so many of all candidates, by key and then by id, linear in the number of cells.

A sample of the keys says between which two keys the last of the chosen lies, most likely. One pass counts the cells below these
keys and lists those between them, a few in a hundred; among these the last one is found exactly. Where the sample was wrong, all
are listed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np

from dna.cpu.bits import WORD, first_bit
from dna.cpu.compiler import jit, kernel
from dna.cpu.select import EXEMPT, PARTS, danger_finder, exemption, reviver
from dna.rules.keys import KEY_OF, build_key
from dna.types import DELETE, KEEP, SLOT, SPLIT, Array, Cells, Nodes

SAMPLE_BITS = 14
SAMPLE = 1 << SAMPLE_BITS
"""Cells of the sample."""

MISSES = 4.0
"""Standard deviations of the rank of a sampled key, on either side: beyond them one sample lies in some 16,000."""


GLANCE = 13
"""One cell in so many is enough to see that outputs live on; levels seldom repeat themselves after so many."""


class Order(NamedTuple):
    """Who may get a fate, and who comes first."""

    bits: Array  # (bump,) unsigned: the scores' bits
    open: Array  # (bump,) uint8: 1 for candidates
    flip: Any  # what a key is combined with (xor), so that the lowest comes first


def choose_dying(scores: Array, cells: Cells, nodes: Nodes, scope: int, count: int, keep_outputs: bool, fates: Array) -> int:
    """Give DELETE to the `count` weakest candidates in scope, or to all where there are fewer; return how many got it.

    With `keep_outputs` no output loses its last cell. That is looked at afterwards, as it hardly ever happens: where an output
    has lost all its candidates, the choice is taken back, the last cell of each is exempt, and the choice made anew.
    """
    order, n = choose(scores, cells, nodes, scope, count, DELETE, fates)
    if keep_outputs and n > 0 and _in_danger(cells, nodes, order.open, fates):
        reviver()(order.open, fates)
        exemption(scores.dtype.type)(order.bits, cells, nodes.outputs, len(nodes.level), fates)
        _, n = choose(scores, cells, nodes, scope, count, DELETE, fates)
    return n


def _in_danger(cells: Cells, nodes: Nodes, open: Array, fates: Array) -> bool:
    """Whether an output loses all its candidates. A glance at some cells mostly sees that none does."""
    of_nodes = cells.target, nodes.outputs, len(nodes.level), open, fates
    return bool(danger_finder()(*of_nodes, GLANCE)) and bool(danger_finder()(*of_nodes, 1))


def choose(scores: Array, cells: Cells, nodes: Nodes, scope: int, count: int, fate: int, fates: Array) -> tuple[Order, int]:
    """Give `fate` to the `count` weakest (DELETE) or strongest (SPLIT) candidates in scope, or to all where there are fewer.

    Candidates are living cells without a fate; exempt ones only for a split. Returns who they were, and how many got it.
    """
    real, bits = scores.dtype.type, scores.view(KEY_OF[scores.dtype])
    lowest = bits.dtype.type(0)
    order = Order(bits, np.empty(len(bits), np.uint8), ~lowest if fate == SPLIT else lowest)
    n = min(count, int(opener()(cells, nodes.level, scope, fate, fates, order.open)))
    if n == 0:
        return order, 0
    below, slots, keys = _shortlist(order, n, real)
    edge = np.partition(keys, n - below - 1)[n - below - 1]
    tied = slots[keys == edge]
    ids, lower = cells.id[tied], below + int(np.count_nonzero(keys < edge))
    last = np.partition(ids, n - lower - 1)[n - lower - 1]
    marker(real)(order, edge, fate, fates)
    fates[tied[ids <= last]] = fate
    return order, n


def _shortlist(order: Order, n: int, real: type) -> tuple[int, Array, Array]:
    """Return how many candidates come before a list, its slots and its keys; the n-th of all candidates is in it."""
    size, lowest = len(order.bits), order.bits.dtype.type(0)
    slots, keys, everything = np.empty(size, SLOT), np.empty_like(order.bits), (lowest, ~lowest)
    list_between = lister(real)
    below, listed = list_between(order, *(_bracket(order, n, real) if size > 4 * SAMPLE else everything), slots, keys)
    if not below < n <= below + listed:
        below, listed = list_between(order, *everything, slots, keys)
    return int(below), slots[:listed], keys[:listed]


def _bracket(order: Order, n: int, real: type) -> tuple[Any, Any]:
    """Return a key that is hardly above that of the n-th candidate, and one that is hardly below it, by a sample."""
    lowest = order.bits.dtype.type(0)
    keys = np.empty(SAMPLE, order.bits.dtype)
    keys = keys[: sampler(real)(order, keys)]
    rank = n * SAMPLE / len(order.bits)
    slack = MISSES * math.sqrt(rank) + MISSES
    low, high = math.floor(rank - slack), math.ceil(rank + slack)
    first = np.partition(keys, low)[low] if 0 <= low < len(keys) else lowest
    last = np.partition(keys, high)[high] if high < len(keys) else ~lowest
    return first, last


@cache
def opener() -> Callable[..., Any]:
    """Build `find(cells, node_level, scope, fate, fates, open) -> n`: who are candidates, and how many."""

    @kernel("open", PARTS, parallel=True)
    def find(cells: Any, node_level: Any, scope: Any, fate: Any, fates: Any, open: Any) -> Any:
        total, exempt, n = len(fates), np.uint8(EXEMPT if fate == SPLIT else KEEP), 0
        for part in numba.prange(PARTS):
            first, end = part * total // PARTS, (part + 1) * total // PARTS
            ids, own, mine, targets = cells.id[first:end], fates[first:end], open[first:end], cells.target[first:end]
            for s in range(len(own)):
                mine[s] = (ids[s] >= 0) & ((own[s] == KEEP) | (own[s] == exempt))
            if scope >= 0:
                for s in range(len(own)):
                    mine[s] &= node_level[np.uint64(targets[s])] == scope
            for s in range(len(own)):
                n += 1 if mine[s] else 0
        return n

    return find


@cache
def sampler(real: type) -> Callable[..., Any]:
    """Build `sample(order, keys) -> n`: the keys of the candidates of `SAMPLE` slots, one in each of so many parts of the pool.

    Which slot of a part it is, is as good as random, since levels of cells repeat themselves.
    """
    key_of = jit(build_key(np.dtype(real)))

    @kernel("sample", real, SAMPLE)
    def sample(order: Any, keys: Any) -> Any:
        total, n = np.uint64(len(order.bits)), np.uint64(0)
        part = total >> np.uint64(SAMPLE_BITS)
        for i in range(np.uint64(SAMPLE)):
            drawn = (i * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF)
            s = ((i * total) >> np.uint64(SAMPLE_BITS)) + ((drawn * part) >> np.uint64(32))
            keys[n] = key_of(order.bits[s]) ^ order.flip
            n += np.uint64(order.open[s])
        return n

    return sample


@cache
def lister(real: type) -> Callable[..., Any]:
    """Build `list_between(order, low, high, slots, keys) -> (below, n)`: candidates with low <= key < high, by slot.

    `below` is how many candidates have lower keys.
    """
    key_of, word = jit(build_key(np.dtype(real))), KEY_OF[np.dtype(real)].type

    @jit
    def list_part(bits: Any, open: Any, flip: Any, low: Any, high: Any, first: Any, slots: Any, keys: Any) -> Any:
        below, n = np.uint64(0), np.uint64(0)
        words = len(bits) // WORD
        for each in range(words):
            own, may = bits[each * WORD : each * WORD + WORD], open[each * WORD : each * WORD + WORD]
            lower, between = word(0), np.uint64(0)
            for i in range(WORD):
                key = word(key_of(own[i]) ^ flip)
                lower += word((may[i] != 0) & (key < low))
                between |= np.uint64((may[i] != 0) & (key >= low) & (key < high)) << np.uint64(i)
            below += np.uint64(lower)
            start = np.uint64(first + each * WORD)
            while between:
                lane = first_bit(between)
                slots[n], keys[n] = np.int32(start + lane), key_of(own[lane]) ^ flip
                n += np.uint64(1)
                between &= between - np.uint64(1)
        for s in range(words * WORD, len(bits)):
            key = word(key_of(bits[s]) ^ flip)
            if open[s] != 0:
                below += np.uint64(key < low)
                slots[n], keys[n] = first + s, key
                n += np.uint64((key >= low) & (key < high))
        return below, n

    @kernel("list", real, PARTS, WORD, parallel=True)
    def list_between(order: Any, low: Any, high: Any, slots: Any, keys: Any) -> Any:
        total = len(order.bits)
        below, n = np.zeros(PARTS, np.int64), np.zeros(PARTS, np.int64)
        for part in numba.prange(PARTS):
            first, end = part * total // PARTS, (part + 1) * total // PARTS
            own = order.bits[first:end], order.open[first:end], order.flip
            below[part], n[part] = list_part(*own, low, high, first, slots[first:end], keys[first:end])
        listed = np.uint64(0)
        for part in range(PARTS):
            first = part * total // PARTS
            for i in range(np.uint64(first), np.uint64(first + n[part])):
                slots[listed], keys[listed] = slots[i], keys[i]
                listed += np.uint64(1)
        return below.sum(), listed

    return list_between


@cache
def marker(real: type) -> Callable[..., Any]:
    """Build `mark(order, edge, fate, fates)`: the candidates with keys below the edge get the fate."""
    key_of, word = jit(build_key(np.dtype(real))), KEY_OF[np.dtype(real)].type

    @kernel("mark", real, PARTS, parallel=True)
    def mark(order: Any, edge: Any, fate: Any, fates: Any) -> None:
        total, given = len(fates), np.uint8(fate)
        for part in numba.prange(PARTS):
            first, end = part * total // PARTS, (part + 1) * total // PARTS
            own, bits, may = fates[first:end], order.bits[first:end], order.open[first:end]
            for s in range(len(own)):
                chosen = (may[s] != 0) & (word(key_of(bits[s]) ^ order.flip) < edge)
                own[s] = given if chosen else own[s]

    return mark

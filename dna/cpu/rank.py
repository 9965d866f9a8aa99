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

from dna.cpu.bits import WORD, count_bits, list_bits, word_of
from dna.cpu.compiler import jit, kernel
from dna.cpu.lanes import new_row
from dna.cpu.select import CHOSEN, EXEMPT, NOBODY, PARTS, danger_finder, exemption, finisher, reviver
from dna.cpu.threads import zeros
from dna.rules.keys import KEY_OF, build_key
from dna.types import DELETE, KEEP, SPLIT, Array, Cells, Nodes

SAMPLE_BITS = 13
SAMPLE = 1 << SAMPLE_BITS
"""Cells of the sample."""

MISSES = 4.0
"""Standard deviations of the rank of a sampled key, on either side: beyond them one sample lies in some 16,000."""


GLANCE = 24
"""Cells of an output that are enough to see that it lives on, most likely."""


class Order(NamedTuple):
    """Who may get a fate, and who comes first."""

    bits: Array  # (bump,) unsigned: the scores' bits
    fates: Array  # (bump,) uint8: candidates are those with the fate KEEP, or `exempt`
    exempt: Any  # EXEMPT where those are candidates too, else KEEP
    flip: Any  # what a key is combined with (xor), so that the lowest comes first


def choose_dying(scores: Array, cells: Cells, nodes: Nodes, scope: int, count: int, keep_outputs: bool, fates: Array) -> int:
    """Give DELETE to the `count` weakest candidates in scope, or to all where there are fewer; return how many got it.

    With `keep_outputs` no output loses its last cell. That is looked at after the choice, as it hardly ever happens: where an
    output has lost all its candidates, the choice is taken back, the last cell of each is exempt, and the choice made anew.
    """
    n = choose(scores, cells, nodes, scope, count, DELETE, fates)
    if keep_outputs and n > 0 and _in_danger(cells, nodes, fates):
        reviver()(fates)
        exemption(scores.dtype.type)(scores.view(KEY_OF[scores.dtype]), cells, nodes.outputs, len(nodes.level), fates)
        n = choose(scores, cells, nodes, scope, count, DELETE, fates)
    finisher()(fates, DELETE)
    return n


def choose_splitting(scores: Array, cells: Cells, nodes: Nodes, scope: int, count: int, fates: Array) -> int:
    """Give SPLIT to the `count` strongest candidates in scope, or to all where there are fewer; return how many got it."""
    n = choose(scores, cells, nodes, scope, count, SPLIT, fates)
    finisher()(fates, SPLIT)
    return n


def _in_danger(cells: Cells, nodes: Nodes, fates: Array) -> bool:
    """Whether an output loses all its candidates. A glance at some cells mostly sees that none does."""
    of_nodes = cells.target, nodes.outputs, len(nodes.level), fates
    step = len(fates) // (GLANCE * len(nodes.outputs)) | 1  # odd: levels repeat themselves after powers of two
    return bool(danger_finder()(*of_nodes, step)) and (step == 1 or bool(danger_finder()(*of_nodes, 1)))


def choose(scores: Array, cells: Cells, nodes: Nodes, scope: int, count: int, fate: int, fates: Array) -> int:
    """Let the `count` weakest (for DELETE) or strongest (for SPLIT) candidates in scope be CHOSEN, or all where there are fewer.

    Candidates are living cells without a fate; exempt ones only for a split. Returns how many were chosen.
    """
    real, bits = scores.dtype.type, scores.view(KEY_OF[scores.dtype])
    lowest = bits.dtype.type(0)
    within = fates if scope < 0 else _within(scope, cells, nodes, fates)
    exempt, flip = (EXEMPT, ~lowest) if fate == SPLIT else (KEEP, lowest)
    n, below, slots, keys = _shortlist(Order(bits, within, np.uint8(exempt), flip), count, real, fates)
    if n == 0:
        return 0
    edge = np.partition(keys, n - below - 1)[n - below - 1]
    lower, n_tied = picker()(slots, keys, edge, fates)
    tied, wanted = slots[:n_tied], n - below - lower
    if wanted < n_tied:
        ids = cells.id[tied]
        tied = tied[ids <= np.partition(ids, wanted - 1)[wanted - 1]]
    fates[tied] = CHOSEN
    return n


def _within(scope: int, cells: Cells, nodes: Nodes, fates: Array) -> Array:
    """Return the fates with none of the cells that run to other levels among the candidates."""
    within = np.empty_like(fates)
    scoper()(cells.target, nodes.level, scope, fates, within)
    return within


def _shortlist(order: Order, count: int, real: type, fates: Array) -> tuple[int, int, Array, Array]:
    """Return how many are to be chosen, how many of them come before a list, and its slots and keys: the last is in it.

    Those before the list are CHOSEN already.
    """
    lowest = order.bits.dtype.type(0)
    list_between, everything = lister(real), (lowest, ~lowest)
    bracket = _bracket(order, count, real) if len(order.bits) > 4 * SAMPLE else everything
    below, candidates, slots, keys = list_between(order, *bracket, fates)
    n = min(count, candidates)
    if n > 0 and not below < n <= below + len(slots):
        reviver()(fates)
        below, _, slots, keys = list_between(order, *everything, fates)
    return n, below, slots, keys


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
def scoper() -> Callable[..., Any]:
    """Build `limit(target, node_level, scope, fates, within)`: fates, but NOBODY where a target is at another level."""

    @kernel("scope", PARTS, parallel=True)
    def limit(target: Any, node_level: Any, scope: Any, fates: Any, within: Any) -> None:
        total = len(fates)
        for part in numba.prange(PARTS):
            for s in range(np.uint64(part * total // PARTS), np.uint64((part + 1) * total // PARTS)):
                within[s] = fates[s] if node_level[np.uint64(target[s])] == scope else np.uint8(NOBODY)

    return limit


@cache
def picker() -> Callable[..., Any]:
    """Build `pick(slots, keys, edge, fates) -> (n, tied)`: the n of a list with keys below the edge become CHOSEN.

    Those whose keys are the edge move to the front of the list.
    """

    @kernel("pick")
    def pick(slots: Any, keys: Any, edge: Any, fates: Any) -> Any:
        n, tied = 0, 0
        for i in range(np.uint64(len(slots))):  # without a branch, which nobody could foresee
            s, before = np.uint64(slots[i]), keys[i] < edge
            fates[s] = np.uint8(CHOSEN) if before else fates[s]
            n += 1 if before else 0
            slots[np.uint64(tied)] = slots[i]
            tied += 1 if keys[i] == edge else 0
        return n, tied

    return pick


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
            n += np.uint64((order.fates[s] == KEEP) | (order.fates[s] == order.exempt))
        return n

    return sample


@cache
def lister(real: type) -> Callable[..., Any]:
    """Build `list_between(order, low, high, fates) -> (below, candidates, slots, keys)`.

    It lists candidates with low <= key < high, by slot. `below` is how many have lower keys: these become CHOSEN. A bit a cell
    says first who is to be listed, so that a list takes no more memory than it needs.
    """
    key_of, word = jit(build_key(np.dtype(real))), KEY_OF[np.dtype(real)].type

    @jit
    def ask(bits: Any, before: Any, order: Any, low: Any, high: Any, own: Any) -> Any:
        """Answer for the first cells whether they are candidates, and come before or below the two keys; choose the former."""
        may, lower, under = new_row(own, WORD), new_row(own, WORD), new_row(own, WORD)
        for i in range(WORD):
            key = word(key_of(bits[i]) ^ order.flip)
            may[i] = (before[i] == KEEP) | (before[i] == order.exempt)
            lower[i], under[i] = key < low, key < high
        candidates, chosen = word_of(may), word_of(may) & word_of(lower)
        for i in range(WORD):
            own[i] |= (may[i] & lower[i]) * np.uint8(CHOSEN)
        return candidates, chosen, candidates & word_of(under) & ~chosen

    @jit
    def ask_last(bits: Any, before: Any, order: Any, low: Any, high: Any, own: Any) -> Any:
        """Answer for the last cells, of which there are fewer."""
        candidates, chosen, between = np.uint64(0), np.uint64(0), np.uint64(0)
        for i in range(np.uint64(len(bits))):
            key, bit = word(key_of(bits[i]) ^ order.flip), np.uint64(1) << i
            if before[i] == KEEP or before[i] == order.exempt:
                candidates |= bit
                if key < low:
                    chosen |= bit
                    own[i] |= np.uint8(CHOSEN)
                elif key < high:
                    between |= bit
        return candidates, chosen, between

    @jit
    def mark_part(order: Any, low: Any, high: Any, first: Any, end: Any, fates: Any, words: Any) -> Any:
        below, n, total = np.uint64(0), np.uint64(0), np.uint64(0)
        for k in range(np.uint64(first), np.uint64(end)):
            s, last = k * np.uint64(WORD), k * np.uint64(WORD) + np.uint64(WORD)
            bits, before, own = order.bits[s:last], order.fates[s:last], fates[s:last]
            if len(bits) == WORD:
                may, chosen, between = ask(bits, before, order, low, high, own)
            else:
                may, chosen, between = ask_last(bits, before, order, low, high, own)
            words[k] = between
            below, n, total = below + count_bits(chosen), n + count_bits(between), total + count_bits(may)
        return below, n, total

    @jit
    def list_part(order: Any, words: Any, first: Any, end: Any, n: Any, slots: Any, keys: Any) -> None:
        own = new_row(slots, WORD)
        for k in range(np.uint64(first), np.uint64(end)):
            count = list_bits(words[k], k * np.uint64(WORD), own, np.uint64(0))
            for i in range(count):
                slots[n + i] = own[i]
                keys[n + i] = key_of(order.bits[np.uint64(own[i])]) ^ order.flip
            n += count

    @jit
    def add_up(counts: Any) -> Any:
        """Return the sums of the first three rows; the last one becomes the sums of the second before each part."""
        below, listed, total = 0, 0, 0
        for part in range(PARTS):
            counts[3, part] = listed
            below, listed, total = below + counts[0, part], listed + counts[1, part], total + counts[2, part]
        return below, listed, total

    @kernel("list", real, PARTS, WORD, parallel=True)
    def list_between(order: Any, low: Any, high: Any, fates: Any) -> Any:
        words = np.empty((len(order.bits) + WORD - 1) // WORD, np.uint64)
        counts = zeros((4, PARTS), np.int64)
        for part in numba.prange(PARTS):
            first, end = part * len(words) // PARTS, (part + 1) * len(words) // PARTS
            counts[0, part], counts[1, part], counts[2, part] = mark_part(order, low, high, first, end, fates, words)
        below, listed, total = add_up(counts)
        slots, keys = np.empty(listed, np.int32), np.empty(listed, order.bits.dtype)
        for part in numba.prange(PARTS):
            first, end = part * len(words) // PARTS, (part + 1) * len(words) // PARTS
            list_part(order, words, first, end, np.uint64(counts[3, part]), slots, keys)
        return below, total, slots, keys

    return list_between

"""Selection on CUDA: exact ranks by radix select over keys, ties by id. Only counts cross to the host."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cuda.device import cuda, jit, kernel, launch_over
from dna.cuda.exemption import EXEMPT, exempt_last
from dna.cuda.histogram import BINS, bin_clearer, bin_flusher
from dna.cuda.memory import download, empty, full
from dna.cuda.radix import BY_ID, BY_KEY, COUNT, find_last
from dna.rules.keys import KEY_OF, build_key
from dna.types import DELETE, KEEP, OFFSET, SPLIT, Array, Cells, Nodes


def by_counts(
    scores: Array, real: type, cells: Cells, nodes: Nodes, scope: int, n_split: int, n_delete: int, keep_outputs: bool,
    fates: Array,
) -> tuple[int, int]:  # fmt: skip
    """Give fates to exactly the weakest and strongest cells in scope; return how many split and how many die."""
    keys, counts = make_keys(scores, real), full(3, 0, OFFSET)
    if keep_outputs and n_delete > 0:
        exempt_last(keys, cells, nodes, fates)
    choose_first(keys, cells, nodes, scope, n_delete, DELETE, fates, counts)
    choose_first(keys, cells, nodes, scope, n_split, SPLIT, fates, counts)
    return _finish(fates, counts)


def by_thresholds(
    scores: Array, real: type, cells: Cells, nodes: Nodes, above: float, below: float, keep_outputs: bool, fates: Array
) -> tuple[int, int]:
    """Give fates by thresholds; return how many split and how many die."""
    counts = full(3, 0, OFFSET)
    if keep_outputs and below > -np.inf:
        exempt_last(make_keys(scores, real), cells, nodes, fates)
    launch_over(divider(), scores.shape[0], scores, cells, real(above), real(below), fates, counts)
    return _finish(fates, counts)


def make_keys(scores: Array, real: type) -> Array:
    """Return keys in the order of the scores."""
    keys = empty(scores.shape[0], KEY_OF[np.dtype(real)])
    launch_over(key_maker(real), keys.shape[0], scores, keys)
    return keys


def choose_first(keys: Array, cells: Cells, nodes: Nodes, scope: int, count: int, fate: int, fates: Array, counts: Array) -> None:
    """Give a fate to the first `count` candidates, the strongest first for a split; count them in `counts[fate]`.

    Candidates are living cells in scope without a fate yet; exempt ones only for a split.
    """
    if count == 0:
        return
    n, flip = keys.shape[0], flip_of(keys.dtype, strongest=fate == SPLIT)
    candidates = empty(n, fates.dtype)
    launch_over(candidate_finder(), n, cells, nodes.level, scope, fate, fates, candidates)
    search = find_last(keys, cells.id, candidates, flip, count)
    launch_over(fate_giver(), n, keys, cells, candidates, flip, search, fate, fates, counts)


def count_levels(cells: Cells, bump: int, nodes: Nodes, n_levels: int) -> np.ndarray:
    """Return the number of living cells by the level of their target."""
    counts = full(n_levels, 0, OFFSET)
    for first in range(0, n_levels, BINS):
        launch_over(level_counter(), bump, cells, bump, nodes.level, first, counts)
    return download(counts)


def flip_of(keys: np.dtype[Any], *, strongest: bool) -> np.uint64:
    """Return what turns keys round, so that the strongest come first."""
    return np.uint64((1 << (8 * keys.itemsize)) - 1 if strongest else 0)


def _finish(fates: Array, counts: Array) -> tuple[int, int]:
    launch_over(finisher(), fates.shape[0], fates)
    found = download(counts)
    return int(found[SPLIT]), int(found[DELETE])


@cache
def key_maker(real: type) -> Callable[..., Any]:
    """Build `make(scores, keys)`.

    Bytes a slot: one `real` read, a key written.
    """
    word, key = KEY_OF[np.dtype(real)].type, jit(build_key(np.dtype(real)))

    @kernel
    def make(scores: Any, keys: Any) -> None:
        bits = scores.view(word)
        for s in range(cuda.grid(1), keys.shape[0], cuda.gridsize(1)):
            keys[s] = key(bits[s])

    return make


@cache
def candidate_finder() -> Callable[..., Any]:
    """Build `find(cells, node_level, scope, fate, fates, candidates)`.

    Bytes a slot: 9 read, 1 written; with a scope 4 more, and levels mostly from cache.
    """

    @kernel
    def find(cells: Any, node_level: Any, scope: Any, fate: Any, fates: Any, candidates: Any) -> None:
        for s in range(cuda.grid(1), candidates.shape[0], cuda.gridsize(1)):
            in_scope = cells.id[s] >= 0 and (scope < 0 or node_level[cells.target[s]] == scope)
            eligible = fates[s] == KEEP or (fates[s] == EXEMPT and fate == SPLIT)
            candidates[s] = 1 if in_scope and eligible else 0

    return find


@cache
def fate_giver() -> Callable[..., Any]:
    """Build `give(keys, cells, candidates, flip, search, fate, fates, counts)`.

    Bytes a slot: a key and 1 read, 8 more where the key is the last, and 1 written if a fate is given.
    """

    @kernel
    def give(keys: Any, cells: Any, candidates: Any, flip: Any, search: Any, fate: Any, fates: Any, counts: Any) -> None:
        last_key, last_id = search.last[BY_KEY], search.last[BY_ID]
        for s in range(cuda.grid(1), keys.shape[0], cuda.gridsize(1)):
            if candidates[s] != 0:
                key = np.uint64(keys[s]) ^ flip
                if key < last_key or (key == last_key and np.uint64(cells.id[s]) <= last_id):
                    fates[s] = fate
        if cuda.grid(1) == 0:
            counts[fate] = search.state[COUNT]

    return give


@cache
def divider() -> Callable[..., Any]:
    """Build `divide(scores, cells, above, below, fates, counts)`: fates by thresholds, counted in `counts[fate]`.

    Bytes a slot: 8 and one `real` read, and 1 written if a fate is given; an atomic in shared memory for these.
    """
    clear, flush = bin_clearer(), bin_flusher()

    @kernel
    def divide(scores: Any, cells: Any, above: Any, below: Any, fates: Any, counts: Any) -> None:
        bins = cuda.shared.array(BINS, np.int32)
        clear(bins)
        for s in range(cuda.grid(1), scores.shape[0], cuda.gridsize(1)):
            if cells.id[s] >= 0:
                if scores[s] < below and fates[s] == KEEP:
                    fates[s] = DELETE
                    cuda.atomic.add(bins, DELETE, 1)
                elif scores[s] > above and (fates[s] == KEEP or fates[s] == EXEMPT):
                    fates[s] = SPLIT
                    cuda.atomic.add(bins, SPLIT, 1)
        flush(bins, counts, 0)

    return divide


@cache
def finisher() -> Callable[..., Any]:
    """Build `finish(fates)`: what was exempt and does not split is kept.

    Bytes a slot: 1 read.
    """

    @kernel
    def finish(fates: Any) -> None:
        for s in range(cuda.grid(1), fates.shape[0], cuda.gridsize(1)):
            if fates[s] == EXEMPT:
                fates[s] = KEEP

    return finish


@cache
def level_counter() -> Callable[..., Any]:
    """Build `count_from(cells, bump, node_level, first, counts)`: living cells by their target's level, for BINS levels.

    Bytes a slot: 12 read, levels mostly from cache; an atomic in shared memory.
    """
    clear, flush = bin_clearer(), bin_flusher()

    @kernel
    def count_from(cells: Any, bump: Any, node_level: Any, first: Any, counts: Any) -> None:
        bins = cuda.shared.array(BINS, np.int32)
        clear(bins)
        for s in range(cuda.grid(1), bump, cuda.gridsize(1)):
            if cells.id[s] >= 0:
                level = node_level[cells.target[s]] - first
                if level >= 0 and level < BINS:
                    cuda.atomic.add(bins, level, 1)
        flush(bins, counts, first)

    return count_from

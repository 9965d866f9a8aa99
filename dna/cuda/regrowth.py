"""Regrowth on CUDA: pairs of nodes are drawn and rated, a thread a pair, and the chosen ones become cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cells import CellKind
from dna.cuda.device import cuda, jit, kernel
from dna.rules.pairs import build_joined, build_pair_of, build_place, build_shuffle
from dna.rules.rating import build_rating
from dna.types import DELETE, FREE


@cache
def pair_marker() -> Callable[..., Any]:
    """Build `mark(cells, bump, fates, n_nodes, table)`: the pairs that cells which live on join become keys of the table."""
    place = build_place(jit)

    @kernel
    def mark(cells: Any, bump: Any, fates: Any, n_nodes: Any, table: Any) -> None:
        mask = table.shape[0] - 1
        for s in range(cuda.grid(1), bump, cuda.gridsize(1)):
            if cells.id[s] >= 0 and fates[s] != DELETE:
                key = np.int64(cells.source[s]) * n_nodes + cells.target[s]
                at = place(key, mask)
                found = cuda.atomic.cas(table, at, FREE, key)
                while found != FREE and found != key:
                    at = (at + 1) & mask
                    found = cuda.atomic.cas(table, at, FREE, key)

    return mark


@cache
def pair_drawer() -> Callable[..., Any]:
    """Build `draw(kept, kept_scores, pairs, numbers, seed, event, table, found, scores)`; numbers: first, total, bits.

    Those kept come first, then the pairs of the draws from `first` on. A candidate's id is its draw, or -1 where a cell that
    lives on joins the pair.
    """
    pair_of, shuffle, joined = build_pair_of(jit), build_shuffle(jit), build_joined(jit)

    @kernel
    def draw(
        kept: Any, kept_scores: Any, pairs: Any, numbers: Any, seed: Any, event: Any, table: Any, found: Any, scores: Any,
    ) -> None:  # fmt: skip
        n_kept, n_nodes = kept_scores.shape[0], pairs.order.shape[0]
        first, total, bits = numbers
        for q in range(cuda.grid(1), scores.shape[0], cuda.gridsize(1)):
            if q < n_kept:
                found.source[q], found.target[q] = kept.source[q], kept.target[q]
                found.weight[q], found.id[q] = kept.weight[q], kept.id[q]
                scores[q] = kept_scores[q]
            else:
                turn = first + q - n_kept
                i, j = pair_of(pairs, shuffle(turn, total, bits, seed, event))
                taken = joined(table, np.int64(i) * n_nodes + j)
                found.source[q], found.target[q] = i, j
                found.id[q] = FREE if taken else turn

    return draw


@cache
def pair_rater(by: str, kind: CellKind, real: type, size: float) -> Callable[..., Any]:
    """Build `rate(found, scores, first, potentials, gradient, batch, seed, event)`: scores and weights from `first` on.

    One thread rates a pair, sample by sample in float64; joined pairs score 0.
    """
    rating = build_rating(jit, by, kind, real, size)
    add, judge = rating.add, rating.judge

    @kernel
    def rate(
        found: Any, scores: Any, first: Any, potentials: Any, gradient: Any, batch: Any, seed: Any, event: Any
    ) -> None:
        tile = potentials.shape[2]
        for q in range(first + cuda.grid(1), scores.shape[0], cuda.gridsize(1)):
            scores[q], found.weight[q] = 0, 0
            if found.id[q] >= 0:
                i, j = found.source[q], found.target[q]
                sums = (0.0, 0.0, 0.0, 0.0, 0.0)
                for t in range(potentials.shape[0]):
                    for k in range(min(tile, batch - t * tile)):
                        sums = add(sums, potentials[t, i, k], potentials[t, j, k], gradient[t, j, k])
                scores[q], found.weight[q] = judge(sums, batch, seed, event, found.id[q])

    return rate


@cache
def newborn_writer() -> Callable[..., Any]:
    """Build `write(cells, slots, chosen, first_id, version)`; the k-th newborn gets the id `first_id + k`."""

    @kernel
    def write(cells: Any, slots: Any, chosen: Any, first_id: Any, version: Any) -> None:
        for k in range(cuda.grid(1), slots.shape[0], cuda.gridsize(1)):
            slot = slots[k]
            cells.source[slot], cells.target[slot] = chosen.source[k], chosen.target[k]
            cells.weight[slot], cells.bias[slot] = chosen.weight[k], chosen.bias[k]
            cells.weight_grad[slot], cells.bias_grad[slot] = 0, 0
            for row in range(cells.state.shape[0]):
                cells.state[row, slot] = chosen.state[row, k] if row < chosen.state.shape[0] else 0
            cells.parent[slot], cells.born[slot] = chosen.parent[k], version
            cells.id[slot] = first_id + k

    return write

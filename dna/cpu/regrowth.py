"""Regrowth on the CPU: pairs of nodes are drawn and rated in parallel, and the chosen ones become cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import CellKind
from dna.cpu.compiler import jit, kernel
from dna.rules.pairs import build_joined, build_pair_of, build_place, build_shuffle
from dna.rules.rating import build_rating
from dna.types import DELETE, FREE


@cache
def pair_marker() -> Callable[..., Any]:
    """Build `mark(cells, bump, fates, n_nodes, table)`: the pairs that cells which live on join become keys of the table."""
    place = build_place(jit)

    @kernel("mark_pairs")
    def mark(cells: Any, bump: Any, fates: Any, n_nodes: Any, table: Any) -> None:
        mask = len(table) - 1
        for s in range(bump):
            if cells.id[s] >= 0 and fates[s] != DELETE:
                key = np.int64(cells.source[s]) * n_nodes + cells.target[s]
                at = place(key, mask)
                while table[at] != FREE and table[at] != key:
                    at = (at + 1) & mask
                table[at] = key

    return mark


@cache
def pair_drawer(real: type) -> Callable[..., Any]:
    """Build `draw(kept, kept_scores, pairs, first, total, bits, seed, event, table, found, scores)`.

    Those kept come first, then the pairs of the draws from `first` on. A candidate's id is its draw, or -1 where a cell that
    lives on joins the pair. What the loop writes it writes in functions, since Numba drops writes to members of a tuple in it.
    """
    pair_of, shuffle, joined = build_pair_of(jit), build_shuffle(jit), build_joined(jit)

    @jit
    def keep(kept: Any, kept_scores: Any, q: Any, found: Any, scores: Any) -> None:
        found.source[q], found.target[q] = kept.source[q], kept.target[q]
        found.weight[q], found.id[q] = kept.weight[q], kept.id[q]
        scores[q] = kept_scores[q]

    @jit
    def draw_one(turn: Any, pairs: Any, total: Any, bits: Any, seed: Any, event: Any, table: Any, q: Any, found: Any) -> None:
        i, j = pair_of(pairs, shuffle(turn, total, bits, seed, event))
        taken = joined(table, np.int64(i) * len(pairs.order) + j)
        found.source[q], found.target[q] = i, j
        found.id[q] = FREE if taken else turn

    @kernel("draw_pairs", real, parallel=True)
    def draw(
        kept: Any, kept_scores: Any, pairs: Any, first: Any, total: Any, bits: Any, seed: Any, event: Any, table: Any, found: Any,
        scores: Any,
    ) -> None:  # fmt: skip
        n_kept = len(kept_scores)
        for q in numba.prange(len(scores)):
            if q < n_kept:
                keep(kept, kept_scores, q, found, scores)
            else:
                draw_one(first + q - n_kept, pairs, total, bits, seed, event, table, q, found)

    return draw


@cache
def pair_rater(by: str, kind: CellKind, real: type, size: float) -> Callable[..., Any]:
    """Build `rate(found, scores, first, potentials, gradient, batch, seed, event)`: scores and weights from `first` on.

    One thread rates a pair, sample by sample in float64; joined pairs score 0.
    """
    maths = kind.build(real)
    rating = build_rating(jit, by, kind, real, size)
    add, judge = rating.add, rating.judge

    @jit
    def rate_one(q: Any, found: Any, scores: Any, potentials: Any, gradient: Any, batch: Any, seed: Any, event: Any) -> None:
        scores[q], found.weight[q] = 0, 0
        if found.id[q] >= 0:
            i, j, tile = found.source[q], found.target[q], potentials.shape[2]
            sums = (0.0, 0.0, 0.0, 0.0, 0.0)
            for t in range(potentials.shape[0]):
                v, u, g = potentials[t, i], potentials[t, j], gradient[t, j]
                for k in range(min(tile, batch - t * tile)):
                    sums = add(sums, v[k], u[k], g[k])
            scores[q], found.weight[q] = judge(sums, batch, seed, event, found.id[q])

    @kernel(by, maths.current, maths.slopes, real, size, parallel=True)
    def rate(
        found: Any, scores: Any, first: Any, potentials: Any, gradient: Any, batch: Any, seed: Any, event: Any
    ) -> None:
        for q in numba.prange(first, len(scores)):
            rate_one(q, found, scores, potentials, gradient, batch, seed, event)

    return rate


@cache
def newborn_writer(real: type) -> Callable[..., Any]:
    """Build `write(cells, slots, chosen, first_id, version)`; the k-th newborn gets the id `first_id + k`."""

    @kernel("write_newborns", real)
    def write(cells: Any, slots: Any, chosen: Any, first_id: Any, version: Any) -> None:
        for k in range(len(slots)):
            slot = slots[k]
            cells.source[slot], cells.target[slot] = chosen.source[k], chosen.target[k]
            cells.weight[slot], cells.bias[slot] = chosen.weight[k], chosen.bias[k]
            cells.weight_grad[slot], cells.bias_grad[slot] = 0, 0
            for row in range(cells.state.shape[0]):
                cells.state[row, slot] = chosen.state[row, k] if row < chosen.state.shape[0] else 0
            cells.parent[slot], cells.born[slot] = chosen.parent[k], version
            cells.id[slot] = first_id + k

    return write

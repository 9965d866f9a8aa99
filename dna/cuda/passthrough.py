"""Passthrough on CUDA: the score of every living cell, in one pass over the pool."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cuda.device import cuda, jit, kernel, launch_over
from dna.cuda.memory import download, full
from dna.rules import Passthrough, build_score
from dna.rules.keys import KEY_OF, build_is_nan
from dna.types import OFFSET, Array, Cells


def score(measure: Passthrough, real: type, cells: Cells, seed: int, event: int, table: Array, count: int, scores: Array) -> None:
    """Write the scores of the first slots; free slots score zero."""
    launch_over(
        score_kernel(measure, real), scores.shape[0], cells, np.uint64(seed), np.uint64(event), table, real(count), scores
    )


def first_nan(real: type, scores: Array) -> int:
    """Return the lowest slot whose score is NaN, or -1."""
    n = scores.shape[0]
    lowest = full(1, n, OFFSET)
    launch_over(nan_kernel(real), n, scores, lowest)
    slot = int(download(lowest)[0])
    return slot if slot < n else -1


@cache
def score_kernel(measure: Passthrough, real: type) -> Callable[..., Any]:
    """Build `score_all(cells, seed, event, table, count, scores)`.

    Bytes a slot: 8 and up to three `real` read, one `real` written.
    """
    score_of = build_score(jit, measure, real)

    @kernel
    def score_all(cells: Any, seed: Any, event: Any, table: Any, count: Any, scores: Any) -> None:
        for s in range(cuda.grid(1), scores.shape[0], cuda.gridsize(1)):
            scores[s] = 0
            if cells.id[s] >= 0:
                scores[s] = score_of(cells.weight[s], cells.bias[s], seed, event, cells.id[s], table, s, count)

    return score_all


@cache
def nan_kernel(real: type) -> Callable[..., Any]:
    """Build `find_nan(scores, lowest)`; `lowest[0]` starts past the end.

    Bytes a slot: one `real` read.
    """
    word, is_nan = KEY_OF[np.dtype(real)].type, jit(build_is_nan(np.dtype(real)))

    @kernel
    def find_nan(scores: Any, lowest: Any) -> None:
        bits = scores.view(word)
        for s in range(cuda.grid(1), bits.shape[0], cuda.gridsize(1)):
            if is_nan(bits[s]):
                cuda.atomic.min(lowest, 0, s)

    return find_nan

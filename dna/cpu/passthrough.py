"""Passthrough on the CPU: the score of every living cell, in one pass over the pool."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cpu.compiler import jit, kernel
from dna.rules import Passthrough, build_score
from dna.rules.keys import build_is_nan

BLOCK = 4096


@cache
def score_kernel(measure: Passthrough, real: type) -> Callable[..., Any]:
    """Build `score(cells, bump, seed, event, table, count, scores)`; free slots score zero."""
    score_maths = measure.build(real)
    score_of, wants, zero = build_score(jit, measure, real), (measure.draws, measure.statistic), real(0)

    @kernel(score_maths, wants, real, parallel=True)
    def score_all(cells: Any, bump: Any, seed: Any, event: Any, table: Any, count: Any, scores: Any) -> None:
        for block in numba.prange((bump + BLOCK - 1) // BLOCK):
            first, end = block * BLOCK, min(block * BLOCK + BLOCK, bump)
            w, b, ids, own = cells.weight[first:end], cells.bias[first:end], cells.id[first:end], scores[first:end]
            for s in range(end - first):
                score = score_of(w[s], b[s], seed, event, ids[s], table, first + s, count)
                own[s] = score if ids[s] >= 0 else zero

    return score_all


@cache
def nan_finder(real: type) -> Callable[..., Any]:
    """Build `first_nan(bits) -> slot`, or -1."""
    is_nan = jit(build_is_nan(np.dtype(real)))

    @kernel("first_nan", real, parallel=True)
    def first_nan(bits: Any) -> Any:
        bad = 0
        for block in numba.prange((len(bits) + BLOCK - 1) // BLOCK):
            own, found = bits[block * BLOCK : block * BLOCK + BLOCK], 0
            for s in range(len(own)):
                found |= is_nan(own[s])
            bad += found
        if bad:
            for s in range(len(bits)):
                if is_nan(bits[s]):
                    return s
        return -1

    return first_nan

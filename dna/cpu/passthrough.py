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
    score_of, wants = build_score(jit, measure, real), (measure.draws, measure.statistic)

    @kernel(score_maths, wants, real, parallel=True)
    def score_all(cells: Any, bump: Any, seed: Any, event: Any, table: Any, count: Any, scores: Any) -> None:
        for block in numba.prange((bump + BLOCK - 1) // BLOCK):
            for s in range(block * BLOCK, min(block * BLOCK + BLOCK, bump)):
                scores[s] = 0
                if cells.id[s] >= 0:
                    scores[s] = score_of(cells.weight[s], cells.bias[s], seed, event, cells.id[s], table, s, count)

    return score_all


@cache
def nan_finder(real: type) -> Callable[..., Any]:
    """Build `first_nan(bits) -> slot`, or -1."""
    is_nan = jit(build_is_nan(np.dtype(real)))

    @kernel("first_nan", real)
    def first_nan(bits: Any) -> Any:
        for s in range(len(bits)):
            if is_nan(bits[s]):
                return s
        return -1

    return first_nan

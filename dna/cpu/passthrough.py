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
    """Build `score(cells, bump, full, seed, event, table, count, scores, bits) -> n`: how many blocks hold NaN.

    Free slots score zero; where no slot is free, `full`, ids are not looked at. `bits` are those of the scores, as integers.
    """
    score_maths = measure.build(real)
    score_of, wants, zero = build_score(jit, measure, real), (measure.draws, measure.statistic), real(0)
    holds_nan = build_nan_holder(real)

    @kernel(score_maths, wants, real, parallel=True)
    def score_all(
        cells: Any, bump: Any, full: Any, seed: Any, event: Any, table: Any, count: Any, scores: Any, bits: Any
    ) -> Any:
        bad = 0
        for block in numba.prange((bump + BLOCK - 1) // BLOCK):
            first, end = block * BLOCK, min(block * BLOCK + BLOCK, bump)
            w, b, ids, own = cells.weight[first:end], cells.bias[first:end], cells.id[first:end], scores[first:end]
            for s in range(end - first):
                score = score_of(w[s], b[s], seed, event, ids[s], table, first + s, count)
                own[s] = score if full or ids[s] >= 0 else zero
            bad += holds_nan(bits[first:end])
        return bad

    return score_all


def build_nan_holder(real: type) -> Callable[..., Any]:
    """Build `holds_nan(bits) -> 0 or 1`."""
    is_nan = jit(build_is_nan(np.dtype(real)))

    @jit
    def holds_nan(bits: Any) -> Any:
        found = 0
        for s in range(len(bits)):
            found |= is_nan(bits[s])
        return found

    return holds_nan


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

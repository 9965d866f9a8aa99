"""Sums over a warp on CUDA, by butterflies of shuffles: the same order of additions on every run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dna.cuda.device import FULL, WARP, cuda, jit


@cache
def warp_sum() -> Callable[..., Any]:
    """Build the device function `sum(value) -> value`: a butterfly over a whole warp; all lanes get the same bits."""

    @jit
    def sum_over_warp(value: Any) -> Any:
        distance = WARP // 2
        while distance > 0:
            value += cuda.shfl_xor_sync(FULL, value, distance)
            distance //= 2
        return value

    return sum_over_warp


@cache
def pair_sum() -> Callable[..., Any]:
    """Build the device function `sum(a, b) -> part` over a whole warp: all but the last step of summing a and of summing b.

    Lanes 0 and 1 get the two parts of the sum of a, lanes 16 and 17 those of b; other lanes hold the same again. Both butterflies
    are one after their first step, so four shuffles do where two whole sums take ten.
    """

    @jit
    def sum_pair(a: Any, b: Any) -> Any:
        upper = cuda.threadIdx.x % WARP >= WARP // 2
        value = (b if upper else a) + cuda.shfl_xor_sync(FULL, a if upper else b, WARP // 2)
        distance = WARP // 4
        while distance > 1:
            value += cuda.shfl_xor_sync(FULL, value, distance)
            distance //= 2
        return value

    return sum_pair

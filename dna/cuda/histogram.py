"""Histograms: each block counts in shared memory, then adds its bins to those of the grid, so that few atomics meet."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dna.cuda.device import cuda, jit

BINS = 256
"""Bins of a histogram: the values of eight bits."""


@cache
def bin_clearer() -> Callable[..., Any]:
    """Build the device function `clear(bins)`, after which the whole block may count; `bins` is shared, (BINS,) int32."""

    @jit
    def clear(bins: Any) -> None:
        for b in range(cuda.threadIdx.x, BINS, cuda.blockDim.x):
            bins[b] = 0
        cuda.syncthreads()

    return clear


@cache
def bin_flusher() -> Callable[..., Any]:
    """Build the device function `flush(bins, histogram, first)`: bins are added to `histogram[first:]`, as far as it reaches."""

    @jit
    def flush(bins: Any, histogram: Any, first: Any) -> None:
        cuda.syncthreads()
        for b in range(cuda.threadIdx.x, min(BINS, histogram.shape[0] - first), cuda.blockDim.x):
            if bins[b] > 0:
                cuda.atomic.add(histogram, first + b, bins[b])

    return flush

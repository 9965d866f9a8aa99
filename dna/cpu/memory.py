"""Memory of the CPU: tiles of potentials, filled from rows of data and read back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cpu.compiler import jit, kernel
from dna.cpu.prefetch import prefetch

CACHE_LINE = 64


def aligned_zeros(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return zeros that begin at a cache line; rows of potentials that straddle two cost up to half as much again."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    return memory[first : first + size].view(dtype).reshape(shape)


@cache
def finite_checker(alone: bool) -> Callable[..., Any]:
    """Build `all_finite(data)`, for one thread alone or for all.

    x - x is zero but for NaN and Inf. Each value is compared by itself: a sum of such differences is zero to a compiler that
    may reorder it.
    """

    @jit
    def row_is_finite(row: Any) -> Any:
        wrong = 0
        for i in range(len(row)):
            wrong |= row[i] - row[i] != 0
        return wrong == 0

    @kernel("finite", parallel=not alone)
    def all_finite(data: Any) -> Any:
        bad = 0
        for s in numba.prange(data.shape[0]):
            bad += 0 if row_is_finite(data[s]) else 1
        return bad == 0

    return all_finite


ON_A_LINE = 16
"""Inputs of a sample on a cache line, in float32."""

FEWEST_JOBS = 4
"""A batch of fewer tiles is cut by columns as well, so that it keeps several threads busy."""


@cache
def rows_loader(alone: bool) -> Callable[..., Any]:
    """Build `load(potentials, nodes, data, rows)`: a transposing gather, for one thread alone or for all.

    Eight samples are read along their rows at a time and written side by side, while the next eight are asked for.
    """

    @jit
    def eight_samples(lanes: Any, nodes: Any, low: Any, high: Any, data: Any, rows: Any, first: Any, s: Any, more: Any) -> None:
        a, b, c, d = data[rows[first]], data[rows[first + 1]], data[rows[first + 2]], data[rows[first + 3]]
        e, f, g, h = data[rows[first + 4]], data[rows[first + 5]], data[rows[first + 6]], data[rows[first + 7]]
        for line in range(low, high, ON_A_LINE):
            if more:
                for ahead in range(8, 16):
                    prefetch(data, rows[first + ahead], line)
            for i in range(np.uint64(line), np.uint64(min(line + ON_A_LINE, high))):
                lane = lanes[np.uint64(nodes[i]), s : s + 8]
                lane[0], lane[1], lane[2], lane[3] = a[i], b[i], c[i], d[i]
                lane[4], lane[5], lane[6], lane[7] = e[i], f[i], g[i], h[i]

    @kernel("load", FEWEST_JOBS, parallel=not alone)
    def load(potentials: Any, nodes: Any, data: Any, rows: Any) -> None:
        tiles, tile = potentials.shape[0], potentials.shape[2]
        parts = max(1, FEWEST_JOBS // tiles)
        for job in numba.prange(tiles * parts):
            t, part = job // parts, job % parts
            low, high = part * len(nodes) // parts, (part + 1) * len(nodes) // parts
            first = t * tile
            count = min(tile, len(rows) - first)
            eights = count // 8 * 8
            for s in range(0, eights, 8):
                eight_samples(potentials[t], nodes, low, high, data, rows, first + s, s, s + 16 <= count)
            if eights < tile:
                for i in range(low, high):
                    potentials[t, nodes[i], eights:] = 0
            for s in range(eights, count):
                row = data[rows[first + s]]
                for i in range(low, high):
                    potentials[t, nodes[i], s] = row[i]

    return load


@cache
def rows_storer(alone: bool) -> Callable[..., Any]:
    """Build `store(potentials, nodes, out)`: the transposition back, out of shape (batch, len(nodes)), eight nodes at a time."""

    @jit
    def eight_nodes(lanes: Any, nodes: Any, i: Any, count: Any, out: Any) -> None:
        a, b, c, d = lanes[nodes[i]], lanes[nodes[i + 1]], lanes[nodes[i + 2]], lanes[nodes[i + 3]]
        e, f, g, h = lanes[nodes[i + 4]], lanes[nodes[i + 5]], lanes[nodes[i + 6]], lanes[nodes[i + 7]]
        for s in range(count):
            row = out[s]
            row[i], row[i + 1], row[i + 2], row[i + 3] = a[s], b[s], c[s], d[s]
            row[i + 4], row[i + 5], row[i + 6], row[i + 7] = e[s], f[s], g[s], h[s]

    @jit
    def store_part(lanes: Any, nodes: Any, low: Any, high: Any, count: Any, out: Any) -> None:
        eights = low + (high - low) // 8 * 8
        for i in range(low, eights, 8):
            eight_nodes(lanes, nodes, i, count, out)
        for s in range(count):
            for i in range(eights, high):
                out[s, i] = lanes[nodes[i], s]

    @kernel("store", FEWEST_JOBS, parallel=not alone)
    def store(potentials: Any, nodes: Any, out: Any) -> None:
        tiles, tile = potentials.shape[0], potentials.shape[2]
        parts = max(1, FEWEST_JOBS // tiles)
        for job in numba.prange(tiles * parts):
            t, part = job // parts, job % parts
            low, high = part * len(nodes) // parts, (part + 1) * len(nodes) // parts
            store_part(potentials[t], nodes, low, high, min(tile, out.shape[0] - t * tile), out[t * tile :])

    return store

"""Memory of the CPU: tiles of potentials, filled from rows of data and read back."""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cpu.compiler import jit, kernel
from dna.cpu.lanes import new_row
from dna.cpu.prefetch import prefetch
from dna.cpu.transpose import SIDE, transpose_square

CACHE_LINE = 64


def aligned_zeros(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return zeros that begin at a cache line; rows of potentials that straddle two cost up to half as much again."""
    size = (math.prod(shape) if isinstance(shape, tuple) else shape) * dtype.itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    first = -ctypes.addressof(ctypes.c_char.from_buffer(memory.data)) % CACHE_LINE  # a third of what NumPy takes to tell
    return memory[first : first + size].view(dtype).reshape(shape)


class Scratch:
    """Memory for one array at a time, which is lent again once nobody holds the last one.

    Pages that are fresh cost more than all that is done with them: much more where a virtual machine has to ask for them.
    """

    def __init__(self) -> None:
        self._memory = memoryview(b"")
        self._lent: weakref.ref[np.ndarray] | None = None

    def empty(self, n: int, dtype: np.dtype) -> np.ndarray:
        """Return an array (n,) that holds anything."""
        if self._lent is not None and self._lent() is not None:
            return np.empty(n, dtype)
        if self._memory.nbytes < n * dtype.itemsize:
            self._memory = memoryview(b"")  # gone before there is more
            self._memory = np.empty(n * dtype.itemsize, np.uint8).data
        lent = np.frombuffer(self._memory, dtype, n)  # what is cut out of it keeps it, and not the memory alone
        self._lent = weakref.ref(lent)
        return lent


@jit
def row_is_finite(row: Any) -> Any:
    """Return whether no number of a row is NaN or Inf, for kernels.

    x - x is zero but for those. Each value is compared by itself: a sum of such differences is zero to a compiler that may
    reorder it. Bits are counted together, as a number would be 64 of them a lane.
    """
    finite = True
    for i in range(len(row)):
        finite &= row[i] - row[i] == 0
    return finite


@cache
def finite_checker(alone: bool) -> Callable[..., Any]:
    """Build `all_finite(data)`, for one thread alone or for all."""

    @kernel("finite", parallel=not alone)
    def all_finite(data: Any) -> Any:
        bad = 0
        for s in numba.prange(data.shape[0]):
            bad += 0 if row_is_finite(data[s]) else 1
        return bad == 0

    return all_finite


ON_A_LINE = 16
"""Numbers on a cache line, in float32: so many samples, or nodes, are moved side by side."""

FEWEST_JOBS = 4
"""A batch of fewer tiles is cut by columns as well, so that it keeps several threads busy."""


@jit
def name_rows(names: Any, first: Any, found: Any) -> None:
    """Copy names of rows to the stack, where the compiler sees that nobody else writes to them: rows are then located once."""
    for k in range(len(found)):
        found[k] = names[first + np.uint64(k)]


@cache
def line_loader() -> Callable[..., Any]:
    """Build `load(lanes, nodes, low, high, data, rows, first, s, more)`, for kernels: sixteen samples, `rows[first:]`.

    They are read along their rows, from the column `low` to `high`, and fill lines of their nodes, from the lane `s` on; with
    `more`, the next sixteen are asked for.
    """

    @jit
    def load(lanes: Any, nodes: Any, low: Any, high: Any, data: Any, rows: Any, first: Any, s: Any, more: Any) -> None:
        squares = low + (high - low) // SIDE * SIDE
        samples, members = new_row(rows, ON_A_LINE), new_row(nodes, SIDE)
        name_rows(rows, np.uint64(first), samples)
        for i in range(np.uint64(low), np.uint64(squares), SIDE):
            if more and (i - np.uint64(low)) % np.uint64(ON_A_LINE) == 0:
                for ahead in range(ON_A_LINE, 2 * ON_A_LINE):
                    prefetch(data, rows[first + ahead], i)
            name_rows(nodes, i, members)
            transpose_square(data, samples, 0, i, lanes, members, 0, s)
            transpose_square(data, samples, SIDE, i, lanes, members, 0, s + SIDE)
        for i in range(squares, high):
            lane = lanes[np.uint64(nodes[i]), s : s + ON_A_LINE]
            for k in range(ON_A_LINE):
                lane[k] = data[rows[first + k], i]

    return load


@cache
def tile_loader(seen: bool = False) -> Callable[..., Any]:
    """Build `load(potentials, nodes, low, high, data, rows, t)`, for kernels: one tile, nodes of the columns `low` to `high`.

    Rows are asked for ahead of their use, unless the caller has `seen` them just now.
    """
    one_line = line_loader()

    @jit
    def load(potentials: Any, nodes: Any, low: Any, high: Any, data: Any, rows: Any, t: Any) -> None:
        tile = potentials.shape[2]
        first = t * tile
        count = min(tile, len(rows) - first)
        whole = count // ON_A_LINE * ON_A_LINE
        for s in range(0, whole, ON_A_LINE):
            more = not seen and s + 2 * ON_A_LINE <= count
            one_line(potentials[t], nodes, low, high, data, rows, first + s, s, more)
        if whole < tile:
            for i in range(low, high):
                potentials[t, nodes[i], whole:] = 0
        for s in range(whole, count):
            row = data[rows[first + s]]
            for i in range(low, high):
                potentials[t, nodes[i], s] = row[i]

    return load


@cache
def tile_storer() -> Callable[..., Any]:
    """Build `store(potentials, nodes, low, high, out, rows, t)`, for kernels: the transposition back; `rows` are 0, 1, ..."""

    @jit
    def store(potentials: Any, nodes: Any, low: Any, high: Any, out: Any, rows: Any, t: Any) -> None:
        lanes, first, members = potentials[t], t * potentials.shape[2], new_row(nodes, SIDE)
        count = min(potentials.shape[2], len(out) - first)
        wide, squares = low + (high - low) // SIDE * SIDE, count // SIDE * SIDE
        for i in range(np.uint64(low), np.uint64(wide), SIDE):
            name_rows(nodes, i, members)
            for s in range(np.uint64(0), np.uint64(squares), SIDE):
                transpose_square(lanes, members, 0, s, out, rows, first + s, i)
        for s in range(count):
            row = out[first + s]
            for i in range(wide if s < squares else low, high):
                row[i] = lanes[np.uint64(nodes[i]), s]

    return store


@cache
def rows_loader(alone: bool) -> Callable[..., Any]:
    """Build `load(potentials, nodes, data, rows)`: a transposing gather, for one thread alone or for all."""
    load_tile = tile_loader()

    @kernel("load", FEWEST_JOBS, parallel=not alone)
    def load(potentials: Any, nodes: Any, data: Any, rows: Any) -> None:
        parts = max(1, FEWEST_JOBS // potentials.shape[0])
        for job in numba.prange(potentials.shape[0] * parts):
            t, part = job // parts, job % parts
            load_tile(potentials, nodes, part * len(nodes) // parts, (part + 1) * len(nodes) // parts, data, rows, t)

    return load


@cache
def rows_storer(alone: bool) -> Callable[..., Any]:
    """Build `store(potentials, nodes, out, rows)`: the transposition back, `out` is (batch, len(nodes)), `rows` are 0, 1, ..."""
    store_tile = tile_storer()

    @kernel("store", FEWEST_JOBS, parallel=not alone)
    def store(potentials: Any, nodes: Any, out: Any, rows: Any) -> None:
        parts = max(1, FEWEST_JOBS // potentials.shape[0])
        for job in numba.prange(potentials.shape[0] * parts):
            t, part = job // parts, job % parts
            store_tile(potentials, nodes, part * len(nodes) // parts, (part + 1) * len(nodes) // parts, out, rows, t)

    return store

"""Memory of the GPU: arrays, scratch that is kept between calls, tiles of potentials filled from rows of data and read back."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cuda.device import BLOCK, WARP, blocks_for, cuda, kernel, launch, launch_over
from dna.types import Array

FLAG = np.dtype(np.int32)
TILE = 128
"""Samples in a tile of a large batch: four a lane of the warp that holds a node."""

WARPS = BLOCK // WARP
PADDED = WARP + 1  # columns of a transposing square in shared memory; one more than a warp keeps the banks apart


def empty(shape: int | tuple[int, ...], dtype: np.dtype) -> Array:
    """Return a new array whose content is not defined."""
    return cuda.device_array(shape, dtype)


def full(shape: int | tuple[int, ...], value: float, dtype: np.dtype) -> Array:
    """Return a new array of one value; nothing crosses from the host."""
    array = empty(shape, dtype)
    fill(array, value)
    return array


def fill(array: Array, value: float) -> None:
    """Set every element of a contiguous array."""
    if array.size > 0:
        launch_over(filler(), array.size, array.reshape(array.size), array.dtype.type(value))


def upload(array: np.ndarray) -> Array:
    """Return a copy on the GPU."""
    return cuda.to_device(np.ascontiguousarray(array))


def download(array: Array) -> np.ndarray:
    """Return a copy on the host, once the kernels before it have run."""
    return np.asarray(array.copy_to_host())


def write(array: Array, values: np.ndarray) -> None:
    """Give every element of a contiguous array its value from the host."""
    array.copy_to_device(np.ascontiguousarray(values, array.dtype))


class Scratch:
    """Arrays that phases need for a moment. They are kept and grow, since an allocation on a GPU costs more than a launch."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, np.dtype], Array] = {}

    def array(self, name: str, n: int, dtype: np.dtype) -> Array:
        """Return an array of at least `n` elements under this name; what it held before is not to be relied on."""
        kept = self._arrays.get((name, dtype))
        if kept is None or kept.size < n:
            kept = self._arrays[name, dtype] = empty(n, dtype)
        return kept

    def counter(self, name: str) -> Array:
        """Return an array of one int32, which is 0 when it is made and is left as kernels leave it."""
        key = name, FLAG
        if key not in self._arrays:
            self._arrays[key] = full(1, 0, FLAG)
        return self._arrays[key]


def tile_of(batch: int) -> int:
    """Return how many samples a tile has for batches of this size: 32, 64 or 128, as `dna.cuda.backward` is compiled for."""
    return next((lanes for lanes in (WARP, 2 * WARP) if batch <= lanes), TILE)


def samples_of(potentials: Array) -> int:
    """Return the samples of all tiles, those past the end of the batch included."""
    return int(potentials.shape[0] * potentials.shape[2])


def launch_over_rows(function: Callable[..., Any], nodes: Array, potentials: Array, *arguments: Any) -> None:
    """Launch a kernel that takes a warp a row: a node's samples of one tile."""
    launch_over(function, potentials.shape[0] * len(nodes) * WARP, nodes, potentials, *arguments)


def all_finite(data: Array) -> bool:
    """Whether a 2-D array holds neither NaN nor Inf; one flag crosses to the host."""
    bad = full(1, 0, FLAG)
    launch_over(finite_checker(), data.size, data.reshape(data.size), bad)
    return int(download(bad)[0]) == 0


def load_rows(potentials: Array, nodes: Array, data: Array, rows: Array) -> None:
    """Fill the nodes' rows of all tiles from `data[rows]`."""
    tiles, _, tile = potentials.shape
    squares = tiles * (tile // WARP) * -(-len(nodes) // WARP)
    launch(rows_loader(potentials.dtype.type), blocks_for(squares, 1), BLOCK, potentials, nodes, data, rows)


def store_rows(potentials: Array, nodes: Array, out: Array) -> None:
    """Write the nodes' potentials to `out`, (batch, nodes)."""
    launch_over(rows_storer(), out.size, potentials, nodes, out)


@cache
def filler() -> Callable[..., Any]:
    """Build `fill(array, value)` of a 1-D array. Writes each element once."""

    @kernel
    def fill_all(array: Any, value: Any) -> None:
        for i in range(cuda.grid(1), array.shape[0], cuda.gridsize(1)):
            array[i] = value

    return fill_all


@cache
def finite_checker() -> Callable[..., Any]:
    """Build `check(values, bad)` of a 1-D array: `bad[0]` becomes 1 where a value is NaN or Inf. Reads each element once."""

    @kernel
    def check(values: Any, bad: Any) -> None:
        for i in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
            if not math.isfinite(values[i]):
                bad[0] = 1

    return check


@cache
def rows_loader(real: type) -> Callable[..., Any]:
    """Build `load(potentials, nodes, data, rows)`, a transposing gather.

    A block turns squares of 32 samples by 32 columns in shared memory, so that it reads along a row of data and writes along the
    samples of a tile. Bytes an input and sample: one `real` read, one written; no arithmetic to speak of.
    """
    dtype, zero = np.dtype(real), real(0)

    @kernel
    def load(potentials: Any, nodes: Any, data: Any, rows: Any) -> None:
        square = cuda.shared.array((WARP, PADDED), dtype)
        tile, batch, width = potentials.shape[2], rows.shape[0], nodes.shape[0]
        across = (width + WARP - 1) // WARP
        groups = potentials.shape[0] * (tile // WARP)
        lane, warp = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
        for job in range(cuda.blockIdx.x, groups * across, cuda.gridDim.x):
            first_sample, first_column = job // across * WARP, job % across * WARP
            column = first_column + lane
            for i in range(warp, WARP, WARPS):
                x = zero
                if first_sample + i < batch and column < width:
                    x = data[rows[first_sample + i], column]
                square[i, lane] = x
            cuda.syncthreads()
            t, k = first_sample // tile, first_sample % tile + lane
            for i in range(warp, WARP, WARPS):
                if first_column + i < width:
                    potentials[t, nodes[first_column + i], k] = square[lane, i]
            cuda.syncthreads()

    return load


@cache
def turner() -> Callable[..., Any]:
    """Build `turn(order, place, size, rates, rows, coefficients)`: the samples and the optimizer's numbers of the batch at hand.

    Bytes a sample: 8 read, 8 written. So no step needs anything from the host.
    """

    @kernel
    def turn(order: Any, place: Any, size: Any, rates: Any, rows: Any, coefficients: Any) -> None:
        for i in range(cuda.grid(1), rows.shape[0], cuda.gridsize(1)):
            rows[i] = order[place[0] * size + i]
        for i in range(cuda.grid(1), coefficients.shape[0], cuda.gridsize(1)):
            coefficients[i] = rates[place[0], i]

    return turn


@cache
def rows_storer() -> Callable[..., Any]:
    """Build `store(potentials, nodes, out)`: a thread a sample and node, neighbours on neighbouring samples.

    Bytes an output and sample: one `real` read, one written (strided; there are few outputs).
    """

    @kernel
    def store(potentials: Any, nodes: Any, out: Any) -> None:
        tile, batch = potentials.shape[2], out.shape[0]
        for job in range(cuda.grid(1), out.size, cuda.gridsize(1)):
            i, sample = job // batch, job % batch
            out[sample, i] = potentials[sample // tile, nodes[i], sample % tile]

    return store

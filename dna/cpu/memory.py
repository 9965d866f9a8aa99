"""Memory of the CPU: tiles of potentials, filled from rows of data and read back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba

from dna.cpu.compiler import kernel

LANES = 16
"""A tile is a multiple of this many samples: one AVX-512 register of float32."""

TILE = 128
"""Samples in a tile of a large batch: a node's row then has 512 bytes, and a level of 64 nodes stays in L1."""


def tile_of(batch: int) -> int:
    """Return how many samples a tile has for batches of this size."""
    return min(TILE, -(-batch // LANES) * LANES)


@cache
def rows_loader() -> Callable[..., Any]:
    """Build `load(potentials, nodes, data, rows) -> finite`: a transposing gather, by blocks that stay in L1."""

    @kernel("load", parallel=True)
    def load(potentials: Any, nodes: Any, data: Any, rows: Any) -> Any:
        tiles, tile = potentials.shape[0], potentials.shape[2]
        batch, width = len(rows), len(nodes)
        bad = 0
        for t in numba.prange(tiles):
            count = min(tile, batch - t * tile)
            mine = rows[t * tile : t * tile + count]
            probe = data[mine[0], 0] - data[mine[0], 0]
            for i in range(width):
                lane = potentials[t, nodes[i]]
                for s in range(count):
                    lane[s] = data[mine[s], i]
                for s in range(count):
                    probe += lane[s] - lane[s]  # NaN and Inf leave NaN
                for s in range(count, tile):
                    lane[s] = 0
            bad += 0 if probe == 0 else 1
        return bad == 0

    return load


@cache
def rows_storer() -> Callable[..., Any]:
    """Build `store(potentials, nodes, out)`: the transposition back, out of shape (batch, len(nodes))."""

    @kernel("store", parallel=True)
    def store(potentials: Any, nodes: Any, out: Any) -> None:
        tile = potentials.shape[2]
        for t in numba.prange(potentials.shape[0]):
            for s in range(min(tile, out.shape[0] - t * tile)):
                for i in range(len(nodes)):
                    out[t * tile + s, i] = potentials[t, nodes[i], s]

    return store

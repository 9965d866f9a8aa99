"""The gather plan on the CPU: for each level, the cells that run into it and those that leave it, in the order of their visit.

Rows of potentials are read again and again, so cells are taken block by block: a **block** is a chunk of a level's nodes and a
tile of the nodes at the other ends of their cells, few enough that their rows stay in the nearest cache. Within a block cells
lie by (node, slot).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np

from dna.cpu.compiler import kernel
from dna.types import NODE, OFFSET, SLOT, Array, Cells, Nodes

TILE_SHIFT = 6
"""A tile is of 2**6 nodes: their rows fill 32 KiB, two thirds of the nearest cache of a present CPU."""

DENSE_ENOUGH = 8
"""Mean cells of a node in a tile from which tiles pay. A node's row is loaded and stored once a tile."""

PARTS = 32
"""Parts of the pool that are sorted side by side."""


class Stage(NamedTuple):
    """One level and its cells on one side: those that run into its nodes, or those that leave them."""

    nodes: Array  # (n,) int32: the nodes of the level, ascending
    slot: Array  # (n_cells,) int32: slots of all cells, sorted by (level, chunk of nodes, tile of other ends, node, slot)
    other: Array  # (n_cells,) int32: the nodes at their other ends
    start: Array  # (n * tiles + 1,) int64: where in `slot` the cells of a node and tile begin, by (chunk, tile, node)
    tiles: int  # of other ends


class GatherPlan(NamedTuple):
    into: tuple[Stage, ...]  # one a level: cells by target, for forward
    out_of: tuple[Stage, ...]  # one a level: cells by source, for backward


def chunks_of(n: int) -> int:
    """Return into how many chunks the n nodes of a level are cut: enough for many threads, each large enough to reuse a tile."""
    return max(1, min(n // 8, 16), min(n // 32, 256))


def make_gather(cells: Cells, bump: int, n_cells: int, nodes: Nodes) -> GatherPlan:
    """Return the gather plan of the living cells; a function of their columns alone."""
    into = _sort(cells.target, cells.source, cells.id, bump, n_cells, nodes)
    return GatherPlan(into, _sort(cells.source, cells.target, cells.id, bump, n_cells, nodes))


def make_scatter() -> GatherPlan:
    """Return the scatter plan: it runs over the pool as it is, and holds nothing."""
    return GatherPlan((), ())


def _sort(node: Array, other: Array, ids: Array, bump: int, n_cells: int, nodes: Nodes) -> tuple[Stage, ...]:
    n_levels, n_nodes = len(nodes.by_level), len(nodes.level)
    sizes = np.array([len(members) for members in nodes.by_level])
    counts, low, high = np.zeros(n_levels, np.int64), np.full(n_levels, n_nodes), np.full(n_levels, -1)
    surveyor()(node, other, ids, bump, nodes.level, counts, low, high)

    shift = np.where(counts >= DENSE_ENOUGH * sizes * (((high - low) >> TILE_SHIFT) + 1), TILE_SHIFT, 31)
    tiles = (np.maximum(high - low, 0) >> shift) + 1
    rank, block_of, row_of_block, size_of_block = _number_blocks(nodes, tiles)
    slot, others = np.empty(n_cells, SLOT), np.empty(n_cells, NODE)
    start = np.empty(int((sizes * tiles).sum()) + 1, OFFSET)
    start[-1] = n_cells
    blocks = block_sorter()(node, other, ids, bump, nodes.level, block_of, low, shift, len(row_of_block), slot)
    node_sorter()(node, other, rank, slot, blocks, row_of_block, size_of_block, others, start)

    first = np.concatenate([[0], np.cumsum(sizes * tiles)])
    starts = [start[first[k] : first[k + 1] + 1] for k in range(n_levels)]
    return tuple(Stage(members, slot, others, starts[k], int(tiles[k])) for k, members in enumerate(nodes.by_level))


def _number_blocks(nodes: Nodes, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return each node's rank in its chunk and its chunk's first block; each block's first row of starts and number of nodes."""
    rank, block_of = np.empty(len(nodes.level), np.int32), np.empty(len(nodes.level), np.int32)
    lengths = []
    n_blocks = 0
    for members, n_tiles in zip(nodes.by_level, tiles, strict=True):
        n, chunks = len(members), chunks_of(len(members))
        bounds = np.arange(chunks + 1) * n // chunks
        chunk = np.repeat(np.arange(chunks), np.diff(bounds))
        rank[members] = np.arange(n) - bounds[chunk]
        block_of[members] = n_blocks + chunk * n_tiles
        lengths.append(np.repeat(np.diff(bounds), n_tiles))
        n_blocks += chunks * n_tiles
    size_of_block = np.concatenate(lengths)
    return rank, block_of, np.cumsum(size_of_block) - size_of_block, size_of_block


@cache
def surveyor() -> Callable[..., Any]:
    """Build `survey(node, other, ids, bump, level, counts, low, high)`: cells by level, and the range of their other ends."""

    @kernel("survey")
    def survey(node: Any, other: Any, ids: Any, bump: Any, level: Any, counts: Any, low: Any, high: Any) -> None:
        for s in range(bump):
            if ids[s] >= 0:
                k, end = level[node[s]], other[s]
                counts[k] += 1
                low[k], high[k] = min(low[k], end), max(high[k], end)

    return survey


@cache
def block_sorter() -> Callable[..., Any]:
    """Build `sort(node, other, ids, bump, level, block_of, low, shift, n_blocks, slot) -> bounds`: slots by (block, slot)."""

    @kernel("block sort", PARTS, parallel=True)
    def sort(
        node: Any, other: Any, ids: Any, bump: Any, level: Any, block_of: Any, low: Any, shift: Any, n_blocks: Any, slot: Any
    ) -> Any:
        place = np.zeros((PARTS, n_blocks), np.int64)
        for part in numba.prange(PARTS):
            for s in range(part * bump // PARTS, (part + 1) * bump // PARTS):
                if ids[s] >= 0:
                    k = level[node[s]]
                    place[part, block_of[node[s]] + ((other[s] - low[k]) >> shift[k])] += 1
        bounds = np.empty(n_blocks + 1, np.int64)
        total = 0
        for block in range(n_blocks):
            bounds[block] = total
            for part in range(PARTS):
                count = place[part, block]
                place[part, block] = total
                total += count
        bounds[n_blocks] = total
        for part in numba.prange(PARTS):
            for s in range(part * bump // PARTS, (part + 1) * bump // PARTS):
                if ids[s] >= 0:
                    k = level[node[s]]
                    block = block_of[node[s]] + ((other[s] - low[k]) >> shift[k])
                    slot[place[part, block]] = s
                    place[part, block] += 1
        return bounds

    return sort


@cache
def node_sorter() -> Callable[..., Any]:
    """Build `sort(node, other, rank, slot, bounds, row_of_block, size_of_block, others, start)`: each block by (node, slot)."""

    @kernel("node sort", parallel=True)
    def sort(
        node: Any, other: Any, rank: Any, slot: Any, bounds: Any, row_of_block: Any, size_of_block: Any, others: Any, start: Any
    ) -> None:
        for block in numba.prange(len(row_of_block)):
            first, end, row = bounds[block], bounds[block + 1], row_of_block[block]
            place = np.zeros(size_of_block[block] + 1, np.int64)
            unsorted = slot[first:end].copy()
            for s in unsorted:
                place[rank[node[s]] + 1] += 1
            place[0] = first
            for j in range(size_of_block[block]):
                place[j + 1] += place[j]
                start[row + j] = place[j]
            for s in unsorted:
                j = rank[node[s]]
                slot[place[j]] = s
                others[place[j]] = other[s]
                place[j] += 1

    return sort

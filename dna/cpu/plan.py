"""The gather plan on the CPU: for each level, the cells that run into it and those that leave it, in the order of their visit.

Rows of potentials are read again and again, so cells are taken block by block: a **block** is a chunk of a level's nodes and a
tile of the nodes at the other ends of their cells, few enough that their rows stay in the nearest cache. Within a block cells
lie by (node, slot).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np

from dna.cpu.compiler import jit, kernel
from dna.types import NODE, OFFSET, SLOT, Array, Cells, Nodes

TILE_SHIFTS = (6, 7, 10)
"""A tile is of 2**shift nodes. The rows of 2**6 fill 32 KiB, two thirds of the nearest cache of a present CPU, those of 2**10
half of its second."""

NEAR = 7
"""The shift of the largest tiles for the nearest cache."""

ENOUGH = (16, 12, 8)
"""Mean cells of a node in such a tile from which it pays. A node's row is loaded and stored once a tile."""

ONE_TILE = 31
"""The shift of a level that is not cut into tiles."""

PARTS = 32
"""Parts of the pool that are sorted side by side."""


Phase = Callable[..., None]
"""A part of what runs a plan: see `dna.cpu.levels`."""


class Stage(NamedTuple):
    """One level and its cells on one side: those that run into its nodes, or those that leave them."""

    nodes: Array  # (n,) int32: the nodes of the level, ascending
    slot: Array  # (n_cells,) int32: slots of all cells, sorted by (level, chunk of nodes, tile of other ends, node, slot)
    other: Array  # (n_cells,) int32: the nodes at their other ends
    start: Array  # (n * tiles + 1,) int64: where in `slot` the cells of a node and tile begin, by (chunk, tile, node)
    tiles: int  # of other ends
    near: bool  # whether the rows of a tile stay in the nearest cache
    n_cells: int  # of this level


class Tiling(NamedTuple):
    """How levels are cut into tiles of other ends."""

    low: Array  # (n_levels,) int64: the first node of the first tile; 0 where there is one tile
    shift: Array  # (n_levels,) int64: a tile is of 2**shift nodes
    tiles: Array  # (n_levels,) int64: how many there are
    ends: Array  # (n_levels, 2) int64: the first and the last of the other ends; the last is -1 where a level has no cells


class Layout(NamedTuple):
    """The blocks of all levels, in the order of their visit: by (level, chunk of nodes, tile of other ends)."""

    low: Array  # (n_nodes,) int32: the first node of the first tile of a node's level
    shift: Array  # (n_nodes,) int32: a tile is of 2**shift nodes
    rank: Array  # (n_nodes,) int32: place of a node in its chunk
    block_of: Array  # (n_nodes,) int32: first block of a node's chunk
    row: Array  # (n_blocks,) int64: first row of a block, which are those of `Side.start`
    size: Array  # (n_blocks,) int64: nodes of its chunk


class Side(NamedTuple):
    """All cells by their nodes on one side, and the blocks that they lie in."""

    tiling: Tiling
    layout: Layout
    slot: Array  # (n_cells,) int32: as of `Stage`
    other: Array  # (n_cells,) int32
    start: Array  # (n_rows + 1,) int64: that of all stages; a row is a node and a tile


@dataclass(frozen=True, eq=False)
class GatherPlan:
    into: tuple[Stage, ...]  # one a level: cells by target, for forward
    out_of: tuple[Stage, ...]  # one a level: cells by source, for backward
    sides: tuple[Side, ...] = ()  # what these are views of
    spare: tuple[Array, ...] = ()  # room for `slot` and `other` of another side, in a plan that was merged
    forward: dict[tuple[int, ...], tuple[Phase, ...]] = field(default_factory=dict)  # of a step, by the shape of potentials
    backward: dict[tuple[tuple[int, ...], bool], tuple[Phase, ...]] = field(default_factory=dict)  # and by `inputs_too`


def chunks_of(n: int) -> int:
    """Return into how many chunks the n nodes of a level are cut: enough for many threads, each large enough to reuse a tile."""
    return max(1, min(n // 5, 16), min(n // 32, 64), n // 256)


def make_gather(cells: Cells, bump: int, n_cells: int, nodes: Nodes) -> GatherPlan:
    """Return the gather plan of the living cells; a function of their columns alone."""
    scratch = np.empty(n_cells, NODE), np.empty(bump, np.uint32)
    into = _sort(cells.target, cells.source, cells.id, bump, n_cells, nodes, *scratch)
    return plan_of(into, _sort(cells.source, cells.target, cells.id, bump, n_cells, nodes, *scratch), nodes)


def plan_of(into: Side, out_of: Side, nodes: Nodes) -> GatherPlan:
    """Return the plan of two sides, cut into stages."""
    return GatherPlan(_cut(into, nodes), _cut(out_of, nodes), (into, out_of))


def _cut(side: Side, nodes: Nodes) -> tuple[Stage, ...]:
    rows, stages = first_rows(side.tiling, nodes), []
    for k, members in enumerate(nodes.by_level):
        start = side.start[rows[k] : rows[k + 1] + 1]
        tiles, near = int(side.tiling.tiles[k]), bool(side.tiling.shift[k] <= NEAR)
        stages.append(Stage(members, side.slot, side.other, start, tiles, near, int(start[-1] - start[0])))
    return tuple(stages)


def first_rows(tiling: Tiling, nodes: Nodes) -> np.ndarray:
    """Return the first row of each level, and the number of rows."""
    return np.concatenate([[0], np.cumsum([len(members) * n for members, n in zip(nodes.by_level, tiling.tiles, strict=True)])])


def make_scatter() -> GatherPlan:
    """Return the scatter plan: it runs over the pool as it is, and holds nothing."""
    return GatherPlan((), ())


def _sort(
    node: Array, other: Array, ids: Array, bump: int, n_cells: int, nodes: Nodes, ranks: Array, blocks: Array
) -> Side:
    tiling = _survey(node, other, ids, bump, nodes)
    layout = _lay_out(tiling, nodes)
    slot, others = np.empty(n_cells, SLOT), np.empty(n_cells, NODE)
    start = np.empty(int(first_rows(tiling, nodes)[-1]) + 1, OFFSET)
    start[-1] = n_cells
    place = np.zeros((PARTS, len(layout.row) + 1), np.int64)
    block_sorter()(node, other, ids, bump, layout, place, blocks, slot, others, ranks)
    node_sorter()(layout, place[-1], slot, others, ranks, start)
    return Side(tiling, layout, slot, others, start)


def _survey(node: Array, other: Array, ids: Array, bump: int, nodes: Nodes) -> Tiling:
    n_levels = len(nodes.by_level)
    counts, low = np.zeros((PARTS, n_levels), np.int64), np.full((PARTS, n_levels), len(nodes.level))
    high = np.full((PARTS, n_levels), -1)
    surveyor()(node, other, ids, bump, nodes.level, counts, low, high)
    return tiling_of(counts.sum(0), low.min(0), high.max(0), nodes)


def tiling_of(counts: np.ndarray, low: np.ndarray, high: np.ndarray, nodes: Nodes) -> Tiling:
    """Return the tiles of levels by their cells and the range of the other ends, (n_levels,) each."""
    span = np.maximum(high - low, 0)
    shift = np.array([tile_shift(*level) for level in zip(counts, map(len, nodes.by_level), span, strict=True)])
    return Tiling(np.where(shift == ONE_TILE, 0, low), shift, (span >> shift) + 1, np.stack([low, high], axis=1))


def _lay_out(tiling: Tiling, nodes: Nodes) -> Layout:
    low_of, shift_of, rank, block_of = (np.empty(len(nodes.level), NODE) for _ in range(4))
    lengths = []
    n_blocks = 0
    for members, low, shift, n_tiles in zip(nodes.by_level, *tiling[:3], strict=True):
        low_of[members], shift_of[members] = low, shift
        n, chunks = len(members), chunks_of(len(members))
        bounds = np.arange(chunks + 1) * n // chunks
        chunk = np.repeat(np.arange(chunks), np.diff(bounds))
        rank[members] = np.arange(n) - bounds[chunk]
        block_of[members] = n_blocks + chunk * n_tiles
        lengths.append(np.repeat(np.diff(bounds), n_tiles))
        n_blocks += chunks * n_tiles
    size = np.concatenate(lengths)
    return Layout(low_of, shift_of, rank, block_of, np.cumsum(size) - size, size)


def tile_shift(n_cells: int, n_nodes: int, span: int) -> int:
    """Return the shift of the smallest tiles that pay, for a level of so many cells and nodes and that range of other ends."""
    for k in range(len(TILE_SHIFTS)):
        if n_cells >= ENOUGH[k] * n_nodes * ((span >> TILE_SHIFTS[k]) + 1):
            return TILE_SHIFTS[k]
    return ONE_TILE


# Indices below are unsigned, as Numba asks of a signed one whether it counts from the end.


@cache
def surveyor() -> Callable[..., Any]:
    """Build `survey(node, other, ids, bump, level, counts, low, high)`: cells by level, and the range of their other ends."""

    @jit
    def survey_part(first: Any, end: Any, node: Any, other: Any, ids: Any, level: Any, counts: Any, low: Any, high: Any) -> None:
        for s in range(np.uint64(first), np.uint64(end)):
            if ids[s] >= 0:
                k, far = np.uint64(level[np.uint64(node[s])]), other[s]
                counts[k] += 1
                low[k], high[k] = min(low[k], far), max(high[k], far)

    @kernel("survey", PARTS, parallel=True)
    def survey(node: Any, other: Any, ids: Any, bump: Any, level: Any, counts: Any, low: Any, high: Any) -> None:
        for part in numba.prange(PARTS):
            first, end = part * bump // PARTS, (part + 1) * bump // PARTS
            survey_part(first, end, node, other, ids, level, counts[part], low[part], high[part])

    return survey


@cache
def block_sorter() -> Callable[..., Any]:
    """Build `sort(node, other, ids, bump, layout, place, blocks, slot, others, ranks)`: cells by (block, slot).

    Each cell is written with its other end and with its node's rank in the chunk, so that nothing is looked up afterwards.
    `place` is (PARTS, n_blocks + 1) zeros, the last for free slots; it ends as the ends of the blocks, in its last row. `blocks`
    is scratch, (bump,) uint32.
    """

    @jit
    def count_part(
        first: Any, end: Any, node: Any, other: Any, ids: Any, layout: Any, place: Any, blocks: Any
    ) -> None:
        nowhere = len(place) - 1
        for s in range(np.uint64(first), np.uint64(end)):
            block = np.uint32(nowhere)
            if ids[s] >= 0:
                j = np.uint64(node[s])
                block = np.uint32(layout.block_of[j] + ((other[s] - layout.low[j]) >> layout.shift[j]))
            blocks[s] = block
            place[block] += 1

    @jit
    def place_part(
        first: Any, end: Any, node: Any, other: Any, rank: Any, place: Any, blocks: Any, slot: Any, others: Any, ranks: Any
    ) -> None:
        nowhere = len(place) - 1
        for s in range(np.uint64(first), np.uint64(end)):
            block = blocks[s]
            if block != nowhere:
                c = np.uint64(place[block])
                slot[c], others[c], ranks[c] = s, other[s], rank[np.uint64(node[s])]
                place[block] = c + np.uint64(1)

    @kernel("block sort", PARTS, parallel=True)
    def sort(
        node: Any, other: Any, ids: Any, bump: Any, layout: Any, place: Any, blocks: Any, slot: Any, others: Any, ranks: Any
    ) -> None:
        for part in numba.prange(PARTS):
            first, end = part * bump // PARTS, (part + 1) * bump // PARTS
            count_part(first, end, node, other, ids, layout, place[part], blocks)
        total = 0
        for block in range(place.shape[1]):
            for part in range(PARTS):
                count = place[part, block]
                place[part, block] = total
                total += count
        for part in numba.prange(PARTS):
            first, end = part * bump // PARTS, (part + 1) * bump // PARTS
            place_part(first, end, node, other, layout.rank, place[part], blocks, slot, others, ranks)

    return sort


@cache
def node_sorter() -> Callable[..., Any]:
    """Build `sort(layout, ends, slot, others, ranks, start)`: the cells of each block by (node, slot), in place."""

    @jit
    def sort_block(first: Any, slot: Any, others: Any, ranks: Any, start: Any) -> None:
        place = np.zeros(len(start) + 1, np.int64)
        for rank in ranks:
            place[np.uint64(rank) + np.uint64(1)] += 1
        for j in range(len(start)):
            place[j + 1] += place[j]
            start[j] = first + place[j]
        slots, far = slot.copy(), others.copy()
        for c in range(np.uint64(len(slots))):
            rank = np.uint64(ranks[c])
            to = np.uint64(place[rank])
            slot[to], others[to] = slots[c], far[c]
            place[rank] = to + np.uint64(1)

    @kernel("node sort", parallel=True)
    def sort(layout: Any, ends: Any, slot: Any, others: Any, ranks: Any, start: Any) -> None:
        for block in numba.prange(len(layout.row)):
            first, end, row = ends[block - 1] if block > 0 else 0, ends[block], layout.row[block]
            rows = start[row : row + layout.size[block]]
            sort_block(first, slot[first:end], others[first:end], ranks[first:end], rows)

    return sort

"""The gather plan on the GPU: for each side, the living slots in the order of their visit, by a stable radix sort on their keys.

How levels are cut, and so what the key of a cell is, stands in `dna.cuda.stages`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from dna.cuda.device import cuda, jit, kernel, launch_over
from dna.cuda.histogram import BINS
from dna.cuda.memory import download, empty, full, upload
from dna.cuda.sort import sort_pairs
from dna.cuda.stages import BACKWARD, FORWARD, Stage, choose_layout, rows_of
from dna.types import NODE, SLOT, Array, Cells, Nodes

COUNT, LOW, HIGH = 0, 1, 2
"""Rows of a survey of levels: their cells, the first and the last node at the other ends."""


class Order(NamedTuple):
    """The cells of one side in the order of their keys, for kernels."""

    slots: Array  # (n_cells,) int32: slots sorted by (key, slot)
    others: Array  # (n_cells,) int32: the node at their other end
    start: Array  # (keys + 1,) int32: slots[start[k]:start[k + 1]] have the key k


class Side(NamedTuple):
    """One half of the plan: cells by target, for forward, or by source, for backward."""

    order: Order
    stages: tuple[Stage, ...]  # one a level


class GatherPlan(NamedTuple):
    into: Side
    out_of: Side


def make_gather(cells: Cells, bump: int, n_cells: int, nodes: Nodes) -> GatherPlan:
    """Return the gather plan of the living cells, a function of their columns. Only a survey of levels crosses to the host."""
    real = np.dtype(cells.weight.dtype).type
    into = make_side(FORWARD, cells.target, cells.source, cells.id, bump, n_cells, nodes, real)
    return GatherPlan(into, make_side(BACKWARD, cells.source, cells.target, cells.id, bump, n_cells, nodes, real))


def make_side(
    side: str, node: Array, other: Array, ids: Array, bump: int, n_cells: int, nodes: Nodes, real: type
) -> Side:
    """Return the living slots by (key, slot).

    Free slots get a key past the last, and so drop off the end of the sorted ones.
    """
    stages = _cut_levels(survey_levels(node, other, ids, bump, nodes), nodes, real, side)
    n_keys = sum(stage.keys for stage in stages)
    keys, slots = empty(bump, NODE), empty(bump, SLOT)
    first, cut = _number_nodes(stages, nodes), _table_of_cuts(stages)
    launch_over(labeller(rows_of(real)), bump, node, other, ids, nodes.level, first, cut, n_keys, keys, slots)
    keys, slots = sort_pairs(keys, slots, n_keys)
    order = Order(empty(n_cells, SLOT), empty(n_cells, NODE), empty(n_keys + 1, SLOT))
    launch_over(finisher(), n_cells + 1, keys, slots, other, order)
    return Side(order, stages)


def survey_levels(node: Array, other: Array, ids: Array, bump: int, nodes: Nodes) -> np.ndarray:
    """Return by level of `node` how many cells there are, and between which nodes their other ends lie."""
    n_levels = len(nodes.by_level)
    found = upload(np.repeat(np.array([[0], [len(nodes.level)], [-1]], NODE), n_levels, axis=1))
    for first in range(0, n_levels, BINS):
        launch_over(surveyor(), bump, node, other, ids, bump, nodes.level, first, found)
    return download(found)


def _cut_levels(survey: np.ndarray, nodes: Nodes, real: type, side: str) -> tuple[Stage, ...]:
    stages, first = [], 0
    for members, count, low, high in zip(nodes.by_level, *survey.tolist(), strict=True):
        layout = choose_layout(len(members), count, max(high - low + 1, 1), real, side)
        stages.append(Stage(members, layout, first, low))
        first += stages[-1].keys
    return tuple(stages)


def _number_nodes(stages: tuple[Stage, ...], nodes: Nodes) -> Array:
    """Return the first key of each node: that of its cells with the first shelf."""
    first = full(len(nodes.level), 0, NODE)
    for stage in stages:
        launch_over(numberer(), len(stage.nodes), stage.nodes, stage.first, stage.width, stage.layout.shelves, first)
    return first


def _table_of_cuts(stages: tuple[Stage, ...]) -> Array:
    """Return (2, levels): the first node of the first shelf, and by how much the key moves from one shelf to the next."""
    return upload(np.array([[stage.low, stage.width if stage.layout.shared else 0] for stage in stages], NODE).T)


@cache
def surveyor() -> Callable[..., Any]:
    """Build `survey(node, other, ids, bump, node_level, first, found)`, for BINS levels from `first` on.

    A thread keeps what it has seen of a level in registers for as long as it meets no other. Bytes a slot: 16 read; three
    atomics in shared memory where the level changes.
    """

    @jit
    def tell(counts: Any, lows: Any, highs: Any, level: Any, count: Any, low: Any, high: Any) -> None:
        if count > 0:
            cuda.atomic.add(counts, level, count)
            cuda.atomic.min(lows, level, low)
            cuda.atomic.max(highs, level, high)

    @kernel
    def survey(node: Any, other: Any, ids: Any, bump: Any, node_level: Any, first: Any, found: Any) -> None:
        counts = cuda.shared.array(BINS, np.int32)
        lows = cuda.shared.array(BINS, np.int32)
        highs = cuda.shared.array(BINS, np.int32)
        n = min(BINS, found.shape[1] - first)
        for b in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            counts[b], lows[b], highs[b] = 0, node_level.shape[0], -1
        cuda.syncthreads()
        at, count, low, high = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
        for s in range(cuda.grid(1), bump, cuda.gridsize(1)):
            level = np.int32(node_level[node[s]] - first) if ids[s] >= 0 else np.int32(-1)
            if level >= 0 and level < n:
                end = np.int32(other[s])
                if count == 0 or level != at:
                    tell(counts, lows, highs, at, count, low, high)
                    at, count, low, high = level, np.int32(0), end, end
                count, low, high = np.int32(count + 1), min(low, end), max(high, end)
        tell(counts, lows, highs, at, count, low, high)
        cuda.syncthreads()
        for b in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            if counts[b] > 0:
                cuda.atomic.add(found, (COUNT, first + b), counts[b])
                cuda.atomic.min(found, (LOW, first + b), lows[b])
                cuda.atomic.max(found, (HIGH, first + b), highs[b])

    return survey


@cache
def numberer() -> Callable[..., Any]:
    """Build `number(nodes, first_key, width, shelves, first)`. Bytes a node: 4 read, 4 written."""

    @kernel
    def number(nodes: Any, first_key: Any, width: Any, shelves: Any, first: Any) -> None:
        for i in range(cuda.grid(1), nodes.shape[0], cuda.gridsize(1)):
            first[nodes[i]] = first_key + i // width * width * shelves + i % width

    return number


@cache
def labeller(rows: int) -> Callable[..., Any]:
    """Build `label(node, other, ids, node_level, first, cut, n_keys, keys, slots)`: every slot with its key, or `n_keys` if free.

    Bytes a slot: 16 read, 8 written; its node's level and first key mostly from cache.
    """

    @kernel
    def label(
        node: Any, other: Any, ids: Any, node_level: Any, first: Any, cut: Any, n_keys: Any, keys: Any, slots: Any
    ) -> None:  # fmt: skip
        for s in range(cuda.grid(1), keys.shape[0], cuda.gridsize(1)):
            key = n_keys
            if ids[s] >= 0:
                level = node_level[node[s]]
                key = first[node[s]] + (other[s] - cut[0, level]) // rows * cut[1, level]
            keys[s], slots[s] = key, s

    return label


@cache
def finisher() -> Callable[..., Any]:
    """Build `finish(keys, slots, other, order)`: the other ends, and where each key starts, found where the sorted keys change.

    Thread i looks at the keys of cells i - 1 and i, and writes the starts of all keys after the one up to the other. Bytes a
    cell: 12 read, one random read of 4, 8 written; and 4 written a key.
    """

    @kernel
    def finish(keys: Any, slots: Any, other: Any, order: Any) -> None:
        n, n_keys = order.slots.shape[0], order.start.shape[0] - 1
        for i in range(cuda.grid(1), n + 1, cuda.gridsize(1)):
            if i < n:
                order.slots[i] = slots[i]
                order.others[i] = other[slots[i]]
            last = keys[i] if i < n else n_keys
            for key in range(keys[i - 1] + 1 if i > 0 else 0, last + 1):
                order.start[key] = i

    return finish

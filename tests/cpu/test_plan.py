"""The CPU's gather plan against a plain sort: every living cell once on each side, block by block, and by (node, slot) within."""

from __future__ import annotations

import numpy as np
import pytest

from dna.backend import Maths
from dna.cells import ACTIVATIONS, KINDS
from dna.cpu.backend import CpuBackend
from dna.cpu.plan import ENOUGH, TILE_SHIFTS, Stage, chunks_of
from dna.types import Nodes

IDENTITY = ACTIVATIONS["identity"]


def visited(stage: Stage) -> list[tuple[int, int, int]]:
    """Return (node, slot, other end) of a stage's cells in the order of their visit."""
    n, chunks, seen = len(stage.nodes), chunks_of(len(stage.nodes)), []
    place = 0
    for chunk in range(chunks):
        members = stage.nodes[chunk * n // chunks : (chunk + 1) * n // chunks]
        for _ in range(stage.tiles):
            for node in members:
                cells = range(stage.start[place], stage.start[place + 1])
                seen += [(int(node), int(stage.slot[c]), int(stage.other[c])) for c in cells]
                place += 1
    return seen


@pytest.mark.parametrize(
    ("sizes", "n_cells"),
    [
        ((3, 2), 0),
        ((3, 2), 9),
        ((130, 40), 5200),
        ((200, 70, 9), 15000),
        ((300, 300), 700),
        ((65, 1, 33, 2), 3000),
        ((3000, 7), 500),
    ],
)
def test_every_living_cell_is_visited_once_in_the_stated_order(sizes: tuple[int, ...], n_cells: int) -> None:
    random = np.random.default_rng(n_cells)
    level = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    by_level = tuple(np.flatnonzero(level == k).astype(np.int32) for k in range(len(sizes)))
    nodes = Nodes(level, by_level[0], by_level[-1], by_level)
    backend = CpuBackend(Maths(KINDS["linear"], (IDENTITY,) * len(sizes), np.dtype(np.float32)))
    cells, _ = backend.new_pool(2 * n_cells + 1, 0)
    bump = n_cells + n_cells // 10  # some slots below it are free
    living = np.sort(random.permutation(bump)[:n_cells])
    ends = np.sort(random.integers(0, len(sizes), (n_cells, 2)), axis=1)
    ends[:, 1] = np.maximum(ends[:, 1], 1)
    ends[:, 0] = np.minimum(ends[:, 0], ends[:, 1] - 1)
    cells.id[living] = random.permutation(n_cells)
    for column, levels in ((cells.source, ends[:, 0]), (cells.target, ends[:, 1])):
        column[living] = [by_level[k][random.integers(0, sizes[k])] for k in levels]

    plan = backend.make_plan("gather", cells, bump, n_cells, nodes)

    for stages, node, other in ((plan.into, cells.target, cells.source), (plan.out_of, cells.source, cells.target)):
        for k, stage in enumerate(stages):
            own = [s for s in living if level[node[s]] == k]
            low = min((other[s] for s in own), default=0)
            span = max((other[s] for s in own), default=low) - low
            shift = smallest_that_pays(len(own), len(stage.nodes), span)
            assert stage.tiles == (span >> shift) + 1
            tile_of = {s: (other[s] - low) >> shift for s in own}
            n, chunks = len(stage.nodes), chunks_of(len(stage.nodes))
            chunk_of = {int(m): c for c in range(chunks) for m in stage.nodes[c * n // chunks : (c + 1) * n // chunks]}
            wanted = sorted(own, key=lambda s: (chunk_of[int(node[s])], tile_of[s], node[s], s))
            assert visited(stage) == [(node[s], s, other[s]) for s in wanted]


def smallest_that_pays(n_cells: int, n_nodes: int, span: int) -> int:
    """Return the shift of the smallest tiles in which a node has enough cells on average, or of one tile for all."""
    for shift, enough in zip(TILE_SHIFTS, ENOUGH, strict=True):
        if n_cells >= enough * n_nodes * ((span >> shift) + 1):
            return shift
    return 31


@pytest.mark.parametrize(("density", "tiles"), [(1.0, 13), (0.2, 7), (0.05, 1)])
def test_tiles_are_as_small_as_pays(density: float, tiles: int) -> None:
    """A dense level is cut into tiles for the nearest cache, one of few cells into none."""
    stage = stage_of(784, 40, density)
    assert stage.tiles == tiles
    assert stage.near == (tiles > 1)


def test_a_wide_level_of_few_cells_is_cut_into_tiles_for_the_second_cache() -> None:
    stage = stage_of(5000, 40, 0.03)
    assert stage.tiles == 5
    assert not stage.near


def stage_of(n_in: int, n_out: int, density: float) -> Stage:
    n_cells = round(density * n_in * n_out)
    level = np.repeat(np.array([0, 1], np.int32), (n_in, n_out))
    by_level = (np.arange(n_in, dtype=np.int32), np.arange(n_in, n_in + n_out, dtype=np.int32))
    nodes = Nodes(level, *by_level, by_level)
    backend = CpuBackend(Maths(KINDS["linear"], (IDENTITY,) * 2, np.dtype(np.float32)))
    cells, _ = backend.new_pool(n_cells, 0)
    pairs = np.random.default_rng(0).permutation(n_in * n_out)[:n_cells]
    cells.id[:], cells.source[:], cells.target[:] = np.arange(n_cells), pairs % n_in, n_in + pairs // n_in
    stage: Stage = backend.make_plan("gather", cells, n_cells, n_cells, nodes).into[1]
    return stage

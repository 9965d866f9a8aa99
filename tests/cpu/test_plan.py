"""The CPU's gather plan against a plain sort: every living cell once on each side, block by block, and by (node, slot) within."""

from __future__ import annotations

import numpy as np
import pytest

from dna.backend import Maths
from dna.cells import ACTIVATIONS, KINDS
from dna.cpu.backend import CpuBackend
from dna.cpu.plan import DENSE_ENOUGH, TILE_SHIFT, Stage, chunks_of
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
    [((3, 2), 0), ((3, 2), 9), ((130, 40), 5200), ((200, 70, 9), 15000), ((300, 300), 700), ((65, 1, 33, 2), 3000)],
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
            tile_of = {s: (other[s] - low) >> TILE_SHIFT if stage.tiles > 1 else 0 for s in own}
            n, chunks = len(stage.nodes), chunks_of(len(stage.nodes))
            chunk_of = {int(m): c for c in range(chunks) for m in stage.nodes[c * n // chunks : (c + 1) * n // chunks]}
            wanted = sorted(own, key=lambda s: (chunk_of[int(node[s])], tile_of[s], node[s], s))
            assert visited(stage) == [(node[s], s, other[s]) for s in wanted]
            if stage.tiles > 1:
                assert len(own) >= DENSE_ENOUGH * len(stage.nodes) * stage.tiles


def test_tiles_are_used_where_they_pay() -> None:
    """A dense level is tiled, one of few cells is not."""
    for density, tiles in ((1.0, 13), (0.05, 1)):
        net_cells = round(density * 784 * 40)
        level = np.repeat(np.array([0, 1], np.int32), (784, 40))
        by_level = (np.arange(784, dtype=np.int32), np.arange(784, 824, dtype=np.int32))
        nodes = Nodes(level, *by_level, by_level)
        backend = CpuBackend(Maths(KINDS["linear"], (IDENTITY,) * 2, np.dtype(np.float32)))
        cells, _ = backend.new_pool(net_cells, 0)
        pairs = np.random.default_rng(0).permutation(784 * 40)[:net_cells]
        cells.id[:], cells.source[:], cells.target[:] = np.arange(net_cells), pairs % 784, 784 + pairs // 784
        assert backend.make_plan("gather", cells, net_cells, net_cells, nodes).into[1].tiles == tiles

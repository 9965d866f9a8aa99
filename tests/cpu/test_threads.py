"""Which steps one thread takes whole."""

from __future__ import annotations

import dna
from dna.cpu.levels import ways_of_step
from dna.cpu.threads import LITTLE_STEP, MANY_TILES, MOVE, is_little_step


def test_a_step_is_little_by_its_cells_and_nodes() -> None:
    nodes, lanes = 100, 128
    most = LITTLE_STEP // lanes - MOVE * nodes
    assert is_little_step(most, (1, nodes, lanes)) and not is_little_step(most + 1, (1, nodes, lanes))
    assert is_little_step(10, (MANY_TILES - 1, 10, 16)) and not is_little_step(10, (MANY_TILES, 10, 16))


def test_a_step_that_is_little_belongs_to_one_thread_at_all_levels() -> None:
    net = dna.Network([300, 300, 300], density=0.1, device="cpu")
    stages = net.engine.plans.ready().into
    assert all(way.cells_alone and way.nodes_alone for way in ways_of_step(stages, (1, 900, 128), affine=True))
    assert not any(way.cells_alone for way in ways_of_step(stages, (MANY_TILES, 900, 128), affine=True)[1:])

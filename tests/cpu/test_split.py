"""Splits of many cells: blocks of children, the record of many cells, slots that are claimed again without being cleared."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from compare import assert_same, naive_copy

import dna
from dna.cpu import pool, split
from dna.fossils import DEAD_COLUMNS


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 4, 5])
def test_each_block_of_children_is_written_once(n_blocks: int) -> None:
    """A block that was written twice would halve its parents twice."""
    n = (n_blocks - 1) * split.BLOCK + 7
    net = dna.Network([40, 40], device="cpu", init="he", seed=n_blocks)
    model = naive_copy(net)
    event = net.extinction(dna.Extinction(births=dna.Split(cells=len(net) + n)))
    expected = naive.extinction(model, naive.Rule(split=n / 1600, delete=0.0), event=0)
    assert event.born.tolist() == expected.born and event.n_born == n
    assert_same(net, model, rtol=0, atol=0)


@pytest.mark.parametrize(("n_split", "n_died"), [(900, 900), (1100, 300), (300, 1100)])
def test_what_is_released_and_not_claimed_again_is_cleared(n_split: int, n_died: int) -> None:
    net = dna.Network([40, 40], device="cpu", init="he", seed=0)
    before = {name: column.copy() for name, column in net.engine.pool.cells._asdict().items()}
    rule = dna.Extinction(births=dna.Split(cells=1600 - n_died + n_split), deaths=dna.Delete(cells=1600 - n_died))
    event = net.extinction(rule)
    cells = net.engine.pool.cells
    assert (event.n_born, event.n_died) == (min(n_split, 1600 - n_died), n_died)
    for name in DEAD_COLUMNS:
        expected = event.dead.slot if name == "slot" else before[name][..., event.dead.slot]
        np.testing.assert_array_equal(getattr(event.dead, name), expected, err_msg=name)
    np.testing.assert_array_equal(event.split.id, event.parents)
    free = np.flatnonzero(cells.id == -1)
    assert len(free) == len(cells.id) - len(net)
    for name, column in cells._asdict().items():
        assert (column[..., free] == (-1 if name in ("id", "parent") else 0)).all(), name


def test_columns_are_taken_at_two_sets_of_slots_at_once() -> None:
    net = dna.Network([60, 50], device="cpu", init="he", seed=0)
    net.engine.pool.keep_state(2)
    cells, random = net.engine.pool.cells, np.random.default_rng(0)
    cells.state[:] = random.random(cells.state.shape)
    for n, m in ((0, 0), (5, 0), (0, 5), (pool.BLOCK, 1), (2500, 1200), (17, 3000)):
        first, second = (np.sort(random.permutation(3000)[:k]).astype(np.int32) for k in (n, m))
        found, found_too = pool.take_cells(cells, (first, cells._fields), (second, ("id", "state")))
        assert tuple(found) == cells._fields and tuple(found_too) == ("id", "state")
        for slots, columns in ((first, found), (second, found_too)):
            for name, column in columns.items():
                np.testing.assert_array_equal(column, getattr(cells, name)[..., slots], err_msg=name)

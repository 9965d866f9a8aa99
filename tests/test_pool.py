"""The pool on every device against a model with Python lists and sets: no slot twice, none lost, ids never used again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from compare import SIMULATING
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import dna
from dna.pool import Pool

COLUMNS = ("source", "target", "weight", "bias", "weight_grad", "bias_grad", "parent", "born")
STEPS = settings(max_examples=3, stateful_step_count=8) if SIMULATING else settings(max_examples=60, stateful_step_count=40)


def new_pool(device: str, capacity: int, *, fixed: bool) -> Pool:
    return Pool(dna.Network([1, 1], device=device).backend, capacity, fixed=fixed)


def write_cells(pool: Pool, slots: Sequence[int], first_id: int) -> None:
    """Write living cells, as a claim's caller does: id, and the id once more, plus one, in every other column."""
    cells, backend = pool.cells, pool.backend
    new: dict[str, Any] = {}
    for name, column in cells._asdict().items():
        host = backend.download(column)
        host[..., slots] = first_id + np.arange(len(slots)) + (name != "id")
        new[name] = backend.upload(host)
    pool.cells = cells._replace(**new)


class PoolMachine(RuleBasedStateMachine):
    """The pool beside its model: a dict of living cells, a stack of free slots, a bump pointer."""

    device = "cpu"

    @initialize(capacity=st.integers(1, 12), fixed=st.booleans())
    def start(self, capacity: int, fixed: bool) -> None:
        self.pool = new_pool(self.device, capacity, fixed=fixed)
        self.capacity, self.fixed = capacity, fixed
        self.living: dict[int, int] = {}  # slot -> id
        self.stack: list[int] = []
        self.bump = self.next_id = self.rows = 0

    @rule(count=st.integers(0, 9))
    def claim(self, count: int) -> None:
        free = self.capacity - len(self.living)
        if self.fixed and count > free:
            with pytest.raises(dna.PoolExhausted) as caught:
                self.pool.claim(count)
            assert (caught.value.needed, caught.value.free) == (count, free)
            return
        self._expect_growth(count)
        slots, first_id = self.pool.claim(count)
        expected = [self.stack.pop() if self.stack else self._bump() for _ in range(count)]
        found = self.pool.backend.download(slots).tolist()
        assert found == expected and first_id == self.next_id
        assert not set(found) & set(self.living), "a slot was handed out twice"
        write_cells(self.pool, found, first_id)
        self.living |= {slot: first_id + k for k, slot in enumerate(found)}
        self.next_id += count

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        slots = data.draw(st.lists(st.sampled_from(sorted(self.living)), unique=True)) if self.living else []
        self.pool.release(self.pool.backend.upload(np.array(slots, np.int32)))
        for slot in slots:
            del self.living[slot]
        self.stack += slots

    @rule(count=st.integers(0, 30))
    def reserve(self, count: int) -> None:
        free = self.capacity - len(self.living)
        if self.fixed and count > free:
            with pytest.raises(dna.PoolExhausted):
                self.pool.reserve(count)
        else:
            self._expect_growth(count)
            self.pool.reserve(count)

    @rule()
    def settle_when_no_kernel_drew(self) -> None:
        assert self.pool.settle() == len(self.living)

    @rule(rows=st.sampled_from([0, 2, 4]))
    def keep_state(self, rows: int) -> None:
        self.pool.keep_state(rows)
        self.rows = rows

    @invariant()
    def counts_agree(self) -> None:
        pool = self.pool
        assert (len(pool), pool.free, pool.bump) == (len(self.living), len(self.stack), self.bump)
        assert (pool.next_id, pool.capacity) == (self.next_id, self.capacity)

    @invariant()
    def no_slot_is_lost(self) -> None:
        columns, free = self.pool.columns()
        assert free.tolist() == self.stack
        assert sorted(free.tolist() + list(self.living)) == list(range(self.bump))
        assert columns["id"].tolist() == [self.living.get(slot, -1) for slot in range(self.bump)]
        assert columns["state"].shape == (self.rows, self.bump)

    @invariant()
    def free_slots_are_inert(self) -> None:
        pool = self.pool
        for name, column in pool.cells._asdict().items():
            host, blank = pool.backend.download(column), -1 if name in ("id", "parent") else 0
            idle = np.setdiff1d(np.arange(self.capacity), list(self.living))
            assert (host[..., idle] == blank).all(), name

    @invariant()
    def living_cells_are_untouched(self) -> None:
        slots, ids = list(self.living), np.array(list(self.living.values()))
        for name in COLUMNS:
            column = self.pool.backend.download(getattr(self.pool.cells, name))
            assert column[slots].tolist() == (ids + 1).tolist(), name

    def _bump(self) -> int:
        self.bump += 1
        return self.bump - 1

    def _expect_growth(self, count: int) -> None:
        needed = len(self.living) + count
        if needed > self.capacity:
            self.capacity = max(2 * self.capacity, needed)


def test_any_sequence_of_claims_and_releases(device: str) -> None:
    class OnDevice(PoolMachine):
        pass

    OnDevice.device = device
    run_state_machine_as_test(OnDevice, settings=STEPS)


def test_claims_take_the_top_of_the_stack_first_and_then_bump(device: str) -> None:
    pool = new_pool(device, 4, fixed=False)
    slots, first_id = pool.claim(3)
    assert pool.backend.download(slots).tolist() == [0, 1, 2] and first_id == 0
    write_cells(pool, [0, 1, 2], 0)
    pool.release(pool.backend.upload(np.array([2, 0], np.int32)))
    slots, first_id = pool.claim(4)
    assert pool.backend.download(slots).tolist() == [0, 2, 3, 4] and first_id == 3
    assert (pool.capacity, pool.next_id, len(pool)) == (8, 7, 5)


def test_growth_keeps_optimizer_state(device: str) -> None:
    pool = new_pool(device, 2, fixed=False)
    pool.keep_state(4)
    pool.claim(2)
    write_cells(pool, [0, 1], 0)
    pool.reserve(1)
    assert pool.backend.download(pool.cells.state).tolist() == [[1, 2, 0, 0]] * 4


@pytest.mark.parametrize("capacity", [0, -1, 2**31])
def test_impossible_capacities_are_refused(capacity: int) -> None:
    with pytest.raises(dna.OptionError, match="capacity: expected 1 to"):
        new_pool("cpu", capacity, fixed=True)


def test_settling_makes_a_new_version_and_asks_for_a_new_forward(device: str) -> None:
    net = dna.Network([3, 2], device=device, init="glorot")
    before = net.forward(np.ones((1, 3)))
    pool = net.engine.pool
    slots, first_id = pool.claim(1)
    columns = {name: net.backend.download(column) for name, column in pool.cells._asdict().items()}
    slot = int(net.backend.download(slots)[0])
    for name, value in {"source": 0, "target": 4, "weight": 2.0, "id": first_id}.items():
        columns[name][slot] = value
    pool.cells = pool.cells._replace(**{name: net.backend.upload(column) for name, column in columns.items()})

    assert net.settle() == 7
    assert net.version == 1
    with pytest.raises(dna.OptionError):
        net.backward(np.ones((1, 2)))
    after = net.forward(np.ones((1, 3)))
    np.testing.assert_allclose(after - before, [[0.0, 2.0]], atol=1e-6)

"""The pool on every device against a model with Python lists and sets: no slot twice, none lost, ids never used again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numba
import numpy as np
import pytest
from compare import SIMULATING
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

import dna
from dna.pool import Pool, Rollback

COLUMNS = ("source", "target", "weight", "bias", "weight_grad", "bias_grad", "parent", "born")
LONG = bool(os.environ.get("DNA_LONG"))
"""DNA_LONG=1 runs 100,000 steps and more."""

EXAMPLES, LENGTH = (12, 15) if SIMULATING else (1200, 120) if LONG else (60, 40)
STEPS = settings(max_examples=EXAMPLES, stateful_step_count=LENGTH)
steps_taken = 0


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


@cache
def kernels() -> tuple[Any, Any]:
    """Return compiled code of a user's own that claims and releases slot by slot, in threads of Numba."""
    from dna.cpu import pool

    @numba.njit(parallel=True)
    def claim_each(cells: Any, heap: Any, slots: Any, ids: Any) -> None:
        for i in numba.prange(len(slots)):
            slots[i], ids[i] = pool.claim(heap)
            if slots[i] >= 0:
                cells.id[slots[i]] = ids[i]

    @numba.njit(parallel=True)
    def release_each(cells: Any, heap: Any, slots: Any, done: Any) -> None:
        for i in numba.prange(len(slots)):
            done[i] = pool.release(cells, heap, slots[i])

    return claim_each, release_each


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

    @precondition(lambda self: self.device == "cpu")
    @rule(count=st.integers(1, 12))
    def claim_by_threads(self, count: int) -> None:
        """Which thread gets which slot is open; together they get those that one claim in bulk would get, or all there are."""
        granted = min(count, self.capacity - len(self.living))
        expected = [self.stack.pop() if self.stack else self._bump() for _ in range(granted)]
        slots, ids = np.full(count, -9, np.int32), np.full(count, -9, np.int64)
        kernels()[0](self.pool.cells, self.pool.heap, slots, ids)
        assert self.pool.settle() == len(self.living) + granted
        got = slots >= 0
        assert sorted(slots[got].tolist()) == sorted(expected) and (slots[~got] == -1).all() and (ids[~got] == -1).all()
        assert sorted(ids[got].tolist()) == list(range(self.next_id, self.next_id + granted))
        for slot, new in zip(slots[got].tolist(), ids[got].tolist(), strict=True):
            write_cells(self.pool, [slot], new)
            self.living[slot] = new
        self.next_id += granted

    @precondition(lambda self: self.device == "cpu" and self.living)
    @rule(data=st.data())
    def release_by_threads(self, data: st.DataObject) -> None:
        """Some slots are released twice at the same time, of which one succeeds; their order on the stack is open."""
        slots = data.draw(st.lists(st.sampled_from(sorted(self.living)), min_size=1))
        done = np.zeros(len(slots), np.bool_)
        kernels()[1](self.pool.cells, self.pool.heap, np.array(slots, np.int32), done)
        assert self.pool.settle() == len(self.living) - len(set(slots))
        assert sorted(np.array(slots)[done].tolist()) == sorted(set(slots))
        for slot in set(slots):
            del self.living[slot]
        top = self.pool.columns()[1][len(self.stack) :].tolist()
        assert sorted(top) == sorted(set(slots))
        self.stack += top

    @rule(method=st.sampled_from(["grow", "claim", "release", "zeros"]), count=st.integers(1, 20))
    def memory_fails(self, method: str, count: int) -> None:
        """Whatever cannot be had, nothing has changed; the invariants say so."""

        def refuse(*arguments: Any) -> None:
            raise MemoryError("as injected")

        free = self.capacity - len(self.living)
        if method == "claim" and count > free:
            return  # the pool would have grown before, and may
        slots = np.array(sorted(self.living)[:count], np.int32)
        work = {
            "grow": lambda: self.pool.claim(free + count),
            "claim": lambda: self.pool.claim(count),
            "release": lambda: self.pool.release(self.pool.backend.upload(slots)),
            "zeros": lambda: self.pool.keep_state(self.rows),
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.pool.backend, method, refuse)
            with pytest.raises(dna.PoolExhausted if method == "grow" and self.fixed else MemoryError):
                work[method]()

    @rule()
    def settle_when_no_kernel_drew(self) -> None:
        assert self.pool.settle() == len(self.living)

    @rule(rows=st.sampled_from([0, 2, 4]))
    def keep_state(self, rows: int) -> None:
        self.pool.keep_state(rows)
        self.rows = rows

    @invariant()
    def counts_agree(self) -> None:
        global steps_taken
        steps_taken += 1
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
    def free_slots_are_inert_and_living_cells_are_untouched(self) -> None:
        pool, slots, idle = self.pool, list(self.living), np.ones(self.capacity, np.bool_)
        idle[slots] = False
        expected = [id + 1 for id in self.living.values()]
        for name, column in pool.cells._asdict().items():
            host, blank = pool.backend.download(column), -1 if name in ("id", "parent") else 0
            assert (host[..., idle] == blank).all(), name
            assert name not in COLUMNS or host[slots].tolist() == expected, name

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
    assert steps_taken > (100_000 if LONG else 10)


def test_claims_take_the_top_of_the_stack_first_and_then_bump(device: str) -> None:
    pool = new_pool(device, 4, fixed=False)
    slots, first_id = pool.claim(3)
    assert pool.backend.download(slots).tolist() == [0, 1, 2] and first_id == 0
    write_cells(pool, [0, 1, 2], 0)
    pool.release(pool.backend.upload(np.array([2, 0], np.int32)))
    slots, first_id = pool.claim(4)
    assert pool.backend.download(slots).tolist() == [0, 2, 3, 4] and first_id == 3
    assert (pool.capacity, pool.next_id, len(pool)) == (8, 7, 5)


def test_fragmentation_is_the_share_of_free_slots_below_the_bump_pointer() -> None:
    pool = new_pool("cpu", 8, fixed=True)
    assert pool.fragmentation == 0.0, "of an empty pool"
    pool.claim(4)
    assert pool.fragmentation == 0.0
    pool.release(pool.backend.upload(np.array([1, 2, 0], np.int32)))
    assert pool.fragmentation == 0.75


def test_growth_keeps_optimizer_state(device: str) -> None:
    pool = new_pool(device, 2, fixed=False)
    pool.keep_state(4)
    pool.claim(2)
    write_cells(pool, [0, 1], 0)
    pool.reserve(1)
    assert pool.backend.download(pool.cells.state).tolist() == [[1, 2, 0, 0]] * 4


def test_a_rollback_blanks_what_was_claimed(device: str) -> None:
    """Claims alone, no deaths: nothing that is put back covers the slots of the newborn."""
    pool = new_pool(device, 8, fixed=True)
    pool.claim(3)
    write_cells(pool, [0, 1, 2], 0)
    backend = pool.backend

    def everything() -> tuple[Any, ...]:
        columns = [backend.download(column).tolist() for column in pool.cells]
        return columns, backend.download(pool.heap.counters).tolist(), pool.bump, pool.free, len(pool)

    before, rollback = everything(), Rollback(pool)
    rollback.prepare(largest=4)
    slots, first_id = rollback.claim(4)
    backend.put(pool.cells.id, slots, backend.upload(np.arange(first_id, first_id + 4)))
    backend.put(pool.cells.weight, slots, backend.upload(np.full(4, 2.0, np.float32)))
    backend.put(pool.cells.parent, slots, backend.upload(np.full(4, 1)))
    assert everything() != before
    rollback.run()
    assert everything() == before


@pytest.mark.parametrize("capacity", [0, -1, 2**31])
def test_impossible_capacities_are_refused(capacity: int) -> None:
    with pytest.raises(dna.OptionError, match="capacity: expected 1 to 2147483647 slots"):
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

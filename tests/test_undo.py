"""Undo: an extinction taken back leaves the network as if it had never happened, slot by slot and bit by bit."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from compare import CELL_KINDS, SIMULATING, assert_same, batch, dag_network, naive_copy, snapshot, unchanged
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

import dna
from dna.cpu.pool import release

MIXED: dict[str, Any] = {"split": 0.4, "delete": 0.3, "jitter": 0.2}
RULES: dict[str, dict[str, Any]] = {
    "as many born as died": {"split": 0.2, "delete": 0.2},
    "mostly births": {"split": 0.7, "delete": 0.1},
    "mostly deaths": {"split": 0.1, "delete": 0.7},
    "births alone": {"split": 1.0, "delete": 0.0},
    "deaths alone": {"split": 0.0, "delete": 0.5},
    "nothing": {"split": 0.0, "delete": 0.0},
}


def train(net: dna.Network, optimizer: str | dna.Optimizer = "", epochs: int = 1) -> None:
    x, y = batch(8, net.n_in), batch(8, net.n_out)
    net.fit(x, y, epochs=epochs, batch_size=4, loss="mse", optimizer=optimizer or dna.Adam(0.01), progress=False)


def trained(device: str, **options: Any) -> dna.Network:
    """Return a network with optimizer state, and with free slots that earlier extinctions left."""
    net = dag_network(device, **options)
    train(net)
    for options in ({"split": 0.0, "delete": 0.4}, {"split": 0.2, "delete": 0.1}):
        net.extinction(dna.Extinction(**options))
    train(net)
    return net


@pytest.mark.parametrize("name", RULES)
def test_an_extinction_taken_back_leaves_every_bit_as_it_was(device: str, name: str) -> None:
    net = trained(device)
    before, outputs = snapshot(net), net.forward(batch(5, 3))
    event = net.extinction(dna.Extinction(**RULES[name]))
    assert net.version == before["meta"]["version"] + 1
    event.undo()
    assert snapshot(net) == before
    assert (net.forward(batch(5, 3)) == outputs).all()


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_a_life_goes_on_as_if_it_had_never_happened(kind: str) -> None:
    """Not only the bits: the ids, the random draws and the schedule of what follows are those of a network without the event."""
    plain, other = (trained("cpu", cell=kind) for _ in range(2))
    other.extinction(dna.Extinction(**MIXED)).undo()
    schedule = dna.Extinction(**MIXED | {"passthrough": "random"}, every=1, patience=0, min_delta=10.0)
    x, y = batch(8, 3), batch(8, 2)
    for net in (plain, other):
        net.fit(x, y, epochs=5, batch_size=4, loss="mse", optimizer=dna.Adam(0.01), extinction=schedule, progress=False)
        net.history.epochs.clear()
    assert len(plain.fossils) > 3
    assert snapshot(plain) == snapshot(other)


def test_what_was_learned_since_stays_with_cells_that_neither_split_nor_died(device: str) -> None:
    net = trained(device)
    before = naive_copy(net)
    event = net.extinction(dna.Extinction(**MIXED))
    steps = net.step
    train(net)
    learned = naive_copy(net)
    event.undo()
    ids = naive.Event(event.born.tolist(), event.parents.tolist(), event.died.tolist())
    assert_same(net, naive.undo(learned, before, ids), rtol=0, atol=0)
    assert net.step > steps and net.epoch == 3, "training was taken back"


@pytest.mark.parametrize(("other", "rows"), [(dna.SGD(0.1, momentum=0.9), 2), (dna.AdamW(0.01), 4)])
def test_another_kind_of_optimizer_since_leaves_the_dead_without_its_state(other: dna.Optimizer, rows: int) -> None:
    net = trained("cpu")
    event = net.extinction(dna.Extinction(**MIXED))
    train(net, other)
    event.undo()
    columns, _ = net.engine.pool.columns()
    died = np.isin(columns["id"], event.died)
    assert columns["state"].shape[0] == rows
    assert (columns["state"][:, died] == 0).all() and (columns["state"][:, ~died & (columns["id"] >= 0)] != 0).any()


def test_one_after_another_back_to_the_start(device: str) -> None:
    """The pool grows twice on the way, and shrinks on the way back."""
    net = dag_network(device, dtype="float32")
    states = []
    for name in ("mostly births", "mostly deaths", "births alone", "births alone"):
        states.append(snapshot(net))
        net.extinction(dna.Extinction(**RULES[name]))
    capacities = [event.capacity for event in net.fossils]
    assert capacities[-1] > capacities[0] > 19
    for state in reversed(states):
        net.fossils[-1].undo()
        assert snapshot(net) == state
    assert len(net.fossils) == 0 and net.version == 0 and net.engine.pool.capacity == 19


def test_a_saved_and_loaded_network_can_be_taken_back(tmp_path: Path, device: str) -> None:
    net = trained(device)
    before = snapshot(net)
    net.extinction(dna.Extinction(**MIXED))
    net.save(tmp_path / "net.dna")
    twin = dna.load(tmp_path / "net.dna", device=device)
    twin.fossils[-1].undo()
    assert snapshot(twin) | {"history": None} == before | {"history": None}
    assert len(net.fossils) == 3, "the event of the other network went with it"


def test_the_schedule_stands_where_it_stood() -> None:
    net = trained("cpu")
    rule = dna.Extinction(**MIXED, every=50)
    net.fit(batch(8, 3), batch(8, 2), epochs=3, loss="mse", optimizer=dna.Adam(0.01), extinction=rule, progress=False)
    stood = net.schedule
    assert stood.epochs == 3 and stood.best is not None
    event = net.extinction(dna.Extinction(**MIXED))
    assert net.schedule.epochs == 0
    event.undo()
    assert net.schedule == stood


def test_the_epoch_that_fired_counts_in_the_schedule_that_comes_back() -> None:
    net = trained("cpu")
    rule = dna.Extinction(**MIXED, every=3, patience=0, min_delta=10.0)
    net.fit(batch(8, 3), batch(8, 2), epochs=3, loss="mse", optimizer=dna.Adam(0.01), extinction=rule, progress=False)
    assert net.fossils[-1].trigger == "schedule" and net.schedule.epochs == 0
    net.fossils[-1].undo()
    assert (net.schedule.epochs, net.schedule.stalled) == (3, 2)


# --- views and gradients --------------------------------------------------------------------------------------------------


def test_a_view_of_an_undone_version_is_stale_when_another_bears_its_number() -> None:
    net = trained("cpu")
    event = net.extinction(dna.Extinction(**MIXED))
    view = net.graph()
    event.undo()
    assert view.stale
    net.extinction(dna.Extinction(**RULES["deaths alone"]))
    assert net.version == view.version and view.stale
    with pytest.raises(dna.StaleViewError, match="again, after an extinction was taken back"):
        view.refresh()


def test_no_backward_without_a_forward_since() -> None:
    net = trained("cpu")
    event = net.extinction(dna.Extinction(**MIXED))
    net.forward(batch(4, 3))
    event.undo()
    with pytest.raises(dna.OptionError, match="expected a forward before it"):
        net.backward(batch(4, 2))


# --- refused ------------------------------------------------------------------------------------------------------------


def test_no_event_is_undone_while_a_later_one_stands() -> None:
    net = trained("cpu")
    first, second = net.extinction(dna.Extinction(**MIXED)), net.extinction(dna.Extinction(**MIXED))
    with unchanged(net), pytest.raises(dna.UndoError, match="extinction 2: expected the last event, but extinction 3 stands"):
        first.undo()
    second.undo()
    first.undo()


def test_no_event_is_undone_twice() -> None:
    net = trained("cpu")
    event = net.extinction(dna.Extinction(**MIXED))
    event.undo()
    net.extinction(dna.Extinction(**MIXED))
    with unchanged(net), pytest.raises(dna.UndoError, match="extinction 2 is not in the record"):
        event.undo()


def test_no_event_is_undone_after_kernels_claimed_or_released() -> None:
    net = trained("cpu")
    event = net.extinction(dna.Extinction(**MIXED))
    pool = net.engine.pool
    assert release(pool.cells, pool.heap, int(np.flatnonzero(pool.cells.id[: pool.bump] >= 0)[0]))
    net.settle()
    with unchanged(net), pytest.raises(dna.UndoError, match="made version 3, but the topology is at 4: kernels"):
        event.undo()


def test_an_event_does_not_keep_its_network_alive() -> None:
    net = trained("cpu")
    event, gone = net.extinction(dna.Extinction(**MIXED)), weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
    with pytest.raises(dna.UndoError, match="its network is gone"):
        event.undo()


# --- any sequence -------------------------------------------------------------------------------------------------------

SHARES = st.integers(0, 50).map(lambda percent: percent / 100)


class UndoMachine(RuleBasedStateMachine):
    """Extinctions and undos in any order, beside a pile of states: the top is what the next undo has to bring back."""

    device = "cpu"

    @initialize(layers=st.lists(st.integers(1, 4), min_size=2, max_size=3), slack=st.one_of(st.none(), st.integers(0, 12)))
    def start(self, layers: list[int], slack: int | None) -> None:
        capacity = None if slack is None else sum(a * b for a, b in pairwise(layers)) + slack
        self.net = dna.Network(layers, init="he", device=self.device, seed=1, capacity=capacity)
        train(self.net)
        self.pile: list[dict[str, Any]] = []

    @rule(split=SHARES, delete=SHARES, jitter=st.sampled_from([0.0, 0.4]), measure=st.sampled_from(["weight", "random"]))
    def extinction(self, split: float, delete: float, jitter: float, measure: str) -> None:
        before = snapshot(self.net)
        try:
            self.net.extinction(dna.Extinction(split=split, delete=delete, jitter=jitter, passthrough=measure))
        except dna.PoolExhausted:
            assert snapshot(self.net) == before
            return
        self.pile.append(before)

    @precondition(lambda self: self.pile)
    @rule()
    def undo(self) -> None:
        self.net.fossils[-1].undo()
        assert snapshot(self.net) == self.pile.pop()

    @precondition(lambda self: len(self.pile) > 1)
    @rule()
    def refused(self) -> None:
        before = snapshot(self.net)
        with pytest.raises(dna.UndoError):
            self.net.fossils[-2].undo()
        assert snapshot(self.net) == before

    @rule()
    def train(self) -> None:
        """What was learned since stays, so that the pile no longer tells what comes back."""
        train(self.net)
        self.pile.clear()

    @precondition(lambda self: len(self.net.fossils) > len(self.pile))
    @rule()
    def undo_after_training(self) -> None:
        self.pile.clear()
        event, ids = self.net.fossils[-1], set(self.net.cells.id.tolist())
        event.undo()
        assert set(self.net.cells.id.tolist()) == ids - set(event.born.tolist()) | set(event.died.tolist())
        kept = np.isin(self.net.cells.id, event.died)
        assert sorted(self.net.cells.weight[kept]) == sorted(event.dead.weight)

    @invariant()
    def the_pool_is_whole(self) -> None:
        pool = self.net.engine.pool
        columns, free = pool.columns()
        assert sorted(free.tolist()) == np.flatnonzero(columns["id"] < 0).tolist()
        for name in ("weight", "bias", "source", "target"):
            assert (columns[name][free] == 0).all()
        past = self.net.backend.download(pool.cells.id)[pool.bump :]
        assert (past == -1).all(), "slots above the bump pointer hold cells"


def test_any_sequence_of_extinctions_and_undos(device: str) -> None:
    class OnDevice(UndoMachine):
        pass

    OnDevice.device = device
    some = settings(max_examples=6, stateful_step_count=8) if SIMULATING else settings(max_examples=30, stateful_step_count=20)
    run_state_machine_as_test(OnDevice, settings=some)

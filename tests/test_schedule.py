"""When an extinction fires: exactly as every, patience and min_delta say, by themselves and in a fit."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from compare import batch, snapshot
from hypothesis import given
from hypothesis import strategies as st

import dna
from dna.rules import Clock, ScheduleState

NOTHING = {"split": 0.0, "delete": 0.0}


def fired(losses: list[float], rule: dna.Extinction) -> list[int]:
    """Return the epochs after which the schedule fires."""
    state, epochs = ScheduleState(), []
    for epoch, loss in enumerate(losses, start=1):
        state = state.after_epoch(loss, rule.when.min_delta)
        if rule.when.fires(state, Clock(), {}):
            epochs.append(epoch)
            state = ScheduleState()
    return epochs


@pytest.mark.parametrize(
    ("losses", "schedule", "expected"),
    [
        # The first loss is the best so far; the plateau begins with the second.
        ([1.0] * 9, {"every": 1, "patience": 0}, [2, 4, 6, 8]),
        ([1.0] * 9, {"every": 1, "patience": 2}, [4, 8]),
        ([1.0] * 9, {"every": 5, "patience": 0}, [5]),
        ([1.0] * 9, {"every": 3, "patience": 3}, [5]),
        # An improvement of more than min_delta starts the count anew, a smaller one does not.
        ([9.0, 8.0, 7.0, 6.0, 5.0, 4.0], {"every": 1, "patience": 0}, []),
        ([9.0, 9.0, 8.0, 8.0, 8.0, 8.0], {"every": 1, "patience": 1}, [5]),
        ([9.0, 8.6, 8.2, 7.8, 7.4], {"every": 1, "patience": 1, "min_delta": 0.5}, []),
        ([9.0, 8.9, 8.8, 8.7, 8.6], {"every": 1, "patience": 1, "min_delta": 0.5}, [3]),
        ([1.0, 1.0, 1.0], {"every": 1, "patience": 0, "min_delta": 0.0}, [2]),
        # Getting worse is no improvement, and getting back to where it was is none either.
        ([5.0, 6.0, 5.0, 6.0, 5.0], {"every": 1, "patience": 3}, [5]),
    ],
)
def test_cases(losses: list[float], schedule: dict[str, Any], expected: list[int]) -> None:
    rule = dna.Extinction(**NOTHING, **schedule)
    assert fired(losses, rule) == expected
    assert isinstance(rule.when, dna.Plateau)
    assert naive.epochs_that_fire(losses, rule.when.every, rule.when.patience, rule.when.min_delta) == expected


@given(
    losses=st.lists(st.integers(-8, 8).map(lambda n: n / 4), max_size=30),
    every=st.integers(1, 6),
    patience=st.integers(0, 5),
    min_delta=st.sampled_from([0.0, 0.25, 0.3, 1.0]),
)
def test_any_losses(losses: list[float], every: int, patience: int, min_delta: float) -> None:
    rule = dna.Extinction(**NOTHING, every=every, patience=patience, min_delta=min_delta)
    assert fired(losses, rule) == naive.epochs_that_fire(losses, every, patience, min_delta)


@pytest.mark.parametrize("watches", ["training", "validation"])
def test_a_fit_follows_the_watched_loss(watches: str) -> None:
    """The rate makes the loss bounce, so plateaus of all lengths come up."""
    rng = np.random.default_rng(0)
    x, y, xv, yv = batch(40, 6), rng.integers(0, 3, 40), batch(30, 6), rng.integers(0, 3, 30)
    net = dna.Network([6, 3], device="cpu")
    rule = dna.Extinction(every=3, patience=1, min_delta=0.02)
    validation = (xv, yv) if watches == "validation" else None
    options = {"epochs": 40, "batch_size": 8, "optimizer": dna.SGD(0.5), "progress": False}
    history = net.fit(x, y, extinction=rule, validation=validation, **options)
    watched = history.val_loss if watches == "validation" else history.loss
    expected = naive.epochs_that_fire(watched, 3, 1, 0.02)
    found = [epoch.number for epoch in history.epochs if epoch.event is not None]
    assert found == expected and len(found) > 3
    assert {b - a for a, b in pairwise(found)} != {3}, "the losses never decided"
    assert [(event.epoch, event.trigger) for event in net.fossils] == [(epoch, "schedule") for epoch in found]
    assert history.extinctions == list(net.fossils)


def test_the_event_holds_the_watched_loss_before_and_after() -> None:
    x, y = batch(40, 6), np.random.default_rng(0).normal(size=(40, 3))
    xv, yv = batch(30, 6), np.random.default_rng(1).normal(size=(30, 3))
    net = dna.Network([6, 3], device="cpu")
    rule = dna.Extinction(split=0.0, delete=0.3, every=1, patience=0, min_delta=10.0)
    fit = {"epochs": 2, "loss": "mse", "optimizer": dna.SGD(0.1), "extinction": rule, "progress": False}
    epoch = net.fit(x, y, validation=(xv, yv), **fit).epochs[-1]
    assert epoch.event is not None
    assert epoch.event.loss_before == epoch.val_loss
    assert epoch.event.loss_after == net.evaluate(xv, yv, loss="mse")["loss"] > 0
    assert epoch.event.loss_after != epoch.event.loss_before
    assert (epoch.cells, epoch.event.cells_after) == (18, 13)


# --- every n, and paths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"epochs": 3}, [3, 6, 9, 12]),
        ({"epochs": 1, "begin": 4, "until": 7}, [4, 5, 6, 7]),
        ({"epochs": 3, "begin": 4}, [4, 7, 10]),
        ({"epochs": 5, "until": 9}, [5]),
        ({"steps": 3}, []),
    ],
)
def test_every_n_epochs(schedule: dict[str, Any], expected: list[int]) -> None:
    net = dna.Network([6, 3], device="cpu")
    rule = dna.Extinction(**NOTHING, when=dna.Every(**schedule))
    fit = {"epochs": 6, "loss": "mse", "optimizer": dna.SGD(0.01), "extinction": rule, "progress": False}
    for _ in range(2):  # the count goes on in the next fit
        net.fit(batch(8, 6), batch(8, 3), batch_size=8, **fit)
    if "steps" in schedule:
        assert [event.epoch for event in net.fossils] == [2, 5, 8, 11], "one step an epoch, and the third is the last of three"
    else:
        assert [event.epoch for event in net.fossils] == expected


def test_every_n_steps_fires_within_epochs() -> None:
    seen = []

    class Watch(dna.Callback):
        def on_extinction(self, network: Any, event: dna.ExtinctionEvent) -> None:
            seen.append(event.number)

    x, y = batch(50, 6), batch(50, 3)
    net = dna.Network([6, 3], device="cpu")
    rule = dna.Extinction(delete=0.2, split=0.0, when=dna.Every(steps=2, until=12))
    fit = {"batch_size": 10, "loss": "mse", "optimizer": dna.SGD(0.01), "progress": False}
    history = net.fit(x, y, epochs=4, extinction=rule, callbacks=[Watch()], **fit)
    assert [len(epoch.within) for epoch in history.epochs] == [2, 3, 1, 0]  # after steps 2 4, 6 8 10, 12 of 5 an epoch
    assert [event.epoch for event in net.fossils] == [0, 0, 1, 1, 1, 2]
    assert seen == list(range(6)) and history.extinctions == list(net.fossils)
    event = net.fossils[0]
    assert event.loss_before is not None and event.loss_after != event.loss_before
    assert net.clock == (4, 20) and net.schedule.steps == 8


@pytest.mark.parametrize("unit", ["epochs", "steps"])
def test_paths_are_those_of_the_papers(unit: Any) -> None:
    for begin, until in ((0, 10), (3, 17)):
        decay = dna.Cosine(0.3, until=until, begin=begin, unit=unit)
        path = dna.Cubic(1000, 150, until=until, begin=begin, unit=unit)
        for now in range(20):
            clock = Clock(now, 99) if unit == "epochs" else Clock(99, now)
            assert decay.at(clock) == pytest.approx(naive.cosine(0.3, begin, until, now), abs=1e-15)
            assert path.at(clock) == naive.cubic(1000, 150, begin, until, now)
    assert dna.Cubic(10, 90, until=2).at(Clock(5)) == 90, "a path may also grow"


def test_gradual_pruning_goes_down_to_its_number_of_cells() -> None:
    x, y = batch(40, 10), batch(40, 5)
    net = dna.Network([10, 5], device="cpu")
    path = dna.Cubic(50, 17, until=6)
    rule = dna.Extinction(deaths=dna.Delete(cells=path), when=dna.Every(epochs=1))
    history = net.fit(x, y, epochs=8, loss="mse", optimizer=dna.SGD(0.01), extinction=rule, progress=False)
    expected = [naive.cubic(50, 17, 0, 6, epoch) for epoch in range(1, 9)]
    assert [event.cells_after for event in history.extinctions] == expected and expected[5:] == [17, 17, 17]
    assert history.extinctions[-1].options["deaths"][0]["cells"] == path.options()
    grown = net.extinction(dna.Extinction(births=dna.Split(cells=30), deaths=dna.Delete(share=0.5)))
    assert (grown.n_died, grown.n_born, grown.cells_after) == (8, 9, 18), "only those who live can split"


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_as_many_are_born_as_die(scope: Any) -> None:
    """Level by level too: RigL and SET keep the number of connections of each layer."""
    net = dna.Network([8, 9, 4], device="cpu", seed=2)
    net.fit(batch(40, 8), batch(40, 4), epochs=1, loss="mse", optimizer=dna.SGD(0.01), progress=False)
    before = np.bincount(net.topology().level[net.cells.target])
    deaths = dna.Delete(share=dna.Cosine(0.5, until=4), passthrough="random", keep_outputs=False)
    event = net.extinction(dna.Extinction(births=dna.Split(share="died", scope=scope), deaths=deaths))
    share = naive.cosine(0.5, 0, 4, 1)
    assert event.n_born == event.n_died == int(share * 108) < 54
    after = np.bincount(net.topology().level[net.cells.target])
    assert (after.tolist() == before.tolist()) == (scope == "layer")


def test_a_run_by_steps_is_resumed_exactly(tmp_path: Path) -> None:
    """The period and the decay cross the ends of epochs and the file."""
    rule = dna.Extinction(
        births=dna.Split(share="died", jitter=0.2),
        deaths=dna.Delete(share=dna.Cosine(0.4, until=25, unit="steps"), passthrough="random"),
        when=dna.Every(steps=3, until=22),
    )
    x, y = batch(50, 6), np.arange(50) % 3
    fit = {"batch_size": 10, "optimizer": dna.Adam(0.01), "extinction": rule, "progress": False}
    whole, parts = (dna.Network([6, 4, 3], device="cpu", seed=4) for _ in range(2))
    whole.fit(x, y, epochs=5, **fit)
    for epochs in (2, 2, 1):
        parts.fit(x, y, epochs=epochs, **fit)
        parts.save(tmp_path / "net.dna")
        parts = dna.load(tmp_path / "net.dna", device="cpu")
    assert len(whole.fossils) == 7 and whole.fossils[2].n_died != whole.fossils[5].n_died > 0
    one, other = snapshot(whole), snapshot(parts)
    assert one["arrays"] == other["arrays"] and one["meta"] == other["meta"]


def test_a_schedule_of_the_users_own() -> None:
    class OnceTheLossIsLow(dna.Schedule):
        name = "low"

        def fires(self, state: ScheduleState, clock: Clock, signals: Any) -> bool:
            return state.best is not None and state.best < 1.0 and clock.epochs > 2

        def options(self) -> dict[str, Any]:
            return {"name": self.name}

    net = dna.Network([6, 3], device="cpu")
    rule = dna.Extinction(**NOTHING, when=OnceTheLossIsLow())
    x = batch(40, 6)
    history = net.fit(x, 0.1 * x[:, :3], epochs=9, loss="mse", optimizer=dna.SGD(0.3), extinction=rule, progress=False)
    low = [epoch.number for epoch in history.epochs if epoch.number > 2 and epoch.loss < 1.0]
    assert low and [event.epoch for event in net.fossils] == low


def test_a_schedule_of_ones_own_need_be_no_dataclass(tmp_path: Path) -> None:
    class EvenEpochs(dna.Schedule):
        def __init__(self, first: int) -> None:
            self.first, self.rate, self.extra = first, np.float32(0.5), {"by": len, "of": (1, 2)}

        def fires(self, state: ScheduleState, clock: Clock, signals: Mapping[str, float]) -> bool:
            return clock.epochs >= self.first and clock.epochs % 2 == 0

    net = dna.Network([4, 3], device="cpu")
    rule = dna.Extinction(split=0.2, delete=0.2, when=EvenEpochs(4))
    net.fit(batch(12, 4), np.arange(12) % 3, epochs=6, optimizer=dna.SGD(0.1), extinction=rule, progress=False)
    assert [event.epoch for event in net.fossils] == [4, 6]
    told = {"name": "EvenEpochs", "first": 4, "rate": 0.5, "extra": {"by": "len", "of": [1, 2]}}
    assert net.fossils[0].options["when"] == told
    net.save(tmp_path / "net.dna")
    assert dna.load(tmp_path / "net.dna", device="cpu").fossils[0].options["when"] == told

"""When an extinction fires: exactly as every, patience and min_delta say, by themselves and in a fit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import naive
import numpy as np
import pytest
from compare import batch
from hypothesis import given
from hypothesis import strategies as st

import dna
from dna.rules import ScheduleState

NOTHING = {"split": 0.0, "delete": 0.0}


def fired(losses: list[float], rule: dna.Extinction) -> list[int]:
    """Return the epochs after which the schedule fires."""
    state, epochs = ScheduleState(), []
    for epoch, loss in enumerate(losses, start=1):
        state = state.after_epoch(loss, rule.when.min_delta)
        if rule.when.fires(state):
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

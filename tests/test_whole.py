"""An extinction is whole: whatever fails, at whichever step, the network is bit by bit as it was before, or as it is after."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from compare import SIMULATING, batch, snapshot, unchanged

import dna
from dna import engine, model, pool
from dna.backend import Backend
from dna.pool import Pool

X = batch(12, 5)
Y = X[:, :3].argmax(1)
PACKAGE = str(Path(dna.__file__).parent)
MORE, LESS = {"split": 0.5, "delete": 0.1}, {"split": 0.1, "delete": 0.5}


def network(device: str, *, fixed: bool) -> dna.Network:
    """A network with optimizer state, free slots on its stack and, where it is fixed, room."""
    net = dna.Network([5, 3], device=device, init="glorot", seed=3, capacity=40 if fixed else None)
    net.fit(X, Y, epochs=1, optimizer=dna.Adam(0.02), progress=False)
    net.extinction(dna.Extinction(split=0.0, delete=0.2))
    net.watch("gradient")
    look(net)
    net.apply(dna.Adam(0.02))
    assert net.engine.pool.free == 3
    return net


def look(net: dna.Network) -> None:
    """Give the network a batch to look at."""
    net.forward(X)
    net.backward(np.ones((len(X), 3)))


def rule(**shares: float) -> dna.Extinction:
    return dna.Extinction(**shares, jitter=0.1, passthrough="weight_bias")


PHASES = [name for name, phase in vars(Backend).items() if name[0] != "_" and callable(phase)]
TAKING = ("take", "take_cells", "compact", "score", "mark_pairs", "new_fates")
ALLOCATING = ("empty", "zeros", "upload", "download", "new_pool", "grow", "claim", *TAKING)


class Fail:
    """Makes the n-th call of anything that an extinction calls fail, before it runs or after it has run.

    Memory that has run out stays so: from the n-th call on, all that takes some fails.
    """

    def __init__(self, patch: pytest.MonkeyPatch, net: dna.Network, nth: int, *, after: bool, stays: bool = False) -> None:
        self.nth, self.after, self.stays, self.calls = nth, after, stays, 0
        for name in ALLOCATING if stays else PHASES:
            patch.setattr(net.backend, name, self.wrap(getattr(net.backend, name)))
        patch.setattr(engine, "Change", self.wrap(engine.Change))
        patch.setattr(model, "ExtinctionEvent", self.wrap(model.ExtinctionEvent))

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            now = self.calls == self.nth or (self.stays and self.calls > self.nth > 0)
            if now and not self.after:
                raise MemoryError("out of memory, as injected")
            result = function(*arguments, **options)
            if now:
                raise MemoryError("out of memory, as injected")
            return result

        return failing


def steps(net: dna.Network, rule: dna.Extinction, *, stays: bool) -> int:
    """Return how many calls an extinction makes."""
    with pytest.MonkeyPatch.context() as patch:
        fail = Fail(patch, net, nth=-1, after=False, stays=stays)
        net.extinction(rule)
    return fail.calls


def fail_at_every_step(build: Callable[[], dna.Network], rule: dna.Extinction, **when: bool) -> dna.ExtinctionEvent:
    """Let each call of an extinction fail, one after another, and then none: nothing is left of what failed."""
    number = steps(build(), rule, stays=when["stays"])
    assert number > 8
    net, twin = build(), build()
    for nth in range(1, number + 1, 5 if SIMULATING else 1):
        look(net)
        with pytest.MonkeyPatch.context() as patch, unchanged(net):
            Fail(patch, net, nth, **when)
            with pytest.raises(MemoryError, match="as injected"):
                net.extinction(rule)
            patch.undo()
    look(net)
    event = net.extinction(rule)
    twin.extinction(rule)
    assert snapshot(net) | {"history": None} == snapshot(twin) | {"history": None}, "what failed leaves no trace"
    x = np.ones((2, net.n_in))
    np.testing.assert_array_equal(net.forward(x), twin.forward(x), "one plan is made anew, the other merged from the one before")
    return event


WHEN: dict[str, dict[str, bool]] = {
    "before": {"after": False, "stays": False},
    "after": {"after": True, "stays": False},
    "from then on": {"after": False, "stays": True},
}
CASES = [(fixed, shares, when) for fixed in (False, True) for shares in (MORE, LESS) for when in WHEN][:: 2 if SIMULATING else 1]


@pytest.mark.parametrize(("fixed", "shares", "when"), CASES)
def test_a_failure_at_any_step_changes_nothing(device: str, fixed: bool, shares: dict[str, float], when: str) -> None:
    event = fail_at_every_step(lambda: network(device, fixed=fixed), rule(**shares), **WHEN[when])
    assert event.n_born > 0 and event.n_died > 0


BIRTHS: dict[str, Any] = {
    "twins of nodes": dna.SplitNodes(nodes=2),
    "nodes on the way of cells": dna.InsertNodes(nodes=2),
    "nodes that are grown": dna.GrowNodes(nodes=2),
    "a level": dna.InsertLevel(),
    "pairs that nothing joined": dna.Regrow(share=0.3, by="gradient"),
    "of every kind": [dna.SplitNodes(nodes=1), dna.GrowNodes(nodes=1), dna.InsertNodes(nodes=1)],
}


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("name", BIRTHS)
def test_a_failure_at_any_step_of_births_of_nodes_changes_nothing(name: str, when: str) -> None:
    """The nodes, their levels and what they compute are as they were, too."""

    def build() -> dna.Network:
        net = dna.Network([5, 4, 3], activation="relu", density=0.7, device="cpu", seed=3)
        net.fit(X, Y, epochs=1, optimizer=dna.Adam(0.02), progress=False)
        net.extinction(dna.Extinction(split=0.0, delete=0.2))
        look(net)
        return net

    deaths = [dna.Delete(share=0.2), dna.DeleteStranded()]
    event = fail_at_every_step(build, dna.Extinction(births=BIRTHS[name], deaths=deaths), **WHEN[when])
    assert event.n_born > 0 and (name.startswith("pairs") or len(event.nodes_born) > 0)


class FailAtLine:
    """Makes the n-th line of `dna` that an extinction runs fail, as memory may run out in any of them."""

    def __init__(self, nth: int) -> None:
        self.nth, self.lines = nth, 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> FailAtLine | None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.nth:
                raise MemoryError("out of memory, as injected")
        return self


def fails_at(net: dna.Network, rule: dna.Extinction, nth: int) -> bool:
    """Let an extinction fail at its n-th line; return whether it has so many."""
    before = sys.gettrace()
    sys.settrace(FailAtLine(nth))
    try:
        net.extinction(rule)
    except MemoryError:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize(("birth", "stride"), [(dna.Split(share=0.5, jitter=0.1), 7), (BIRTHS["of every kind"], 29)])
def test_a_failure_at_any_line_leaves_the_network_before_or_after(birth: Any, stride: int) -> None:
    def build() -> dna.Network:
        net = dna.Network([5, 4, 3], activation="relu", device="cpu", seed=3)
        net.fit(X, Y, epochs=1, optimizer=dna.Adam(0.02), progress=False)
        look(net)
        return net

    def state(net: dna.Network) -> dict[str, Any]:
        return snapshot(net) | {"history": None}

    rule = dna.Extinction(births=birth, deaths=dna.Delete(share=0.2))
    net, twin = build(), build()
    before = state(twin)
    twin.extinction(rule)
    after, nth = state(twin), 1
    while fails_at(net, rule, nth):
        if state(net) != before:
            assert state(net) == after, f"torn at line {nth}"
            net = build()
        look(net)  # at a batch, which the next attempt may need
        nth += stride
    assert state(net) == after and nth > 30 * stride


@pytest.mark.parametrize(("shares", "blank"), [(MORE, pool.BLANK), (MORE, 1), (LESS, 2)])
def test_a_rule_that_fails_when_it_is_recorded_changes_nothing(
    shares: dict[str, float], blank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "BLANK", blank)  # slots that are given back at a time

    class Odd(dna.Extinction):
        def options(self) -> dict[str, Any]:
            raise RuntimeError("no options")

    net = network("cpu", fixed=True)
    with unchanged(net), pytest.raises(RuntimeError, match="no options"):
        net.extinction(Odd(**shares))


def test_a_plan_that_cannot_be_made_leaves_the_network_after_the_extinction(monkeypatch: pytest.MonkeyPatch) -> None:
    net, twin = network("cpu", fixed=False), network("cpu", fixed=False)
    twin.extinction(rule(**MORE))
    net.extinction(rule(**MORE))
    with monkeypatch.context() as patch:
        patch.setattr(net.backend, "make_plan", _refuse)
        with pytest.raises(MemoryError):
            net.forward(X)
    assert snapshot(net) | {"history": None} == snapshot(twin) | {"history": None}
    np.testing.assert_array_equal(net.forward(X), twin.forward(X))


def test_growth_that_fails_leaves_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("cpu", fixed=False)
    monkeypatch.setattr(net.backend, "grow", _refuse)
    with unchanged(net), pytest.raises(MemoryError):
        net.extinction(rule(split=0.9, delete=0.0))


def _refuse(*arguments: Any) -> None:
    raise MemoryError("no more")


def test_a_scheduled_extinction_that_fails_leaves_the_epoch_open() -> None:
    """The fit that failed can be gone on with, and is then the fit that never failed."""
    schedule = {"every": 1, "patience": 0, "min_delta": 10.0}
    options: dict[str, Any] = {"optimizer": dna.Adam(0.02), "progress": False, "extinction": dna.Extinction(**MORE, **schedule)}
    net, whole = network("cpu", fixed=False), network("cpu", fixed=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pool, "claim", _refuse)
        with pytest.raises(MemoryError):
            net.fit(X, Y, epochs=4, **options)
    assert net.standing is not None and len(net.fossils) == 1
    net.fit(X, Y, epochs=4 - (net.epoch - 1), **options)
    whole.fit(X, Y, epochs=4, **options)
    assert snapshot(net) | {"history": None} == snapshot(whole) | {"history": None}

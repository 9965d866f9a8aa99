"""An extinction is whole: whatever fails, at whichever step, the network is bit by bit as it was before, or as it is after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compare import SIMULATING, batch, snapshot, unchanged

import dna
from dna import engine, model
from dna.pool import Pool

X = batch(12, 5)
Y = X[:, :3].argmax(1)
MORE, LESS = {"split": 0.5, "delete": 0.1}, {"split": 0.1, "delete": 0.5}


def network(device: str, *, fixed: bool) -> dna.Network:
    """A network with optimizer state, free slots on its stack and, where it is fixed, room."""
    net = dna.Network([5, 3], device=device, init="glorot", seed=3, capacity=40 if fixed else None)
    net.fit(X, Y, epochs=1, optimizer=dna.Adam(0.02), progress=False)
    net.extinction(dna.Extinction(split=0.0, delete=0.2))
    net.watch("gradient")
    net.forward(X)
    net.backward(np.ones((len(X), 3)))
    net.apply(dna.Adam(0.02))
    assert net.engine.pool.free == 3
    return net


def rule(**shares: float) -> dna.Extinction:
    return dna.Extinction(**shares, jitter=0.1, passthrough="weight_bias")


class Fail:
    """Makes the n-th call of anything that an extinction calls fail, before it runs or after it has run."""

    def __init__(self, patch: pytest.MonkeyPatch, net: dna.Network, nth: int, *, after: bool) -> None:
        self.nth, self.after, self.calls = nth, after, 0
        backend = ("zeros", "upload", "score", "select_counts", "select_thresholds", "compact", "take", "grow", "new_pool")
        for name in (*backend, "release", "claim", "write_children", "download", "count_levels"):
            patch.setattr(net.backend, name, self.wrap(getattr(net.backend, name)))
        patch.setattr(engine, "Change", self.wrap(engine.Change))
        patch.setattr(model, "ExtinctionEvent", self.wrap(model.ExtinctionEvent))

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.nth and not self.after:
                raise MemoryError("out of memory, as injected")
            result = function(*arguments, **options)
            if self.calls == self.nth:
                raise MemoryError("out of memory, as injected")
            return result

        return failing


def steps(net: dna.Network, shares: dict[str, float]) -> int:
    """Return how many calls an extinction makes."""
    with pytest.MonkeyPatch.context() as patch:
        fail = Fail(patch, net, nth=-1, after=False)
        net.extinction(rule(**shares))
    return fail.calls


CASES = [(fixed, shares, after) for fixed in (False, True) for shares in (MORE, LESS) for after in (False, True)]


@pytest.mark.parametrize(("fixed", "shares", "after"), CASES)
def test_a_failure_at_any_step_changes_nothing(device: str, fixed: bool, shares: dict[str, float], after: bool) -> None:
    number = steps(network(device, fixed=fixed), shares)
    assert number > 15
    net = network(device, fixed=fixed)
    for nth in range(1, number + 1, 5 if SIMULATING else 1):
        with pytest.MonkeyPatch.context() as patch, unchanged(net):
            Fail(patch, net, nth, after=after)
            with pytest.raises(MemoryError, match="as injected"):
                net.extinction(rule(**shares))
            patch.undo()
    assert net.extinction(rule(**shares)).n_born > 0
    twin = network(device, fixed=fixed)
    twin.extinction(rule(**shares))
    assert snapshot(net) | {"history": None} == snapshot(twin) | {"history": None}, "what failed leaves no trace"


def test_a_rule_that_fails_when_it_is_recorded_changes_nothing() -> None:
    class Odd(dna.Extinction):
        def options(self) -> dict[str, Any]:
            raise RuntimeError("no options")

    net = network("cpu", fixed=False)
    with unchanged(net), pytest.raises(RuntimeError, match="no options"):
        net.extinction(Odd(**MORE))


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

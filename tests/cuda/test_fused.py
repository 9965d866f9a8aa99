"""A fit whose updates are a part of backward: its bits are those of updates after it, and nobody misses the gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compare import snapshot

import dna

pytestmark = pytest.mark.cudasim

X = np.random.default_rng(0).normal(size=(50, 6))
Y = X[:, :3].argmax(1)
RULE = dna.Extinction(split=0.2, delete=0.1, every=1, patience=0, min_delta=10.0)


def fit(monkeypatch: pytest.MonkeyPatch, fused: bool, *statistics: str, **options: Any) -> tuple[dna.Network, int]:
    """Return a network that was trained, and how often gradients were left out."""
    monkeypatch.setattr("dna.cuda.apply.FUSED_STATE", 2**17 if fused else -1)
    net = dna.Network([6, 4, 3], init="he", seed=4, device="cudasim")
    net.watch(*statistics)
    left_out, real = 0, net.backend.backward

    def backward(*arguments: Any) -> bool:
        nonlocal left_out
        kept: bool = real(*arguments)
        left_out += not kept
        return kept

    monkeypatch.setattr(net.backend, "backward", backward)
    standard = {"epochs": 2, "batch_size": 20, "optimizer": dna.Adam(0.02), "extinction": RULE, "progress": False}
    net.fit(X, Y, **standard | options)
    return net, left_out


@pytest.mark.parametrize(
    ("statistics", "within", "left_out"),
    [((), None, 4), (("gradient",), None, 0), (("current",), None, 3), ((), dna.Every(steps=2), 4)],
    ids=["nobody looks", "a statistic of gradients", "a statistic of samples", "extinctions within an epoch"],
)
def test_a_fit_gives_the_same_bits_whoever_looks(
    monkeypatch: pytest.MonkeyPatch, statistics: tuple[str, ...], within: Any, left_out: int
) -> None:
    """Of three batches an epoch the last keeps its gradients, and those that a statistic looks at."""
    options = {} if within is None else {"extinction": dna.Extinction(split=0.2, delete=0.1, when=within)}
    apart, none = fit(monkeypatch, False, *statistics, **options)
    together, some = fit(monkeypatch, True, *statistics, **options)
    assert (none, some) == (0, left_out)
    assert snapshot(together) | {"history": None} == snapshot(apart) | {"history": None}
    assert np.abs(together.cells.weight_grad).max() > 0 and len(together.fossils) > 0


def test_a_fit_that_is_cut_short_leaves_zeros_and_not_parts_of_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    net = dna.Network([6, 4, 3], init="he", seed=4, device="cudasim")
    net.forward(X)
    net.backward(np.ones((50, 3)))
    assert np.abs(net.cells.weight_grad).max() > 0
    forward, calls = net.backend.forward, iter(range(9))

    def interrupted(*arguments: Any) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        forward(*arguments)

    monkeypatch.setattr(net.backend, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, epochs=1, batch_size=20, optimizer=dna.SGD(0.1), progress=False)
    assert net.standing is not None and net.standing.batches == 2
    assert not net.cells.weight_grad.any() and not net.cells.bias_grad.any()

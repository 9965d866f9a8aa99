"""Asking for cells ahead of their turn changes no bit."""

from __future__ import annotations

import numpy as np
import pytest

import dna
from dna.cpu import prefetch


def results(kind: str) -> tuple[np.ndarray, ...]:
    """Return what a network computes whose cells are few at some nodes and many at others."""
    net = dna.Network([40, 30, 3], cell=kind, density=(0.3, 1.0), init="he", device="cpu", seed=2)
    net.extinction(dna.Extinction(split=0.3, delete=0.3, passthrough="random", jitter=0.1))
    rng = np.random.default_rng(0)
    y = net.forward(rng.normal(size=(200, 40)))
    gx = net.backward(rng.normal(size=(200, 3)))
    return y, gx, net.cells.weight_grad, net.cells.bias_grad


@pytest.mark.parametrize("kind", ["linear", "relu"])
def test_large_pools_compute_the_same(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    small = results(kind)
    monkeypatch.setattr(prefetch, "LARGE", 0)
    assert prefetch.asks_ahead(1, affine=True)
    for one, other in zip(small, results(kind), strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_goes_by_the_size_of_the_pool_and_the_kind() -> None:
    assert not prefetch.asks_ahead(prefetch.LARGE, affine=True)
    assert prefetch.asks_ahead(prefetch.LARGE + 1, affine=True)
    assert prefetch.asks_ahead(1, affine=False)

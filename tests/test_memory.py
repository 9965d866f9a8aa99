"""Memory: a network that nobody holds any more gives all of it back."""

from __future__ import annotations

import gc
import os
import weakref
from pathlib import Path

import pytest
from compare import batch

import dna

ROUNDS = 1000
X = batch(16, 30)
Y = X[:, :5].argmax(1)


def live(seed: int) -> dna.Network:
    """Build a network, train it through an extinction, look at it and forget it."""
    net = dna.Network([30, 30, 5], device="cpu", seed=seed)
    rule = dna.Extinction(split=0.3, delete=0.1, every=1, patience=0, min_delta=10.0)
    net.fit(X, Y, epochs=2, batch_size=16, optimizer=dna.Adam(0.01), extinction=rule, progress=False)
    assert len(net.fossils) == 1
    net.predict(X)
    return net


def resident() -> int:
    """Return the memory that the process has, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the memory of the process")
def test_many_lives_take_no_more_memory_than_a_few() -> None:
    for seed in range(100):
        live(seed)
    before = resident()
    for seed in range(ROUNDS):
        live(seed)
    assert resident() - before < 8 * 2**20, "the cells alone of all these networks take several times as much"


def test_a_network_goes_as_soon_as_nobody_holds_it() -> None:
    """Nothing waits for the collector of cycles, which knows nothing of the memory on a device."""
    gc.collect()
    gc.disable()
    try:
        net = live(0)
        alive = weakref.ref(net.engine.pool)
        del net
        assert alive() is None
    finally:
        gc.enable()

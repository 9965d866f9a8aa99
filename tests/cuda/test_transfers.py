"""What crosses between GPU and host, in bytes: counts, and what somebody asked for. Columns of cells stay where they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from compare import batch

import dna

pytestmark = pytest.mark.cudasim

FEW = 140
"""Bytes of a count, a flag, a histogram's result; every column of the 150 cells here has more."""


@contextmanager
def transfers() -> Iterator[dict[str, list[int]]]:
    """Note the bytes of all that is copied to the host and to the device while the block lasts."""
    from numba.cuda.simulator import cudadrv
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    found: dict[str, list[int]] = {"down": [], "up": []}
    down, write = FakeCUDAArray.copy_to_host, cudadrv.devicearray.to_device

    def copy_to_host(self: Any, *arguments: Any, **options: Any) -> Any:
        found["down"].append(self._ary.nbytes)
        return down(self, *arguments, **options)

    def to_device(array: Any, *arguments: Any, **options: Any) -> Any:
        found["up"].append(np.asarray(array).nbytes)
        return write(array, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeCUDAArray, "copy_to_host", copy_to_host)
        patch.setattr("dna.cuda.memory.cuda.to_device", to_device)
        yield found


def network() -> dna.Network:
    net = dna.Network([15, 10], cell="relu", seed=1, device="cudasim")
    assert len(net) == 150
    return net


@pytest.mark.parametrize(
    "rule",
    [
        dna.Extinction(split=0.1, delete=0.1),
        dna.Extinction(split=0.1, delete=0.2, scope="layer", passthrough="random", jitter=0.1),
        dna.Extinction(split_above=1.5, delete_below=0.01, keep_outputs=False),
        dna.Extinction(births=dna.Regrow(share=0.2, by="random"), deaths=dna.Delete(share=0.2)),
        dna.Extinction(births=dna.Split(share="died", scope="layer"), deaths=dna.Delete(share=0.3)),
    ],
    ids=["shares", "shares by layer", "thresholds", "regrowth", "as many as died in the layer"],
)
def test_an_extinction_moves_nothing_but_counts(rule: dna.Extinction) -> None:
    net = network()
    with transfers() as found:
        net.extinction(rule)
        net.compile()
    moved = found["down"] + found["up"]
    assert len(found["down"]) > 0, "it is seen"
    assert max(moved) <= FEW, moved


def test_a_step_of_a_fit_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an epoch uploads and reads is the same for twice as many batches, but for the numbers of its samples and batches."""
    x, y = batch(48, 15), np.arange(48) % 10
    seen = {}
    for size in (12, 6):
        net = network()
        monkeypatch.setattr(net.host_copy, "renew", lambda network: None)  # copies for a lost device go by the clock
        net.fit(x, y, epochs=1, batch_size=size, optimizer=dna.SGD(0.1), progress=False)
        with transfers() as found:
            net.fit(x, y, epochs=1, batch_size=size, optimizer=dna.SGD(0.1), progress=False)
        seen[size] = found
    assert [len(seen[12][way]) for way in ("down", "up")] == [len(seen[6][way]) for way in ("down", "up")]
    assert 16 * 4 in seen[12]["down"] and 16 * 8 in seen[6]["down"], "losses are read together"

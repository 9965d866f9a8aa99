"""Calls from outside by the gather plan: one kernel for all phases computes what the phases compute one by one."""

from __future__ import annotations

import numpy as np
import pytest
from compare import batch

import dna


def network(kind: str, layers: list[int], **options: object) -> dna.Network:
    net = dna.Network(layers, cell=kind, init="he", density=0.6, device="cpu", seed=4, **options)  # type: ignore[arg-type]
    net.compile("gather")
    return net


def by_phases(net: dna.Network, x: np.ndarray, gy: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return outputs and all gradients as the steps of a fit compute them: phase by phase."""
    engine, rows = net.engine, np.arange(len(x))
    engine.load(x, rows)
    assert engine.plans.whole is None
    engine.forward()
    y = engine.backend.store_rows(engine._potentials, engine.nodes.outputs, len(x))
    engine.backend.load_rows(engine._gradient, engine.nodes.outputs, gy, rows)
    gx = engine.backward(inputs_too=True)
    return y, gx, net.cells.weight_grad, net.cells.bias_grad


@pytest.mark.parametrize(
    ("kind", "layers", "n"),
    [("linear", [400, 80], 1000), ("relu", [40, 12], 130)],  # for all threads, and for one
)
def test_the_same_as_phase_by_phase(kind: str, layers: list[int], n: int) -> None:
    net = network(kind, layers)
    x, gy = (batch(n, width).astype(np.float32) for width in (net.n_in, net.n_out))
    y = net.forward(x)
    assert net.engine.plans.whole is net.backend.laid
    whole = y, net.backward(gy), net.cells.weight_grad, net.cells.bias_grad
    for one, other in zip(whole, by_phases(net, x, gy), strict=True):  # compiled together, sums may be in another order
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "layers", "n", "bad"), [("linear", [400, 80], 1000, np.nan), ("relu", [40, 12], 130, np.inf)])
def test_a_batch_that_is_not_finite_changes_nothing(kind: str, layers: list[int], n: int, bad: float) -> None:
    net = network(kind, layers)
    x, gy = (batch(n, width).astype(np.float32) for width in (net.n_in, net.n_out))
    net.forward(x)
    wanted = net.backward(gy)
    spoilt = x.copy()
    spoilt[-1, -1] = bad
    with pytest.raises(dna.DNAError):
        net.forward(spoilt)
    np.testing.assert_array_equal(net.backward(gy), wanted)
    spoilt = gy.copy()
    spoilt[0, 0] = bad
    gradients = net.cells.weight_grad
    with pytest.raises(dna.DNAError):
        net.backward(spoilt)
    np.testing.assert_array_equal(net.cells.weight_grad, gradients)


def test_calls_of_other_sizes_and_topologies_take_turns() -> None:
    net = network("relu", [40, 12])
    x, gy = batch(130, 40), batch(130, 12)
    first = net.forward(x), net.backward(gy)
    few = net.forward(x[:70])
    np.testing.assert_allclose(few, first[0][:70], rtol=1e-5)
    event = net.extinction(dna.Extinction(split=0.2, delete=0.2))
    assert not np.array_equal(net.forward(x), first[0])
    event.undo()
    np.testing.assert_array_equal(net.forward(x), first[0])
    np.testing.assert_array_equal(net.backward(gy), first[1])

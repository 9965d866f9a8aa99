"""Apply on every device against the oracle, and optimizers against torch.optim over many steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from compare import assert_same, batch, dag_network, naive_copy

import dna
from dna.training import find_optimizer

OPTIMIZERS: dict[str, tuple[dna.Optimizer, Callable[[naive.Net, int], None]]] = {
    "sgd": (dna.SGD(0.1), lambda model, t: naive.sgd(model, 0.1)),
    "momentum": (dna.SGD(0.1, momentum=0.9, weight_decay=0.01), lambda model, t: naive.sgd(model, 0.1, 0.9, 0.01)),
    "adam": (dna.Adam(0.1), lambda model, t: naive.adam(model, t, 0.1)),
    "adam, all options": (
        dna.Adam(0.1, beta1=0.8, beta2=0.95, eps=1e-3, weight_decay=0.05),
        lambda model, t: naive.adam(model, t, 0.1, 0.8, 0.95, 1e-3, 0.05),
    ),
    "adamw": (dna.AdamW(0.1, weight_decay=0.3), lambda model, t: naive.adam(model, t, 0.1, decoupled_decay=0.3)),
    "adam, falling": (
        dna.Adam(dna.Cosine(0.1, until=4, unit="steps")),
        lambda model, t: naive.adam(model, t, 0.05 * (1 + math.cos(math.pi * (t - 1) / 4))),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_two_steps(device: str, name: str) -> None:
    optimizer, naive_step = OPTIMIZERS[name]
    net = dag_network(device)
    net.extinction(dna.Extinction(split=0.0, delete=0.2))  # leaves holes, which must stay inert
    model = naive_copy(net)
    for cell in model.cells():
        cell.state = [0.0] * (2 * optimizer.moments)
    for t in (1, 2):
        take_step(net, optimizer, t)
        naive.backward(model, batch(5, 3, seed=t), batch(5, 2, seed=t))
        naive_step(model, t)
    assert_same(net, model, rtol=1e-11, atol=1e-12)
    columns, free = net.engine.pool.columns()
    assert len(free) == 3
    assert not any(columns[name][..., free].any() for name in ("weight", "bias", "weight_grad", "state"))


def take_step(net: dna.Network, optimizer: str | dna.Optimizer, seed: int) -> None:
    net.forward(batch(5, 3, seed))
    net.backward(batch(5, 2, seed))
    assert net.apply(optimizer) is None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_biases_learn_at_a_rate_of_their_own(device: str, name: str) -> None:
    options = OPTIMIZERS[name][0].options()
    kind = OPTIMIZERS[name][0].name
    whole, share = dag_network(device), dag_network(device)
    before = whole.cells
    for net, factor in ((whole, 1.0), (share, 0.25)):
        take_step(net, find_optimizer(kind, **options | {"bias_lr": factor}), 1)
    np.testing.assert_array_equal(share.cells.weight, whole.cells.weight)
    np.testing.assert_allclose(share.cells.bias - before.bias, 0.25 * (whole.cells.bias - before.bias), rtol=1e-9, atol=1e-14)
    assert np.abs(whole.cells.bias - before.bias).max() > 0


def test_state_starts_anew_with_another_optimizer_and_stays_with_the_same() -> None:
    net, twin = dag_network("cpu"), dag_network("cpu")
    take_step(net, dna.SGD(0.1, momentum=0.9), 1)
    take_step(twin, dna.SGD(0.1), 1)  # the first step of both is the same
    take_step(net, dna.Adam(0.1), 2)
    take_step(twin, dna.Adam(0.1), 2)
    assert net.step == 1
    assert_same(net, naive_copy(twin), rtol=0, atol=0)
    take_step(net, dna.Adam(0.01), 3)  # another rate is no other optimizer
    assert net.step == 2


@pytest.mark.parametrize("kind", [dna.SGD, dna.Adam, dna.AdamW])
def test_a_rate_that_falls_is_read_step_by_step_and_saved(kind: type[dna.SGD | dna.Adam], tmp_path: Path) -> None:
    falling = dna.Cosine(0.1, until=3, begin=1, unit="steps")
    net, twin = dag_network("cpu"), dag_network("cpu")
    for t, rate in ((1, 0.1), (2, 0.1), (3, 0.05)):
        take_step(net, kind(falling), t)
        take_step(twin, kind(rate), t)
    assert_same(net, naive_copy(twin), rtol=0, atol=0)
    net.save(tmp_path / "net.dna")
    assert dna.load(tmp_path / "net.dna").optimizer == kind(falling)
    before = net.cells.weight
    take_step(net, kind(falling), 4)
    np.testing.assert_array_equal(net.cells.weight, before)


def test_apply_with_a_rule_updates_and_then_lets_cells_evolve() -> None:
    net, twin = dag_network("cpu"), dag_network("cpu")
    rule = dna.Extinction(split=0.2, delete=0.1)
    for one in (net, twin):
        one.forward(batch(5, 3))
        one.backward(batch(5, 2))
    event = net.apply(dna.SGD(0.1), rule)
    twin.apply(dna.SGD(0.1))
    expected = twin.extinction(rule)
    assert event is not None and event.trigger == "hand"
    assert (event.born.tolist(), event.died.tolist()) == (expected.born.tolist(), expected.died.tolist()) != ([], [])
    assert_same(net, naive_copy(twin), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("optimizer", "peer", "options"),
    [
        (dna.SGD(0.05, momentum=0.9, weight_decay=0.02), "SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.02}),
        (dna.Adam(0.02, weight_decay=0.02), "Adam", {"lr": 0.02, "weight_decay": 0.02}),
        (dna.AdamW(0.02, weight_decay=0.2), "AdamW", {"lr": 0.02, "weight_decay": 0.2}),
        (dna.Adam(0.02, beta1=0.7, beta2=0.9, eps=1e-4), "Adam", {"lr": 0.02, "betas": (0.7, 0.9), "eps": 1e-4}),
    ],
)
def test_a_hundred_steps_equal_those_of_torch(optimizer: dna.Optimizer, peer: str, options: dict[str, Any]) -> None:
    """Not the steps alone: each gradient is that of the cells that the steps before have made."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    rng = np.random.default_rng(0)
    net = dna.Network([4, 3], init="he", device="cpu", dtype="float64")
    w, b = (torch.tensor(np.array(column).reshape(3, 4), requires_grad=True) for column in (net.cells.weight, net.cells.bias))
    theirs = getattr(torch.optim, peer)([w, b], **options)
    for _ in range(100):
        x, target = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
        net.backward(2 * (net.forward(x) - target) / 18)
        net.apply(optimizer)
        theirs.zero_grad()
        torch.nn.functional.mse_loss(torch.tensor(x) @ w.T - b.sum(1), torch.tensor(target)).backward()
        theirs.step()
    for seen, expected in ((net.cells.weight, w), (net.cells.bias, b)):
        np.testing.assert_allclose(seen, expected.detach().numpy().ravel(), rtol=1e-10, atol=1e-12)

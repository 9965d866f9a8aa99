"""Losses on every device against the oracle: values, metrics, and the gradients that a fit leaves in the cells."""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest
from compare import TOLERANCE, batch, dag_network, gradients, naive_copy

import dna

STANDSTILL = dna.SGD(1e-300)
"""Cells stay as they are; their gradients are left to be looked at."""


def targets_of(loss: str, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if loss == "cross_entropy":
        return rng.integers(0, 2, n)
    return rng.random((n, 2)) if loss == "binary_cross_entropy" else rng.normal(size=(n, 2))


def judge(model: naive.Net, x: np.ndarray, targets: Any, loss: str) -> tuple[float, float, list[list[float]]]:
    """Return mean loss, mean hits, and the gradient of the mean at the outputs."""
    judged = [naive.LOSSES[loss](y, target) for y, target in zip(naive.outputs(model, x), targets.tolist(), strict=True)]
    n = len(x)
    gy = [[g / n for g in one.gradient] for one in judged]
    return sum(one.loss for one in judged) / n, sum(one.hits for one in judged) / n, gy


@pytest.mark.parametrize("n", [7, 130])
@pytest.mark.parametrize("loss", naive.LOSSES)
def test_value_metric_and_gradient(device: str, loss: str, n: int) -> None:
    net = dag_network(device)
    x, targets = batch(n, 3), targets_of(loss, n)
    model = naive_copy(net)
    value, hits, gy = judge(model, x, targets, loss)
    naive.backward(model, x, gy)

    found = net.evaluate(x, targets, loss=loss)
    history = net.fit(x, targets, loss=loss, epochs=1, batch_size=n, optimizer=STANDSTILL, progress=False)
    assert found["loss"] == pytest.approx(value, rel=1e-12) and history.loss == [pytest.approx(value, rel=1e-12)]
    if loss == "mse":
        assert "accuracy" not in found and history.metric == [None]
    else:
        assert found["accuracy"] == pytest.approx(hits) and history.metric == [pytest.approx(hits)]
    for seen, wanted in zip((net.cells.weight_grad, net.cells.bias_grad), gradients(model), strict=True):
        np.testing.assert_allclose(seen, wanted, **TOLERANCE["float64"])


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_large_potentials_neither_overflow_nor_vanish(device: str, loss: str) -> None:
    """exp(200) is past float32; the loss of a wrong certainty is its distance."""
    net = dna.Network([2, 2], device=device)
    net.engine.pool.cells = net.engine.pool.cells._replace(weight=net.backend.upload(np.array([1, 0, 0, 1], np.float32)))
    targets = np.array([1]) if loss == "cross_entropy" else np.array([[0.0, 1.0]])
    x = np.array([[200.0, 0.0]])
    expected = {"cross_entropy": 200.0, "binary_cross_entropy": (200.0 + np.log(2)) / 2}[loss]
    assert net.evaluate(x, targets, loss=loss)["loss"] == pytest.approx(expected, rel=1e-6)


def test_the_first_of_equal_outputs_is_the_prediction(device: str) -> None:
    net = dna.Network([2, 3], device=device)  # all weights 1: all outputs equal
    x = batch(4, 2)
    assert net.evaluate(x, np.zeros(4, int))["accuracy"] == 1.0
    assert net.evaluate(x, np.ones(4, int))["accuracy"] == 0.0
    assert net.predict(x).tolist() == [0, 0, 0, 0]

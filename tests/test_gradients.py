"""Gradients against two strangers: central differences of the oracle's loss, and PyTorch's autograd."""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest
from compare import CELL_KINDS, PLANS, batch, dag_network, naive_copy
from test_loss import STANDSTILL, judge, targets_of

import dna

STEP = 1e-5
CLOSE = {"rtol": 1e-6, "atol": 1e-8}
"""Central differences err by STEP**2 times the third derivative, and by rounding of 1e-16 / STEP."""


def differences(model: naive.Net, x: np.ndarray, targets: np.ndarray, loss: str) -> tuple[list[float], list[float]]:
    """Return the slope of the mean loss in each weight and each bias, in id order."""
    slopes: dict[str, list[float]] = {"weight": [], "bias": []}
    for cell in sorted(model.cells(), key=lambda cell: cell.id):
        for name, found in slopes.items():
            here = getattr(cell, name)
            values = []
            for place in (here + STEP, here - STEP):
                setattr(cell, name, place)
                values.append(judge(model, x, targets, loss)[0])
            setattr(cell, name, here)
            found.append((values[0] - values[1]) / (2 * STEP))
    return slopes["weight"], slopes["bias"]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("loss", naive.LOSSES)
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_central_differences(kind: str, loss: str, plan: str) -> None:
    net = dag_network("cpu", cell=kind)
    net.compile(plan)
    x, targets = batch(7, 3), targets_of(loss, 7)
    by_weight, by_bias = differences(naive_copy(net), x, targets, loss)
    net.fit(x, targets, loss=loss, epochs=1, batch_size=7, optimizer=STANDSTILL, progress=False)
    np.testing.assert_allclose(net.cells.weight_grad, by_weight, **CLOSE)
    np.testing.assert_allclose(net.cells.bias_grad, by_bias, **CLOSE)


# --- PyTorch ------------------------------------------------------------------------------------------------------------


def torch_forward(torch: Any, net: dna.Network, w: Any, b: Any, x: Any) -> Any:
    """Return the outputs by the definition of a cell and of a node, over columns of samples."""
    phi = {"linear": lambda z: z, "relu": torch.relu, "tanh": torch.tanh}[net.backend.maths.kind.name]
    sigma = {"identity": lambda z: z, "relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
    topology, cells = net.topology(), net.cells
    potential = dict(zip(topology.inputs.tolist(), x.T, strict=True))
    for node in sorted(set(range(topology.n_nodes)) - set(potential), key=topology.level.__getitem__):
        into = np.flatnonzero(cells.target == node)
        total = sum(phi(w[k] * potential[int(cells.source[k])] - b[k]) for k in into)
        potential[node] = sigma[topology.activations[topology.level[node]]](total)
    return torch.stack([potential[node] for node in topology.outputs.tolist()], 1)


def torch_loss(torch: Any, name: str, y: Any, targets: Any) -> Any:
    functions = torch.nn.functional
    by_name = {
        "cross_entropy": functions.cross_entropy,
        "binary_cross_entropy": functions.binary_cross_entropy_with_logits,
        "mse": functions.mse_loss,
    }
    return by_name[name](y, targets)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_autograd_of_a_dag(kind: str, plan: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    net = dag_network("cpu", cell=kind)
    net.compile(plan)
    x, gy = batch(20, 3), batch(20, 2)
    y, gx = net.forward(x), net.backward(gy)
    w, b, inputs = (torch.tensor(np.array(values), requires_grad=True) for values in (net.cells.weight, net.cells.bias, x))
    expected = torch_forward(torch, net, w, b, inputs)
    expected.backward(torch.tensor(gy))
    pairs = ((y, expected.detach()), (gx, inputs.grad), (net.cells.weight_grad, w.grad), (net.cells.bias_grad, b.grad))
    for seen, wanted in pairs:
        np.testing.assert_allclose(seen, wanted.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("loss", naive.LOSSES)
def test_autograd_of_the_losses(loss: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    net = dag_network("cpu", cell="tanh")
    x, targets = batch(20, 3), targets_of(loss, 20)
    w, b = (torch.tensor(np.array(values), requires_grad=True) for values in (net.cells.weight, net.cells.bias))
    expected = torch_loss(torch, loss, torch_forward(torch, net, w, b, torch.tensor(x)), torch.tensor(targets))
    expected.backward()
    history = net.fit(x, targets, loss=loss, epochs=1, batch_size=20, optimizer=STANDSTILL, progress=False)
    assert history.loss[0] == pytest.approx(expected.item(), rel=1e-12)
    for seen, wanted in ((net.cells.weight_grad, w.grad), (net.cells.bias_grad, b.grad)):
        np.testing.assert_allclose(seen, wanted.numpy(), rtol=1e-11, atol=1e-12)

"""The author's own model as a witness: one `torch.nn.Linear(1, 1)` a cell, visited by a Python loop, as the DNA author wrote it.

Outputs, gradients, training and, under the article's rule, extinction must be those of `dna`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compare import batch

import dna

torch = pytest.importorskip("torch", reason="compares with a model in PyTorch, which is not installed")

N_IN, N_OUT, RATE = 8, 5, 0.05
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


class AuthorsCell(torch.nn.Linear):  # type: ignore[misc]
    """One edge: I = w*V - b. PyTorch adds its bias, so that is -b."""

    def __init__(self, source: int, target: int, weight: float, bias: float) -> None:
        super().__init__(1, 1, dtype=torch.float64)
        self.source, self.target = source, target
        torch.nn.init.constant_(self.weight, weight)
        torch.nn.init.constant_(self.bias, -bias)

    def values(self) -> tuple[int, int, float, float]:
        return self.source, self.target, self.weight.item(), -self.bias.item()

    def gradients(self) -> tuple[float, float]:
        return self.weight.grad.item(), -self.bias.grad.item()


class AuthorsModel(torch.nn.Module):  # type: ignore[misc]
    """A single layer, fully connected; its cells stand in the order of their age."""

    def __init__(self) -> None:
        super().__init__()
        pairs = [(source, target) for target in range(N_OUT) for source in range(N_IN)]
        self.cells = torch.nn.ModuleList(AuthorsCell(source, target, 1.0, 0.0) for source, target in pairs)

    def forward(self, x: Any) -> Any:
        potential = [torch.zeros(len(x), 1, dtype=x.dtype) for _ in range(N_OUT)]
        for cell in self.cells:
            potential[cell.target] = potential[cell.target] + cell(x[:, cell.source : cell.source + 1])
        return torch.cat(potential, 1)

    def extinction(self) -> None:
        """Delete the weakest tenth, split the strongest tenth of the rest; among equals the oldest go first, either way."""
        tenth = len(self.cells) // 10
        weakest_first = sorted(self.cells, key=lambda cell: abs(cell.weight.item()))  # stable: ties stay in the order of age
        dead = set(weakest_first[:tenth])
        rest = [cell for cell in self.cells if cell not in dead]
        parents = set(sorted(rest, key=lambda cell: -abs(cell.weight.item()))[:tenth])
        grown = [cell for cell in self.cells if cell not in dead]
        for cell in [cell for cell in self.cells if cell in parents]:
            with torch.no_grad():
                cell.weight /= 2
            grown.append(AuthorsCell(cell.source, cell.target, cell.weight.item(), 0.0))
        self.cells = torch.nn.ModuleList(grown)

    def train_epoch(self, x: np.ndarray, labels: np.ndarray) -> float:
        optimizer = torch.optim.SGD(self.parameters(), lr=RATE)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self(torch.tensor(x)), torch.tensor(labels))
        loss.backward()
        optimizer.step()
        return float(loss.item())


def assert_same_cells(net: dna.Network, author: AuthorsModel) -> None:
    """Compare cell by cell, both in the order of age."""
    expected = np.array([cell.values() for cell in author.cells])
    cells = net.cells
    assert cells.source.tolist() == expected[:, 0].tolist()
    assert (cells.target - N_IN).tolist() == expected[:, 1].tolist()
    np.testing.assert_allclose(cells.weight, expected[:, 2], **CLOSE)
    np.testing.assert_allclose(cells.bias, expected[:, 3], **CLOSE)


def fit_epoch(net: dna.Network, x: np.ndarray, labels: np.ndarray) -> float:
    history = net.fit(x, labels, epochs=1, batch_size=len(x), optimizer=dna.SGD(RATE), progress=False)
    return float(history.loss[0])


@pytest.fixture
def pair() -> tuple[dna.Network, AuthorsModel]:
    return dna.Network([N_IN, N_OUT], device="cpu", dtype="float64"), AuthorsModel()


def test_outputs_and_gradients(pair: tuple[dna.Network, AuthorsModel]) -> None:
    net, author = pair
    x, gy = batch(11, N_IN), batch(11, N_OUT)
    inputs = torch.tensor(x, requires_grad=True)
    y = author(inputs)
    y.backward(torch.tensor(gy))
    np.testing.assert_allclose(net.forward(x), y.detach().numpy(), **CLOSE)
    np.testing.assert_allclose(net.backward(gy), inputs.grad.numpy(), **CLOSE)
    expected = np.array([cell.gradients() for cell in author.cells])
    np.testing.assert_allclose(net.cells.weight_grad, expected[:, 0], **CLOSE)
    np.testing.assert_allclose(net.cells.bias_grad, expected[:, 1], **CLOSE)


def test_training_and_extinction_side_by_side(pair: tuple[dna.Network, AuthorsModel]) -> None:
    """Three rounds of training and extinction: the same losses, the same dead, the same children, the same outputs throughout.

    The first extinction finds the cells of two inputs untouched, so that their weights are all 1: ties, which age decides.
    """
    net, author = pair
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(30, N_IN)), rng.integers(0, N_OUT, 30)
    x[:, :2] = 0
    rule = dna.Extinction(split=0.10, delete=0.10, passthrough="weight", rule="article")
    for _ in range(3):
        for _ in range(5):
            assert fit_epoch(net, x, labels) == pytest.approx(author.train_epoch(x, labels), rel=1e-10)
        assert_same_cells(net, author)
        author.extinction()
        event = net.extinction(rule)
        assert event.n_born == event.n_died == 4
        assert_same_cells(net, author)
        np.testing.assert_allclose(net.forward(x), author(torch.tensor(x)).detach().numpy(), **CLOSE)
        x = rng.normal(size=(30, N_IN))

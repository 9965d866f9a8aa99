"""Matrices: networks made of them compute what they say, and give them back."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from compare import batch, dag_network
from scipy.sparse import coo_array, csr_array, random_array

import dna

SIZES = (5, 7, 4, 3)
EXACT: dict[str, Any] = {"dtype": "float64", "device": "cpu"}


def layers(seed: int = 0, share: float = 0.6) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return weights of some pairs of nodes, at least one a node, and biases."""
    rng = np.random.default_rng(seed)
    weights, biases = [], []
    for below, above in pairwise(SIZES):
        weight = rng.normal(size=(above, below)) * (rng.random((above, below)) < share)
        weight[:, 0] = rng.normal(size=above)
        weights.append(weight)
        biases.append(rng.normal(size=above))
    return weights, biases


def by_hand(weights: list[np.ndarray], biases: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = x @ weight.T + bias
        x = np.maximum(x, 0) if k < len(weights) - 1 else x
    return x


@pytest.mark.parametrize("form", [np.asarray, csr_array, coo_array, lambda w: w.tolist()])
def test_a_network_of_matrices_is_these_layers(form: Any) -> None:
    weights, biases = layers()
    net = dna.Network.from_matrices([form(weight) for weight in weights], biases, **EXACT)
    assert len(net) == sum(np.count_nonzero(weight) for weight in weights)
    np.testing.assert_allclose(net.forward(batch(9, 5)), by_hand(weights, biases, batch(9, 5)), rtol=1e-12)
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        found = net.layer(k + 1)
        np.testing.assert_array_equal(found.weight.toarray(), weight)
        assert found.weight.nnz == np.count_nonzero(weight)
        np.testing.assert_allclose(found.bias, bias, rtol=1e-12)


def test_cells_are_numbered_as_those_of_any_network() -> None:
    full = dna.Network([5, 7, 3], **EXACT)
    again = dna.Network.from_matrices([full.layer(1).weight, full.layer(2).weight], **EXACT)
    for name in ("id", "source", "target", "weight", "bias"):
        np.testing.assert_array_equal(getattr(again.cells, name), getattr(full.cells, name))
    np.testing.assert_array_equal(again.topology().outputs, full.topology().outputs)


def test_what_is_stored_in_a_sparse_matrix_is_a_cell_and_parallel_cells_are_summed() -> None:
    stored = csr_array((np.array([0.0, 2.0]), (np.array([0, 1]), np.array([1, 0]))), shape=(2, 2))
    net = dna.Network.from_matrices([stored], **EXACT)
    assert net.cells.weight.tolist() == [0.0, 2.0]
    assert list(zip(net.cells.source, net.cells.target, strict=True)) == [(1, 2), (0, 3)]
    before = net.layer(1)
    net.extinction(dna.Extinction(split=1.0, delete=0.0))
    assert len(net) == 4
    np.testing.assert_allclose(net.layer(1).weight.toarray(), before.weight.toarray())
    assert net.layer(1).weight.nnz == 2


def test_layers_of_a_graph_sum_up_to_what_linear_cells_do() -> None:
    net = dag_network("cpu", activation=["identity"] * 4)
    x = batch(6, 3)
    held = {0: x}
    for level in range(1, 5):
        parts = [(below, net.layer(level, below)) for below in range(level)]
        held[level] = sum(held[below] @ part.weight.toarray().T + part.bias for below, part in parts)  # type: ignore[assignment]
    np.testing.assert_allclose(held[4], net.forward(x), rtol=1e-10)


def test_it_trains_on_as_any_other() -> None:
    weights = [random_array((6, 4), density=0.5, rng=np.random.default_rng(1)), np.ones((3, 6))]
    net = dna.Network.from_matrices(weights, input_shape=(2, 2), seed=5, device="cpu")
    assert net.input_shape == (2, 2)
    assert net.topology().activations == ("identity", "relu", "identity")
    net.fit(batch(12, 4), np.arange(12) % 3, epochs=2, optimizer=dna.Adam(), extinction=dna.Extinction(), progress=False)
    assert net.epoch == 2


@pytest.mark.parametrize(
    ("weights", "biases", "options", "error", "message"),
    [
        ([], None, {}, dna.OptionError, "weights: expected a list of matrices"),
        (np.ones((2, 2)), None, {}, dna.OptionError, "weights: expected a list of matrices, .* got ndarray"),
        ([np.ones((2, 3))] * 2, None, {}, dna.ShapeError, r"weights\[1\]: expected shape \(nodes, 2\), got \(2, 3\)"),
        ([np.ones(3)], None, {}, dna.ShapeError, r"weights\[0\]: expected a matrix of two dimensions, got shape \(3,\)"),
        ([np.ones((0, 3))], None, {}, dna.ShapeError, r"weights\[0\]: expected shape \(nodes, 3\), got \(0, 3\)"),
        ([[[1.0, np.nan]]], None, {}, dna.DataError, r"weights\[0\]: expected finite values"),
        ([csr_array(np.array([[1.0, np.inf]]))], None, {}, dna.DataError, r"weights\[0\]: expected finite values"),
        ([[["a"]]], None, {}, dna.DataError, r"weights\[0\]: expected real numbers"),
        ([np.ones((2, 3))], [], {}, dna.OptionError, "biases: expected 1, one a matrix, got 0"),
        ([np.ones((2, 3))], [np.ones(3)], {}, dna.ShapeError, r"biases\[0\]: expected shape \(2,\), got \(3,\)"),
        ([[[1.0], [0.0]]], [[1.0, 2.0]], {}, dna.GraphError, r"biases\[0\]: .* no cell carries it, got 2.0 at node 1"),
        ([np.ones((2, 3))], [None], {"cell": "tanh"}, dna.OptionError, "biases: expected them for linear cells only.*'tanh'"),
        ([np.ones((2, 3))], None, {"input_shape": (2, 2)}, dna.OptionError, "input_shape"),
        ([np.full((2, 3), 1e300)], None, {}, dna.GraphError, "within the range of float32"),
    ],
)
def test_matrices_that_are_no_network(weights: Any, biases: Any, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        dna.Network.from_matrices(weights, biases, device="cpu", **options)


def test_levels_that_are_not_there() -> None:
    net = dna.Network([3, 2], device="cpu")
    for arguments, message in (((0,), "level: expected"), ((2,), "level: expected 1 to 1, got 2"), ((1, 1), "below: expected")):
        with pytest.raises(dna.OptionError, match=message):
            net.layer(*arguments)

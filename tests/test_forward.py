"""Forward on every device against the oracle: V = sigma(sum of I), level by level."""

from __future__ import annotations

import naive
import networkx as nx
import numpy as np
import pytest
from compare import CELL_KINDS, ODD_BATCHES, PLANS, TOLERANCE, batch, dag_network, naive_copy

import dna


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_all_activations_skips_and_parallel_cells(device: str, kind: str, plan: str) -> None:
    net = dag_network(device, cell=kind)
    net.compile(plan)
    x = batch(7, 3)
    y = net.forward(x)
    assert y.shape == (7, 2) and y.dtype == np.float64
    np.testing.assert_allclose(y, naive.outputs(naive_copy(net), x), **TOLERANCE["float64"])


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("n", ODD_BATCHES)
def test_batches_that_do_not_fill_a_tile(device: str, plan: str, n: int) -> None:
    net = dna.Network([5, 4, 3], init="he", device=device)
    net.compile(plan)
    x = batch(n, 5)
    y = net.forward(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, naive.outputs(naive_copy(net), x.astype(np.float32)), **TOLERANCE["float32"])


def test_a_smaller_batch_after_a_larger_one_sees_nothing_of_it(device: str) -> None:
    net = dag_network(device)
    large, small = batch(33, 3), batch(5, 3)
    net.forward(large)
    np.testing.assert_allclose(net.forward(small), naive.outputs(naive_copy(net), small), **TOLERANCE["float64"])


def test_the_single_layer_of_the_article_starts_as_a_plain_sum(device: str) -> None:
    net = dna.Network([5, 3], device=device)
    x = batch(7, 5)
    np.testing.assert_allclose(net.forward(x), np.repeat(x.sum(1, keepdims=True), 3, 1), **TOLERANCE["float32"])


def test_a_node_without_cells_has_the_potential_of_an_empty_sum(device: str) -> None:
    graph = nx.DiGraph([("a", "z")])
    graph.add_node("y")
    options = {"inputs": ["a"], "outputs": ["y", "z"], "activation": ["sigmoid"]}
    net = dna.Network.from_networkx(graph, **options, device=device, dtype="float64")
    assert net.forward([[0.0]]).tolist() == [[0.5, 0.5]]
    assert net.forward([[2.0]])[0, 0] == 0.5


def test_the_plan_follows_the_topology(device: str) -> None:
    """Cells are born and die between two forwards; the plan is remade by itself."""
    net = dag_network(device)
    x = batch(7, 3)
    for rule in (dna.Extinction(split=0.5, delete=0.0), dna.Extinction(split=0.0, delete=0.4)):
        net.forward(x)
        net.extinction(rule)
        np.testing.assert_allclose(net.forward(x), naive.outputs(naive_copy(net), x), **TOLERANCE["float64"])

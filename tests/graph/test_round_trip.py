"""From a network to networkx and back: the same network but for ids, whatever it has been through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from compare import CELL_KINDS, batch, dag_network

import dna


def layered(**options: Any) -> dna.Network:
    return dna.Network([6, 5, 4, 2], init="he", density=0.6, activation=["tanh", "relu", "sigmoid"], device="cpu", **options)


def thinned(net: dna.Network) -> dna.Network:
    """Return the network after a life that leaves twins, hidden nodes that nothing leads to, and others that lead nowhere."""
    net.extinction(dna.Extinction(split=0.5, delete=0.0, jitter=0.3))
    net.extinction(dna.Extinction(split=0.1, delete=0.8))
    into = set(net.cells.target.tolist())
    assert {node for node in range(net.topology().n_nodes) if node not in into} - set(net.topology().inputs.tolist())
    return net


def networks(kind: str) -> dict[str, dna.Network]:
    return {
        "new": layered(cell=kind),
        "with twins and dead nodes": thinned(layered(cell=kind, seed=3)),
        "float64": layered(cell=kind, dtype="float64"),
        "pixels": dna.Network([6, 2], cell=kind, input_shape=(2, 3), device="cpu"),
        "names, skips and parallel cells": dag_network("cpu", cell=kind),
        "the same after a life": thinned(dag_network("cpu", cell=kind)),
    }


def cells_of(net: dna.Network) -> list[tuple[Any, ...]]:
    """Return all cells by their ends, and parallel ones in the order of their ids."""
    columns = (net.cells.target, net.cells.source, net.cells.id, net.cells.weight, net.cells.bias)
    rows = sorted(zip(*(column.tolist() for column in columns), strict=True))
    return [(source, target, weight, bias) for target, source, _, weight, bias in rows]


def assert_same_network(again: dna.Network, net: dna.Network) -> None:
    old, new = net.topology(), again.topology()
    for name in ("level", "inputs", "outputs"):
        assert getattr(new, name).tolist() == getattr(old, name).tolist(), name
    for name in ("activations", "kind", "names", "input_shape"):
        assert getattr(new, name) == getattr(old, name), name
    assert new.cells.weight.dtype == old.cells.weight.dtype
    assert cells_of(again) == cells_of(net)


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_a_view_becomes_the_same_network(kind: str) -> None:
    for net in networks(kind).values():
        assert_same_network(dna.Network.from_networkx(net.graph(), device="cpu"), net)
        assert_same_network(dna.Network.from_networkx(net.graph().copy(), device="cpu"), net)


def test_it_computes_the_same() -> None:
    net = thinned(dag_network("cpu", cell="tanh"))
    x = batch(5, net.n_in)
    np.testing.assert_allclose(dna.Network.from_networkx(net.graph(), device="cpu").forward(x), net.forward(x), rtol=1e-12)


@pytest.mark.parametrize("suffix", ["graphml", "json"])
def test_an_export_becomes_the_same_network(tmp_path: Path, suffix: str) -> None:
    for net in networks("tanh").values():
        dna.export(net, tmp_path / f"net.{suffix}")
        again = dna.Network.from_networkx(dna.read_graph(tmp_path / f"net.{suffix}"), device="cpu")
        if net.names is None:
            again.own_names = None  # files know nodes by texts
        assert_same_network(again, net)


def test_what_the_user_says_stands_against_the_graph() -> None:
    graph = layered(cell="tanh").graph()
    again = dna.Network.from_networkx(graph, cell="relu", activation="identity", dtype="float64", device="cpu")
    topology = again.topology()
    assert (topology.kind, topology.activations[1], topology.cells.weight.dtype) == ("relu", "identity", np.float64)


def test_a_changed_graph_is_laid_out_anew_where_its_levels_no_longer_hold() -> None:
    graph = layered().graph().copy()
    graph.remove_edges_from(list(graph.edges(keys=True)))
    kept = dna.Network.from_networkx(graph, device="cpu").topology()
    assert kept.n_levels == 4 and len(kept.cells) == 0, "levels stay without cells"
    graph.add_edge(7, 6)  # both at level 1
    moved = dna.Network.from_networkx(graph, activation="relu", device="cpu").topology()
    assert moved.names is not None
    assert moved.level[list(moved.names).index(6)] == moved.level[list(moved.names).index(7)] + 1
    graph.add_node("new")
    larger = dna.Network.from_networkx(nx.DiGraph(graph), inputs=range(6), outputs=[15, 16], activation="relu", device="cpu")
    assert larger.topology().n_nodes == 18


def test_a_foreign_graph_says_nothing_of_the_kind() -> None:
    graph = nx.DiGraph([("a", "b")], kind="tanh")
    assert dna.Network.from_networkx(graph, device="cpu").topology().kind == "linear"
    graph = layered().graph().copy()
    graph.graph["kind"] = "cosine"
    with pytest.raises(dna.UnknownNameError, match="unknown cell kind 'cosine'"):
        dna.Network.from_networkx(graph, device="cpu")

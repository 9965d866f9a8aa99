"""Filters: each against networkx or a sentence of plain Python, alone and together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest

import dna
from dna.errors import OptionError, UnknownNameError
from dna.graph.filters import part
from dna.graph.topology import Topology
from dna.graph.view import view

Make = Callable[..., Topology]


def graph_of(topology: Topology, **filters: Any) -> nx.MultiDiGraph:
    return view(part(topology, filters), lambda: 3)  # type: ignore[arg-type]


@pytest.fixture
def wide(make: Make) -> Topology:
    """Six inputs, four and three hidden nodes, two outputs; 60 cells at random, some of equal strength, one that diverged."""
    rng = np.random.default_rng(8)
    level = np.repeat(np.arange(4), (6, 4, 3, 2))
    pairs = [(a, b) for a in range(15) for b in range(15) if level[a] < level[b]]
    ends = sorted(pairs[k] for k in rng.integers(0, len(pairs), 60))
    weight = rng.normal(size=60).round(1).astype(np.float32)
    weight[7] = np.nan
    return make((6, 4, 3, 2), ends, weight=weight, born=rng.integers(0, 3, 60))


def test_no_filter_is_the_whole(wide: Topology) -> None:
    assert part(wide, {}) is wide


FILTERS: dict[str, tuple[dict[str, Any], Callable[[int, int, dict[str, Any]], bool]]] = {
    "level": ({"level": 2}, lambda u, v, data: data["layer"] == 2),
    "target": ({"target": 13}, lambda u, v, data: v == 13),
    "targets": ({"target": np.array([13, 14])}, lambda u, v, data: v in (13, 14)),
    "source": ({"source": [np.int64(0)]}, lambda u, v, data: u == 0),
    "born": ({"born": 1}, lambda u, v, data: data["born"] == 1),
    "all of it": ({"born": 1, "level": 3, "source": range(9)}, lambda u, v, d: d["born"] == 1 and d["layer"] == 3 and u < 9),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_keeps_what_meets_it_and_nothing_else(wide: Topology, name: str) -> None:
    filters, meets = FILTERS[name]
    whole = graph_of(wide)
    kept = [edge for edge in whole.edges(keys=True) if meets(edge[0], edge[1], whole.edges[edge])]
    assert 0 < len(kept) < 60
    chosen = graph_of(wide, **filters)
    assert sorted(chosen.edges(keys=True)) == sorted(kept)
    for edge in kept:
        np.testing.assert_equal(chosen.edges[edge], whole.edges[edge])  # one weight is NaN
    assert dict(chosen.nodes(data=True)).items() <= dict(whole.nodes(data=True)).items()  # degrees are those of the whole


@pytest.mark.parametrize("count", [0, 1, 13, 59, 60, 1000])
def test_the_strongest_and_of_equals_the_older(wide: Topology, count: int) -> None:
    cells = wide.cells
    size = np.where(np.isnan(cells.weight), -1, np.abs(cells.weight))
    expected = sorted(cells.id[np.lexsort((cells.id, -size))[:count]].tolist())
    assert sorted(key for *_, key in graph_of(wide, strongest=count).edges(keys=True)) == expected


def test_the_strongest_of_what_other_filters_leave(wide: Topology) -> None:
    into = [(abs(data["weight"]), key) for _, v, key, data in graph_of(wide).edges(keys=True, data=True) if v == 13]
    chosen = graph_of(wide, target=13, strongest=2).edges(keys=True)
    assert sorted(key for *_, key in chosen) == sorted(key for _, key in sorted(into, key=lambda pair: (-pair[0], pair[1]))[:2])


@pytest.mark.parametrize("radius", [0, 1, 2, 9])
@pytest.mark.parametrize("node", [0, 7, 14])
def test_the_neighbourhood_is_networkx_ego_graph(make: Make, node: int, radius: int) -> None:
    chain = make((6, 4, 3, 2), [(0, 6), (0, 6), (1, 6), (2, 7), (6, 10), (7, 11), (10, 13), (11, 14), (5, 14), (0, 13)])
    whole = graph_of(chain)
    expected = nx.ego_graph(whole, node, radius, undirected=True)
    chosen = graph_of(chain, around=node, radius=radius)
    assert sorted(chosen.edges(keys=True)) == sorted(expected.edges(keys=True))
    assert set(chosen) == set(expected)


def test_a_node_that_was_asked_for_is_shown_without_cells(make: Make) -> None:
    topology = make((2, 2), [(0, 2)])
    assert list(graph_of(topology, target=3)) == [3]
    assert list(graph_of(topology, around=1)) == [1]


def test_nodes_go_by_name_too(deep: Topology) -> None:
    assert set(graph_of(deep, target="dog", strongest=9)) == {2, 4, 6}
    assert set(graph_of(deep, source=["NW", "SE"])) == {0, 3, 4}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"level": 3}, "level: expected 0 to 2, got 3"),
        ({"level": -1}, "level: expected an integer"),
        ({"target": 7}, "target: expected a node from 0 to 6, got 7"),
        ({"target": 1.5}, r"target: expected an integer of at least 0, got 1.5"),
        ({"around": "cow"}, "got the name 'cow', which none has"),
        ({"radius": 2}, "radius: expected together with around"),
        ({"strongest": True}, "strongest: expected an integer"),
        ({"nearest": 2}, "expected some of level, target, source, around, radius, born, strongest, got 'nearest'"),
    ],
)
def test_filters_that_cannot_be(deep: Topology, filters: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        part(deep, filters)  # type: ignore[arg-type]


def test_a_network_shows_the_births_of_one_extinction() -> None:
    net = dna.Network([12, 3], device="cpu", init="glorot")
    events = [net.extinction(dna.Extinction(split=0.2, delete=0.1)) for _ in range(3)]
    alive = set(net.cells.id.tolist())
    for event in events:
        shown = net.graph(born=event.version)
        assert {key for *_, key in shown.edges(keys=True)} == alive & set(event.born.tolist())
    merged = net.graph(parallel="merged", target=12)
    assert sum(count for *_, count in merged.edges(data="count")) == int((net.cells.target == 12).sum())
    assert merged.version == net.version
    with pytest.raises(UnknownNameError, match="known are kept, merged"):
        net.graph(parallel="sum")


def test_a_graph_of_networkx_comes_back_as_the_network_it_was() -> None:
    net = dna.Network([5, 4, 2], device="cpu", seed=3)
    net.extinction(dna.Extinction(split=0.3, delete=0.2))
    graph = net.graph()
    twin = dna.Network.from_networkx(graph, inputs=range(5), outputs=[9, 10], activation="relu", device="cpu")
    x = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    np.testing.assert_allclose(twin.forward(x), net.forward(x), atol=1e-5)
    again = twin.graph()
    key = ["source", "target", "weight", "bias"]
    assert sorted(zip(*(getattr(net.cells, k).tolist() for k in key), strict=True)) == sorted(
        (u, v, data["weight"], data["bias"]) for u, v, data in again.edges(data=True)
    )


def test_the_top_of_a_million_cells_is_a_small_graph() -> None:
    net = dna.Network([1000, 1000], device="cpu", init="glorot")
    weakest_of_them = np.sort(np.abs(net.cells.weight))[-2000]
    graph = net.graph(strongest=2000)
    assert graph.number_of_edges() == 2000
    assert min(abs(data["weight"]) for *_, data in graph.edges(data=True)) == pytest.approx(weakest_of_them)

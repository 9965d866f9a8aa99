"""The networkx view: what it holds, that it stays as it is, and what networkx makes of it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest

from dna.errors import StaleViewError
from dna.graph.topology import Topology
from dna.graph.view import TopologyView, merged_view, view

Make = Callable[..., Topology]


@pytest.fixture
def picture(deep: Topology) -> TopologyView:
    return view(deep, lambda: deep.version)


def degrees(into: int, out: int, alive: bool = True) -> dict[str, object]:
    return {"cells_in": into, "cells_out": out, "alive": alive}


def test_every_cell_is_an_edge_under_its_id(deep: Topology, picture: TopologyView) -> None:
    cells = deep.cells
    expected = {
        (int(cells.source[k]), int(cells.target[k]), int(cells.id[k])): {
            "layer": int(deep.level[cells.target[k]]),
            "weight": float(cells.weight[k]),
            "bias": float(cells.bias[k]),
            "parent": int(cells.parent[k]),
            "born": int(cells.born[k]),
        }
        for k in range(len(cells))
    }
    assert {(u, v, key): data for u, v, key, data in picture.edges(keys=True, data=True)} == expected
    assert picture.number_of_edges(4, 6) == 3


def test_nodes_say_level_role_name_and_pixel(picture: TopologyView) -> None:
    assert list(picture.nodes(data=True)) == [
        (0, {"level": 0, "role": "input", **degrees(0, 1), "name": "NW", "x": 0, "y": 0}),
        (1, {"level": 0, "role": "input", **degrees(0, 2), "name": "NE", "x": 1, "y": 0}),
        (2, {"level": 0, "role": "input", **degrees(0, 1), "name": "SW", "x": 0, "y": 1}),
        (3, {"level": 0, "role": "input", **degrees(0, 1), "name": "SE", "x": 1, "y": 1}),
        (4, {"level": 1, "role": "hidden", **degrees(4, 4), "name": "h"}),
        (5, {"level": 2, "role": "output", **degrees(1, 0), "name": "cat"}),
        (6, {"level": 2, "role": "output", **degrees(4, 0), "name": "dog"}),
    ]


def test_pixels_follow_the_columns_of_x_and_not_the_numbers_of_nodes(make: Make) -> None:
    graph = view(make((6, 1), [(0, 6)], inputs=[5, 4, 3, 2, 1, 0], input_shape=(2, 3)), lambda: 3)
    assert [(graph.nodes[k]["x"], graph.nodes[k]["y"]) for k in range(6)] == [(2, 1), (1, 1), (0, 1), (2, 0), (1, 0), (0, 0)]


def test_without_names_and_pixels_nodes_have_neither(make: Make) -> None:
    graph = view(make((2, 1), [(0, 2), (1, 2)]), lambda: 3)
    assert list(graph.nodes(data=True)) == [
        (0, {"level": 0, "role": "input", **degrees(0, 1)}),
        (1, {"level": 0, "role": "input", **degrees(0, 1)}),
        (2, {"level": 1, "role": "output", **degrees(2, 0)}),
    ]


def test_a_node_that_passes_no_signal_is_dead(make: Make) -> None:
    graph = view(make((2, 3, 2), [(0, 2), (1, 3), (3, 5), (4, 6)]), lambda: 3)  # node 2 leads nowhere, nothing leads to node 4
    assert [node for node, alive in graph.nodes(data="alive") if not alive] == [2, 4]


def test_all_values_are_plain_python(picture: TopologyView) -> None:
    values = [value for _, data in picture.nodes(data=True) for value in data.values()]
    values += [value for edge in picture.edges(keys=True, data=True) for value in (*edge[:3], *edge[3].values())]
    values += [*picture.nodes, *picture.graph.values()]
    assert {type(value) for value in values} == {int, float, str, bool}


def test_a_topology_without_cells_has_its_nodes(make: Make) -> None:
    graph = view(make((2, 1), []), lambda: 3)
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (3, 0)


def test_it_is_frozen(picture: TopologyView) -> None:
    assert nx.is_frozen(picture)
    for change in (
        lambda: picture.add_edge(0, 5),
        lambda: picture.remove_node(0),
        picture.clear,
        lambda: picture.update(nodes=[9]),
    ):
        with pytest.raises(nx.NetworkXError, match="Frozen graph can't be modified"):
            change()


def test_refresh_of_the_version_of_now_is_the_view_itself(picture: TopologyView) -> None:
    assert picture.version == 3
    assert not picture.stale
    assert picture.refresh() is picture


def test_a_view_of_the_past_says_so(deep: Topology) -> None:
    now = [3]
    picture = view(deep, lambda: now[0])
    now[0] = 5
    assert picture.stale
    with pytest.raises(StaleViewError, match=r"shows version 3.*now at version 5.*net\.graph\(\)"):
        picture.refresh()
    assert picture.number_of_edges() == 9


DERIVED = {
    "copy": lambda g: g.copy(),
    "constructor": nx.MultiDiGraph,
    "copy of a subgraph": lambda g: g.subgraph(list(g)).copy(),
    "edge subgraph": lambda g: g.edge_subgraph(list(g.edges(keys=True))).copy(),
    "reversed twice": lambda g: g.reverse().reverse(),
    "deep copy": copy.deepcopy,
    "pickle": lambda g: pickle.loads(pickle.dumps(g)),
    "pickled copy": lambda g: pickle.loads(pickle.dumps(g.copy())),
    "relabelled": lambda g: nx.relabel_nodes(g, {0: 0}),
    "thawed": lambda g: nx.compose(g, g),
}


@pytest.mark.parametrize("how", DERIVED)
def test_what_networkx_derives_is_an_ordinary_graph_with_all_of_it(picture: TopologyView, how: str) -> None:
    derived = DERIVED[how](picture)
    assert type(derived) is nx.MultiDiGraph
    assert nx.utils.graphs_equal(derived, picture)
    assert derived.graph == {"version": 3, "kind": "relu", "activations": "identity,identity,identity", "dtype": "float32"}


def test_a_copy_can_be_changed_and_the_view_does_not_change_with_it(picture: TopologyView) -> None:
    plain = picture.copy()
    plain.add_edge(0, 5, key=99)
    plain.nodes[0]["level"] = 7
    assert picture.number_of_edges() == 9
    assert picture.nodes[0]["level"] == 0


def test_a_pickle_takes_no_network_along(deep: Topology) -> None:
    picture = view(deep, lambda: 3)  # a lambda, like a bound method of an open network, cannot be pickled
    assert nx.utils.graphs_equal(pickle.loads(pickle.dumps(picture)), picture)


def test_a_subgraph_is_a_live_frozen_part(picture: TopologyView) -> None:
    part = picture.subgraph([4, 5, 6])
    assert nx.is_frozen(part)
    assert sorted(part.edges(keys=True)) == [(4, 5, 13), (4, 6, 16), (4, 6, 19), (4, 6, 22)]


def test_algorithms_run(picture: TopologyView) -> None:
    assert nx.is_directed_acyclic_graph(picture)
    assert list(nx.topological_generations(picture)) == [[0, 1, 2, 3], [4], [5, 6]]
    assert nx.dag_longest_path_length(picture, weight=None) == 2
    assert nx.descendants(picture, 2) == {6}
    assert nx.transitive_closure_dag(picture).has_edge(0, 6)
    assert nx.number_weakly_connected_components(picture) == 1
    assert nx.to_numpy_array(picture, weight=None)[4, 6] == 3
    assert nx.condensation(picture).number_of_nodes() == 7
    assert nx.line_graph(picture).number_of_nodes() == 9


def test_sums_of_parallel_cells(deep: Topology, picture: TopologyView) -> None:
    matrix = nx.to_numpy_array(picture, nodelist=range(7), weight="weight")
    expected = np.zeros((7, 7))
    np.add.at(expected, (deep.cells.source, deep.cells.target), deep.cells.weight.astype(float))
    np.testing.assert_allclose(matrix, expected, rtol=1e-12)


def test_merged_cells_are_one_edge_a_pair(deep: Topology, picture: TopologyView) -> None:
    merged = merged_view(deep, lambda: deep.version)
    expected: dict[tuple[int, int], dict[str, float]] = {}
    for u, v, data in picture.edges(data=True):
        pair = expected.setdefault((u, v), {"count": 0, "weight": 0.0, "bias": 0.0})
        for name, value in (("count", 1), ("weight", data["weight"]), ("bias", data["bias"])):
            pair[name] += value
    assert {(u, v): data for u, v, data in merged.edges(data=True)} == {pair: pytest.approx(d) for pair, d in expected.items()}
    assert {type(data["count"]) for _, _, data in merged.edges(data=True)} == {int}
    assert dict(merged.nodes(data=True)) == dict(picture.nodes(data=True))
    assert type(merged.copy()) is type(pickle.loads(pickle.dumps(merged))) is nx.DiGraph
    assert nx.is_frozen(merged)
    assert not merged.stale


def test_maximum_flow_and_page_rank_take_merged_cells(deep: Topology) -> None:
    merged = merged_view(deep, lambda: deep.version)
    assert nx.maximum_flow_value(merged, 1, 6, capacity="count") == 2
    assert nx.pagerank(merged, weight="count")[6] > nx.pagerank(merged, weight="count")[5]
    assert nx.has_path(merged, 0, 6)
    assert nx.shortest_path(merged, 1, 6) == [1, 4, 6]

"""Deaths that look beyond the score of a cell: newborns, nodes without cells on one side, whole nodes, a user's choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import naive
import networkx as nx
import numpy as np
import pytest
from compare import SIMULATING, assert_same, batch, dag_network, give_cells, naive_copy, unchanged

import dna


def network(device: str, seed: int = 0, **options: Any) -> dna.Network:
    """Return a sparse network of five levels, whose weights are a few multiples of 1/4."""
    net = dna.Network([5, 4, 4, 4, 3], density=0.4, device=device, seed=seed, **options)
    draw = np.random.default_rng(seed)
    give_cells(net, weight=draw.choice([-1.0, -0.5, -0.25, 0.25, 0.5, 0.75, 2.0], len(net)))
    return net


# --- grace --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grace", [0, 1, 2])
@pytest.mark.parametrize("amount", [{"share": 0.6}, {"below": 0.3}, {"share": 0.6, "scope": "layer"}])
def test_newborns_are_exempt_for_so_many_extinctions(device: str, grace: int, amount: dict[str, Any]) -> None:
    net = dag_network(device, dtype="float32")
    give_cells(net, weight=np.resize([0.25, 1.0, -0.5, 0.75], len(net)), bias=np.zeros(len(net)))
    model = naive_copy(net)
    options = {"split": 0.3, "grace": grace, "scope": amount.get("scope", "network")}
    options |= {"delete": amount["share"]} if "share" in amount else {"delete_below": amount["below"]}
    rule = dna.Extinction(births=dna.Split(share=0.3, scope=options["scope"]), deaths=dna.Delete(**amount, grace=grace))
    for _ in range(3):
        event = net.extinction(rule)
        expected = naive.extinction(model, naive.Rule(**options), event=event.number)
        assert (event.died.tolist(), event.parents.tolist()) == (expected.died, expected.parents)
        assert_same(net, model, rtol=0, atol=0)


def test_a_newborn_dies_when_its_grace_is_over() -> None:
    net = dna.Network([6, 1], device="cpu")
    give_cells(net, weight=[8.0, 7.0, 6.0, 5.0, 4.0, 3.0])
    net.extinction(dna.Extinction(births=dna.Split(choose=lambda cells: cells.id[-1:])))  # 3 becomes 1.5 and 1.5
    deaths = dna.Extinction(deaths=dna.Delete(share=0.2, grace=2))
    assert [net.extinction(deaths).died.tolist() for _ in range(3)] == [[5], [4], [6]]


# --- nodes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3 if SIMULATING else 6))
def test_what_leads_nowhere_dies(device: str, seed: int) -> None:
    net = network(device, seed)
    model = naive_copy(net)
    deaths = [dna.Delete(share=0.4, keep_outputs=False), dna.DeleteStranded(keep_outputs=False)]
    event = net.extinction(dna.Extinction(deaths=deaths))
    first = naive.extinction(model, naive.Rule(delete=0.4, keep_outputs=False))
    assert set(event.died.tolist()) == set(first.died) | naive.stranded(model)
    assert len(event.died) == len(set(event.died.tolist()))
    again = net.extinction(dna.Extinction(deaths=dna.DeleteStranded(keep_outputs=False)))
    assert again.n_died == 0
    net.forward(batch(3, 5))


def test_a_chain_falls_from_both_ends(device: str) -> None:
    """What only d heard falls back to a, what only x fed falls on to y; the cell from a to y stays."""
    graph = nx.MultiDiGraph([("a", "b"), ("b", "c"), ("c", "d"), ("a", "y"), ("x", "h"), ("h", "k"), ("k", "y"), ("d", "y")])
    net = dna.Network.from_networkx(graph, device=device)
    ids = {(net.names[s], net.names[t]): int(i) for i, s, t in zip(net.cells.id, net.cells.source, net.cells.target, strict=True)}
    cut = [ids["d", "y"], ids["x", "h"]]
    event = net.extinction(dna.Extinction(deaths=[dna.Delete(choose=lambda cells: cut), dna.DeleteStranded()]))
    assert set(net.cells.id.tolist()) == {ids["a", "y"]} and event.n_died == 7


def test_an_output_of_stranded_cells_keeps_the_youngest(device: str) -> None:
    net = dna.Network([2, 2, 2], device=device)
    youngest = [int(net.cells.id[net.cells.target == output].max()) for output in (4, 5)]
    of_inputs = dna.Delete(choose=lambda cells: cells.id[cells.source < 2])
    event = net.extinction(dna.Extinction(deaths=[of_inputs, dna.DeleteStranded()]))
    assert net.cells.id.tolist() == youngest and event.n_died == 6
    assert net.forward(batch(1, 2)).shape == (1, 2)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 1.0])
def test_the_least_active_nodes_die(device: str, share: float) -> None:
    net = network(device, seed=3)
    model = naive_copy(net)
    event = net.extinction(dna.Extinction(deaths=dna.DeleteNodes(share=share, keep_outputs=False)))
    expected = naive.cells_of_weak_nodes(model, share, naive.scores(model, "weight"))
    assert set(event.died.tolist()) == expected and event.n_died == len(expected)
    assert expected


def test_nodes_below_a_threshold_die_and_outputs_keep_a_cell(device: str) -> None:
    net = dna.Network([2, 3, 2], device=device)
    give_cells(net, weight=np.where(net.cells.source == 4, -0.25, net.cells.source))  # node 4 sends 0.5 in all
    event = net.extinction(dna.Extinction(deaths=dna.DeleteNodes(below=0.6)))
    assert set(net.cells.source.tolist()) | set(net.cells.target.tolist()) == {0, 1, 2, 3, 5, 6} and event.n_died == 4
    net.extinction(dna.Extinction(deaths=dna.DeleteNodes(below=9.0)))
    assert sorted(net.cells.target.tolist()) == [5, 6]


# --- a user's choice ----------------------------------------------------------------------------------------------------


def test_functions_choose_by_id(device: str) -> None:
    net = network(device)
    deep = dna.Delete(choose=lambda cells: cells.id[cells.weight == 2.0][:2], keep_outputs=False)
    early = dna.Split(choose=lambda cells: [int(i) for i in cells.id[:3]])
    died = net.cells.id[net.cells.weight == 2.0][:2]
    event = net.extinction(dna.Extinction(births=early, deaths=deep))
    assert event.died.tolist() == died.tolist() and event.parents.tolist() == [0, 1, 2]
    assert event.options["deaths"][0]["choose"] == "<lambda>"
    assert net.extinction(dna.Extinction(births=dna.Split(choose=lambda cells: ()))).n_born == 0


CHOICES: dict[str, tuple[Callable[[Any], Any], type[dna.DNAError], str]] = {
    "the wrong shape": (lambda cells: cells.id.reshape(1, -1), dna.ShapeError, r"choose: .* one dimension, got shape \(1, \d+\)"),
    "a mask": (lambda cells: cells.weight > 0, dna.DataError, "choose: expected the ids of cells as integers, got dtype bool"),
    "reals": (lambda cells: cells.weight, dna.DataError, "choose: expected the ids of cells as integers, got dtype float32"),
    "a number": (lambda cells: 3, dna.ShapeError, r"choose: .*, got shape \(\)"),
    "ragged": (lambda cells: [[1], [1, 2]], dna.ShapeError, "choose: expected a rectangular array"),
    "dead ids": (lambda cells: [0, 10**6], dna.DataError, "choose: expected ids of living cells, got 1000000"),
    "a free slot": (lambda cells: [-1], dna.DataError, "choose: expected ids of living cells, got -1"),
    "twice": (lambda cells: cells.id[[0, 0, 1]], dna.DataError, "choose: expected every cell once, got 3 ids of 2 cells"),
}


@pytest.mark.parametrize(("choose", "error", "match"), CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("part", ["deaths", "births"])
def test_a_choice_that_cannot_be(part: str, choose: Any, error: type[dna.DNAError], match: str) -> None:
    net = network("cpu")
    net.extinction(dna.Extinction(split=0.0, delete=0.3))
    with unchanged(net), pytest.raises(error, match=match):
        net.extinction(dna.Extinction(**{part: dna.Delete(choose=choose) if part == "deaths" else dna.Split(choose=choose)}))


def test_choices_that_contradict_the_rest_of_the_event() -> None:
    net = dna.Network([3, 2], device="cpu")
    oldest, all_of_one = dna.Split(choose=lambda cells: [0]), dna.Delete(choose=lambda cells: cells.id[cells.target == 3])
    with unchanged(net), pytest.raises(dna.OptionError, match="expected cells that may split, but one of them dies"):
        net.extinction(dna.Extinction(births=oldest, deaths=dna.Delete(share=0.2)))
    with unchanged(net), pytest.raises(dna.OptionError, match="an output would lose its last cell"):
        net.extinction(dna.Extinction(deaths=all_of_one))
    both = [dna.Delete(share=0.2), dna.Delete(choose=lambda cells: [0])]
    assert net.extinction(dna.Extinction(deaths=both)).died.tolist() == [0], "a cell may be chosen by two rules"


def test_a_network_without_cells_is_a_network() -> None:
    net = dna.Network([3, 2], device="cpu")
    net.extinction(dna.Extinction(split=0.0, delete=1.0, keep_outputs=False))
    for rule in (dna.Extinction(), dna.Extinction(deaths=[dna.DeleteStranded(), dna.DeleteNodes(), dna.Delete(below=1.0)])):
        event = net.extinction(rule)
        assert (len(net), event.n_born, event.n_died) == (0, 0, 0)
    assert net.forward(batch(2, 3)).tolist() == [[0.0, 0.0]] * 2

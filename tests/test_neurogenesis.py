"""Neurogenesis: births of nodes and levels against the oracle, functions that stay, newborns that train or are taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import naive
import networkx as nx
import numpy as np
import pytest
from compare import CELL_KINDS, SIMULATING, TOLERANCE, assert_same, batch, dag_network, naive_copy, snapshot, unchanged
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

import dna
import dna.model
from dna.cells import ACTIVATIONS, KINDS
from dna.checkpoint.validate import validate_state
from dna.nodes import NodesBorn, names_of, nodes_before
from dna.rules.relay import find_relay, is_positive, repeats
from dna.saved import to_state

KINDS_HERE = ("relu",) if SIMULATING else CELL_KINDS
X, Y = batch(8, 3), batch(8, 2)


def train(net: dna.Network, epochs: int = 1, **options: Any) -> None:
    net.fit(X, Y, epochs=epochs, batch_size=4, loss="mse", optimizer=dna.Adam(0.01), progress=False, **options)


def trained(device: str, **options: Any) -> dna.Network:
    """Return a network with optimizer state and free slots."""
    net = dag_network(device, **options)
    net.extinction(dna.Extinction(split=0.0, delete=0.15))
    train(net)
    return net


def bear(net: dna.Network, *births: Any, **options: Any) -> dna.ExtinctionEvent:
    return net.extinction(dna.Extinction(births=list(births), **options))


def fail(*_: Any, **__: Any) -> None:
    raise RuntimeError("now")


def look(net: dna.Network) -> None:
    """Give the network a batch to look at."""
    net.forward(X)
    net.backward(Y)


# --- against the oracle -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS_HERE)
@pytest.mark.parametrize("count", [2, 9])
def test_twins_are_those_of_the_oracle(device: str, kind: str, count: int) -> None:
    net = trained(device, cell=kind)
    model, before = naive_copy(net), net.forward(X)
    event = bear(net, dna.SplitNodes(nodes=count, jitter=0.4))
    expected = naive.split_nodes(model, count, 0.4)
    assert (event.born.tolist(), event.parents.tolist(), event.died.tolist()) == expected
    assert_same(net, model, **TOLERANCE["float64"])
    assert event.nodes_born.tolist() == list(range(9, len(model.level))) and len(event.nodes_born) == min(count, 4)
    assert net.topology().level[event.node_parents].tolist() == event.nodes.level.tolist()
    np.testing.assert_allclose(net.forward(X), before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS_HERE)
@pytest.mark.parametrize("replace", [None, True] if SIMULATING else [None, True, False])
@pytest.mark.parametrize("count", [1, 5])
def test_nodes_come_on_the_way_of_cells_as_in_the_oracle(device: str, kind: str, replace: bool | None, count: int) -> None:
    net = trained(device, cell=kind, activation=("relu", "identity", "relu", "identity"))
    if kind == "relu" and replace is False:
        with unchanged(net), pytest.raises(dna.OptionError, match="a silent relu cell never trains, got False"):
            bear(net, dna.InsertNodes(nodes=count, replace=replace))
        return
    model, before = naive_copy(net), net.forward(X)
    event = bear(net, dna.InsertNodes(nodes=count, replace=replace))
    expected = naive.insert_nodes(model, count, replace)
    assert (event.born.tolist(), event.parents.tolist(), event.died.tolist()) == expected
    assert_same(net, model, **TOLERANCE["float64"])
    assert net.topology().activations == tuple(model.activations)
    assert len(event.nodes_born) == count and event.n_born == 2 * count
    if replace is not True:
        np.testing.assert_allclose(net.forward(X), before, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(net.forward(X), naive.outputs(model, X.tolist()), rtol=1e-9, atol=1e-12)


# --- insertion ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "activation", "positive", "expected"),
    [
        ("linear", "identity", False, True),
        ("linear", "relu", True, True),
        ("linear", "relu", False, False),
        ("linear", "tanh", True, False),
        ("linear", "sigmoid", True, False),
        ("relu", "identity", False, True),
        ("relu", "relu", False, True),
        ("relu", "sigmoid", False, False),
        ("tanh", "identity", False, False),
        ("tanh", "tanh", True, False),
    ],
)
def test_which_paths_give_what_the_cell_gave(kind: str, activation: str, positive: bool, expected: bool) -> None:
    assert (find_relay(KINDS[kind], ACTIVATIONS[activation], positive=positive) is not None) is expected
    assert is_positive(KINDS[kind], ACTIVATIONS["sigmoid"])
    assert is_positive(KINDS[kind], ACTIVATIONS["identity"]) is (kind == "relu")
    assert repeats(KINDS["linear"], ACTIVATIONS["identity"], positive=False)


def test_a_path_in_place_of_a_cell_bends_where_the_source_is_negative() -> None:
    net = dna.Network([1, 1], device="cpu")
    bear(net, dna.InsertNodes(replace=True))
    assert net.topology().activations == ("identity", "relu", "identity")
    assert net.forward([[2.0], [-3.0]]).ravel().tolist() == [2.0, 0.0]


def test_a_level_between_is_taken_where_there_is_one() -> None:
    graph = nx.DiGraph([("a", "h"), ("h", "y"), ("a", "y")])
    net = dna.Network.from_networkx(graph, device="cpu")
    event = bear(net, dna.InsertNodes(choose=lambda cells: cells.id[(cells.source == 0) & (cells.target == 2)]))
    assert event.levels_born == () and net.topology().level.tolist() == [0, 1, 2, 1]


def test_a_share_is_one_of_the_cells_before_the_event() -> None:
    net = dna.Network([5, 4, 5], init="he", device="cpu")
    event = bear(net, dna.InsertNodes(share=0.2), deaths=dna.Delete(share=0.5))
    assert (event.cells_before, len(event.nodes_born)) == (40, 8)
    event.undo()
    assert len(bear(net, dna.InsertNodes(share=0.6), deaths=dna.Delete(share=0.5)).nodes_born) == 20, "all that live on"


@pytest.mark.parametrize("place", [2, 3, None])
def test_a_new_level_hands_on_what_the_one_below_holds(device: str, place: int | None) -> None:
    net = dna.Network([3, 4, 3, 2], density=0.8, dtype="float64", device=device)
    train(net)
    before, outputs, n = naive_copy(net), net.forward(X), len(net)
    event = bear(net, dna.InsertLevel(level=place))
    below = (place or 3) - 1
    assert event.levels_born == ((below + 1, "relu"),)
    assert (net.topology().level == below).sum() == len(event.nodes_born) == event.n_born - event.n_died
    assert len(net) == n + len(event.nodes_born)
    np.testing.assert_allclose(net.forward(X), outputs, rtol=1e-12)
    moved = {cell.id: cell for cell in before.cells()}
    for cell in naive_copy(net).cells():
        if cell.parent >= 0:
            old = moved[cell.parent]
            assert (cell.target, cell.weight, cell.bias, cell.state) == (old.target, old.weight, old.bias, old.state)


def test_a_level_that_could_not_hand_on_is_refused() -> None:
    for kind, level, match in (
        ("tanh", None, "by which tanh cells hand on what level 1"),
        ("linear", 1, "by which linear cells hand on what the inputs may hold, got 'relu'"),
        ("relu", 1, "the inputs may hold, got 'identity'"),
    ):
        net = dna.Network([3, 4, 2], cell=kind, device="cpu")
        with unchanged(net), pytest.raises(dna.OptionError, match=match):
            bear(net, dna.InsertLevel(level=level))
    bear(net := dna.Network([3, 4, 2], device="cpu"), dna.InsertLevel(level=1, activation="identity"))
    assert net.topology().activations == ("identity", "identity", "relu", "identity")


# --- growth by gradients ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "activation"), [("linear", "identity"), ("linear", "tanh"), ("tanh", "identity")])
def test_gradmax_is_the_singular_vector_of_the_largest_gradient(device: str, kind: str, activation: str) -> None:
    net = dna.Network([3, 4, 2], cell=kind, activation=activation, dtype="float64", device=device)
    look(net)
    model = naive_copy(net)
    potentials = [naive.forward(model, row) for row in X.tolist()]
    sums = [naive.node_gradients(model, v, row) for v, row in zip(potentials, Y.tolist(), strict=True)]
    cross = np.array(sums)[:, [7, 8]].T @ np.array(potentials)[:, :3]
    before = net.forward(X)
    look(net)
    event = bear(net, dna.GrowNodes(silent="incoming", size=2.0))
    np.testing.assert_allclose(net.forward(X), before, rtol=1e-12)
    net.backward(Y)
    cells = net.cells
    incoming, outgoing = cells.target == event.nodes_born[0], cells.source == event.nodes_born[0]
    left, values, _ = np.linalg.svd(cross)
    np.testing.assert_allclose(abs(cells.weight[outgoing] @ left[:, 0]), 2.0, rtol=1e-9)
    assert (cells.weight[incoming] == 0).all() and incoming.sum() == 3
    np.testing.assert_allclose(np.linalg.norm(cells.weight_grad[incoming]), 2 * values[0], rtol=1e-9)


def test_the_best_candidate_sees_the_largest_gradient() -> None:
    """By the norm of the gradient of the cells above over that of the potentials; more candidates find a better one."""
    found = {}
    for candidates in (4, 64, 1024):
        net = dna.Network([3, 4, 2], dtype="float64", device="cpu", seed=3)
        look(net)
        before = net.forward(X)
        look(net)
        event = bear(net, dna.GrowNodes(candidates=candidates))
        np.testing.assert_array_equal(net.forward(X), before)
        net.backward(Y)
        node = event.nodes_born[0]
        held = net.engine.potentials()[node]
        found[candidates] = np.linalg.norm(net.cells.weight_grad[net.cells.source == node]) / np.linalg.norm(held)
        assert (held > 0).any() and (net.cells.weight[net.cells.source == node] == 0).all()
    assert found[4] < found[64] < found[1024]


def test_a_network_without_hidden_levels_gets_one(device: str) -> None:
    net = dna.Network([3, 2], device=device)
    look(net)
    before = net.forward(X)
    look(net)
    event = bear(net, dna.GrowNodes(nodes=2, activation="tanh"))
    assert net.topology().activations == ("identity", "tanh", "identity") and event.levels_born == ((1, "tanh"),)
    assert net.topology().level.tolist() == [0, 0, 0, 2, 2, 1, 1] and len(net) == 6 + 2 * 5
    np.testing.assert_allclose(net.forward(X), before, rtol=1e-5, atol=1e-6)  # another plan sums in another order


def test_wide_levels_are_looked_at_in_part() -> None:
    net = dna.Network([50, 3, 40], density=0.2, device="cpu")
    net.forward(batch(20, 50))
    net.backward(batch(20, 40))
    event = bear(net, dna.GrowNodes(nodes=2, fan_in=7, fan_out=5))
    for node in event.nodes_born:
        assert (net.cells.target == node).sum() == 7 and (net.cells.source == node).sum() == 5


def test_a_level_that_is_asked_for_gets_the_nodes() -> None:
    net = dna.Network([3, 4, 4, 2], device="cpu")
    look(net)
    assert bear(net, dna.GrowNodes(nodes=3, level=2)).nodes.level.tolist() == [2, 2, 2]


# --- newborns train -----------------------------------------------------------------------------------------------------

RULES: dict[str, tuple[str, Any]] = {
    "split": ("linear", dna.SplitNodes(nodes=2)),
    "split, tanh": ("tanh", dna.SplitNodes(nodes=2)),
    "insertion beside": ("tanh", dna.InsertNodes(nodes=3)),
    "insertion in place": ("relu", dna.InsertNodes(nodes=3)),
    "growth": ("linear", dna.GrowNodes(nodes=2)),
    "growth, incoming silent": ("tanh", dna.GrowNodes(nodes=2, silent="incoming")),
    "level": ("linear", dna.InsertLevel()),
}


@pytest.mark.parametrize("name", RULES)
def test_newborns_train_and_are_missed(name: str) -> None:
    """Their weights move; and without them the loss is higher than with them."""
    kind, birth = RULES[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3))
    y = np.stack([np.abs(x[:, 0]) - x[:, 1], np.maximum(x[:, 1] * x[:, 2], 0)], axis=1)
    net = dna.Network([3, 4, 2], cell=kind, device="cpu", seed=2)
    standard = {"epochs": 60, "batch_size": 16, "loss": "mse", "optimizer": dna.Adam(0.01), "progress": False}
    net.fit(x, y, **standard)
    net.forward(x)
    net.backward(net.forward(x) - y)
    event = bear(net, birth)
    before = dict(zip(net.cells.id.tolist(), net.cells.weight.tolist(), strict=True))
    net.fit(x, y, **standard)
    moved = [abs(weight - before[cell]) for cell, weight in zip(net.cells.id.tolist(), net.cells.weight.tolist(), strict=True)]
    newborn = np.isin(net.cells.id, event.born)
    assert (np.array(moved)[newborn] > 1e-4).mean() > 0.9
    with_them = net.evaluate(x, y, loss="mse")["loss"]
    net.extinction(dna.Extinction(deaths=dna.Delete(choose=lambda cells: event.born, keep_outputs=False)))
    assert net.evaluate(x, y, loss="mse")["loss"] > 1.05 * with_them


def test_twins_part_by_their_shares() -> None:
    """Equal shares leave them equal; under Adam shares of one sign part them less than shares of both."""
    apart = {}
    for jitter in (0.0, 0.5, 2.0):
        net = dna.Network([3, 4, 1], device="cpu", seed=2)
        event = bear(net, dna.SplitNodes(nodes=4, jitter=jitter))
        net.fit(X, Y[:, :1], epochs=20, batch_size=4, loss="mse", optimizer=dna.Adam(0.01), progress=False)
        net.forward(X)
        held = net.engine.potentials()
        apart[jitter] = np.abs(held[event.node_parents] - held[event.nodes_born]).mean()
    assert apart[0.0] == 0.0 < apart[0.5] < apart[2.0]


# --- together, and in a fit ---------------------------------------------------------------------------------------------

ALL = (
    dna.InsertLevel(level=2),
    dna.InsertNodes(nodes=2),
    dna.SplitNodes(share=0.8),
    dna.GrowNodes(nodes=2),
    dna.Regrow(share=0.2),
)


@pytest.mark.parametrize("kind", ["linear", "tanh"])
@pytest.mark.parametrize("backwards", [False, True])
def test_births_of_one_event_get_along(kind: str, backwards: bool) -> None:
    """In any order, and with deaths: the function is what deaths alone would leave, as regrown cells begin silent."""
    births = [birth for birth in ALL if kind == "linear" or not isinstance(birth, dna.InsertLevel)]
    births = [birth for birth in births if not (backwards and isinstance(birth, dna.InsertLevel))]
    options = {"cell": kind, "dtype": "float64", "device": "cpu", "density": 0.7, "seed": 4}
    net, fewer = (dna.Network([3, 6, 5, 2], **options) for _ in range(2))
    deaths = dna.Delete(share=0.2)
    look(net)
    event = bear(net, *(reversed(births) if backwards else births), deaths=deaths)
    fewer.extinction(dna.Extinction(deaths=deaths))
    np.testing.assert_allclose(net.forward(X), fewer.forward(X), rtol=1e-10)
    levels = net.topology().level
    assert (levels[net.cells.source] < levels[net.cells.target]).all() and len(event.nodes_born) > 8
    train(net)


def test_two_rules_that_split_are_refused() -> None:
    with pytest.raises(dna.OptionError, match="at most one dna"):
        dna.Extinction(births=[dna.Split(), dna.SplitNodes()])


def test_splits_stand_against_a_level_that_moves_their_cells() -> None:
    net = dna.Network([3, 4, 2], device="cpu")
    with unchanged(net), pytest.raises(dna.OptionError, match="no splits of the cells that a new level moves"):
        bear(net, dna.SplitNodes(), dna.InsertLevel())


def test_a_fit_grows_the_network_it_trains(device: str) -> None:
    net = dna.Network([3, 2], device=device)
    rule = dna.Extinction(births=dna.GrowNodes(nodes=2), when=dna.Every(epochs=1))
    train(net, epochs=3, extinction=rule)
    assert [len(event.nodes_born) for event in net.fossils] == [2, 2, 2] and net.topology().n_nodes == 11
    assert all(event.loss_after == pytest.approx(event.loss_before, rel=1e-5) for event in net.fossils)
    by_steps = dna.Extinction(births=dna.SplitNodes(nodes=1), when=dna.Every(steps=1))
    train(net, extinction=by_steps)
    assert net.topology().n_nodes == 13


def test_a_rule_is_checked_again_as_levels_came_since() -> None:
    net = dna.Network([3, 4, 2], device="cpu")
    node = dna.InsertNodes(choose=lambda cells: cells.id[-1:], replace=False, activation="tanh")
    rule = dna.Extinction(births=[node, dna.InsertLevel()], when=dna.Every(epochs=1))
    with pytest.raises(dna.OptionError, match=r"hand on what level 3 \(tanh\) may hold, got 'relu'"):
        train(net, epochs=2, extinction=rule)
    assert len(net.fossils) == 1 and net.topology().activations[2:4] == ("relu", "tanh")


def test_a_plan_that_hidden_nodes_do_not_allow_makes_way_for_another() -> None:
    net = dna.Network([3, 2], device="cpu")
    net.compile("dense")
    look(net)
    before = net.forward(X)
    look(net)
    bear(net, dna.GrowNodes())
    assert net.plan.startswith("gather (chosen by auto)")
    np.testing.assert_allclose(net.forward(X), before, rtol=1e-6)
    for one in (dna.load(to_state(net), device="cpu"), net):  # a file does not forget what was asked for
        one.fossils[-1].undo()
        assert one.plan.startswith("dense (as asked)")
        np.testing.assert_array_equal(one.forward(X), before)


def test_the_same_seed_grows_the_same_network() -> None:
    rule = dna.Extinction(births=[dna.GrowNodes(nodes=2), dna.SplitNodes(nodes=1)], when=dna.Every(epochs=1))
    nets = [dna.Network([3, 2], device="cpu", seed=9) for _ in range(2)]
    for net in nets:
        train(net, epochs=3, extinction=rule)
    assert snapshot(nets[0])["arrays"] == snapshot(nets[1])["arrays"]


# --- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: dna.SplitNodes(nodes=0), "nodes: expected an integer of at least 1, got 0"),
        (lambda: dna.SplitNodes(nodes=1, share=0.5), "nodes and share: expected one of them"),
        (lambda: dna.SplitNodes(share=1.5), r"share: expected a number in \[0.0, 1.0\]"),
        (lambda: dna.SplitNodes(jitter=2.5), "jitter"),
        (lambda: dna.SplitNodes(level=0), "level"),
        (lambda: dna.SplitNodes(passthrough="wait"), "passthrough"),
        (lambda: dna.SplitNodes(choose=3), "choose: expected a function"),
        (lambda: dna.InsertNodes(replace="yes"), "replace: expected True, False or None"),
        (lambda: dna.InsertNodes(replace=0), "replace: expected True, False or None, got 0"),
        (lambda: dna.InsertNodes(activation="rely"), "activation"),
        (lambda: dna.InsertLevel(level=0), "level"),
        (lambda: dna.GrowNodes(silent="both"), "silent side"),
        (lambda: dna.GrowNodes(size=0.0), "size: expected more than 0"),
        (lambda: dna.GrowNodes(nodes=0), "nodes"),
        (lambda: dna.GrowNodes(fan_in=True), "fan_in"),
    ],
)
def test_options_out_of_range_are_refused(make: Any, match: str) -> None:
    with pytest.raises(dna.OptionError, match=match):
        make()


@pytest.mark.parametrize(
    ("kind", "birth", "error", "match"),
    [
        ("linear", dna.SplitNodes(choose=lambda cells: [0]), dna.DataError, "expected hidden nodes that cells leave"),
        ("linear", dna.SplitNodes(choose=lambda cells: [3, 3]), dna.DataError, "every node once"),
        ("linear", dna.SplitNodes(choose=lambda cells: [[3]]), dna.ShapeError, "one dimension"),
        ("linear", dna.SplitNodes(choose=lambda cells: [0.5]), dna.DataError, "as integers"),
        ("linear", dna.InsertNodes(choose=lambda cells: [999]), dna.DataError, "ids of living cells, got 999"),
        ("linear", dna.InsertLevel(level=9), dna.OptionError, "level: expected 1 to 2, the level of the outputs, got 9"),
        ("linear", dna.GrowNodes(), dna.OptionError, "expected a forward and a backward"),
        ("linear", dna.GrowNodes(level=2), dna.OptionError, "level: expected a hidden one, 1 to 1, got 2"),
        ("linear", dna.GrowNodes(silent="incoming"), dna.OptionError, "whose nodes of relu are not silent"),
        ("relu", dna.SplitNodes(jitter=1.0), dna.OptionError, "jitter: expected less than 1 with relu cells, got 1.0"),
        ("relu", dna.GrowNodes(), dna.OptionError, "a silent relu cell never does"),
    ],
)
def test_what_cannot_be_born_changes_nothing(kind: str, birth: Any, error: type[Exception], match: str) -> None:
    net = dna.Network([3, 4, 2], cell=kind, device="cpu")
    with unchanged(net), pytest.raises(error, match=match):
        bear(net, birth)


def test_a_fixed_pool_that_is_too_small_changes_nothing(device: str) -> None:
    net = dna.Network([3, 4, 2], device=device, capacity=22)
    with unchanged(net), pytest.raises(dna.PoolExhausted):
        bear(net, dna.SplitNodes())


@pytest.mark.parametrize("where", ["reserve", "claim", "release", "record"])
def test_a_failure_leaves_the_nodes_as_they_were(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    net = trained("cpu")
    owner, name = (dna.model, "ExtinctionEvent") if where == "record" else (net.engine.pool, where)
    with unchanged(net), monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        with pytest.raises(RuntimeError, match="now"):
            bear(net, dna.InsertNodes(nodes=2))


# --- presets ------------------------------------------------------------------------------------------------------------


def test_presets_are_compositions() -> None:
    when = dna.Signal("saturated", above=0.5)
    assert dna.width_first(nodes=3, level=1) == dna.Extinction(births=dna.GrowNodes(nodes=3, level=1), when=dna.Plateau())
    assert dna.width_first(by="split", when=when) == dna.Extinction(births=dna.SplitNodes(nodes=1), when=when)
    assert dna.depth_first() == dna.Extinction(births=dna.InsertLevel(), when=dna.Plateau())
    assert dna.depth_first(nodes=2, activation="relu").births == (dna.InsertNodes(nodes=2, activation="relu"),)
    assert dna.hybrid(nodes=2, by="split").births == (dna.InsertNodes(nodes=2), dna.SplitNodes(nodes=2))
    with pytest.raises(dna.OptionError, match="way to grow"):
        dna.width_first(by="luck")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("preset", "shape"),
    [
        (dna.width_first(nodes=2, when=dna.Signal("gradient_norm", above=0.0)), (3, 8, 2)),
        (dna.depth_first(when=dna.Every(epochs=1)), (3, 4, 4, 4, 2)),
        (dna.hybrid(when=dna.Every(epochs=1)), None),
    ],
)
def test_presets_grow_what_their_names_say(preset: dna.Extinction, shape: tuple[int, ...] | None) -> None:
    net = dna.Network([3, 4, 2], device="cpu", seed=1)
    train(net, epochs=2, extinction=preset)
    sizes = tuple(np.bincount(net.topology().level).tolist())
    assert sizes == shape if shape else (len(sizes) > 3 and sum(sizes) == 9 + 4)


# --- the past -----------------------------------------------------------------------------------------------------------


def test_names_go_on_with_numbers_and_are_never_taken_twice() -> None:
    assert names_of(("a", 3, "4", "5"), 6) == ("a", 3, "4", "5", "4'", "5'")
    assert names_of(("a", "b"), 1) == ("a",)
    net = dag_network("cpu")
    bear(net, dna.SplitNodes(nodes=2))
    assert net.names is not None and net.names[-2:] == (9, 10)
    assert net.at(0).names == net.names[:9]


def test_levels_come_and_go() -> None:
    born = NodesBorn(np.array([2, 1], np.int32), np.array([-1, -1], np.int32), ((1, "tanh"), (2, "relu")))
    level, activations = nodes_before(np.array([0, 3, 2, 1], np.int32), ["identity", "tanh", "relu", "identity"], born)
    assert level.tolist() == [0, 1] and activations == ("identity", "identity")


def test_every_past_version_knows_its_nodes(tmp_path: Path) -> None:
    net = dna.Network([3, 4, 2], device="cpu")
    pictures = [net.topology()]
    for birth in (dna.InsertLevel(), dna.SplitNodes(nodes=2), dna.InsertNodes(nodes=3), dna.Split(share=0.2)):
        bear(net, birth)
        pictures.append(net.topology())
    net.save(tmp_path / "net.dna")
    for one in (net, dna.load(tmp_path / "net.dna", device="cpu")):
        for version, picture in enumerate(pictures):
            past = one.at(version)
            assert past.level.tolist() == picture.level.tolist() and past.activations == picture.activations
            assert past.cells.id.tolist() == picture.cells.id.tolist()
            np.testing.assert_array_equal(past.cells.weight, picture.cells.weight)
    event = net.fossils[1]
    assert "2 nodes born" in str(event)
    line = net.fossils.lineage(int(event.born[0]))
    assert line.born is event and line.ancestors[0] == event.parents[0]


@pytest.mark.parametrize("suffix", ["gexf", "graphml", "json", "dot", "csv", "html", "svg"])
def test_views_and_exports_show_the_new_nodes(tmp_path: Path, suffix: str) -> None:
    net = dna.Network([3, 4, 2], device="cpu")
    bear(net, dna.InsertLevel())
    bear(net, dna.SplitNodes(nodes=2))
    dna.export(net, tmp_path / f"net.{suffix}")
    graph = net.graph()
    assert graph.number_of_nodes() == 15 and graph.nodes[14]["role"] == "hidden"
    again = dna.Network.from_networkx(graph, device="cpu")
    np.testing.assert_allclose(again.forward(X), net.forward(X), rtol=1e-6)
    assert again.topology().activations == net.topology().activations


BIRTHS = {
    "twins": lambda n: [dna.SplitNodes(nodes=n)],
    "insertion": lambda n: [dna.InsertNodes(nodes=n)],
    "level": lambda n: [dna.InsertLevel()],
    "growth": lambda n: [dna.GrowNodes(nodes=n)],
    "all": lambda n: [dna.InsertNodes(nodes=n), dna.SplitNodes(nodes=n), dna.GrowNodes(nodes=n), dna.Regrow(share=0.1)],
}


def without_gradients(state: dict[str, Any]) -> dict[str, Any]:
    """Leave out the gradients of the last backward, which undo does not take back."""
    return state | {"arrays": {name: array for name, array in state["arrays"].items() if not name.endswith("_grad")}}


class NeurogenesisMachine(RuleBasedStateMachine):
    """Births of nodes, deaths and undos in any order, through files and back; the pile says what each undo has to bring back."""

    device = "cpu"

    @initialize(layers=st.lists(st.integers(1, 3), min_size=2, max_size=3), slack=st.one_of(st.none(), st.integers(0, 40)))
    def start(self, layers: list[int], slack: int | None) -> None:
        capacity = None if slack is None else 9 + 9 + 6 + slack
        self.net = dna.Network([*layers, 2], init="he", dtype="float64", device=self.device, seed=1, capacity=capacity)
        self.pile: list[dict[str, Any]] = []
        self.x, self.y = batch(6, self.net.n_in), batch(6, 2)

    @rule(name=st.sampled_from(sorted(BIRTHS)), n=st.integers(1, 3), share=st.sampled_from([0.0, 0.0, 0.3]))
    def bear(self, name: str, n: int, share: float) -> None:
        net = self.net
        if net.topology().n_nodes > 60:
            return
        before = net.forward(self.x)
        net.backward(self.y)
        state = snapshot(net)
        try:
            event = bear(net, *BIRTHS[name](n), deaths=[dna.Delete(share=share)])
        except (dna.PoolExhausted, dna.OptionError):
            assert snapshot(net) == state
            return
        self.pile.append(state)
        if event.n_died == 0 or (share == 0.0 and name != "all"):
            np.testing.assert_allclose(net.forward(self.x), before, rtol=1e-9, atol=1e-9)

    @precondition(lambda self: self.pile)
    @rule()
    def undo(self) -> None:
        self.net.fossils[-1].undo()
        assert without_gradients(snapshot(self.net)) == without_gradients(self.pile.pop())

    @rule()
    def through_a_file(self) -> None:
        state = to_state(self.net)
        validate_state(state)
        again = dna.load(state, device=self.device)
        assert snapshot(again) == snapshot(self.net)
        self.net = again

    @invariant()
    def levels_are_whole(self) -> None:
        topology = self.net.topology()
        level, cells = topology.level, topology.cells
        assert sorted(set(level.tolist())) == list(range(len(topology.activations)))
        assert (level[cells.source] < level[cells.target]).all()
        assert (level[topology.outputs] == level.max()).all() and (level == level.max()).sum() == 2


def test_any_sequence_of_births_of_nodes_and_undos(device: str) -> None:
    class OnDevice(NeurogenesisMachine):
        pass

    OnDevice.device = device
    some = settings(max_examples=2, stateful_step_count=5) if SIMULATING else settings(max_examples=30, stateful_step_count=15)
    run_state_machine_as_test(OnDevice, settings=some)

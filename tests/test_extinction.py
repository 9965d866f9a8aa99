"""Extinction on every device against the oracle: the same cells, slots and ids exactly, children within rounding.

Weights are multiples of 1/4, so that scores are exact at any precision, and ties abound.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import naive
import numpy as np
import pytest
from compare import CELL_KINDS, assert_same, batch, dag_network, give_cells, naive_copy, unchanged

import dna
from dna.rules import count_of
from dna.types import FREE, SPLIT


def norm(w: Any, b: Any) -> Any:
    return w * w + b * b


RULES: dict[str, dict[str, Any]] = {
    "the article": {"split": 0.10, "delete": 0.10, "rule": "article"},
    "mostly deaths": {"split": 0.05, "delete": 0.45},
    "mostly births": {"split": 0.60, "delete": 0.15},
    "all split": {"split": 1.0, "delete": 0.0},
    "all that may die": {"split": 0.0, "delete": 1.0},
    "all die": {"split": 0.0, "delete": 1.0, "keep_outputs": False},
    "level by level": {"split": 0.30, "delete": 0.40, "scope": "layer"},
    "level by level, to the last": {"split": 0.0, "delete": 1.0, "scope": "layer"},
    "weight_bias": {"split": 0.30, "delete": 0.30, "passthrough": "weight_bias"},
    "random": {"split": 0.30, "delete": 0.30, "passthrough": "random"},
    "a user's function": {"split": 0.30, "delete": 0.30, "passthrough": norm},
    "thresholds": {"split_above": 1.0, "delete_below": 0.5},
    "thresholds, outputs too": {"split_above": 1.0, "delete_below": 1.0, "keep_outputs": False},
    "a threshold and a share": {"split_above": 0.75, "delete": 0.5},
    "a share and a threshold": {"split": 0.5, "delete_below": 0.75},
}

CASES = [(name, "float32") for name in RULES] + [(name, "float64") for name in RULES]


def tied_network(device: str, **options: Any) -> dna.Network:
    """Return a DAG whose weights and biases are a few multiples of 1/4, zeros of both signs among them."""
    net = dag_network(device, **{"dtype": "float32", "activation": None} | options)
    values = np.random.default_rng(5).choice([-1.5, -1, -0.75, -0.5, -0.25, -0.0, 0.0, 0.25, 0.5, 0.5, 1, 1.25], (2, len(net)))
    give_cells(net, weight=values[0], bias=values[1])
    return net


def naive_rule(options: dict[str, Any]) -> naive.Rule:
    """Return the oracle's rule; a share that is not given is 0.1 unless a threshold stands in its place."""
    split = 0.1 if "split_above" not in options else 0.0
    delete = 0.1 if "delete_below" not in options else 0.0
    return naive.Rule(**{"split": split, "delete": delete} | options)


def evolve_both(net: dna.Network, model: naive.Net, options: dict[str, Any]) -> dna.ExtinctionEvent:
    """Let the same extinction happen to a network and to the oracle, and compare what they say of it."""
    event = net.extinction(dna.Extinction(**options))
    expected = naive.extinction(model, naive_rule(options), event=event.number)
    assert event.born.tolist() == expected.born
    assert event.parents.tolist() == expected.parents
    assert event.died.tolist() == expected.died
    assert (event.n_born, event.n_died) == (len(expected.born), len(expected.died))
    assert event.cells_after == len(net) == event.cells_before + event.n_born - event.n_died
    return event


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_the_same_cells_slots_and_ids(device: str, name: str, dtype: str) -> None:
    net = tied_network(device, dtype=dtype)
    model = naive_copy(net)
    event = evolve_both(net, model, RULES[name])
    assert event.n_born + event.n_died > 0
    assert_same(net, model, rtol=0, atol=0)


def test_one_after_another_with_growth(device: str) -> None:
    """Free slots come and go, the pool grows twice, and ids go on."""
    net = tied_network(device)
    model = naive_copy(net)
    for name in ("mostly deaths", "all split", "random", "all split"):
        evolve_both(net, model, RULES[name])
        assert_same(net, model, rtol=0, atol=0)
    assert net.engine.pool.capacity == 76 and net.version == 4


@pytest.mark.parametrize("rule", ["preserve", "article"])
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_children_and_their_optimizer_state(device: str, kind: str, rule: str) -> None:
    net = tied_network(device, cell=kind)
    ones = np.ones(len(net))
    give_cells(net, state=np.arange(1, 4 * len(net) + 1).reshape(4, -1), weight_grad=ones, bias_grad=ones)
    model = naive_copy(net)
    event = evolve_both(net, model, {"split": 0.3, "delete": 0.1, "rule": rule})
    assert event.n_born == 5
    assert_same(net, model, rtol=0, atol=0)


def test_jitter_shares_the_parent_between_its_twins(device: str) -> None:
    net = tied_network(device, dtype="float64", seed=2**40 + 7)
    model = naive_copy(net)
    evolve_both(net, model, {"split": 0.5, "delete": 0.0, "jitter": 0.5})
    assert_same(net, model, rtol=1e-14, atol=0)
    parts = np.abs(net.cells.weight[-9:])  # the children
    assert len(set(parts.tolist())) > 6, "all twins got the same share"


def test_twins_shares_and_random_scores_are_independent() -> None:
    """A child's share must not tell its fate in the next extinction, when the passthrough is the random control."""
    net = dna.Network([40, 40], device="cpu", seed=3)
    net.extinction(dna.Extinction(split=1.0, delete=0.0, jitter=0.9))
    shares = net.cells.weight[1600:]
    died = net.extinction(dna.Extinction(split=0.0, delete=0.5, passthrough="random", keep_outputs=False)).died
    dead = np.isin(np.arange(1600, 3200), died)
    assert 600 < dead.sum() < 1000
    assert abs(shares[dead].mean() - shares[~dead].mean()) < 0.05  # five standard errors of uniform shares in [0.05, 0.95]


def test_the_last_cell_of_an_output_lives_be_it_the_first_of_all(device: str) -> None:
    net = dna.Network([3, 2], device=device)
    give_cells(net, weight=[3.0, 1.0, 2.0, 1.0, 2.0, 3.0])
    net.extinction(dna.Extinction(split=0.0, delete=1.0))
    assert net.cells.id.tolist() == [0, 5]


# --- counts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "n", "count"), [(0.29, 100, 29), (0.57, 100, 57), (0.07, 100, 7), (0.1, 10, 1), (0.1, 9, 0), (1.0, 7, 7)]
)
def test_shares_are_the_decimals_that_are_written(share: float, n: int, count: int) -> None:
    """0.29 * 100 is 28.999999999999996 in binary, and 0.57 * 100 is 56.99999999999999."""
    assert count_of(share, n) == count


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    net, share, two = dna.Network([6, 5, 3], device="cpu"), np.float64(0.1), np.int64(2)
    rules = dna.Split(share=share), dna.SplitNodes(share=share), dna.InsertNodes(share=share), dna.InsertNodes(nodes=two)
    for birth in (*rules, dna.Split(share=dna.Cosine(share, until=two))):
        deaths = dna.Delete(share=np.float32(0.25), grace=two), dna.DeleteNodes(below=np.float32(0.5))
        rule = dna.Extinction(births=birth, deaths=deaths, when=dna.Every(epochs=two))
        event = net.extinction(rule)
        assert event.n_died > 0 and event.options == json.loads(json.dumps(event.options))
    net.save(tmp_path / "net.dna")
    for wrong in (np.int64(0), np.float64(2.0), np.bool_(True)):
        with pytest.raises(dna.OptionError, match="nodes: expected an integer of at least 1"):
            dna.InsertNodes(nodes=wrong)


def test_the_defaults_are_a_tenth_each() -> None:
    event = dna.Network([10, 3], device="cpu").extinction()
    assert (event.n_born, event.n_died, event.cells_before, event.cells_after) == (3, 3, 30, 30)
    # All weights are 1: the youngest ids split and die last, the oldest first; the last of each output is exempt.
    assert event.died.tolist() == [0, 1, 2] and event.parents.tolist() == [3, 4, 5]


def test_a_number_of_cells_is_one_of_the_whole_network(device: str) -> None:
    """The weakest die and the strongest split wherever they are: all of them into the last of four levels, or none."""
    net = tied_network(device)
    deep = net.topology().level[net.cells.target] == net.topology().level.max()
    assert 4 < deep.sum() < len(net) - 4
    give_cells(net, weight=np.where(deep, 4.0, 1.0), bias=np.zeros(len(net)))
    by_id = net.cells.id
    event = net.extinction(dna.Extinction(births=dna.Split(cells=len(net) + 1), deaths=dna.Delete(cells=len(net) - 3)))
    assert event.died.tolist() == by_id[~deep][:3].tolist()
    assert event.parents.tolist() == by_id[deep][:4].tolist()


def test_a_number_of_cells_counts_the_deaths_before_it_and_may_be_that_of_the_outputs() -> None:
    net = dna.Network([6, 3], device="cpu")
    for cells in (8, 3):
        event = net.extinction(dna.Extinction(deaths=[dna.Delete(share=0.5), dna.Delete(cells=cells)]))
        assert event.cells_after == cells


# --- outputs ------------------------------------------------------------------------------------------------------------


def test_an_output_keeps_its_strongest_cell_and_among_equals_the_youngest(device: str) -> None:
    net = dna.Network([3, 2], device=device)
    give_cells(net, weight=[0.1, 0.2, 0.2, 5.0, -7.0, 6.0])
    event = net.extinction(dna.Extinction(split=0.0, delete=1.0))
    assert net.cells.id.tolist() == [2, 4] and event.n_died == 4


def test_an_output_loses_all_cells_where_the_user_allows_it() -> None:
    net = dna.Network([3, 2], device="cpu")
    give_cells(net, weight=[0.1, 0.1, 0.1, 5, 5, 5])
    net.extinction(dna.Extinction(split=0.0, delete=0.5, keep_outputs=False))
    assert net.cells.target.tolist() == [4, 4, 4]
    assert net.forward(batch(2, 3))[:, 0].tolist() == [0.0, 0.0]


# --- transaction --------------------------------------------------------------------------------------------------------


def test_an_exhausted_pool_changes_nothing(device: str) -> None:
    net = tied_network(device, capacity=21)
    with unchanged(net), pytest.raises(dna.PoolExhausted, match="3 slots needed, 2 free") as caught:
        net.extinction(dna.Extinction(split=0.27, delete=0.11))  # 5 born, 2 dead
    assert (caught.value.needed, caught.value.free) == (3, 2)
    event = net.extinction(dna.Extinction(split=0.22, delete=0.11))  # 4 born, 2 dead: the last slot is taken
    assert event.cells_after == event.capacity == 21
    net.extinction(dna.Extinction(split=0.4, delete=0.4))  # slots of the dead serve the children


def nan_for_some(w: Any, b: Any) -> Any:
    return math.nan if w == -1.5 else w


def test_a_nan_names_the_cell_and_changes_nothing(device: str) -> None:
    net = tied_network(device)
    first = int(net.cells.id[np.flatnonzero(net.cells.weight == -1.5)[0]])
    with unchanged(net), pytest.raises(dna.NumericsError, match=f"'nan_for_some': expected numbers, got NaN for cell {first}$"):
        net.extinction(dna.Extinction(passthrough=nan_for_some))


@pytest.mark.parametrize("measure", [lambda w, b: (w, b), lambda w, b: "strong", lambda w: w, lambda w, b: w[0]])
def test_a_measure_that_is_no_scalar_function_changes_nothing(measure: Any) -> None:
    net = tied_network("cpu")
    with unchanged(net), pytest.raises(dna.OptionError, match="'<lambda>': expected a scalar function that Numba can compile"):
        net.extinction(dna.Extinction(passthrough=measure))


def test_memory_that_is_not_there_is_no_fault_of_a_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    net = tied_network("cpu")
    monkeypatch.setattr(type(net.backend), "score", Mock(side_effect=MemoryError))
    with unchanged(net), pytest.raises(MemoryError):
        net.extinction(dna.Extinction(passthrough=norm))


def test_thresholds_past_the_range_of_scores_are_beyond_all_of_them(device: str) -> None:
    net = tied_network(device, dtype="float32")
    with warnings.catch_warnings(action="error"):
        assert net.extinction(dna.Extinction(split_above=1e300, delete_below=-1e300)).n_born == 0
        assert net.extinction(dna.Extinction(split_above=1e300, delete_below=1e300, keep_outputs=False)).cells_after == 0


def test_infinite_scores_are_ranked_as_the_largest() -> None:
    net = dna.Network([4, 1], device="cpu")
    give_cells(net, weight=[1.0, 2.0, 3.0, 4.0])
    event = net.extinction(dna.Extinction(split=0.25, delete=0.25, passthrough=lambda w, b: math.inf if w == 1.0 else -w))
    assert event.parents.tolist() == [0] and event.died.tolist() == [3]


# --- record -------------------------------------------------------------------------------------------------------------


def test_the_event_tells_what_happened(device: str) -> None:
    net = tied_network(device)
    options = {"split": 0.2, "delete": 0.3, "passthrough": norm, "jitter": 0.25}
    event = net.extinction(dna.Extinction(**options))
    assert net.fossils[-1] is event and len(net.fossils) == 1
    assert (event.number, event.epoch, event.trigger, event.version) == (0, 0, "hand", net.version) == (0, 0, "hand", 1)
    assert event.options == dna.Extinction(**options).options() and event.options["births"][0]["passthrough"] == "norm"
    assert (event.first_id, event.loss_before, event.loss_after) == (19, None, None)
    assert event.capacity == net.engine.pool.capacity and event.seconds > 0
    born = net.cells.id >= 19
    assert net.cells.id[born].tolist() == event.born.tolist()
    assert net.cells.parent[born].tolist() == event.parents.tolist()
    assert set(net.cells.born[born].tolist()) == {1} and set(net.cells.born[~born].tolist()) == {0}
    assert not set(event.died.tolist()) & set(net.cells.id.tolist())
    assert "19 -> 17 cells, 3 born, 5 died" in str(event)


# --- composition --------------------------------------------------------------------------------------------------------


def test_the_short_form_is_a_spelling_of_the_composed_one() -> None:
    short = dna.Extinction(
        split=0.2, delete_below=0.5, passthrough=norm, rule="article", jitter=0.25, scope="layer", keep_outputs=False, every=2
    )
    composed = dna.Extinction(
        births=dna.Split(share=0.2, passthrough=norm, rule="article", jitter=0.25, scope="layer"),
        deaths=[dna.Delete(below=0.5, passthrough=norm, scope="layer", keep_outputs=False)],
        when=dna.Plateau(every=2),
    )
    assert short == composed and short.options() == composed.options()
    assert dna.Extinction() == dna.Extinction(
        births=[dna.Split(share=0.10)], deaths=[dna.Delete(share=0.10)], when=dna.Plateau(every=5, patience=3, min_delta=1e-3)
    )


def test_what_is_not_named_in_the_composed_form_does_not_happen() -> None:
    assert dna.Extinction(deaths=dna.Delete()).births == dna.Extinction(births=dna.Split()).deaths == ()
    assert dna.Extinction(deaths=dna.Delete(), split=0.3).births == (dna.Split(share=0.3),)


def test_deaths_follow_each_other_and_no_output_loses_its_last_cell(device: str) -> None:
    """The last cell of an output by the first measure may die by the second, but then another one lives."""
    net = dna.Network([3, 1], device=device)
    give_cells(net, weight=[3.0, 2.0, 1.0], bias=[-8.0, 0.0, 8.0])
    by_weight, by_bias = dna.Delete(share=0.34), dna.Delete(share=0.66, passthrough=lambda w, b: -b)
    event = net.extinction(dna.Extinction(deaths=[by_weight, by_bias]))
    assert event.died.tolist() == [1, 2] and event.n_born == 0
    assert [part["name"] for part in event.options["deaths"]] == ["delete", "delete"] and event.options["births"] == []


def test_broods_are_written_one_after_another(device: str) -> None:
    class Echo:
        """Every cell that is chosen by a split of its own gives one more child, without a parent in the record."""

        name = "echo"

        def check(self, maths: Any) -> None:
            assert maths.kind.name == "linear"

        def prepare(self, selection: Any) -> Any:
            slots = selection.slots(SPLIT)
            twins = dna.Split(share=0.0).prepare(selection)._replace(slots=slots)
            return SimpleNamespace(parents=selection.backend.upload(np.full(len(slots), FREE)), write=twins.write)

        def options(self) -> dict[str, Any]:
            return {"name": self.name}

    net = dna.Network([4, 1], device=device)
    give_cells(net, weight=[8.0, 4.0, 2.0, 1.0])
    event = net.extinction(dna.Extinction(births=[dna.Split(share=0.5), Echo()], deaths=dna.Delete(share=0.25)))
    assert event.died.tolist() == [3] and event.parents.tolist() == [0, 1, -1, -1] and event.born.tolist() == [4, 5, 6, 7]
    assert net.cells.weight.tolist() == [2.0, 1.0, 2.0, 4.0, 2.0, 2.0, 1.0]
    assert event.options["births"][1] == {"name": "echo"}


def test_a_failing_birth_changes_nothing(device: str) -> None:
    class Broken(dna.Split):
        def prepare(self, selection: Any) -> Any:
            super().prepare(selection)
            raise dna.OptionError("broken")

    net = tied_network(device)
    with unchanged(net), pytest.raises(dna.OptionError, match="broken"):
        net.extinction(dna.Extinction(births=Broken(), deaths=dna.Delete()))

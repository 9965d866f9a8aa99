"""What no network can be: each is refused, and the message names the region."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dna.checkpoint import State, validate_state
from dna.checkpoint.meta import META
from dna.checkpoint.state import FOSSILS
from dna.errors import CheckpointError

Make = Callable[..., State]


def refused(state: State, match: str) -> None:
    with pytest.raises(CheckpointError, match=match):
        validate_state(state)


def test_the_state_that_these_tests_spoil_is_sane(make_state: Make) -> None:
    validate_state(make_state())
    validate_state(make_state("float64"))


def test_an_epoch_over_one_sample_may_be_interrupted(make_state: Make) -> None:
    state = make_state()
    state.meta["standing"] = STANDING | {"samples": 1, "batches": 1}
    validate_state(state)


def test_a_deterministic_network_has_no_plan_that_is_not(make_state: Make) -> None:
    state = make_state()
    state.meta.update(plan="scatter", deterministic=True)
    refused(state, "meta.plan: expected another than 'scatter' for a deterministic network, got 'scatter'")


# --- arrays -----------------------------------------------------------------------------------------------------------

SPOILED = [
    ("cells.source", 0, -1, r"cells\.source: expected values in \[0, 7\), got -1 at place 0"),
    ("cells.source", 0, 7, r"cells\.source: expected values in \[0, 7\), got 7"),
    ("cells.target", 5, 2**31 - 1, r"cells\.target: expected values in \[0, 7\)"),
    ("cells.target", 3, 3, r"cells\.target: expected targets at a higher level .* cell 3"),
    ("cells.source", 3, 6, r"cells\.target: expected targets at a higher level .* cell 3"),
    ("cells.id", 0, 1, r"cells\.id: expected different ids"),
    ("cells.id", 0, 6, r"cells\.id: expected values in \[0, 6\), got 6"),
    ("cells.id", 0, -2, r"cells\.id: expected values in \[0, 6\), got -2"),
    ("cells.id", 0, -1, r"heap\.free: expected each of the 2 slots without a cell once"),
    ("cells.id", 2, 2, r"heap\.free: expected each of the 0 slots without a cell once"),
    ("cells.parent", 4, 6, r"cells\.parent: expected values in \[-1, 6\), got 6"),
    ("cells.parent", 4, -2, r"cells\.parent: expected values in \[-1, 6\), got -2"),
    ("cells.parent", 4, 4, r"cells\.parent: expected parents that are older .* cell 4"),
    ("cells.born", 1, 2, r"cells\.born: expected values in \[0, 2\), got 2"),
    ("cells.born", 1, -1, r"cells\.born: expected values in \[0, 2\), got -1"),
    ("cells.weight", 5, np.nan, r"cells\.weight: expected finite numbers, .* cell 5"),
    ("cells.weight", slice(4, 6), np.nan, r"cells\.weight: expected finite numbers, .* in 2 .*, the first at cell 4"),
    ("cells.bias", 5, -np.inf, r"cells\.bias: expected finite numbers, .* cell 5"),
    ("cells.state", (3, 5), np.inf, r"cells\.state: expected finite numbers, .* cell 5"),
    ("cells.weight", 2, 1.0, r"cells\.weight: expected 0 in free slots"),
    ("cells.source", 2, 1, r"cells\.source: expected 0 in free slots"),
    ("cells.target", 2, 10**6, r"cells\.target: expected 0 in free slots"),
    ("cells.parent", 2, 0, r"cells\.parent: expected -1 in free slots"),
    ("cells.born", 2, 1, r"cells\.born: expected 0 in free slots"),
    ("cells.bias_grad", 2, np.nan, r"cells\.bias_grad: expected 0 in free slots"),
    ("cells.state", (1, 2), 1.0, r"cells\.state: expected 0 in free slots"),
    ("heap.free", 0, 0, r"heap\.free: expected each of the 1 slots without a cell once"),
    ("heap.free", 0, 6, r"heap\.free: expected values in \[0, 6\), got 6"),
    ("heap.free", 0, -1, r"heap\.free: expected values in \[0, 6\), got -1"),
    ("nodes.level", 0, -1, r"nodes\.level: expected the levels 0 to 2"),
    ("nodes.level", 6, 3, r"nodes\.level: expected the levels 0 to 2"),
    ("nodes.level", slice(3, 5), 2, r"nodes\.level: expected the levels 0 to 2"),
    ("nodes.level", 0, 1, r"nodes\.inputs: expected nodes of level 0, got node 0 of level 1"),
    ("nodes.inputs", 0, 5, r"nodes\.inputs: expected nodes of level 0, got node 5 of level 2"),
    ("nodes.inputs", 0, 1, r"nodes\.inputs: expected different nodes"),
    ("nodes.inputs", 0, 7, r"nodes\.inputs: expected values in \[0, 7\), got 7"),
    ("nodes.outputs", 1, 4, r"nodes\.outputs: expected nodes of level 2, got node 4 of level 1"),
    ("nodes.outputs", slice(0, 2), [5, 5], r"nodes\.outputs: expected different nodes"),
    ("nodes.outputs", 1, -1, r"nodes\.outputs: expected values in \[0, 7\), got -1"),
    ("split.id", 0, -1, r"split\.id: expected cells older than the event, .* cell -1"),
    ("split.id", 0, 5, r"split\.id: expected cells older than the event, .* cell 5"),
    ("split.id", 0, 2, r"split\.id: expected cells that live on, got one that dies"),
    ("births.parent", 0, -2, r"births\.parent: expected cells older than the event, .* cell -2"),
    ("births.parent", 0, 5, r"births\.parent: expected cells older than the event, .* cell 5"),
    ("births.parent", 0, 4, r"births\.parent: expected the children's parents, got otherwise .* cell 5"),
    ("dead.id", 0, -1, r"dead\.id: expected cells older than the event, .* cell -1"),
    ("dead.id", 0, 5, r"dead\.id: expected cells older than the event, .* cell 5"),
    ("dead.id", 0, 3, r"dead\.id: expected cells that are dead, got cell \[3\], which lives"),
    ("dead.slot", 0, -1, r"dead\.slot: expected slots that were in use"),
    ("dead.slot", 0, 6, r"dead\.slot: expected slots that were in use"),
    ("dead.slot", 0, 4, r"dead\.slot: expected the slots that the children of event 0 took"),
    ("dead.slot", 0, 2, r"dead\.slot: expected the slots that the children of event 0 took"),
    ("dead.source", 0, -1, r"dead\.source: expected values in \[0, 7\)"),
    ("dead.source", 0, 4, r"dead\.target: expected targets at a higher level .* cell 2"),
    ("dead.target", 0, 7, r"dead\.target: expected values in \[0, 7\)"),
    ("dead.parent", 0, 2, r"dead\.parent: expected parents that are older .* cell 2"),
    ("dead.parent", 0, -2, r"dead\.parent: expected parents that are older .* cell 2"),
    ("dead.born", 0, 1, r"dead\.born: expected births before the death, .* cell 2"),
    ("dead.born", 0, -1, r"dead\.born: expected births before the death, .* cell 2"),
    ("cells.parent", 5, -1, r"births\.parent: expected the children's parents, got otherwise .* cell 5"),
    ("cells.born", 5, 0, r"meta\.fossils\.version: expected births of its children, .* cell 5"),
]

REMAINS = sorted(FOSSILS)


@pytest.mark.parametrize(("name", "where", "value", "match"), SPOILED)
def test_a_spoiled_value_is_refused(make_state: Make, name: str, where: Any, value: Any, match: str) -> None:
    state = make_state()
    state.arrays[name][where] = value
    refused(state, match)


@pytest.mark.parametrize("name", sorted({row[0] for row in SPOILED} - {"cells.state"} | set(REMAINS)))
def test_a_missing_array_is_refused(make_state: Make, name: str) -> None:
    state = make_state()
    del state.arrays[name]
    refused(state, f"^{name}: expected an array .* got none")


def test_an_array_that_nothing_explains_is_refused(make_state: Make) -> None:
    state = make_state()
    state.arrays["split.born"] = np.zeros(1, np.int64)
    refused(state, r"split\.born: expected no array of this name")


def test_a_recorded_event_without_its_arrays_is_refused(make_state: Make) -> None:
    state = make_state()
    state.meta["fossils"] *= 2
    refused(state, r"births\.parent: expected 2 values, as meta\.fossils counts, got 1")


@pytest.mark.parametrize("name", sorted({row[0] for row in SPOILED} | set(REMAINS)))
def test_another_dtype_or_number_of_dimensions_is_refused(make_state: Make, name: str) -> None:
    for change in (lambda a: a.astype(np.int16), lambda a: a.astype(a.dtype.newbyteorder())):
        state = make_state()
        state.arrays[name] = change(state.arrays[name])
        refused(state, f"^{name}: expected dtype")
    state = make_state()
    state.arrays[name] = state.arrays[name][None]
    refused(state, f"^{name}: expected . dimension")


@pytest.mark.parametrize("name", ["source", "target", "weight", "bias", "weight_grad", "bias_grad", "state", "parent", "born"])
def test_columns_of_different_lengths_are_refused(make_state: Make, name: str) -> None:
    state = make_state()
    state.arrays[f"cells.{name}"] = state.arrays[f"cells.{name}"][..., :-1]
    refused(state, f"^cells.{name}: expected 6 slots")


def test_a_slot_that_is_free_twice_is_refused(make_state: Make) -> None:
    state = make_state()
    state.arrays["heap.free"] = np.array([2, 2], np.int32)
    refused(state, r"heap\.free: .* got 2 slots \(1 different\)")


def test_a_network_without_nodes_or_ends_is_refused(make_state: Make) -> None:
    for name in ("nodes.inputs", "nodes.outputs"):
        state = make_state()
        state.arrays[name] = state.arrays[name][:0]
        refused(state, f"{name}: expected at least one node")
    state = make_state()
    state.arrays["nodes.level"] = state.arrays["nodes.level"][:0]
    state.meta["node_names"] = None
    refused(state, r"nodes\.level: expected the levels")


@pytest.mark.parametrize("name", REMAINS)
def test_remains_are_as_many_as_the_record_counts(make_state: Make, name: str) -> None:
    state = make_state()
    state.arrays[name] = np.concatenate([state.arrays[name], state.arrays[name]])
    refused(state, rf"^{name}: expected [14] values, as meta\.fossils counts, got [28]")


LIES: list[tuple[str, Any, str]] = [
    ("number", 1, r"meta\.fossils\[0\]\.number: expected 0, got 1"),
    ("version", 0, r"meta\.fossils\[0\]\.version: expected at least 1"),
    ("version", 2, r"meta\.fossils\[0\]\.version: expected below 2"),
    ("cells_before", 6, r"meta\.fossils\[0\]\.cells_after: expected 6"),
    ("cells_after", 6, r"meta\.fossils\[0\]\.cells_after: expected 5"),
    ("n_born", 2, r"births\.parent: expected 2 values"),
    ("n_split", 2, r"split\.id: expected 2 values"),
    ("n_died", 2, r"dead\.slot: expected 2 values"),
    ("state_rows", 3, r"split\.state: expected 3 values"),
    ("first_id", 4, r"dead|meta\.fossils\[0\]\.n_born: expected births up to id 6"),
    ("first_id", 6, r"meta\.fossils\[0\]\.first_id: expected births before id 6, got births up to id 7"),
    ("first_id", 2**63 - 1, r"meta\.fossils\[0\]\.first_id: expected births before id 6"),
    ("free_before", 4, r"meta\.fossils\[0\]\.capacity_before: expected at least 9"),
    ("free_before", 2, r"dead\.slot: expected the slots"),
    ("free_before", 0, r"dead\.slot: expected slots that were in use"),
    ("capacity_before", 5, r"meta\.fossils\[0\]\.capacity_before: expected at least 6"),
    ("fragmentation", 1.5, r"meta\.fossils: expected a list"),
    ("signals", {"a": None}, r"meta\.fossils: expected a list"),
    ("schedule_before", {}, r"meta\.fossils: expected a list"),
    ("loss_next", float("inf"), r"meta\.fossils: expected a list"),
    ("seconds", 10**400, r"meta\.fossils: expected a list"),
]


@pytest.mark.parametrize(("key", "value", "match"), LIES)
def test_an_event_that_lies_is_refused(make_state: Make, key: str, value: Any, match: str) -> None:
    state = make_state()
    state.meta["fossils"][0][key] = value
    refused(state, match)


def test_a_record_that_counts_births_that_are_not_there_is_refused(make_state: Make) -> None:
    state = make_state()
    state.meta["fossils"][0] |= {"n_born": 2, "cells_after": 6}
    state.arrays["births.parent"] = np.array([3, 3], np.int64)
    state.meta["next_id"] = 7
    refused(state, r"meta\.fossils\[0\]\.cells_after: expected 5 cells, got 6")
    state.meta["fossils"][0] |= {"cells_before": 4, "cells_after": 5, "free_before": 2}
    refused(state, r"meta\.fossils\[0\]\.n_born: expected 1 births, as there are such cells, got 2")


def test_a_stack_that_the_event_did_not_leave_is_refused(make_state: Make) -> None:
    state = make_state()
    state.meta["fossils"][0] |= {"n_born": 0, "n_split": 0, "cells_before": 6, "first_id": 6, "free_before": 0}
    for name in ("births.parent", "split.id", "split.weight", "split.bias", "split.state"):
        state.arrays[name] = state.arrays[name][:0]
    refused(state, r"dead\.slot: expected the slots on top of the stack since event 0")
    state.arrays["dead.slot"][0] = 2
    validate_state(state)


def test_what_kernels_changed_since_an_event_is_not_held_against_it(make_state: Make) -> None:
    """The version has moved on without an event: slots may have gone to others, and undo refuses too."""
    state = make_state()
    state.meta["version"] = 2
    state.arrays["dead.slot"][0] = 4
    validate_state(state)
    state.arrays["dead.slot"][0] = 6
    refused(state, r"dead\.slot: expected slots that were in use")


def test_every_value_of_an_event_is_needed(make_state: Make) -> None:
    for key in make_state().meta["fossils"][0]:
        state = make_state()
        del state.meta["fossils"][0][key]
        refused(state, r"meta\.fossils: expected a list of objects of number, epoch")


def test_rows_of_optimizer_state_are_those_of_the_optimizer(make_state: Make) -> None:
    state = make_state()
    state.meta["optimizer"] = {"name": "sgd", "options": {"lr": 0.1, "momentum": 0.9}, "step": 1}
    refused(state, r"cells\.state: expected 2 rows, .* got 4 rows")
    state.arrays["cells.state"] = state.arrays["cells.state"][:2]
    validate_state(state)
    state.meta["optimizer"]["options"].pop("momentum")
    refused(state, r"cells\.state: expected 0 rows")
    del state.arrays["cells.state"]
    validate_state(state)


# --- JSON values ------------------------------------------------------------------------------------------------------

STANDING = {"samples": 50, "batch_size": 8, "loss": "mse", "batches": 7, "total": 0.5, "hits": 0.0}
STATISTICS = {"steps": 9, "counts": {"current": 64}}
WRONG_COUNTS = [STATISTICS | {"counts": counts} for counts in ([], {"current": -1}, {"current": 0.5}, {"curent": 1})]
SCHEDULE = {"epochs": 0, "best": None, "stalled": 0, "steps": 0}
WRONG_IN_SCHEDULE = (("epochs", -1), ("best", float("nan")), ("best", 10**400), ("steps", 0.5))
WRONG_IN_STANDING = (("batches", 8), ("batch_size", 0), ("total", float("inf")), ("hits", -(10**400)))

WRONG: list[tuple[str, list[Any]]] = [
    ("dtype", ["float16", None, 4, ["float32"]]),
    ("kind", [None, 3, ["relu"], "relo", ""]),
    (
        "activations",
        [None, "identity", ["identity"], ["relu", "tanh", "relu"], ["identity", 3, "tanh"], ["identity", "tangh", "relu"]],
    ),
    ("node_names", ["abc", [1, 2], [1, 1, 2, 3, 4, 5, 6], [True, 2, 3, 4, 5, 6, 7], [None] * 7, [[], 1, 2, 3, 4, 5, 6]]),
    ("capacity", [5, 0, -1, 2**31, 8.0, True, None, "8"]),
    ("fixed", [0, None, "no"]),
    ("next_id", [-1, 2**62, 6.0, None]),
    ("version", [-1, 0, 2**31, None]),
    ("input_shape", [[1, 2], [3], [3, 1, 1], [-3, -1], [3.0, 1.0], "31", 3]),
    ("seed", [-1, 1.0, True, None, 2**63]),
    ("deterministic", [1, None]),
    ("plan", ["densely", None, 1]),
    ("rng", [None, {}, [], {"bit_generator": "MT19937"}]),
    ("optimizer", [{}, "adam", {"name": "adem", "options": {}, "step": 0}, {"name": "sgd", "options": {}, "step": 0}]),
    ("schedule", [None, {}, *(SCHEDULE | {key: wrong} for key, wrong in WRONG_IN_SCHEDULE)]),
    ("extinction", [[], "weight", 1]),
    ("epoch", [-1, 0.5, None]),
    ("standing", [{}, 3, *(STANDING | {key: wrong} for key, wrong in WRONG_IN_STANDING)]),
    ("trained", [-1, 0.5, None]),
    ("statistics", [None, {}, {"steps": 0}, STATISTICS | {"steps": -1}, *WRONG_COUNTS]),
    ("fossils", [None, {}, [[]], [None], [{}]]),
    ("dna_version", [None, 1]),
]


@pytest.mark.parametrize(("key", "values"), WRONG)
def test_a_wrong_json_value_is_refused(make_state: Make, key: str, values: list[Any]) -> None:
    for value in values:
        state = make_state()
        state.meta[key] = value
        with pytest.raises(CheckpointError):
            validate_state(state)


def test_every_json_value_is_tried_above_and_needed(make_state: Make) -> None:
    assert {key for key, _ in WRONG} == META.keys() == make_state().meta.keys()
    for key in META:
        state = make_state()
        del state.meta[key]
        refused(state, f"meta.{key}: expected .* got nothing")


def test_unknown_names_come_with_the_nearest_known_one(make_state: Make) -> None:
    state = make_state()
    state.meta["kind"] = "linaer"
    refused(state, r"meta\.kind: unknown cell kind 'linaer' \(did you mean 'linear'")
    state = make_state()
    state.meta["activations"][1] = "sigmid"
    refused(state, r"meta\.activations\[1\]: unknown activation 'sigmid' \(did you mean 'sigmoid'")
    state = make_state()
    state.meta["optimizer"]["name"] = "adm"
    refused(state, r"meta\.optimizer: unknown optimizer 'adm' \(did you mean 'adam'")


@pytest.mark.parametrize(
    "options", [{"lr": -1.0}, {"lr": "fast"}, {"lr": 10**400}, {"lr": 0.1, "speed": 2}, {"lr": 0.1, "optimizer": 1}, []]
)
def test_options_that_the_optimizer_refuses_are_refused(make_state: Make, options: Any) -> None:
    state = make_state()
    state.meta["optimizer"]["options"] = options
    refused(state, r"meta\.optimizer: ")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("state", "state"), 2**128),
        (("state", "inc"), -1),
        (("uinteger",), 2**32),
        (("has_uint32",), 2),
        (("bit_generator",), "Philox"),
    ],
)
def test_a_random_state_that_numpy_would_not_take_is_refused(make_state: Make, path: tuple[str, ...], value: Any) -> None:
    state = make_state()
    region = state.meta["rng"]
    for key in path[:-1]:
        region = region[key]
    region[path[-1]] = value
    refused(state, r"meta\.rng: expected the state of a PCG64 generator")


def test_names_are_as_many_as_nodes(make_state: Make) -> None:
    state = make_state()
    state.meta["node_names"] = ["a", "b"]
    refused(state, r"meta\.node_names: expected null or 7 names, got 2 names")


def test_values_of_later_versions_are_left_alone(make_state: Make) -> None:
    state = make_state()
    state.meta["remark"] = "kept"
    validate_state(state)


# --- any values at all --------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(key=st.sampled_from(sorted(META)), value=JSON)
def test_no_json_value_raises_anything_else(make_state: Make, key: str, value: Any) -> None:
    state = make_state()
    state.meta[key] = value
    with suppress(CheckpointError):
        validate_state(state)


@given(data=st.data())
def test_no_array_raises_anything_else(make_state: Make, data: st.DataObject) -> None:
    state = make_state()
    name = data.draw(st.sampled_from(sorted(state.arrays)))
    array = state.arrays[name]
    state.arrays[name] = data.draw(hnp.arrays(array.dtype, array.shape))
    try:
        validate_state(state)
    except CheckpointError:
        return
    living = state.arrays["cells.id"] >= 0
    level = state.arrays["nodes.level"]
    assert np.isfinite(state.arrays["cells.weight"]).all()
    assert (level[state.arrays["cells.source"][living]] < level[state.arrays["cells.target"][living]]).all()


def test_the_last_level_holds_outputs_alone(make_state: Make) -> None:
    state = make_state()
    state.arrays["nodes.outputs"] = state.arrays["nodes.outputs"][:1]
    refused(state, r"nodes\.outputs: expected all 2 nodes of the last level, got 1 nodes")

"""Births of nodes in files: a record that fits is read, one that cannot be is refused, and older files are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dna.checkpoint import State, container, read_state, write_state
from dna.checkpoint.validate import validate_state
from dna.errors import CheckpointError

Make = Callable[..., State]


def grown(make_state: Make) -> State:
    """Return a state whose one event split cell 3 and node 3: node 6 is its twin."""
    state = make_state()
    arrays, event = state.arrays, state.meta["fossils"][0]
    state.meta["node_names"] = None
    arrays["nodes.level"][:] = [0, 0, 0, 1, 2, 2, 1]
    arrays["nodes.outputs"][:] = [4, 5]
    arrays["cells.source"][:] = [0, 1, 0, 3, 2, 6]
    arrays["cells.target"][:] = [3, 3, 0, 4, 5, 4]
    arrays["dead.target"][:] = [3]
    arrays["nodes.born_level"], arrays["nodes.born_parent"] = np.array([1], np.int32), np.array([3], np.int32)
    event |= {"first_node": 6, "n_nodes_born": 1}
    return state


def deepened(make_state: Make) -> State:
    """Return a state whose one event put node 6 on a level of its own, between those there were."""
    state = grown(make_state)
    state.arrays["nodes.level"][:] = [0, 0, 0, 1, 3, 3, 2]
    state.arrays["nodes.born_level"][:] = 2
    state.meta["activations"] = ["identity", "tanh", "relu", "identity"]
    state.meta["fossils"][0]["levels_born"] = [[2, "relu"]]
    return state


@pytest.mark.parametrize("make", [grown, deepened])
def test_births_of_nodes_come_back(make_state: Make, tmp_path: Path, make: Callable[[Make], State]) -> None:
    state = make(make_state)
    write_state(tmp_path / "net.dna", state)
    found = read_state(tmp_path / "net.dna")
    assert found.meta == state.meta
    assert all(np.array_equal(found.arrays[name], array) for name, array in state.arrays.items())


def put(name: str, value: Any) -> Callable[[State], None]:
    def change(state: State) -> None:
        state.arrays[name] = np.asarray(value, state.arrays[name].dtype)

    return change


def tell(**values: Any) -> Callable[[State], None]:
    return lambda state: state.meta["fossils"][0].update(values)


@pytest.mark.parametrize(
    ("make", "change", "match"),
    [
        (grown, tell(first_node=5), "meta.fossils.0..first_node: expected 6, by births, got 5"),
        (grown, tell(n_nodes_born=2), "nodes.born_level: expected 2 nodes, as meta.fossils counts, got 1"),
        (grown, tell(n_nodes_born=-1), "meta.fossils: expected a list"),
        (grown, tell(levels_born=[[0, "relu"]]), "meta.fossils: expected a list"),
        (grown, tell(levels_born=[[1, "tanh"]]), "levels_born: expected levels that held none but its nodes"),
        (grown, put("nodes.born_parent", [6]), "nodes.born_parent: expected nodes older than the event, or -1, got .6."),
        (grown, put("nodes.born_parent", [-2]), "nodes.born_parent: expected nodes older"),
        (grown, put("nodes.born_level", [2]), "nodes.born_level: expected the levels of the nodes of event 0"),
        (grown, put("cells.target", [3, 6, 0, 4, 5, 4]), "cells.target: expected nodes that were there when the cell was born"),
        (grown, put("dead.target", [6]), "dead.target: expected nodes that were there when the cell was born"),
        (deepened, tell(levels_born=[]), "levels_born: expected levels that held none but its nodes"),
        (deepened, tell(levels_born=[[2, "tanh"]]), "expected hidden levels of"),
        (deepened, tell(levels_born=[[3, "identity"]]), "expected hidden levels of"),
        (deepened, tell(levels_born=[[9, "relu"]]), "expected hidden levels of"),
    ],
)
def test_births_that_cannot_have_been_are_refused(
    make_state: Make, make: Callable[[Make], State], change: Callable[[State], None], match: str
) -> None:
    state = make(make_state)
    change(state)
    with pytest.raises(CheckpointError, match=match):
        validate_state(state)


def test_levels_do_not_come_without_nodes(make_state: Make) -> None:
    state = make_state()
    tell(levels_born=[[1, "tanh"]])(state)
    with pytest.raises(CheckpointError, match="expected no levels without nodes"):
        validate_state(state)


def test_files_from_before_nodes_were_born_are_read(
    make_state: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = make_state()
    events = [{name: value for name, value in event.items() if name not in ("first_node", "n_nodes_born", "levels_born")}
              for event in state.meta["fossils"]]  # fmt: skip
    arrays = {name: array for name, array in state.arrays.items() if not name.startswith("nodes.born")}
    monkeypatch.setattr(container, "VERSION", 2)
    header, body = container._encode(State(state.meta | {"fossils": events}, arrays))
    monkeypatch.undo()
    (tmp_path / "old.dna").write_bytes(header + bytes(body))
    found = read_state(tmp_path / "old.dna")
    assert found.meta == state.meta and found.arrays.keys() == state.arrays.keys()
    assert len(found.arrays["nodes.born_level"]) == 0

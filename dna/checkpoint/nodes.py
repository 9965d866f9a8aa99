"""Whether the nodes that a fossil record says were born can have been: numbers, levels and cells that fit together."""

from __future__ import annotations

from typing import Any

import numpy as np

from dna.checkpoint.expect import check_each, expect
from dna.checkpoint.state import State
from dna.errors import CheckpointError
from dna.nodes import NodesBorn, nodes_before
from dna.types import FREE

Event = dict[str, Any]


def check_nodes_born(state: State) -> None:
    """Check the births of nodes in a state whose cells, nodes and events are checked each by themselves."""
    _check_numbers(state)
    _check_parents(state)
    _check_levels(state)
    _check_ends(state)


def _check_numbers(state: State) -> None:
    """Nodes come by extinctions alone, so each event finds what the one before it left, and the last left those of now."""
    events, arrays = state.meta["fossils"], state.arrays
    total = sum(event["n_nodes_born"] for event in events)
    for name in ("nodes.born_level", "nodes.born_parent"):
        expect(len(arrays[name]) == total, name, f"{total} nodes, as meta.fossils counts", f"{len(arrays[name])}")
    left = len(arrays["nodes.level"])
    for event in reversed(events):
        region, first = f"meta.fossils[{event['number']}]", left - event["n_nodes_born"]
        expect(event["first_node"] == first and first > 0, f"{region}.first_node", f"{first}, by births", event["first_node"])
        some = event["n_nodes_born"] > 0 or not event["levels_born"]
        expect(some, f"{region}.levels_born", "no levels without nodes", event["levels_born"])
        left = first


def _check_parents(state: State) -> None:
    events, parents = state.meta["fossils"], state.arrays["nodes.born_parent"]
    first = np.repeat([event["first_node"] for event in events], [event["n_nodes_born"] for event in events])
    older = (parents >= FREE) & (parents < first.astype(np.int64))
    bad = np.flatnonzero(~older)
    expect(len(bad) == 0, "nodes.born_parent", "nodes older than the event, or -1", f"{parents[bad[:1]]}")


def _check_levels(state: State) -> None:
    """Events are taken back one by one: newborn nodes stand where the record says, and without them levels have no gap."""
    level, activations = state.arrays["nodes.level"], tuple(state.meta["activations"])
    born = state.arrays["nodes.born_level"]
    for event in reversed(state.meta["fossils"]):
        if event["n_nodes_born"] == 0:
            continue
        here, born = born[-event["n_nodes_born"] :], born[: -event["n_nodes_born"]]
        region = f"meta.fossils[{event['number']}].levels_born"
        stand = np.array_equal(level[event["first_node"] :], here)
        expect(stand, "nodes.born_level", f"the levels of the nodes of event {event['number']}", "others")
        hidden = bool(((here > 0) & (here < len(activations) - 1)).all())
        expect(hidden, "nodes.born_level", "hidden levels", "inputs or outputs")
        level, nobody = level[: event["first_node"]], here[:0]
        for place, name in reversed(event["levels_born"]):
            if not 0 < place < len(activations) - 1 or activations[place] != name:
                raise CheckpointError(f"{region}: expected hidden levels of {activations}, got {[place, name]}")
            expect(not (level == place).any(), region, "levels that held none but its nodes", f"level {place}")
            level, activations = nodes_before(level, activations, NodesBorn(nobody, nobody, ((place, name),)))
        whole = np.array_equal(np.unique(level), np.arange(len(activations)))
        expect(whole, region, "levels that held none but its nodes", "others")


def _check_ends(state: State) -> None:
    """No cell is older than the nodes that it joins."""
    events, arrays = state.meta["fossils"], state.arrays
    if not events:
        return
    versions = np.array([event["version"] for event in events])
    counts = np.array([events[0]["first_node"], *(event["first_node"] + event["n_nodes_born"] for event in events)])
    for kind in ("cells", "dead"):
        ids, born = arrays[f"{kind}.id"], arrays[f"{kind}.born"]
        there = counts[np.searchsorted(versions, born, side="right")]
        for end in ("source", "target"):
            name = f"{kind}.{end}"
            check_each(name, (ids == FREE) | (arrays[name] < there), ids, "nodes that were there when the cell was born")

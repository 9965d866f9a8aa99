"""Files of earlier versions of the format, told in terms of the present one."""

from __future__ import annotations

from typing import Any

import numpy as np

from dna.checkpoint.state import State
from dna.types import NODE

OLDEST = 2
"""The oldest version that can be read. Version 3 added births of nodes to the fossil record."""


def upgrade(state: State, version: int) -> State:
    """Return a state as the present version of the format has it. What it holds is not checked yet."""
    if version > 2 or "nodes.level" not in state.arrays or not isinstance(state.meta.get("fossils"), list):
        return state
    none: dict[str, Any] = {"first_node": len(state.arrays["nodes.level"]), "n_nodes_born": 0, "levels_born": []}
    events = [none | event if isinstance(event, dict) else event for event in state.meta["fossils"]]
    nobody = {name: np.empty(0, NODE) for name in ("nodes.born_level", "nodes.born_parent")}
    return State(state.meta | {"fossils": events}, nobody | state.arrays)

"""A small network's state, built by hand: 3 inputs, 2 hidden nodes, 2 outputs, one free slot, one extinction behind it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest

from dna.checkpoint import State

RULE = {
    "births": [{"name": "split", "share": 0.1, "passthrough": "weight"}],
    "deaths": [{"name": "delete", "share": 0.1}],
    "when": {"name": "plateau", "every": 5},
}

EVENT = {
    "number": 0,
    "epoch": 6,
    "trigger": "schedule",
    "signals": {"gradient_norm": 0.5},
    "options": RULE,
    "optimizer": "adam",
    "version": 1,
    "cells_before": 5,
    "cells_after": 5,
    "first_id": 5,
    "n_born": 1,
    "n_split": 1,
    "n_died": 1,
    "state_rows": 4,
    "seconds": 0.25,
    "bytes": 600,
    "capacity": 8,
    "fragmentation": 1 / 6,
    "capacity_before": 8,
    "free_before": 1,
    "first_node": 7,
    "n_nodes_born": 0,
    "levels_born": [],
    "schedule_before": {"epochs": 5, "best": 0.25, "stalled": 2, "steps": 50},
    "loss_before": 0.5,
    "loss_after": None,
    "loss_next": 0.375,
}
"""Cell 3 split into 5, which took the slot of cell 2; slot 2 was free before."""


def build_state(real: str = "float32") -> State:
    ids = np.array([0, 1, -1, 3, 4, 5], np.int64)
    living = ids >= 0
    draw = np.random.Generator(np.random.PCG64(7))

    def column() -> np.ndarray:
        return np.where(living, draw.normal(size=ids.size), 0).astype(real)

    arrays = {
        "cells.source": np.array([0, 1, 0, 3, 2, 3], np.int32),
        "cells.target": np.array([3, 4, 0, 5, 6, 5], np.int32),
        "cells.weight": column(),
        "cells.bias": column(),
        "cells.weight_grad": column(),
        "cells.bias_grad": column(),
        "cells.state": np.stack([column() for _ in range(4)]),
        "cells.id": ids,
        "cells.parent": np.array([-1, -1, -1, -1, -1, 3], np.int64),
        "cells.born": np.array([0, 0, 0, 0, 0, 1], np.int32),
        "statistics.current": np.abs(column())[None],
        "heap.free": np.array([2], np.int32),
        "nodes.level": np.array([0, 0, 0, 1, 1, 2, 2], np.int32),
        "nodes.inputs": np.array([0, 1, 2], np.int32),
        "nodes.outputs": np.array([5, 6], np.int32),
        "births.parent": np.array([3], np.int64),
        "split.id": np.array([3], np.int64),
        "split.weight": np.array([0.5], real),
        "split.bias": np.array([-0.5], real),
        "split.state": np.arange(4).astype(real),
        "dead.slot": np.array([5], np.int32),
        "dead.source": np.array([2], np.int32),
        "dead.target": np.array([4], np.int32),
        "dead.weight": np.array([0.25], real),
        "dead.bias": np.array([0.125], real),
        "dead.weight_grad": np.array([1.0], real),
        "dead.bias_grad": np.array([-1.0], real),
        "dead.state": np.arange(4, 8).astype(real),
        "dead.id": np.array([2], np.int64),
        "dead.parent": np.array([-1], np.int64),
        "dead.born": np.array([0], np.int32),
        "nodes.born_level": np.array([], np.int32),
        "nodes.born_parent": np.array([], np.int32),
    }
    meta = {
        "dtype": real,
        "input_shape": None,
        "kind": "relu",
        "activations": ["identity", "tanh", "identity"],
        "node_names": ["a", "b", "c", 3, 4, "yes", "é\ud800"],
        "capacity": 8,
        "fixed": False,
        "next_id": 6,
        "version": 1,
        "seed": 2**62,
        "deterministic": True,
        "plan": "auto",
        "rng": np.random.PCG64(2**90 + 1).state,
        "optimizer": {"name": "adam", "options": {"lr": 0.001, "beta1": 0.9}, "step": 12},
        "schedule": {"epochs": 3, "best": 0.1 + 0.2, "stalled": 1, "steps": 30},
        "extinction": copy.deepcopy(RULE),
        "epoch": 9,
        "standing": {"samples": 50, "batch_size": 8, "loss": "mse", "batches": 7, "total": 0.1 + 0.2, "hits": 0.0},
        "trained": 90,
        "statistics": {"steps": 9, "counts": {"current": 64}},
        "fossils": [copy.deepcopy(EVENT)],
        "dna_version": "0.1.0",
    }
    return State(meta, arrays)


@pytest.fixture(scope="session")
def make_state() -> Callable[..., State]:
    return build_state

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
    "options": RULE,
    "version": 1,
    "cells_before": 5,
    "cells_after": 5,
    "first_id": 4,
    "n_born": 1,
    "n_died": 1,
    "seconds": 0.25,
    "capacity": 8,
    "loss_before": 0.5,
    "loss_after": None,
}


def build_state(real: str = "float32") -> State:
    ids = np.array([0, 1, -1, 3, 4, 5], np.int64)
    living = ids >= 0
    draw = np.random.Generator(np.random.PCG64(7))

    def column() -> np.ndarray:
        return np.where(living, draw.normal(size=ids.size), 0).astype(real)

    arrays = {
        "cells.source": np.array([0, 1, 0, 3, 2, 4], np.int32),
        "cells.target": np.array([3, 4, 0, 5, 6, 6], np.int32),
        "cells.weight": column(),
        "cells.bias": column(),
        "cells.weight_grad": column(),
        "cells.bias_grad": column(),
        "cells.state": np.stack([column() for _ in range(4)]),
        "cells.id": ids,
        "cells.parent": np.array([-1, -1, -1, -1, 2, -1], np.int64),
        "cells.born": np.array([0, 0, 0, 0, 1, 0], np.int32),
        "heap.free": np.array([2], np.int32),
        "nodes.level": np.array([0, 0, 0, 1, 1, 2, 2], np.int32),
        "nodes.inputs": np.array([0, 1, 2], np.int32),
        "nodes.outputs": np.array([5, 6], np.int32),
        "fossils.0.born": np.array([4], np.int64),
        "fossils.0.parents": np.array([2], np.int64),
        "fossils.0.died": np.array([2], np.int64),
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
        "fossils": [copy.deepcopy(EVENT)],
        "dna_version": "0.1.0",
    }
    return State(meta, arrays)


@pytest.fixture(scope="session")
def make_state() -> Callable[..., State]:
    return build_state

"""What a file holds: plain JSON values and plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dna import rules


@dataclass(frozen=True, eq=False)
class State:
    """A network between two steps, free of devices and of kernels.

    Parameters
    ----------
    meta : dict
        JSON values, by the keys of `dna.checkpoint.meta.META`. Other keys are kept as they are.
    arrays : dict of str to numpy.ndarray
        By the names of `CELLS`, `TOPOLOGY`, `FOSSILS` and `NODES_BORN`; only slots that were ever used are stored.

    Notes
    -----
    A state is only a picture. `dna.checkpoint.validate` says whether it can be a network.
    """

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Column(NamedTuple):
    """How an array is stored."""

    dtype: str  # "real" stands for the network's own, float32 or float64
    ndim: int
    meaning: str


CELLS = {
    "cells.source": Column("int32", 1, "source nodes of cells"),
    "cells.target": Column("int32", 1, "target nodes of cells"),
    "cells.weight": Column("real", 1, "weights"),
    "cells.bias": Column("real", 1, "biases"),
    "cells.weight_grad": Column("real", 1, "gradients of weights"),
    "cells.bias_grad": Column("real", 1, "gradients of biases"),
    "cells.state": Column("real", 2, "optimizer state, (rows, slots)"),
    "cells.id": Column("int64", 1, "ids of cells"),
    "cells.parent": Column("int64", 1, "parents of cells"),
    "cells.born": Column("int32", 1, "versions of birth"),
}
"""The pool's columns, one place a used slot. `cells.state` is left out where it has no rows."""

TOPOLOGY = {
    "heap.free": Column("int32", 1, "stack of free slots, bottom first"),
    "nodes.level": Column("int32", 1, "levels of nodes"),
    "nodes.inputs": Column("int32", 1, "input nodes"),
    "nodes.outputs": Column("int32", 1, "output nodes"),
}

STATISTICS = {f"statistics.{name}": Column("real", 2, f"the statistic {name}, (rows, slots)") for name in rules.STATISTICS}
"""Tables of statistics, one place a used slot. Those that `meta.statistics` counts are there, and no others."""

OPTIONAL = frozenset({"cells.state", *STATISTICS})

FOSSILS = {
    "births.parent": Column("int64", 1, "parents of cells that were born"),
    "split.id": Column("int64", 1, "ids of cells that split"),
    "split.weight": Column("real", 1, "their weights just before"),
    "split.bias": Column("real", 1, "their biases just before"),
    "split.state": Column("real", 1, "their optimizer state, event by event, each (rows, cells)"),
    "dead.slot": Column("int32", 1, "slots of cells that died"),
    "dead.source": Column("int32", 1, "their source nodes"),
    "dead.target": Column("int32", 1, "their target nodes"),
    "dead.weight": Column("real", 1, "their last weights"),
    "dead.bias": Column("real", 1, "their last biases"),
    "dead.weight_grad": Column("real", 1, "their last gradients of weights"),
    "dead.bias_grad": Column("real", 1, "their last gradients of biases"),
    "dead.state": Column("real", 1, "their optimizer state, event by event, each (rows, cells)"),
    "dead.id": Column("int64", 1, "their ids"),
    "dead.parent": Column("int64", 1, "their parents"),
    "dead.born": Column("int32", 1, "their versions of birth"),
}
"""The remains that the fossil record keeps, of all events in a row; `meta.fossils` says how many cells each event has."""

NODES_BORN = {
    "nodes.born_level": Column("int32", 1, "levels of nodes that were born, right after their event"),
    "nodes.born_parent": Column("int32", 1, "nodes that they were split or copied from"),
}
"""The nodes that were born, of all events in a row; `meta.fossils` says how many each event has."""

"""What a node and a cell say of themselves outside: the one list of attributes that views and exports share."""

from __future__ import annotations

from typing import Any

import numpy as np

from dna.graph.topology import Topology

Columns = dict[str, list[Any]]
"""Values by attribute name, one a node or a cell: plain Python scalars, or None where a node lacks the attribute."""


def graph_attributes(topology: Topology) -> dict[str, Any]:
    """Return what holds for the whole graph: its version and its cell kind."""
    return {"version": int(topology.version), "kind": str(topology.kind)}


def node_columns(topology: Topology) -> Columns:
    """Return the attributes of all nodes, in node order.

    `level` (int), `role` (input, hidden or output), `name` where the user gave names, and where inputs are pixels `x` (from the
    left) and `y` (from the top) of an input.
    """
    columns: Columns = {"level": topology.level.tolist(), "role": _roles(topology)}
    if topology.names is not None:
        columns["name"] = list(topology.names)
    if topology.input_shape is not None:
        columns["x"], columns["y"] = _pixels(topology, topology.input_shape[1])
    return columns


def cell_columns(topology: Topology) -> Columns:
    """Return the attributes of all cells, in id order: `layer` (the level of the target), `weight`, `bias`, `parent`, `born`.

    A float32 becomes the float64 of the same value, so that nothing is lost on the way to text and back.
    """
    cells = topology.cells
    return {
        "layer": topology.level[cells.target].tolist(),
        "weight": cells.weight.tolist(),
        "bias": cells.bias.tolist(),
        "parent": cells.parent.tolist(),
        "born": cells.born.tolist(),
    }


def _roles(topology: Topology) -> list[str]:
    roles = np.full(topology.n_nodes, "hidden", dtype=object)
    roles[topology.outputs] = "output"
    roles[topology.inputs] = "input"
    return list(roles)


def _pixels(topology: Topology, width: int) -> tuple[list[int | None], list[int | None]]:
    x: list[int | None] = [None] * topology.n_nodes
    y: list[int | None] = [None] * topology.n_nodes
    for pixel, node in enumerate(topology.inputs.tolist()):
        y[node], x[node] = divmod(pixel, width)
    return x, y

"""What a node and a cell say of themselves outside: the one list of attributes that views and exports share."""

from __future__ import annotations

from typing import Any

import numpy as np

from dna.graph.lives import Lives
from dna.graph.topology import CellTable, Topology

Columns = dict[str, list[Any]]
"""Values by attribute name, one a node or a cell: plain Python scalars, or None where a node lacks the attribute."""


def graph_attributes(topology: Topology) -> dict[str, Any]:
    """Return what holds for the whole graph: `version`, `kind` of cells, `activations` (one a level, with commas) and `dtype`."""
    return {
        "version": int(topology.version),
        "kind": str(topology.kind),
        "activations": ",".join(topology.activations),
        "dtype": topology.cells.weight.dtype.name,
    }


def node_columns(topology: Topology) -> Columns:
    """Return the attributes of the nodes that are shown, in their order.

    `level` (int), `role` (input, hidden or output), `cells_in` and `cells_out` (degrees by cells), `alive` (bool), `name` where
    the user gave names, and where inputs are pixels `x` (from the left) and `y` (from the top) of an input.
    """
    shown = topology.shown
    into, out = topology.degrees
    columns: Columns = {
        "level": topology.level[shown].tolist(),
        "role": roles(topology)[shown].tolist(),
        "cells_in": into[shown].tolist(),
        "cells_out": out[shown].tolist(),
        "alive": alive(topology)[shown].tolist(),
    }
    if topology.names is not None:
        columns["name"] = [topology.names[node] for node in shown.tolist()]
    if topology.input_shape is not None:
        for axis, places in zip("xy", pixels(topology)[shown].T.tolist(), strict=True):
            columns[axis] = [None if place < 0 else place for place in places]
    return columns


def cell_columns(cells: CellTable | Lives, level: np.ndarray) -> Columns:
    """Return the attributes of cells, in id order: `layer` (the level of the target), `weight`, `bias`, `parent`, `born`.

    A float32 becomes the float64 of the same value, so that nothing is lost on the way to text and back.

    Parameters
    ----------
    cells : CellTable or Lives
    level : (n_nodes,) int32
        The level of each node.
    """
    return {
        "layer": level[cells.target].tolist(),
        "weight": cells.weight.tolist(),
        "bias": cells.bias.tolist(),
        "parent": cells.parent.tolist(),
        "born": cells.born.tolist(),
    }


def roles(topology: Topology) -> np.ndarray:
    """Return what each node is, (n_nodes,): input, hidden or output."""
    roles = np.full(topology.n_nodes, "hidden", dtype=object)
    roles[topology.outputs] = "output"
    roles[topology.inputs] = "input"
    return roles


def alive(topology: Topology) -> np.ndarray:
    """Return for each node whether a signal can pass, (n_nodes,) bool.

    An input has to lead somewhere, an output has to be led to, and a hidden node needs both.
    """
    into, out = topology.degrees
    takes, gives = into > 0, out > 0
    takes[topology.inputs] = True
    gives[topology.outputs] = True
    passes: np.ndarray = takes & gives
    return passes


def pixels(topology: Topology) -> np.ndarray:
    """Return the place (x from the left, y from the top) of each node in the image of the inputs, (n_nodes, 2); else (-1, -1)."""
    place = np.full((topology.n_nodes, 2), -1)
    if topology.input_shape is not None:
        rows, columns = np.divmod(np.arange(len(topology.inputs)), topology.input_shape[1])
        place[topology.inputs] = np.stack([columns, rows], 1)
    return place

"""Layout: a place for every node, by levels from left to right. Pixels stand as the image does."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dna.graph.attributes import pixels
from dna.graph.topology import Topology

_TALL = 28.0  # height of a picture, in distances of two pixels of an image
_COLUMN = 40  # most nodes of a level that stand in one column
_LOOSE = 0.22  # largest distance of nodes, as a share of the height
_GAP = 0.5  # between levels, as a share of the height


class Layout(NamedTuple):
    """Places of nodes; x grows to the right and y downwards."""

    place: np.ndarray  # (n_nodes, 2) float64
    spacing: np.ndarray  # (n_nodes,) float64, the distance to the nearest node of the level


def lay_out(topology: Topology) -> Layout:
    """Return a place for every node: each level is a column, a block of columns or an image, centred on one axis.

    The layout depends on the nodes alone, so that it is the same for all versions and all parts of a network.
    """
    place, spacing = np.zeros((topology.n_nodes, 2)), np.ones(topology.n_nodes)
    tall = max(_TALL, 0.0 if topology.input_shape is None else float(topology.input_shape[0]))
    left = 0.0
    for level in range(topology.n_levels):
        nodes = np.flatnonzero(topology.level == level)
        block, distance = _block(topology, nodes, level, tall)
        place[nodes] = block + np.array([left, -block[:, 1].mean() if len(nodes) else 0.0])
        spacing[nodes] = distance
        left = place[nodes, 0].max(initial=left) + _GAP * tall + 0.3 * distance
    return Layout(place, spacing)


def _block(topology: Topology, nodes: np.ndarray, level: int, tall: float) -> tuple[np.ndarray, float]:
    """Return places of the nodes of one level from (0, 0) on, and the distance of neighbours."""
    if level == 0 and topology.input_shape is not None:
        return pixels(topology)[nodes].astype(np.float64), 1.0
    columns = 1 if len(nodes) <= _COLUMN else max(2, math.ceil(math.sqrt(len(nodes) / 3)))
    rows = math.ceil(len(nodes) / columns)
    distance = min(tall / max(rows, 1), _LOOSE * tall)
    across, down = np.divmod(np.arange(len(nodes)), rows)
    return np.stack([across * distance, down * distance], 1), distance

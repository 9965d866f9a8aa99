"""The networkx view: a frozen picture of one version of a topology."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import networkx as nx

from dna.errors import StaleViewError
from dna.graph.attributes import cell_columns, graph_attributes, node_columns
from dna.graph.topology import Topology


class TopologyView(nx.MultiDiGraph):  # type: ignore[misc]
    """A frozen `networkx.MultiDiGraph` of one version: nodes are numbers, and the key of an edge is the id of its cell.

    Node attributes are `level`, `role` (input, hidden or output), `name` where the user gave names, and the pixel `x` and `y` of
    inputs that form an image. Cell attributes are `layer` (the level of the target), `weight`, `bias`, `parent` and `born`. Graph
    attributes are `version` and `kind`. All values are plain Python scalars.

    Every networkx algorithm runs on it. What networkx derives from it (a copy, a subgraph, a reversed or pickled graph) is an
    ordinary `MultiDiGraph`, which keeps the graph attributes and knows of no topology.

    Attributes
    ----------
    version : int
        The version of the topology that it shows.
    """

    version: int
    _current_version: Callable[[], int]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # networkx makes derived graphs by calling the class of the graph at hand, and fills them: they must be ordinary graphs.
        return nx.MultiDiGraph(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the way back to the topology, which would drag the whole network into a pickle.
        state = {name: value for name, value in self.__dict__.items() if name not in ("version", "_current_version")}
        return nx.MultiDiGraph, (), state

    @property
    def stale(self) -> bool:
        """Whether the topology has moved on since the picture was taken."""
        return self._current_version() != self.version

    def refresh(self) -> TopologyView:
        """Return the view itself, as long as it shows the topology of now.

        Raises
        ------
        StaleViewError
            The topology has moved on. A view never changes: ask the network for another.
        """
        current = self._current_version()
        if current != self.version:
            raise StaleViewError(
                f"this view shows version {self.version}, the topology is now at version {current}; call net.graph() again"
            )
        return self


def view(topology: Topology, current_version: Callable[[], int]) -> TopologyView:
    """Return a frozen networkx picture of a topology.

    Parameters
    ----------
    topology : Topology
        The version to show.
    current_version : callable
        Returns the version of the living topology, by which a view knows whether it is stale.
    """
    picture: TopologyView = object.__new__(TopologyView)
    nx.MultiDiGraph.__init__(picture, **graph_attributes(topology))
    picture.add_nodes_from(_nodes(topology))
    picture.add_edges_from(_cells(topology))
    picture.version, picture._current_version = topology.version, current_version
    nx.freeze(picture)
    return picture


def _nodes(topology: Topology) -> Iterator[tuple[int, dict[str, Any]]]:
    columns = node_columns(topology)
    for node, values in enumerate(zip(*columns.values(), strict=True)):
        yield node, {name: value for name, value in zip(columns, values, strict=True) if value is not None}


def _cells(topology: Topology) -> Iterator[tuple[int, int, int, dict[str, Any]]]:
    cells, columns = topology.cells, cell_columns(topology)
    names = tuple(columns)
    ends = zip(cells.source.tolist(), cells.target.tolist(), cells.id.tolist(), strict=True)
    for (source, target, key), values in zip(ends, zip(*columns.values(), strict=True), strict=True):
        yield source, target, key, dict(zip(names, values, strict=True))

"""The networkx views: frozen pictures of one version of a topology, cell by cell or merged by pairs of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

import networkx as nx
import numpy as np

from dna.errors import StaleViewError, UnknownNameError
from dna.graph.attributes import cell_columns, graph_attributes, node_columns
from dna.graph.topology import Topology

Picture = TypeVar("Picture", bound="_Picture")


class _Picture:
    """What both sorts of view have: a version, whether it is the one of now, and graphs derived from them that are ordinary."""

    _plain: type  # of what networkx derives
    version: int
    _current_version: Callable[[], int]
    _moved: Callable[[], bool]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # networkx makes derived graphs by calling the class of the graph at hand, and fills them: they must be ordinary graphs.
        return cls._plain(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the way back to the topology, which would drag the whole network into a pickle.
        state = {name: value for name, value in self.__dict__.items() if name not in ("version", "_current_version", "_moved")}
        return self._plain, (), state

    def __repr__(self) -> str:
        return f"<{self}, version {self.version}>"

    @property
    def stale(self) -> bool:
        """Whether the topology has moved on since the picture was taken."""
        return self._moved() or self._current_version() != self.version

    def refresh(self) -> Self:
        """Return the view itself, as long as it shows the topology of now.

        Raises
        ------
        StaleViewError
            The topology has moved on. A view never changes: ask the network for another.
        """
        if self.stale:
            now = self._current_version()
            again = " again, after an extinction was taken back" if now == self.version else ""
            raise StaleViewError(
                f"this view shows version {self.version}, the topology is now at version {now}{again}; call net.graph() again"
            )
        return self


class TopologyView(_Picture, nx.MultiDiGraph):  # type: ignore[misc]
    """A frozen `networkx.MultiDiGraph` of one version: nodes are numbers, and the key of an edge is the id of its cell.

    Node attributes are `level`, `role` (input, hidden or output), `cells_in` and `cells_out` (degrees by cells, of the whole
    topology), `alive` (whether a signal can pass), `name` where the user gave names, and the pixel `x` and `y` of inputs that
    form an image. Cell attributes are `layer` (the level of the target), `weight`, `bias`, `parent` and `born`. Those of the
    graph are `version` and `kind`. All values are plain Python scalars.

    Every networkx algorithm runs on it. What networkx derives from it (a copy, a subgraph, a reversed or pickled graph) is an
    ordinary `MultiDiGraph`, which keeps the graph attributes and knows of no topology.

    Attributes
    ----------
    version : int
        The version of the topology that it shows.
    """

    _plain = nx.MultiDiGraph


class MergedView(_Picture, nx.DiGraph):  # type: ignore[misc]
    """A frozen `networkx.DiGraph` of one version, with one edge for all cells that join a pair of nodes.

    Attributes of an edge are `count` (of cells), `weight` and `bias` (their sums, in float64). Nodes, the graph and what networkx
    derives are as those of `TopologyView`, but for the class `DiGraph`.
    """

    _plain = nx.DiGraph


def view_of(
    topology: Topology, parallel: str, current_version: Callable[[], int], moved: Callable[[], bool]
) -> TopologyView | MergedView:
    """Return a picture with parallel cells `kept` or `merged`; see `dna.Network.graph`."""
    builders: dict[str, Callable[..., TopologyView | MergedView]] = {"kept": view, "merged": merged_view}
    if parallel not in builders:
        raise UnknownNameError("way with parallel cells", parallel, builders)
    return builders[parallel](topology, current_version, moved)


def view(
    topology: Topology, current_version: Callable[[], int], moved: Callable[[], bool] = lambda: False
) -> TopologyView:
    """Return a frozen networkx picture of a topology, or of a part of one.

    Parameters
    ----------
    topology : Topology
        The version to show.
    current_version : callable
        Returns the version of the living topology, by which a view knows whether it is stale.
    moved : callable
        Whether the living topology has changed since. A version alone does not tell: an extinction that is taken back gives its
        version to the next one.
    """
    picture: TopologyView = object.__new__(TopologyView)
    nx.MultiDiGraph.__init__(picture, **graph_attributes(topology))
    picture.add_nodes_from(_nodes(topology))
    picture.add_edges_from(_cells(topology))
    return _finish(picture, topology, current_version, moved)


def merged_view(
    topology: Topology, current_version: Callable[[], int], moved: Callable[[], bool] = lambda: False
) -> MergedView:
    """Return a frozen networkx picture with one edge for all cells of a pair of nodes; parameters as for `view`."""
    picture: MergedView = object.__new__(MergedView)
    nx.DiGraph.__init__(picture, **graph_attributes(topology))
    picture.add_nodes_from(_nodes(topology))
    picture.add_edges_from(_pairs(topology))
    return _finish(picture, topology, current_version, moved)


def _finish(picture: Picture, topology: Topology, current_version: Callable[[], int], moved: Callable[[], bool]) -> Picture:
    picture.version, picture._current_version, picture._moved = topology.version, current_version, moved
    nx.freeze(picture)
    return picture


def _nodes(topology: Topology) -> Iterator[tuple[int, dict[str, Any]]]:
    columns = node_columns(topology)
    for node, values in zip(topology.shown.tolist(), zip(*columns.values(), strict=True), strict=True):
        yield node, {name: value for name, value in zip(columns, values, strict=True) if value is not None}


def _cells(topology: Topology) -> Iterator[tuple[int, int, int, dict[str, Any]]]:
    cells, columns = topology.cells, cell_columns(topology.cells, topology.level)
    names = tuple(columns)
    ends = zip(cells.source.tolist(), cells.target.tolist(), cells.id.tolist(), strict=True)
    for (source, target, key), values in zip(ends, zip(*columns.values(), strict=True), strict=True):
        yield source, target, key, dict(zip(names, values, strict=True))


def _pairs(topology: Topology) -> Iterator[tuple[int, int, dict[str, Any]]]:
    cells, n = topology.cells, topology.n_nodes
    pairs, pair_of = np.unique(cells.source.astype(np.int64) * n + cells.target, return_inverse=True)
    count = np.bincount(pair_of, minlength=len(pairs))
    weight, bias = (np.bincount(pair_of, weights=column, minlength=len(pairs)) for column in (cells.weight, cells.bias))
    rows = zip(pairs.tolist(), count.tolist(), weight.tolist(), bias.tolist(), strict=True)
    for pair, k, w, b in rows:
        yield *divmod(pair, n), {"count": k, "weight": w, "bias": b}

"""Filters: the part of a topology that somebody asks for, chosen on the arrays, before anything is built of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, TypedDict

import numpy as np

from dna import check
from dna.errors import OptionError
from dna.graph.topology import CellTable, Topology
from dna.types import NODE


class Filters(TypedDict, total=False):
    """What may be asked for; a cell has to meet all of it. Nodes are given by number, or by the name that the user gave.

    Attributes
    ----------
    level : int
        Cells into this level.
    target, source : node, or nodes
        Cells into these nodes, or out of them.
    around : node
        The neighbourhood of a node: all cells among the nodes that are at most `radius` cells away, in either direction
        (`networkx.ego_graph(graph, node, radius, undirected=True)`).
    radius : int
        Of `around`; 1 where it is not given.
    born : int
        Cells born in this version: those of one extinction, whose event says its `version`.
    strongest : int
        Of all that is left, so many cells with the largest |weight|; of equals, the older ones. NaN is the weakest.
    """

    level: int
    target: Any
    source: Any
    around: Any
    radius: int
    born: int
    strongest: int


def part(topology: Topology, filters: Filters) -> Topology:
    """Return the part of a topology that meets all filters: its cells, and the nodes that they join.

    A node that was asked for by `target`, `source` or `around` is shown even without cells. Degrees of nodes stay those of the
    whole topology. Without filters the topology itself is returned.

    Raises
    ------
    OptionError
        A filter is unknown, or names a node or level that is not there.
    """
    unknown = sorted(filters.keys() - Filters.__annotations__.keys())
    if unknown:
        raise OptionError(f"filters: expected some of {', '.join(Filters.__annotations__)}, got {unknown[0]!r}")
    if not filters:
        return topology
    if "radius" in filters and "around" not in filters:
        raise OptionError("radius: expected together with around, got it alone")
    chosen, asked = _meeting(topology, filters)
    rows = np.flatnonzero(chosen)
    if "strongest" in filters:
        rows = _strongest(topology.cells.weight, rows, check.count("strongest", filters["strongest"], 0))
    return _keep(topology, rows, asked)


def _meeting(topology: Topology, filters: Filters) -> tuple[np.ndarray, np.ndarray]:
    """Return which cells meet all filters but `strongest`, and the nodes that were asked for by themselves."""
    cells = topology.cells
    chosen, asked = np.ones(len(cells), bool), np.zeros(topology.n_nodes, bool)
    if "level" in filters:
        level = check.count("level", filters["level"], 0)
        if level >= topology.n_levels:
            raise OptionError(f"level: expected 0 to {topology.n_levels - 1}, got {level}")
        chosen &= topology.level[cells.target] == level
    if "born" in filters:
        chosen &= cells.born == check.count("born", filters["born"], 0)
    for name, ends in (("target", cells.target), ("source", cells.source)):
        if name in filters:
            nodes = _nodes(topology, name, filters[name])  # type: ignore[literal-required]
            chosen &= nodes[ends]
            asked |= nodes
    if "around" in filters:
        centre = _nodes(topology, "around", [filters["around"]])
        near = _near(topology, centre, check.count("radius", filters.get("radius", 1), 0))
        chosen &= near[cells.source] & near[cells.target]
        asked |= centre
    return chosen, asked


def _nodes(topology: Topology, name: str, asked: Any) -> np.ndarray:
    """Return which nodes are asked for, (n_nodes,) bool."""
    mask = np.zeros(topology.n_nodes, bool)
    several = asked if isinstance(asked, Iterable) and not isinstance(asked, str) else [asked]
    for node in several:
        mask[_number(topology, name, node)] = True
    return mask


def _number(topology: Topology, name: str, node: Any) -> int:
    if isinstance(node, str):
        if topology.names is None or node not in topology.names:
            raise OptionError(f"{name}: expected a node, got the name {node!r}, which none has")
        return topology.names.index(node)
    number = check.count(name, node, 0)
    if number >= topology.n_nodes:
        raise OptionError(f"{name}: expected a node from 0 to {topology.n_nodes - 1}, got {number}")
    return number


def _near(topology: Topology, centre: np.ndarray, radius: int) -> np.ndarray:
    """Return which nodes are at most `radius` cells from those of `centre`, in either direction."""
    source, target = topology.cells.source, topology.cells.target
    near, count = centre.copy(), 0
    while radius > 0 and near.sum() > count:
        count, before = int(near.sum()), near.copy()
        near[target[before[source]]] = True
        near[source[before[target]]] = True
        radius -= 1
    return near


def _strongest(weight: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of the `count` largest |weight|, ascending; of equal ones the first, whose ids are the smallest."""
    if count >= len(rows):
        return rows
    size = np.nan_to_num(np.abs(weight[rows]), nan=-1.0, posinf=np.inf)
    if count == 0:
        return rows[:0]
    least = np.partition(size, len(size) - count)[len(size) - count]
    above = size > least
    equal = np.flatnonzero(size == least)[: count - int(above.sum())]
    above[equal] = True
    kept: np.ndarray = rows[above]
    return kept


def _keep(topology: Topology, rows: np.ndarray, asked: np.ndarray) -> Topology:
    table = topology.cells
    cells = CellTable(**{field.name: getattr(table, field.name)[rows] for field in fields(table)})
    shown = asked.copy()
    shown[cells.source] = True
    shown[cells.target] = True
    return replace(topology, cells=cells, whole=topology.whole or topology, nodes=np.flatnonzero(shown).astype(NODE))

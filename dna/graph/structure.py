"""The structure of a new network: which nodes there are, at which level, and which cells join them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dna.errors import CycleError, GraphError, OptionError
from dna.graph.origin import own_ends, own_levels, own_names, own_pixels
from dna.types import LARGEST_NODE, NODE

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True)
class Structure:
    """Nodes and cells before they have numbers of their own in a pool.

    Attributes
    ----------
    level : (n_nodes,) int32
        Nodes are numbered by level, inputs first, outputs last.
    inputs, outputs : (n,) int32
    source, target : (n_cells,) int32
        In the order of birth: by level of the target, then target, then source.
    weight, bias : (n_cells,) float64 or None
        Given by the user's graph; None where an init is to draw them. NaN marks single cells to draw.
    names : tuple of str or int, or None
        The user's own names of the nodes.
    input_shape : (height, width), or None
        Where the inputs are the pixels of an image.
    """

    level: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    names: tuple[Any, ...] | None = None
    input_shape: tuple[int, int] | None = None

    @property
    def n_levels(self) -> int:
        return int(self.level.max()) + 1


def layered(layers: Sequence[int], density: float | Sequence[float], rng: np.random.Generator) -> Structure:
    """Return levels of the given sizes, each joined to the next.

    Parameters
    ----------
    layers : sequence of int
        Nodes of each level, inputs first; at least two levels, each of at least one node.
    density : float or sequence of float
        The share of all pairs of two levels that get a cell, in (0, 1], one number or one a pair of levels. Of n pairs exactly
        round(density * n), at least 1, are drawn at random without replacement.
    rng : numpy.random.Generator

    Raises
    ------
    OptionError
    """
    sizes = _check_layers(layers)
    shares = _check_density(density, len(sizes) - 1)
    _check_cells(sizes, shares)
    start = np.concatenate([[0], np.cumsum(sizes)])
    level = np.repeat(np.arange(len(sizes), dtype=NODE), sizes)
    sources, targets = [], []
    for k, share in enumerate(shares):
        pairs = sizes[k] * sizes[k + 1]
        count = _count_cells(pairs, share)
        chosen = np.arange(pairs) if count == pairs else np.sort(rng.choice(pairs, count, replace=False, shuffle=False))
        sources.append(start[k] + chosen % sizes[k])
        targets.append(start[k + 1] + chosen // sizes[k])
    return Structure(
        level=level,
        inputs=np.arange(sizes[0], dtype=NODE),
        outputs=np.arange(start[-2], start[-1], dtype=NODE),
        source=np.concatenate(sources).astype(NODE),
        target=np.concatenate(targets).astype(NODE),
    )


def from_graph(
    graph: nx.DiGraph, inputs: Sequence[Hashable] | None = None, outputs: Sequence[Hashable] | None = None
) -> Structure:
    """Return the structure of any directed acyclic graph: its nodes are signals, its edges are cells.

    Parameters
    ----------
    graph : networkx.DiGraph or MultiDiGraph
        Edge attributes `weight` and `bias` are taken where present.
    inputs, outputs : sequence of nodes, optional
        In the order of the columns of x and y. By default those whose `role` says so, where all nodes have one, else the nodes
        without predecessors and those without successors, each in the order of the graph.

    Raises
    ------
    CycleError, GraphError

    Notes
    -----
    A node's level is its attribute `level`, where all nodes have one and they are those of a network; see
    `dna.graph.origin.own_levels`. Else it is the length of the longest path that leads to it, but all outputs stand together at
    the last level.
    """
    if not hasattr(graph, "is_directed") or not graph.is_directed():
        raise GraphError(f"expected a directed networkx graph, got {type(graph).__name__}")
    told_in, told_out = own_ends(graph)
    inputs, outputs = told_in if inputs is None else inputs, told_out if outputs is None else outputs
    roles_in = list(inputs) if inputs is not None else [n for n, d in graph.in_degree() if d == 0]
    roles_out = list(outputs) if outputs is not None else [n for n, d in graph.out_degree() if d == 0 and n not in set(roles_in)]
    _check_roles(graph, roles_in, roles_out)
    depth = own_levels(graph, set(roles_in), set(roles_out)) or _levels(graph, set(roles_in), set(roles_out))

    rank = {n: i for i, n in enumerate(roles_in)} | {n: i for i, n in enumerate(roles_out)}
    ordered = sorted(graph.nodes, key=lambda n: (depth[n], rank.get(n, len(rank))))
    number = {n: i for i, n in enumerate(ordered)}
    source, target, weight, bias = [], [], [], []
    for u, v, data in graph.edges(data=True):
        source.append(number[u])
        target.append(number[v])
        weight.append(_number(data, "weight", u, v))
        bias.append(_number(data, "bias", u, v))
    level = np.array([depth[n] for n in ordered], NODE)
    ends = np.array([source, target], NODE).reshape(2, -1)
    order = np.lexsort((ends[0], ends[1], level[ends[1]]))
    return Structure(
        level=level,
        inputs=np.array([number[n] for n in roles_in], NODE),
        outputs=np.array([number[n] for n in roles_out], NODE),
        source=ends[0][order],
        target=ends[1][order],
        weight=np.array(weight, np.float64)[order],
        bias=np.array(bias, np.float64)[order],
        names=_names(graph, ordered),
        input_shape=own_pixels(graph, roles_in),
    )


def _check_layers(layers: Sequence[int]) -> list[int]:
    try:
        sizes = [n.__index__() for n in layers]
    except (TypeError, AttributeError):
        raise OptionError(f"layers: expected a sequence of integers such as [784, 10], got {layers!r}") from None
    if len(sizes) < 2 or any(n < 1 for n in sizes):
        raise OptionError(f"layers: expected at least two levels of at least one node each, got {sizes}")
    if sum(sizes) > LARGEST_NODE:
        raise OptionError(f"layers: expected at most {LARGEST_NODE} nodes, got {sum(sizes)}")
    return sizes


def _count_cells(pairs: int, share: float) -> int:
    return max(1, round(share * pairs))


def _check_cells(sizes: list[int], shares: list[float]) -> None:
    """Slots of cells are int32; so many are refused before memory is taken for them."""
    count = sum(_count_cells(above * below, share) for above, below, share in zip(sizes, sizes[1:], shares, strict=False))
    if count > LARGEST_NODE:
        raise OptionError(f"layers and density: expected at most {LARGEST_NODE} cells, got {count}")


def _check_density(density: float | Sequence[float], count: int) -> list[float]:
    given: Any = density
    shares = [given] * count if np.ndim(given) == 0 else list(given)
    if len(shares) != count:
        raise OptionError(f"density: expected one number, or {count}, one for each pair of levels, got {len(shares)}")
    for share in shares:
        if not isinstance(share, int | float | np.integer | np.floating) or isinstance(share, bool) or not 0 < share <= 1:
            raise OptionError(f"density: expected numbers in (0, 1], got {share!r}")
    return [float(share) for share in shares]


def _check_roles(graph: nx.DiGraph, inputs: list[Hashable], outputs: list[Hashable]) -> None:
    for what, nodes in (("inputs", inputs), ("outputs", outputs)):
        if not nodes:
            raise GraphError(f"{what}: expected at least one node, got none")
        missing = [n for n in nodes if n not in graph]
        if missing:
            raise GraphError(f"{what}: expected nodes of the graph, got {missing[0]!r}")
        if len(set(nodes)) != len(nodes):
            raise GraphError(f"{what}: expected every node once, got {len(nodes) - len(set(nodes))} of them again")
    both = set(inputs) & set(outputs)
    if both:
        raise GraphError(f"expected inputs and outputs to differ, got {next(iter(both))!r} in both")
    for n in inputs:
        if graph.in_degree(n):
            raise GraphError(f"inputs: expected nodes that no cell leads to, got {n!r} with {graph.in_degree(n)}")
    for n in outputs:
        if graph.out_degree(n):
            raise GraphError(f"outputs: expected nodes that no cell leaves, got {n!r} with {graph.out_degree(n)}")


def _levels(graph: nx.DiGraph, inputs: set[Hashable], outputs: set[Hashable]) -> dict[Hashable, int]:
    depth = _longest_paths(graph, inputs)
    last = max([d for n, d in depth.items() if n not in outputs] + [0]) + 1
    return depth | dict.fromkeys(outputs, last)


def _longest_paths(graph: nx.DiGraph, inputs: set[Hashable]) -> dict[Hashable, int]:
    """Return for each node the length of the longest path to it, by Kahn's order; a node without cells that is no input has 1."""
    waiting = dict(graph.in_degree())
    ready = [n for n, degree in waiting.items() if degree == 0]
    depth = {n: 0 if n in inputs else 1 for n in ready}
    while ready:
        u = ready.pop()
        for v in graph.successors(u):
            depth[v] = max(depth.get(v, 0), depth[u] + 1)
            waiting[v] -= graph.number_of_edges(u, v)
            if waiting[v] == 0:
                ready.append(v)
    stuck = [n for n, degree in waiting.items() if degree > 0]
    if stuck:
        raise CycleError(f"expected no cycles, got one through node {stuck[0]!r}")
    return depth


def _names(graph: nx.DiGraph, nodes: list[Hashable]) -> tuple[str | int, ...] | None:
    """Return what files can hold of users' nodes: texts and integers, all different; None where nodes are their own numbers."""
    told = own_names(graph)
    if told is None and all(type(n) is int and n == place for place, n in enumerate(nodes)):
        return None
    kept = nodes if told is None else [told[n] for n in nodes]
    names = tuple(n if type(n) in (str, int) else str(n) for n in kept)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise GraphError(f"nodes: expected different names, got two that read {twice!r}")
    return names  # type: ignore[return-value]


def _number(data: dict[str, Any], name: str, u: Hashable, v: Hashable) -> float:
    value = data.get(name, np.nan)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):  # the last for an integer that no float can hold
        raise GraphError(f"{name} of {u!r} -> {v!r}: expected a number, got {value!r}") from None
    if name in data and not np.isfinite(number):
        raise GraphError(f"{name} of {u!r} -> {v!r}: expected a finite number, got {value!r}")
    return number

"""Origin: what a graph that came of a network still says of it, so that it can become the same network again."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from dna.types import REALS

if TYPE_CHECKING:
    import networkx as nx

OWN = ("kind", "activations", "dtype")
"""The graph's attributes by which one of `Network.graph` and of exports is known."""


def own_options(graph: nx.DiGraph, n_levels: int) -> dict[str, Any]:
    """Return `cell`, `activation` and `dtype` as the graph's attributes say, for a network of so many levels.

    Nothing, where the graph does not come of a network; without activations, where it has other levels than that.
    """
    told = {name: graph.graph.get(name) for name in OWN}
    if not all(isinstance(value, str) for value in told.values()) or told["dtype"] not in REALS:
        return {}
    options: dict[str, Any] = {"cell": told["kind"], "dtype": told["dtype"]}
    activations = str(told["activations"]).split(",")
    if len(activations) == n_levels:
        options["activation"] = activations[1:]
    return options


def own_ends(graph: nx.DiGraph) -> tuple[list[Hashable] | None, list[Hashable] | None]:
    """Return the inputs and the outputs by the nodes' `role`, in the order of the graph; None where a node has none."""
    roles = dict(graph.nodes(data="role"))
    if not roles or not all(role in ("input", "hidden", "output") for role in roles.values()):
        return None, None
    return tuple([node for node, role in roles.items() if role == end] for end in ("input", "output"))  # type: ignore[return-value]


def own_levels(graph: nx.DiGraph, inputs: set[Hashable], outputs: set[Hashable]) -> dict[Hashable, int] | None:
    """Return the nodes' `level`, or None where they are not the levels of a network with these ends.

    They are where each level from 0 on has a node, just the inputs stand at 0 and just the outputs at the last, and all edges
    rise.
    """
    level = dict(graph.nodes(data="level"))
    if not all(type(value) is int for value in level.values()):
        return None
    last = max(level.values(), default=0)
    fits = 0 < last < len(level) and set(level.values()) == set(range(last + 1))  # a file can claim any level
    fits = fits and {node for node in level if level[node] == 0} == inputs
    fits = fits and {node for node in level if level[node] == last} == outputs
    return level if fits and all(level[u] < level[v] for u, v in graph.edges()) else None


def own_names(graph: nx.DiGraph) -> dict[Hashable, Any] | None:
    """Return the nodes' `name`, or None where a node has none."""
    names = dict(graph.nodes(data="name"))
    return None if any(type(name) not in (str, int) for name in names.values()) else names


def own_pixels(graph: nx.DiGraph, inputs: list[Any]) -> tuple[int, int] | None:
    """Return (height, width) where the inputs are the pixels of an image by their `x` and `y`, row by row, else None."""
    places = [(graph.nodes[node].get("y"), graph.nodes[node].get("x")) for node in inputs]
    if not places or not all(type(y) is int and type(x) is int for y, x in places):
        return None
    height, width = (max(side) + 1 for side in zip(*places, strict=True))
    if height * width != len(places):  # a file can claim any place
        return None
    return (height, width) if places == [(y, x) for y in range(height) for x in range(width)] else None

"""Nodes: how they are laid out on a device, and how a network gets more of them.

Nodes are only ever added, and so are levels: existing nodes keep their numbers, and their levels keep their order. So a cell that
ran upwards once does so in every version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from dna.backend import Backend
from dna.cells import Activation
from dna.errors import GraphError
from dna.types import FREE, LARGEST_NODE, NODE, Nodes

Part = TypeVar("Part")


class NodesBorn(NamedTuple):
    """The nodes and levels that one extinction added: all that is needed to take them away again."""

    level: np.ndarray  # (n,) int32: the level of each newborn node after the event; their numbers follow those there were
    parent: np.ndarray  # (n,) int32: the node that each was split or copied from, or -1
    levels: tuple[tuple[int, str], ...] = ()  # levels that came in, one by one: the place of each then, and its activation


NO_NODES = NodesBorn(np.empty(0, NODE), np.empty(0, NODE))


class Growth:
    """The nodes of a network and those that an extinction adds, while it is being chosen. Nothing of the network is written.

    Parameters
    ----------
    level : (n_nodes,) int32
        The level of each node before the event.
    activations : tuple of Activation
        One a level.

    Attributes
    ----------
    level : (n,) int32
        The level of each node, newborn ones included, with the levels as they are so far.
    activations : tuple of Activation
    busy : set of int
        Nodes whose cells a rule of the event replaces: other rules are to let them be.
    """

    def __init__(self, level: np.ndarray, activations: tuple[Activation, ...]) -> None:
        self.level, self.activations = level, activations
        self.busy: set[int] = set()
        self._before = len(level)
        self._parents: list[np.ndarray] = []
        self._levels: list[tuple[int, str]] = []

    def add(self, level: np.ndarray | Sequence[int], parent: np.ndarray | Sequence[int] | None = None) -> np.ndarray:
        """Add a node at each of these levels, which must be hidden ones; return their numbers, the next that are free.

        Raises
        ------
        GraphError
            There would be more nodes than numbers.
        """
        first, n = len(self.level), len(level)
        if first + n > LARGEST_NODE:
            raise GraphError(f"nodes: expected at most {LARGEST_NODE}, got {first + n}")
        self.level = np.concatenate([self.level, np.asarray(level, NODE)])
        self._parents.append(np.full(n, FREE, NODE) if parent is None else np.asarray(parent, NODE))
        return np.arange(first, first + n, dtype=NODE)

    def insert_level(self, place: int, activation: Activation) -> None:
        """Make room for a new level: those from `place` on move up by one. At least one node is to be added at `place`."""
        self.level = np.where(self.level >= place, self.level + 1, self.level).astype(NODE)
        self.activations = (*self.activations[:place], activation, *self.activations[place:])
        self._levels.append((place, activation.name))

    @property
    def born(self) -> NodesBorn:
        """What has been added so far."""
        parents = np.concatenate([np.empty(0, NODE), *self._parents])
        return NodesBorn(self.level[self._before :], parents, tuple(self._levels))


def nodes_before(level: np.ndarray, activations: Sequence[Part], born: NodesBorn) -> tuple[np.ndarray, tuple[Part, ...]]:
    """Return the level of each node, and what there was a level, before an event; they are given as they were right after it."""
    earlier, kept = level[: len(level) - len(born.level)].copy(), list(activations)
    for place, _ in reversed(born.levels):
        earlier[earlier > place] -= 1
        del kept[place]
    return earlier, tuple(kept)


def names_of(names: Sequence[Any], n_nodes: int) -> tuple[Any, ...]:
    """Return one name a node where the user named the first ones: a newborn's is its number, with a prime where it is taken."""
    found = list(names[:n_nodes])
    taken = set(found) | {str(name) for name in found}
    for node in range(len(found), n_nodes):
        name: int | str = node
        while name in taken or str(name) in taken:
            name = f"{name}'"
        found.append(name)
        taken |= {name, str(name)}
    return tuple(found)


def lay_out_nodes(backend: Backend, level: np.ndarray, inputs: np.ndarray, outputs: np.ndarray) -> Nodes:
    """Return the nodes on the device, level by level."""
    in_order = np.argsort(level, kind="stable").astype(NODE)  # one pass, however many levels a file may claim
    members = np.split(in_order, np.cumsum(np.bincount(level))[:-1])
    upload = backend.upload
    return Nodes(upload(level), upload(inputs), upload(outputs), tuple(upload(nodes) for nodes in members))

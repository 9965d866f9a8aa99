"""Node split: a hidden node becomes two of the same potential, which share what it sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dna.cells import Scalar
from dna.errors import OptionError
from dna.rules.amount import Choose
from dna.rules.newborns import CellPlan, PlannedBrood, lay_out
from dna.rules.node_amount import activity_of_nodes, check_nodes, count_nodes, living, settle_nodes
from dna.rules.options import name_of, options_of, require_count, require_number
from dna.rules.passthrough import Passthrough, find_passthrough
from dna.rules.paths import Cosine
from dna.rules.random import TWINS, build_uniform
from dna.rules.split import build_split, inherits_state
from dna.types import FREE, NODE, SPLIT

if TYPE_CHECKING:
    from dna.backend import Maths
    from dna.selection import Selection


MOST_JITTER = 2.0
"""Shares lie in [-1/2, 3/2] then."""


@dataclass(frozen=True, kw_only=True)
class SplitNodes:
    """The most active hidden nodes split: each gets a twin of the same level that holds the same potential.

    The twin has a copy of every cell that runs to the node. Every cell that leaves the node splits by the function-preserving
    rule of its kind, and the child leaves the twin. So the network computes what it computed before, up to rounding.

    Parameters
    ----------
    nodes : int, optional
        How many split, all if there are fewer; 1 if nothing else is given.
    share : float or Cosine, optional
        In [0, 1], in place of the number: of the n hidden nodes that cells leave, floor(share * n) split.
    choose : callable, optional
        In place of both: a function of a `CellTable` (what `net.cells` is) that returns the numbers of the nodes to split.
    level : int, optional
        Only nodes of this level split.
    passthrough : str, Passthrough or callable
        As for `Split`. The activity of a node is the sum over the cells that leave it.
    jitter : float, optional
        Twins take shares (1 + j)/2 and (1 - j)/2 of each cell, j uniform in [-jitter, jitter] by cell. Twins whose shares are
        equal see equal gradients, and stay equal forever. It is below 1, but for linear cells, whose shares may be negative: then
        the twins' gradients point in opposite ways, and they part at once also under Adam, which does not mind the size of a
        gradient. By default 2 for linear cells and 0.5 for others; `tanh` cells part in any case.

    Raises
    ------
    OptionError, UnknownNameError

    Notes
    -----
    Net2WiderNet (Chen, Goodfellow and Shlens, ICLR 2016), where a unit is copied and its outgoing weights are divided by the
    number of copies; here the shares need not be equal. The most active come first by (activity down, node up). Nodes whose
    cells another rule of the event replaces do not split. The ends of all cells cross to the host. All cells of the node count
    as split in the record: those that run to it keep their weights.
    """

    nodes: int | None = None
    share: float | Cosine | None = None
    choose: Choose | None = None
    level: int | None = None
    passthrough: str | Passthrough | Scalar = "weight"
    jitter: float | None = None

    name: ClassVar[str] = "split_nodes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", settle_nodes(self.nodes, self.share, self.choose))
        if self.level is not None:
            require_count("level", self.level, 1)
        find_passthrough(self.passthrough)
        if self.jitter is not None:
            require_number("jitter", self.jitter, 0.0, MOST_JITTER)

    def check(self, maths: Maths) -> None:
        """Raise OptionError where the cell kind has no function-preserving split, or none for such shares."""
        build_split("preserve", maths.kind, maths.real)
        if not maths.kind.affine and self.jitter is not None and self.jitter >= 1:
            raise OptionError(f"jitter: expected less than 1 with {maths.kind.name} cells, got {self.jitter}")

    def prepare(self, selection: Selection) -> PlannedBrood:
        """Choose the nodes, and lay their twins and the cells of those out."""
        alive, columns, growth = living(selection), selection.columns(), selection.growth
        chosen = self._choose(selection, alive)
        twin = np.full(len(growth.level), FREE, NODE)
        twin[chosen] = growth.add(growth.level[chosen], chosen)
        touched = alive & ((twin[columns["source"]] != FREE) | (twin[columns["target"]] != FREE))
        selection.mark_slots(SPLIT, touched)
        slots = np.flatnonzero(touched)
        stays, leaves = self._halves(selection, slots, twin)
        return lay_out(selection, self._children(selection, slots, twin, stays, leaves), slots, *stays)

    def _choose(self, selection: Selection, alive: np.ndarray) -> np.ndarray:
        """Return the nodes that split, ascending."""
        candidates, activity = activity_of_nodes(selection, self.passthrough, alive)
        candidates = candidates[~np.isin(candidates, list(selection.growth.busy))]
        if self.level is not None:
            candidates = candidates[selection.backend.download(selection.nodes.level)[candidates] == self.level]
        if self.choose is not None:
            return np.sort(check_nodes(self.choose(selection.table()), candidates))
        count = count_nodes(self.nodes, self.share, selection, len(candidates), len(candidates))
        return np.sort(candidates[np.lexsort((candidates, -activity[candidates]))[:count]])

    def _halves(
        self, selection: Selection, slots: np.ndarray, twin: np.ndarray
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Return (weight, bias) of what stays in each slot and of what leaves the twin; a cell that only runs to it is whole."""
        maths, columns = selection.backend.maths, selection.columns()
        real, split = maths.real, build_split("preserve", maths.kind, maths.real)
        usual = MOST_JITTER if maths.kind.affine else 0.5
        uniform, jitter = build_uniform(real), real(usual if self.jitter is None else self.jitter)
        stays = columns["weight"][slots].copy(), columns["bias"][slots].copy()
        leaves = stays[0].copy(), stays[1].copy()
        for k in np.flatnonzero(twin[columns["source"][slots]] != FREE):
            cell = int(columns["id"][slots[k]])
            draw = uniform(selection.seed ^ TWINS, selection.version, cell)
            share = real(0.5) * (real(1) + jitter * (real(2) * draw - real(1)))
            halves = split(stays[0][k], stays[1][k], share)
            stays[0][k], stays[1][k], leaves[0][k], leaves[1][k] = halves
        return stays, leaves

    def _children(
        self,
        selection: Selection,
        slots: np.ndarray,
        twin: np.ndarray,
        stays: tuple[np.ndarray, np.ndarray],
        leaves: tuple[np.ndarray, np.ndarray],
    ) -> CellPlan:
        """Return the children of each slot in order: from the source's twin, to the target's twin, and from twin to twin."""
        columns, kind = selection.columns(), selection.backend.maths.kind
        source, target, ids = (columns[name][slots] for name in ("source", "target", "id"))
        other_source, other_target = twin[source], twin[target]
        forks, joins = other_source != FREE, other_target != FREE
        there = np.stack([forks, joins, forks & joins], axis=1).ravel()

        def rows(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
            laid: np.ndarray = np.stack([first, second, third], axis=1).ravel()[there]
            return laid

        heir = slots if inherits_state("preserve", kind) else np.full(len(slots), FREE)
        return CellPlan(
            source=rows(other_source, source, other_source),
            target=rows(target, other_target, other_target),
            weight=rows(leaves[0], stays[0], leaves[0]),
            bias=rows(leaves[1], stays[1], leaves[1]),
            parent=rows(ids, ids, ids),
            heir=rows(heir, heir, heir),
        )

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values; a function of the user's is given by its name."""
        return options_of(self, passthrough=find_passthrough(self.passthrough).name, choose=name_of(self.choose))

"""Insertion: a new node on the way of a cell, and a new level that hands on what the level below it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dna.cells import ACTIVATIONS, Activation, CellKind, Scalar
from dna.errors import OptionError
from dna.rules.amount import Choose
from dna.rules.newborns import CellPlan, PlannedBrood, lay_out, no_cells, plan_cells
from dna.rules.node_amount import count_nodes, living, settle_nodes, without_fate
from dna.rules.options import name_of, options_of, require_count
from dna.rules.passthrough import Passthrough, find_passthrough
from dna.rules.paths import Cosine
from dna.rules.rating import starting_size
from dna.rules.relay import NEAT, Relay, find_relay, is_positive, repeats, usual_activation
from dna.types import DELETE, FREE

if TYPE_CHECKING:
    from dna.backend import Maths
    from dna.selection import Selection


@dataclass(frozen=True, kw_only=True)
class InsertNodes:
    """A new node is born on the way of each of the strongest cells: A -> B becomes A -> new -> B.

    The new node stands one level above A. Where B stands there, a level comes in between, one for all cells of the event that
    need it.

    Parameters
    ----------
    nodes : int, optional
        How many, on as many cells; 1 if nothing else is given.
    share : float or Cosine, optional
        In [0, 1], in place of the number: on floor(share * n) of the n cells that live before the event, or on all candidates.
    choose : callable, optional
        In place of both: a function of a `CellTable` (what `net.cells` is) that returns the ids of the cells.
    passthrough : str, Passthrough or callable
        As for `Split`: the strongest cells come first, by (passthrough down, id up), among those that no other rule has chosen.
    replace : bool, optional
        True: the cell dies, as in NEAT, and the path takes its place; where no weights make the path give what the cell gave, the
        one below gets (1, 0) and the one above the cell's (w, b), and the function changes. False: the cell stays, the new cell
        below gets a copy of its (w, b), and the one above begins silent, at (0, 0). By default it dies where the function stays
        as it is, and stays otherwise.
    activation : str, optional
        Of levels that come in: by default `relu` for linear cells and `identity` for others.

    Raises
    ------
    OptionError, UnknownNameError

    Notes
    -----
    The mutation "add node" of NEAT (Stanley and Miikkulainen, Evolutionary Computation 10(2), 2002). A path gives what the cell
    gave: for linear cells through nodes of `identity`, or of `relu` where A is never negative; for ReLU cells through nodes of
    `identity` or `relu`. `dna.rules.relay` tries the maths of kind and activation, so that this holds for a user's own too.
    """

    nodes: int | None = None
    share: float | Cosine | None = None
    choose: Choose | None = None
    passthrough: str | Passthrough | Scalar = "weight"
    replace: bool | None = None
    activation: str | None = None

    name: ClassVar[str] = "insert_nodes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", settle_nodes(self.nodes, self.share, self.choose))
        find_passthrough(self.passthrough)
        if self.replace is not None and not isinstance(self.replace, bool):
            raise OptionError(f"replace: expected True, False or None, got {self.replace!r}")
        if self.activation is not None:
            ACTIVATIONS[self.activation]

    def check(self, maths: Maths) -> None:
        """Raise OptionError where a cell is to stay, but a silent one could never train."""
        if self.replace is False and starting_size(maths.kind) > 0:
            raise OptionError(f"replace: expected True or None, as a silent {maths.kind.name} cell never trains, got False")

    def prepare(self, selection: Selection) -> PlannedBrood:
        """Choose the cells, make levels where there are none between, and lay the paths out."""
        slots = self._choose(selection)
        columns, growth = selection.columns(), selection.growth
        source, target = columns["source"][slots], columns["target"][slots]
        self._make_levels(selection, source, target)
        new = growth.add(growth.level[source] + 1)
        paths = [self._path(selection, int(slot), int(node)) for slot, node in zip(slots, new, strict=True)]
        replaced = np.zeros(len(columns["id"]), bool)
        replaced[[slot for slot, (_, gone) in zip(slots, paths, strict=True) if gone]] = True
        selection.mark_slots(DELETE, replaced)
        growth.busy |= set(columns["source"][replaced].tolist()) | set(columns["target"][replaced].tolist())
        return lay_out(selection, plan_cells([no_cells(), *(plan for plan, _ in paths)]))

    def _choose(self, selection: Selection) -> np.ndarray:
        """Return the slots of the cells, ascending."""
        columns, free = selection.columns(), without_fate(selection)
        if self.choose is not None:
            ids = selection.check_ids(self.choose(selection.table()))
            chosen = np.flatnonzero(np.isin(columns["id"], ids))
            if not free[chosen].all():
                raise OptionError("choose: expected cells that neither die nor split in this event, got one that does")
            return chosen
        scores = selection.backend.download(selection.scores(self.passthrough))
        candidates = np.flatnonzero(free)
        count = count_nodes(self.nodes, self.share, selection, len(selection.pool), len(candidates))
        order = np.lexsort((columns["id"][candidates], -scores[candidates]))
        return np.sort(candidates[order[:count]])

    def _make_levels(self, selection: Selection, source: np.ndarray, target: np.ndarray) -> None:
        """Insert a level above each source whose target stands one level higher, from the top down."""
        growth, kind = selection.growth, selection.backend.maths.kind
        activation = _activation(self.activation, kind)
        neighbours = growth.level[target] == growth.level[source] + 1
        for place in sorted(set(growth.level[target[neighbours]].tolist()), reverse=True):
            growth.insert_level(place, activation)

    def _path(self, selection: Selection, slot: int, node: int) -> tuple[CellPlan, bool]:
        """Return the two cells of a path, and whether the cell makes way for it."""
        columns = selection.columns()
        source, target, cell = (columns[name][slot] for name in ("source", "target", "id"))
        weight, bias = columns["weight"][slot], columns["bias"][slot]
        relay = self._relay(selection, int(source), node)
        if relay is None:
            weights, biases, heirs = [weight, 0.0], [bias, 0.0], [FREE, FREE]
        else:
            below, biased, above, unbiased = relay.halves(weight, bias)
            weights, biases = [below, above], [biased, unbiased]
            heirs = [slot, FREE] if relay.below else [FREE, slot]
        real = selection.backend.maths.dtype
        ends = np.array([source, node]), np.array([node, target])
        plan = CellPlan(*ends, np.array(weights, real), np.array(biases, real), np.array([cell, cell]), np.array(heirs))
        return plan, relay is not None

    def _relay(self, selection: Selection, source: int, node: int) -> Relay | None:
        """Return what takes the place of a cell, or None where it stays."""
        if self.replace is False:
            return None
        kind, growth = selection.backend.maths.kind, selection.growth
        activation, below = (growth.activations[growth.level[one]] for one in (node, source))
        positive = growth.level[source] > 0 and is_positive(kind, below)
        relay = find_relay(kind, activation, positive=positive)
        if relay is None and self.replace is None and starting_size(kind) > 0:
            raise OptionError(
                f"replace: expected True, which changes the function: no path through a node of {activation.name} gives what "
                f"a {kind.name} cell gave, and a silent one never trains"
            )
        return NEAT if relay is None and self.replace else relay

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values; a function of the user's is given by its name."""
        return options_of(self, passthrough=find_passthrough(self.passthrough).name, choose=name_of(self.choose))


@dataclass(frozen=True, kw_only=True)
class InsertLevel:
    """A new level comes in, whose nodes hold what those of the level below it hold. The function stays as it is.

    Each node of the level below that cells leave gets a copy in the new level, joined to it by one cell (1, 0). Its cells move to
    the copy: each dies and is born again with the same weight, bias and optimizer state.

    Parameters
    ----------
    level : int, optional
        The place of the new level, from 1 to that of the outputs; by default just below the outputs.
    activation : str, optional
        Of the new level: by default `relu` for linear cells and `identity` for others.

    Raises
    ------
    OptionError, UnknownNameError
        Also as the extinction is tried: kind and activation cannot hand on what the level below holds. Linear cells can with
        `identity`, and with `relu` where the level below is never negative (one of `relu` or `sigmoid`); ReLU cells can above any
        hidden level of `identity` or `relu`; tanh cells cannot.

    Notes
    -----
    Net2DeeperNet (Chen, Goodfellow and Shlens, ICLR 2016). The new nodes have one cell each; `dna.Regrow` brings more.
    """

    level: int | None = None
    activation: str | None = None

    name: ClassVar[str] = "insert_level"

    def __post_init__(self) -> None:
        if self.level is not None:
            require_count("level", self.level, 1)
        if self.activation is not None:
            ACTIVATIONS[self.activation]

    def check(self, maths: Maths) -> None:
        """Raise OptionError where the network has no such place, or the level could not hand on what it gets."""
        last, kind = len(maths.activations) - 1, maths.kind
        place = last if self.level is None else self.level
        if place > last:
            raise OptionError(f"level: expected 1 to {last}, the level of the outputs, got {place}")
        activation = _activation(self.activation, kind)
        below = maths.activations[place - 1]
        if not repeats(kind, activation, positive=place > 1 and is_positive(kind, below)):
            holds = "the inputs" if place == 1 else f"level {place - 1} ({below.name})"
            raise OptionError(
                f"activation: expected one by which {kind.name} cells hand on what {holds} may hold, got {activation.name!r}"
            )

    def prepare(self, selection: Selection) -> PlannedBrood:
        """Insert the level, and lay its nodes and their cells out."""
        self.check(selection.backend.maths)  # levels may have come since the rule was checked
        columns, growth, kind = selection.columns(), selection.growth, selection.backend.maths.kind
        old = selection.backend.download(selection.nodes.level)
        place = selection.n_levels - 1 if self.level is None else self.level
        moved = living(selection) & (old[columns["source"]] == place - 1)
        if not without_fate(selection)[moved].all():
            raise OptionError("births: expected no splits of the cells that a new level moves, in the same event")
        below = np.unique(columns["source"][moved])
        if len(below) == 0:
            return lay_out(selection, no_cells())
        growth.insert_level(int(growth.level[below[0]]) + 1, _activation(self.activation, kind))
        copies = growth.add(growth.level[below] + 1, below)
        selection.mark_slots(DELETE, moved)
        growth.busy |= set(below.tolist()) | set(columns["target"][moved].tolist())
        return lay_out(selection, plan_cells([_links(below, copies), _moved(columns, np.flatnonzero(moved), below, copies)]))

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values."""
        return options_of(self)


def _activation(name: str | None, kind: CellKind) -> Activation:
    return usual_activation(kind) if name is None else ACTIVATIONS[name]


def _links(below: np.ndarray, copies: np.ndarray) -> CellPlan:
    """Return a cell (1, 0) from each node to its copy."""
    n = len(below)
    nobody = np.full(n, FREE)
    return CellPlan(below, copies, np.ones(n), np.zeros(n), nobody, nobody)


def _moved(columns: dict[str, np.ndarray], slots: np.ndarray, below: np.ndarray, copies: np.ndarray) -> CellPlan:
    """Return the cells of some slots, each leaving the copy of its source."""
    source = copies[np.searchsorted(below, columns["source"][slots])]
    target, weight, bias, cell = (columns[name][slots] for name in ("target", "weight", "bias", "id"))
    return CellPlan(source, target, weight, bias, cell, slots)

"""Node growth: new hidden nodes whose cells begin where the gradient says that they would help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from dna.cells import ACTIVATIONS, Activation
from dna.errors import NumericsError, OptionError, UnknownNameError
from dna.rules.directions import Candidate, View, silent_above, silent_below
from dna.rules.newborns import CellPlan, PlannedBrood, lay_out, no_cells, plan_cells
from dna.rules.node_amount import living
from dna.rules.options import options_of, require_count, require_number
from dna.rules.rating import starting_size
from dna.rules.relay import usual_activation
from dna.types import FREE

if TYPE_CHECKING:
    from dna.backend import Maths
    from dna.selection import Selection

SIDES = ("outgoing", "incoming")

DRAWS = 0x6E6F646573
"""What tells the draws of nodes from all others of a seed."""


@dataclass(frozen=True, kw_only=True)
class GrowNodes:
    """New hidden nodes are born, with cells from the level below and to the level above; those of one side begin silent.

    So the function stays as it is. The cells of the other side begin where the gradient of the silent ones is large, by the last
    batch: in `fit` one of the training data, by hand that of the last `net.forward` and `net.backward`.

    Parameters
    ----------
    nodes : int
        How many are born; fewer where fewer help.
    level : int, optional
        The hidden level that they join. By default that of the best candidate, node by node. In a network without hidden levels
        one comes in between inputs and outputs.
    silent : {"outgoing", "incoming"}
        Which cells begin at (0, 0). "outgoing": the others are the best of `candidates`, which are the top singular vectors of
        the cross matrix of gradients and potentials, and directions at random. "incoming": GradMax, the others are the top
        singular vectors alone; not for `relu` and `sigmoid`, whose nodes would stay silent or would not be silent.
    candidates : int
        How many directions are tried at each level, for `silent="outgoing"`.
    size : float
        The norm of the weights that leave a node, for `silent="incoming"`.
    fan_in, fan_out : int
        At most so many cells run to a node and leave it; where there are more nodes to join, these are drawn at random.
    reach : int
        From how many levels below the cells may come, and to how many above they may run.
    activation : str, optional
        Of a level that comes in: by default `relu` for linear cells and `identity` for others.

    Raises
    ------
    OptionError, UnknownNameError

    Notes
    -----
    GradMax (Evci, van Merrienboer, Unterthiner, Pedregosa and Vladymyrov, ICLR 2022) maximises the norm of the gradient of the
    new cells. The other side's search takes cells as linear: the potential of a newborn is sigma(sum of w*V - b). It is a search
    over candidates, as in cascade correlation (Fahlman and Lebiere, 1990): a cross matrix is zero where a linear map of the level
    below can do no more, and a bend may still help.

    The cross matrix has at most `fan_out` x `fan_in` places, whatever the size of the levels. Potentials and gradients of that
    many nodes cross to the host, and sums run there in float64; so given equal batches all backends choose alike.
    """

    nodes: int = 1
    level: int | None = None
    silent: Literal["outgoing", "incoming"] = "outgoing"
    candidates: int = 64
    size: float = 1.0
    fan_in: int = 256
    fan_out: int = 256
    reach: int = 1
    activation: str | None = None

    name: ClassVar[str] = "grow_nodes"
    needs_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("nodes", "candidates", "fan_in", "fan_out", "reach"):
            require_count(name, getattr(self, name), 1)
        if self.level is not None:
            require_count("level", self.level, 1)
        if self.silent not in SIDES:
            raise UnknownNameError("silent side", self.silent, SIDES)
        require_number("size", self.size, 0.0, float(np.finfo(np.float32).max))
        if self.size == 0:
            raise OptionError("size: expected more than 0, as silent cells on both sides never train, got 0")
        if self.activation is not None:
            ACTIVATIONS[self.activation]

    def check(self, maths: Maths) -> None:
        """Raise OptionError where newborns could not be silent, could never train, or have no level."""
        if starting_size(maths.kind) > 0:
            raise OptionError(f"births: expected cells that train from the weight 0; a silent {maths.kind.name} cell never does")
        hidden = max(1, len(maths.activations) - 2)
        if self.level is not None and self.level > hidden:
            raise OptionError(f"level: expected a hidden one, 1 to {hidden}, got {self.level}")
        for level in self._levels(len(maths.activations)):
            activation = self._activation(maths, level)
            if self.silent == "incoming" and not _wakes(activation):
                what = f"whose nodes of {activation.name} are not silent at the sum 0, or stay so"
                raise OptionError(f"silent: expected 'outgoing' at level {level}, {what}, got 'incoming'")

    def prepare(self, selection: Selection) -> PlannedBrood:
        """Find the best newborns of each level, and lay the best of all out."""
        maths = selection.backend.maths
        self.check(maths)  # levels may have come since the rule was checked
        selection.require_batch("grow nodes", with_gradient=True)
        found = []
        for level in self._levels(selection.n_levels):
            view = self._look(selection, level)
            if len(view.sources) and len(view.targets):
                found += [(candidate, view, level) for candidate in self._candidates(selection, view, level)]
        best = sorted(found, key=lambda one: -one[0].score)[: self.nodes]  # stable: of equals the lower level, then the first
        if not best:
            return lay_out(selection, no_cells())
        return lay_out(selection, plan_cells([self._birth(selection, *one) for one in best]))

    def _levels(self, n_levels: int) -> range:
        """Return the levels that newborns may join, as they are before the event."""
        return range(1, max(2, n_levels - 1)) if self.level is None else range(self.level, self.level + 1)

    def _activation(self, maths: Maths, level: int) -> Activation:
        if len(maths.activations) > 2:
            return maths.activations[level]
        return usual_activation(maths.kind) if self.activation is None else ACTIVATIONS[self.activation]

    def _look(self, selection: Selection, level: int) -> View:
        """Return what newborns of a level would see of the batch: of the nodes that carry a signal, or some of them."""
        backend, batch, columns, alive = selection.backend, selection.batch, selection.columns(), living(selection)
        assert batch is not None  # `require_batch` has seen to it
        old, last = backend.download(selection.nodes.level), selection.n_levels - 1
        above = level + 1 if last > 1 else 1
        fed, heard = old == 0, old == last
        fed[columns["target"][alive]] = True
        heard[columns["source"][alive]] = True
        draws = self._generator(selection, level, 0)
        sources = _some(np.flatnonzero(fed & (old < level) & (old >= level - self.reach)), self.fan_in, draws)
        targets = _some(np.flatnonzero(heard & (old >= above) & (old < above + self.reach)), self.fan_out, draws)
        potentials, gradient = (
            backend.store_rows(array, backend.upload(nodes), batch.n).astype(np.float64)
            for array, nodes in ((batch.potentials, sources), (batch.gradient, targets))
        )
        if not (np.isfinite(potentials).all() and np.isfinite(gradient).all()):
            raise NumericsError("grow nodes: expected finite potentials and gradients, got NaN or Inf; the network has diverged")
        return View(sources, targets, potentials, gradient)

    def _candidates(self, selection: Selection, view: View, level: int) -> list[Candidate]:
        if self.silent == "incoming":
            return silent_below(view, self.nodes)
        activation = self._activation(selection.backend.maths, level)
        return silent_above(view, activation, self.nodes, self.candidates, self._generator(selection, level, 1))

    def _generator(self, selection: Selection, level: int, what: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([DRAWS, selection.seed, selection.event, level, what]))

    def _birth(self, selection: Selection, candidate: Candidate, view: View, level: int) -> CellPlan:
        """Add the node, and return its cells: those that run to it, then those that leave it."""
        n_in, n_out = len(view.sources), len(view.targets)
        node = int(selection.growth.add([self._place(selection, level)])[0])
        weight, bias = np.zeros(n_in + n_out), np.zeros(n_in + n_out)
        if self.silent == "incoming":
            weight[n_in:] = self.size * candidate.weight
        else:
            weight[:n_in], bias[:n_in] = candidate.weight, candidate.bias / n_in
        nobody = np.full(n_in + n_out, FREE)
        source = np.concatenate([view.sources, np.full(n_out, node)])
        target = np.concatenate([np.full(n_in, node), view.targets])
        return CellPlan(source, target, weight, bias, nobody, nobody)

    def _place(self, selection: Selection, level: int) -> int:
        """Return where a level stands by now; one comes in where there is no hidden one yet."""
        growth = selection.growth
        if selection.n_levels > 2:
            return int(growth.level[np.flatnonzero(selection.backend.download(selection.nodes.level) == level)[0]])
        if len(growth.activations) == 2:
            growth.insert_level(1, self._activation(selection.backend.maths, 1))
        return 1

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values."""
        return options_of(self)


def _wakes(activation: Activation) -> bool:
    """Whether a node of sum 0 holds 0 and lets a gradient through."""
    maths = activation.build(np.float64)
    value = maths.value(np.float64(0))
    return bool(value == 0 and maths.slope(value) != 0)


def _some(nodes: np.ndarray, most: int, draws: np.random.Generator) -> np.ndarray:
    """Return the nodes, or so many of them drawn at random, ascending."""
    return nodes if len(nodes) <= most else np.sort(draws.choice(nodes, most, replace=False))

"""Deaths that look at nodes: cells that lead nowhere, and whole nodes by their activity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dna.cells import Scalar
from dna.rules.amount import Exempt, count_of, settle_share, share_at
from dna.rules.node_amount import activity_of_nodes
from dna.rules.options import options_of
from dna.rules.passthrough import Passthrough, find_passthrough
from dna.rules.paths import Cosine
from dna.types import DELETE

if TYPE_CHECKING:
    from dna.selection import Selection


@dataclass(frozen=True, kw_only=True)
class DeleteStranded:
    """All cells die that lie on no way from an input to an output, those that die in the same event counted as dead.

    A node that has lost all cells on one side carries no signal any more. The cells on its other side lead nowhere, and so do,
    step by step, those that only they served.

    Parameters
    ----------
    keep_outputs : bool
        Whether an output all of whose cells are stranded keeps the youngest of them.

    Notes
    -----
    A cell whose source gets no signal still gives a constant current, phi(w*sigma(0) - b). That constant is lost, so the function
    may change by it. The ends of all cells cross to the host.
    """

    keep_outputs: bool = True

    name: ClassVar[str] = "delete_stranded"

    def mark(self, selection: Selection) -> None:
        """Choose the cells that lead nowhere."""
        selection.mark_slots(DELETE, _stranded(selection), Exempt(self.keep_outputs))

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values."""
        return options_of(self)


@dataclass(frozen=True, kw_only=True)
class DeleteNodes:
    """The least active hidden nodes die: all cells that run to them and all that leave them.

    The activity of a node is the sum of the passthrough of the cells that leave it, in float64 by ascending slot. The node itself
    keeps its number and is left without cells.

    Parameters
    ----------
    share : float or Cosine
        In [0, 1], of the n hidden nodes that cells leave: the floor(share * n) least active die, by (activity up, node up); 0.10
        if no threshold is given.
    below : float, optional
        A threshold of activity in place of the share: nodes below (strictly) die.
    passthrough : str, Passthrough or callable
        As for `Delete`.
    keep_outputs : bool
        Whether an output that gets its signal from dying nodes alone keeps one cell, its youngest.

    Raises
    ------
    OptionError, UnknownNameError

    Notes
    -----
    Scores and ends of all cells cross to the host, so that all backends sum in one order and choose the same nodes.
    """

    share: float | Cosine | None = None
    below: float | None = None
    passthrough: str | Passthrough | Scalar = "weight"
    keep_outputs: bool = True

    name: ClassVar[str] = "delete_nodes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", settle_share("share", self.share, "below", self.below))
        find_passthrough(self.passthrough)

    def mark(self, selection: Selection) -> None:
        """Choose the nodes, and so the cells."""
        columns = selection.columns()
        living = columns["id"] >= 0
        doomed = np.zeros(selection.nodes.level.shape[0], bool)
        doomed[self._least_active(selection, living)] = True
        chosen = living & (doomed[columns["source"]] | doomed[columns["target"]])
        selection.mark_slots(DELETE, chosen, Exempt(self.keep_outputs))

    def _least_active(self, selection: Selection, living: np.ndarray) -> np.ndarray:
        candidates, sums = activity_of_nodes(selection, self.passthrough, living)
        if self.below is not None:
            weak: np.ndarray = candidates[sums[candidates] < self.below]
            return weak
        count = count_of(share_at(self.share or 0.0, selection.clock), len(candidates))
        weakest: np.ndarray = candidates[np.lexsort((candidates, sums[candidates]))[:count]]
        return weakest

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values; a function of the user's is given by its name."""
        return options_of(self, passthrough=find_passthrough(self.passthrough).name)


def _stranded(selection: Selection) -> np.ndarray:
    """Return whether each slot holds a cell that will lie on no way from an input to an output."""
    columns, download = selection.columns(), selection.backend.download
    source, target, level = columns["source"], columns["target"], download(selection.nodes.level)
    living = (columns["id"] >= 0) & (download(selection.fates) != DELETE)
    fed, heard = np.zeros(len(level), bool), np.zeros(len(level), bool)
    fed[download(selection.nodes.inputs)] = True
    heard[download(selection.nodes.outputs)] = True
    into, out_of = level[target], level[source]
    for step in range(1, int(level.max()) + 1):
        fed[target[living & (into == step) & fed[source]]] = True
    for step in range(int(level.max()) - 1, -1, -1):
        heard[source[living & (out_of == step) & heard[target]]] = True
    stranded: np.ndarray = living & ~(fed[source] & heard[target])
    return stranded

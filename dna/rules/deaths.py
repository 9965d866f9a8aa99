"""Deaths: which cells an extinction takes away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from dna.cells import Scalar
from dna.rules.amount import Budget, Choose, Exempt, settle_budget, settle_choice, settle_share
from dna.rules.options import name_of, options_of, require_count
from dna.rules.passthrough import Passthrough, find_passthrough
from dna.rules.paths import Cosine
from dna.rules.scope import Scope, find_scope
from dna.types import DELETE

if TYPE_CHECKING:
    from dna.selection import Selection


class Death(Protocol):
    """A rule by which cells die; a class of a user's own may be one."""

    name: ClassVar[str]

    def mark(self, selection: Selection) -> None:
        """Give the fate DELETE to living cells that have no fate yet. Nothing of the network is written."""
        ...

    def options(self) -> dict[str, Any]:
        """Return `name` and all parameters as JSON values, for the fossil record."""
        ...


@dataclass(frozen=True, kw_only=True)
class Delete:
    """The weakest cells die.

    Parameters
    ----------
    share : float or Cosine
        In [0, 1], of the living cells in scope: the floor(share * n) weakest die; 0.10 if nothing else is given. A `dna.Cosine`
        is a share that decays with the training.
    below : float, optional
        A threshold of passthrough in place of the share: cells below (strictly) die, whatever the scope.
    cells : int or Cubic, optional
        A number of cells in place of the share: as many die as leave so many, before births.
    choose : callable, optional
        In place of all these: a function of a `CellTable` (what `net.cells` is) that returns the ids of the cells to die.
    passthrough : str, Passthrough or callable
        `weight` (the default), `weight_bias`, `random`, or a scalar function `(w, b) -> score`.
    scope : {"network", "layer"}
        Whether cells are ranked over the whole network or among the cells into one level.
    keep_outputs : bool
        Whether the strongest cell of each output node is exempt, so that no output loses its last one.
    grace : int
        For so many extinctions after its birth a cell is exempt; those that the network started with are not.

    Raises
    ------
    OptionError, UnknownNameError

    Notes
    -----
    The weakest come first by (passthrough up, id up), exactly. Where fewer may die than the share says, fewer do.
    """

    share: float | Cosine | None = None
    below: float | None = None
    cells: Budget | None = None
    choose: Choose | None = None
    passthrough: str | Passthrough | Scalar = "weight"
    scope: Scope = "network"
    keep_outputs: bool = True
    grace: int = 0

    name: ClassVar[str] = "delete"

    def __post_init__(self) -> None:
        settle_budget(self.cells, self.scope, {"share": self.share, "below": self.below})
        settle_choice(self.choose, {"share": self.share, "below": self.below, "cells": self.cells, "grace": self.grace})
        require_count("grace", self.grace, 0)
        if self.cells is None and self.choose is None:
            object.__setattr__(self, "share", settle_share("share", self.share, "below", self.below))
        find_passthrough(self.passthrough)
        find_scope(self.scope)

    def mark(self, selection: Selection) -> None:
        """Choose the cells that die."""
        exempt = Exempt(self.keep_outputs, self.grace)
        if self.choose is not None:
            selection.mark_chosen(DELETE, self.choose, exempt)
        elif self.below is not None:
            selection.mark_beyond(DELETE, self.passthrough, self.below, exempt)
        else:
            counts = selection.deaths(self.share, self.cells, self.scope, keep_outputs=self.keep_outputs)
            selection.mark_counts(DELETE, self.passthrough, counts, exempt)

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values; a function of the user's is given by its name."""
        return options_of(self, passthrough=find_passthrough(self.passthrough).name, choose=name_of(self.choose))

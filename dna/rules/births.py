"""Births: which cells come into being in an extinction, and what they begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from dna.cells import Scalar
from dna.errors import UnknownNameError
from dna.rules.amount import Budget, Choose, Share, settle_budget, settle_choice, settle_share
from dna.rules.options import name_of, options_of, require_number
from dna.rules.passthrough import Passthrough, find_passthrough
from dna.rules.random import TWINS
from dna.rules.scope import Scope, find_scope
from dna.rules.split import SPLIT_RULES, build_split
from dna.types import SPLIT, Array, Cells

if TYPE_CHECKING:
    from dna.backend import Maths
    from dna.selection import Selection


class Birth(Protocol):
    """A rule by which cells are born; a class of a user's own may be one.

    An extinction asks in this order: `check` before anything else, `prepare` once the dying are chosen. The slots of all broods
    are reserved before the first write; then the dead are released and each brood is written into the slots that it claimed.
    """

    name: ClassVar[str]

    def check(self, maths: Maths) -> None:
        """Raise OptionError where networks of these maths cannot follow the rule."""

    def prepare(self, selection: Selection) -> Brood:
        """Choose and count; all that can fail fails here, and nothing of the network is written."""
        ...

    def options(self) -> dict[str, Any]:
        """Return `name` and all parameters as JSON values, for the fossil record."""
        ...


class Brood(Protocol):
    """Cells that are chosen and counted, but not yet written."""

    @property
    def parents(self) -> Array:
        """(n,) int64 on the device: the id of each cell's parent, -1 for none; n is how many are born."""
        ...

    def write(self, cells: Cells, children: Array, first_id: int) -> None:
        """Write the k-th cell, with the id `first_id + k`, to the slot `children[k]`.

        It is called twice: first with no slots at all, so that what must be compiled is compiled before anything changes, and
        then, when the dead are released, with a slot a cell. Every column of a slot is to be written, whatever it holds.
        Of living cells only the weights and biases of those with the fate SPLIT may change: the fossil record keeps these.
        """


@dataclass(frozen=True, kw_only=True)
class Split:
    """The strongest cells split: each becomes two parallel cells.

    Parameters
    ----------
    share : float, Cosine or "died"
        In [0, 1], of the living cells in scope: the floor(share * n) strongest split; 0.10 if nothing else is given. A
        `dna.Cosine` is a share that decays with the training. "died": as many as die in the same event, scope by scope, so that
        the number of cells stays as it is.
    above : float, optional
        A threshold of passthrough in place of the share: cells above (strictly) split, whatever the scope.
    cells : int or Cubic, optional
        A number of cells in place of the share: as many split as reach it, counting the deaths of the event.
    choose : callable, optional
        In place of all these: a function of a `CellTable` (what `net.cells` is) that returns the ids of the cells to split.
    passthrough : str, Passthrough or callable
        `weight` (the default), `weight_bias`, `random`, or a scalar function `(w, b) -> score`.
    rule : {"preserve", "article"}
        What a split makes of a cell: the cell kind's function-preserving rule, or the article's (w/2, b) and (w/2, 0). For linear
        cells they are the same.
    jitter : float
        In [0, 1): twins take shares (1 + j)/2 and (1 - j)/2 of their parent, j uniform in [-jitter, jitter] by cell. Their
        sum is kept.
    scope : {"network", "layer"}
        Whether cells are ranked over the whole network or among the cells into one level.

    Raises
    ------
    OptionError, UnknownNameError

    Notes
    -----
    Candidates are the cells that do not die. The strongest come first by (passthrough down, id up), exactly.
    """

    share: Share | None = None
    above: float | None = None
    cells: Budget | None = None
    choose: Choose | None = None
    passthrough: str | Passthrough | Scalar = "weight"
    rule: str = "preserve"
    jitter: float = 0.0
    scope: Scope = "network"

    name: ClassVar[str] = "split"

    def __post_init__(self) -> None:
        settle_budget(self.cells, self.scope, {"share": self.share, "above": self.above})
        settle_choice(self.choose, {"share": self.share, "above": self.above, "cells": self.cells})
        if self.cells is None and self.choose is None:
            object.__setattr__(self, "share", settle_share("share", self.share, "above", self.above, may_follow=True))
        find_passthrough(self.passthrough)
        if self.rule not in SPLIT_RULES:
            raise UnknownNameError("split rule", self.rule, SPLIT_RULES)
        require_number("jitter", self.jitter, 0.0, 1.0, open_end=True)
        find_scope(self.scope)

    def check(self, maths: Maths) -> None:
        """Raise OptionError where the cell kind has no such split."""
        build_split(self.rule, maths.kind, maths.real)

    def prepare(self, selection: Selection) -> Twins:
        """Choose the cells that split."""
        if self.choose is not None:
            selection.mark_chosen(SPLIT, self.choose)
        elif self.above is not None:
            selection.mark_beyond(SPLIT, self.passthrough, self.above)
        else:
            selection.mark_counts(SPLIT, self.passthrough, selection.births(self.share, self.cells, self.scope))
        return Twins(self, selection, selection.slots(SPLIT))

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values; a function of the user's is given by its name."""
        return options_of(self, passthrough=find_passthrough(self.passthrough).name, choose=name_of(self.choose))


class Twins(NamedTuple):
    """The children of a split, each beside its parent."""

    rule: Split
    selection: Selection
    slots: Array

    @property
    def parents(self) -> Array:
        """The ids of the parents; they are taken when somebody asks, as the record takes them along with all else."""
        return self.selection.ids(self.slots)

    def write(self, cells: Cells, children: Array, first_id: int) -> None:
        """Split each parent, by ascending slot, into itself and the child in its slot."""
        rule, chosen, parents = self.rule, self.selection, self.slots[: len(children)]
        numbers = first_id, chosen.version, chosen.seed ^ TWINS
        chosen.backend.write_children(rule.rule, rule.jitter, cells, parents, children, *numbers)

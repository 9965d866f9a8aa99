"""Regrowth: new cells between nodes that no cell joins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from dna.errors import NumericsError, UnknownNameError
from dna.rules.amount import Budget, Share, settle_budget, settle_share
from dna.rules.options import options_of, require_count, require_number
from dna.rules.pairs import GROWTH, Pairs, lay_out_pairs
from dna.rules.rating import RATINGS, starting_size
from dna.rules.scope import Scope, find_scope
from dna.types import FREE, ID, SPLIT, Array, Cells

if TYPE_CHECKING:
    from dna.backend import Backend, Maths
    from dna.selection import Selection

BLOCK = 1 << 20
"""Pairs that are looked at together: what bounds the memory, however many pairs there are."""


@dataclass(frozen=True, kw_only=True)
class Regrow:
    """New cells are born between nodes that no cell joins.

    Parameters
    ----------
    share : float, Cosine or "died"
        As for `Split`: a share of the living cells in scope (0.10 if nothing else is given), or as many as die in the same event.
    cells : int or Cubic, optional
        A number of cells in place of the share: as many are born as reach it.
    by : {"gradient", "correlation", "random"}
        Which pairs are joined. `gradient`: those whose newborn lowers the loss fastest. `correlation`: those whose potentials are
        most correlated, of either sign (Hebb). `random`: any. The first two look at the last batch: in `fit` one of the training
        data, by hand that of the last `net.forward` and `net.backward`.
    candidates : int, optional
        How many pairs are drawn at random and looked at for each birth, joined ones included; all pairs if not given.
    weight : float, optional
        The size of a newborn's weight, at least 0; its bias is 0. By default 0 where a cell of weight 0 can train, which leaves
        the function as it is, and 0.1 for other kinds, such as ReLU cells.
    reach : int
        How many levels a newborn may rise; 1 joins neighbouring levels only.
    scope : {"network", "layer"}
        Whether pairs are ranked over the whole network or among those into one level.

    Raises
    ------
    OptionError, UnknownNameError

    Notes
    -----
    Pairs are drawn by a permutation of their numbers, by seed and event. The best come first by (score down, draw up), exactly;
    where there are fewer pairs, fewer are born. A pair whose cells all die in the same event can be joined again.

    Pairs are looked at in blocks of about a million, so that the memory is that of a block, of the births, and of 16 to 32 bytes
    a living cell, however many pairs there are. The time is that of all pairs drawn times the batch; `random` draws no more
    than it needs.
    """

    share: Share | None = None
    cells: Budget | None = None
    by: Literal["gradient", "correlation", "random"] = "gradient"
    candidates: int | None = None
    weight: float | None = None
    reach: int = 1
    scope: Scope = "network"

    name: ClassVar[str] = "regrow"

    def __post_init__(self) -> None:
        settle_budget(self.cells, self.scope, {"share": self.share})
        if self.cells is None:
            object.__setattr__(self, "share", settle_share("share", self.share, "above", None, may_follow=True))
        if self.by not in RATINGS:
            raise UnknownNameError("way to regrow", self.by, RATINGS)
        if self.candidates is not None:
            require_count("candidates", self.candidates, 1)
        if self.weight is not None:
            require_number("weight", self.weight, 0.0, float(np.finfo(np.float32).max))
        require_count("reach", self.reach, 1)
        find_scope(self.scope)

    @property
    def needs_batch(self) -> bool:
        """Whether it looks at potentials, and gradients, of a batch."""
        return self.by != "random"

    def check(self, maths: Maths) -> None:
        """Every cell kind can be regrown."""

    def prepare(self, selection: Selection) -> Newborns:
        """Choose the pairs to be joined, scope by scope."""
        if self.needs_batch:
            selection.require_batch(f"regrow by {self.by}", with_gradient=self.by == "gradient")
        kept = []
        for level, count in selection.births(self.share, self.cells, self.scope).items():
            if count > 0:
                levels = range(1, selection.n_levels) if level < 0 else (level,)
                kept.append(_Search(self, selection, lay_out_pairs(selection.by_level(), levels, self.reach), count).run())
        return Newborns(selection.backend, selection.version, tuple(kept), _orphans(selection.backend, kept))

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values."""
        return options_of(self)


class _Search:
    """The search for the best pairs of one scope, block by block. Candidates are laid out like cells; the id is the draw."""

    def __init__(self, rule: Regrow, selection: Selection, pairs: Pairs, count: int) -> None:
        self.rule, self.selection, self.backend, self.count = rule, selection, selection.backend, count
        self.total = int(pairs.start[-1])
        self.draws = self.total
        if rule.candidates is not None and rule.by != "random":
            self.draws = min(self.total, rule.candidates * count)
        self.pairs = Pairs(*(self.backend.upload(part) for part in pairs))
        kind = self.backend.maths.kind
        self.size = starting_size(kind) if rule.weight is None else rule.weight

    def run(self) -> Cells:
        """Return the chosen pairs, in the order of their draws."""
        kept, scores = _candidates(self.backend, 0)
        first, block = 0, min(BLOCK, max(1024, 4 * self.count)) if self.rule.by == "random" else BLOCK
        while first < self.draws and not (self.rule.by == "random" and len(kept.id) == self.count):
            n = min(block, self.draws - first)
            kept, scores = self._best(*self._look(kept, scores, first, n))
            first += n
        return kept

    def _look(self, kept: Cells, scores: Array, first: int, n: int) -> tuple[Cells, Array]:
        """Return those kept and the next pairs, rated."""
        selection, backend = self.selection, self.backend
        found, rated = _candidates(backend, len(kept.id) + n)
        seed = selection.seed ^ GROWTH
        backend.draw_pairs(
            (kept, scores), self.pairs, first, self.total, seed, selection.event, selection.joined(), (found, rated)
        )
        backend.rate_pairs(self.rule.by, self.size, (found, rated), len(kept.id), selection.batch, seed, selection.event)
        if not backend.all_finite(rated.reshape(1, len(found.id))):
            raise NumericsError(f"regrow by {self.rule.by}: expected finite scores, got NaN or Inf; the potentials have diverged")
        return found, rated

    def _best(self, found: Cells, scores: Array) -> tuple[Cells, Array]:
        backend, n = self.backend, len(found.id)
        fates = backend.new_fates(found, n, 0)
        chosen, _ = backend.select_counts(scores, found, n, self.selection.nodes, -1, self.count, 0, False, fates)
        places = backend.compact(fates, SPLIT, chosen)
        names = ("source", "target", "weight", "id")
        return _as_cells(backend, *(backend.take(getattr(found, name), places) for name in names)), backend.take(scores, places)


class Newborns(NamedTuple):
    """Cells that are to join pairs of nodes."""

    backend: Backend
    version: int
    chosen: tuple[Cells, ...]  # one a scope; ids are draws
    parents: Array

    def write(self, cells: Cells, children: Array, first_id: int) -> None:
        """Write the newborns scope by scope, in the order of their draws."""
        done = 0
        for part in self.chosen:
            n = len(part.id)
            slots, bias = children[done : done + n], self.backend.zeros(n, self.backend.maths.dtype)
            newborns = part._replace(bias=bias, parent=self.parents[done : done + n])
            self.backend.write_newborns(cells, slots, newborns, first_id + done, self.version)
            done += len(slots)


def _orphans(backend: Backend, parts: list[Cells]) -> Array:
    parents = backend.empty(sum(len(part.id) for part in parts), ID)
    backend.fill(parents, FREE)
    return parents


def _candidates(backend: Backend, n: int) -> tuple[Cells, Array]:
    """Return room for `n` candidates and for their scores."""
    ends, real = np.dtype(np.int32), backend.maths.dtype
    cells = _as_cells(backend, backend.empty(n, ends), backend.empty(n, ends), backend.empty(n, real), backend.empty(n, ID))
    return cells, backend.empty(n, real)


def _as_cells(backend: Backend, source: Array, target: Array, weight: Array, draw: Array) -> Cells:
    """Return candidates in the columns of cells, for selection; columns that nobody reads share an array."""
    nothing = backend.empty((0, len(draw)), backend.maths.dtype)
    return Cells(source, target, weight, weight, weight, weight, nothing, draw, draw, source)

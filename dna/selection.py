"""Selection: who dies and who splits in one extinction, while it is being chosen. Nothing of the network is written here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dna.backend import Backend, Batch, Maths
from dna.cells import Scalar
from dna.check import choice
from dna.errors import OptionError
from dna.fossils import DEAD_COLUMNS, SPLIT_COLUMNS
from dna.graph.topology import CellTable
from dna.nodes import NO_NODES, Growth, NodesBorn, lay_out_nodes
from dna.pool import Pool
from dna.rules import Budget, Clock, Cosine, Passthrough, Scope, Share
from dna.rules.amount import NOBODY, Choose, Exempt, budget_at, count_of, share_at
from dna.scores import Scores
from dna.statistics import Statistics
from dna.types import DELETE, SPLIT, Array, Cells, Nodes

KEPT_OF_THE_DEAD = tuple(name for name in DEAD_COLUMNS if name != "slot")
"""Columns of the pool that are taken for the record."""


class Selection:
    """What the rules of one extinction look at, and the fates that they give.

    Attributes
    ----------
    backend : Backend
    pool : Pool
    nodes : Nodes
    statistics : Statistics
        The network as it is before the event; to be read only.
    seed, event : int
        The network's seed and the number of the event: what random scores are drawn from.
    version : int
        The version of the topology that the event makes.
    clock : Clock
        Epochs and steps of the network's life.
    batch : Batch or None
        The last batch that went through the network, if its potentials are still there.
    fates : (bump,) uint8, on the device
        KEEP, SPLIT or DELETE for each slot; free slots have no say.
    """

    def __init__(
        self,
        backend: Backend,
        pool: Pool,
        nodes: Nodes,
        statistics: Statistics,
        *,
        seed: int,
        event: int,
        version: int,
        clock: Clock,
        batch: Batch | None = None,
    ) -> None:
        self.backend, self.pool, self.nodes, self.statistics = backend, pool, nodes, statistics
        self.seed, self.event, self.version, self.clock, self.batch = seed, event, version, clock, batch
        self.fates: Array = backend.new_fates(pool.cells, pool.bump, len(pool))
        self._counts = {DELETE: 0, SPLIT: 0}
        self._slots: dict[int, Array] = {}
        self._ids: tuple[Array, Array] = (None, None)
        self._scores = Scores(backend, pool, statistics, seed, event)
        self._columns: dict[str, np.ndarray] | None = None
        self._joined: Array | None = None
        self._growth: Growth | None = None

    def scores(self, passthrough: str | Passthrough | Scalar) -> Array:
        """Return the passthrough of every slot, (bump,) real on the device; see `dna.scores.Scores.of` for what it raises."""
        return self._scores.of(passthrough)

    def living(self, scope: Scope) -> dict[int, int]:
        """Return the number of cells before the event by scope: {-1: n}, or {level: n} for the levels that cells run to."""
        if scope == "network":
            return {-1: len(self.pool)}
        counts = self.backend.count_levels(self.pool.cells, self.pool.bump, self.nodes)
        return {level: int(n) for level, n in enumerate(counts) if n}

    @property
    def n_died(self) -> int:
        """How many cells are to die so far: all of them once births are prepared."""
        return self._counts[DELETE]

    def deaths(self, share: float | Cosine | None, cells: Budget | None, scope: Scope, *, keep_outputs: bool) -> dict[int, int]:
        """Return how many are to die by scope, as a share of the living or down to a number of cells.

        Raises
        ------
        OptionError
            The number of cells is below that of the outputs, each of which is to keep one.
        """
        if cells is None:
            part = share_at(share or 0.0, self.clock)
            return {where: count_of(part, n) for where, n in self.living(scope).items()}
        budget, outputs = budget_at(cells, self.clock), int(self.nodes.outputs.shape[0])
        if keep_outputs and budget < outputs:
            raise OptionError(f"cells: expected at least {outputs}, one for each output, got {budget}")
        return {-1: max(0, len(self.pool) - self.n_died - budget)}

    def births(self, share: Share | None, cells: Budget | None, scope: Scope) -> dict[int, int]:
        """Return how many are to be born by scope: a share of the living, as many as die, or up to a number of cells."""
        if cells is not None:
            return {-1: max(0, budget_at(cells, self.clock) - (len(self.pool) - self.n_died))}
        if isinstance(share, str):
            return self.dying(scope)
        part = share_at(share or 0.0, self.clock)
        return {where: count_of(part, n) for where, n in self.living(scope).items()}

    def dying(self, scope: Scope) -> dict[int, int]:
        """Return the number of cells that are to die so far by scope, as `living` does."""
        if scope == "network":
            return {-1: self.n_died}
        cells, slots, take = self.pool.cells, self.slots(DELETE), self.backend.take
        dying = cells._replace(id=take(cells.id, slots), target=take(cells.target, slots))
        counts = self.backend.count_levels(dying, self.n_died, self.nodes)
        return {level: int(n) for level, n in enumerate(counts) if n}

    def mark_counts(
        self, fate: int, passthrough: str | Passthrough | Scalar, counts: dict[int, int], exempt: Exempt = NOBODY
    ) -> None:
        """Give `fate` to so many cells in each scope, or to all where there are fewer, among those without a fate.

        DELETE goes to the weakest, by (passthrough up, id up), who are not exempt. SPLIT goes to the strongest, by (passthrough
        down, id up).
        """
        for where, count in counts.items():
            if count > 0:
                self._mark_count(fate, self.scores(passthrough), where, count, exempt)

    def mark_beyond(self, fate: int, passthrough: str | Passthrough | Scalar, bound: float, exempt: Exempt = NOBODY) -> None:
        """Give DELETE to the cells below a bound, or SPLIT to those above, among those without a fate."""
        self._mark_threshold(fate, self.scores(passthrough), bound, exempt)

    def mark_slots(self, fate: int, chosen: np.ndarray, exempt: Exempt = NOBODY) -> int:
        """Give `fate` to the cells in some slots, a mask (bump,), among those without a fate; return how many got it.

        Where all cells of an output are chosen to die and one is to be kept, it is the youngest.
        """
        sign = 1.0 if fate == SPLIT else -1.0
        scores = self.backend.upload(np.where(chosen, sign, 0.0).astype(self.backend.maths.dtype))
        return self._mark_threshold(fate, scores, sign / 2, exempt)

    def mark_chosen(self, fate: int, choose: Choose, exempt: Exempt = NOBODY) -> None:
        """Give `fate` to the cells whose ids a function of the user's returns for the table of all cells.

        Raises
        ------
        ShapeError, DataError
            It returns no row of ids, one twice, or one of a cell that does not live.
        OptionError
            A cell that is to split dies in the same event, or an output would lose its last cell and is to keep it.
        """
        columns = self.columns()
        chosen = np.isin(columns["id"], self.check_ids(choose(self.table())))
        if fate == DELETE:  # it may be dying already
            chosen &= self.backend.download(self.fates) != DELETE
        if self.mark_slots(fate, chosen, exempt) < int(chosen.sum()):
            why = "an output would lose its last cell (see keep_outputs)" if fate == DELETE else "one of them dies in this event"
            raise OptionError(f"choose: expected cells that may {'die' if fate == DELETE else 'split'}, but {why}")

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns of the pool on the host, a place a slot; free slots have the id -1."""
        if self._columns is None:
            self._columns = self.pool.columns()[0]
        return self._columns

    def table(self) -> CellTable:
        """Return all living cells, the dying included, in id order, on the host."""
        return CellTable.of(self.columns())

    def slots(self, fate: int) -> Array:
        """Return the slots of a fate, (n,) int32 on the device, ascending."""
        if fate not in self._slots:
            self._slots[fate] = self.backend.compact(self.fates, fate, self._counts[fate])
        return self._slots[fate]

    def ids(self, slots: Array) -> Array:
        """Return the ids of the cells in some slots, on the device; the same array where the same slots are asked for again."""
        if self._ids[0] is not slots:
            self._ids = slots, self.backend.take(self.pool.cells.id, slots)
        return self._ids[1]

    def remains(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the columns that the record keeps of the dying and of the cells that split, once all are chosen."""
        dying, splitting = self.slots(DELETE), self.slots(SPLIT)
        dead, split = self.backend.take_cells(self.pool.cells, (dying, KEPT_OF_THE_DEAD), (splitting, tuple(SPLIT_COLUMNS)))
        self._ids = splitting, split["id"]
        return dead, split

    @property
    def n_levels(self) -> int:
        return len(self.nodes.by_level)

    def by_level(self) -> list[np.ndarray]:
        """Return the nodes of each level, ascending, on the host."""
        return [self.backend.download(members) for members in self.nodes.by_level]

    def joined(self) -> Array:
        """Return the table of all pairs of nodes that cells which live on join; once the dying are chosen."""
        if self._joined is None:
            pool, n_nodes = self.pool, int(self.nodes.level.shape[0])
            self._joined = self.backend.mark_pairs(pool.cells, pool.bump, self.fates, n_nodes, len(pool))
        return self._joined

    @property
    def growth(self) -> Growth:
        """The nodes of the network, and those that births of this event add."""
        if self._growth is None:
            self._growth = Growth(self.backend.download(self.nodes.level), self.backend.maths.activations)
        return self._growth

    @property
    def nodes_born(self) -> NodesBorn:
        return NO_NODES if self._growth is None else self._growth.born

    def grown(self) -> tuple[Nodes, Maths]:
        """Return nodes and maths as they are after the event; they are laid out on the device, and nothing is written."""
        backend, maths = self.backend, self.backend.maths
        if len(self.nodes_born.level) == 0:
            return self.nodes, maths
        ends = backend.download(self.nodes.inputs), backend.download(self.nodes.outputs)
        nodes = lay_out_nodes(backend, self.growth.level, *ends)
        return nodes, maths._replace(activations=self.growth.activations)

    def require_batch(self, what: str, *, with_gradient: bool) -> None:
        """Raise OptionError where there is no batch to look at, or it did not go back."""
        if self.batch is None or (with_gradient and not self.batch.went_back):
            needed = "a forward and a backward" if with_gradient else "a forward"
            raise OptionError(f"{what}: expected {needed} since the topology last changed, to look at that batch")

    def _mark_count(self, fate: int, scores: Array, where: int, count: int, exempt: Exempt) -> None:
        n_split, n_delete = (count, 0) if fate == SPLIT else (0, count)
        cells, bump = self._protect(exempt), self.pool.bump
        self._count(
            *self.backend.select_counts(
                scores, cells, bump, self.nodes, where, n_split, n_delete, exempt.keep_outputs, self.fates
            )
        )

    def _mark_threshold(self, fate: int, scores: Array, bound: float, exempt: Exempt) -> int:
        with np.errstate(over="ignore"):  # what is past the range of scores is beyond all of them
            bound = float(self.backend.maths.real(bound))
        above, below = (bound, -math.inf) if fate == SPLIT else (math.inf, bound)
        cells, bump = self._protect(exempt), self.pool.bump
        return self._count(
            *self.backend.select_thresholds(scores, cells, bump, self.nodes, above, below, exempt.keep_outputs, self.fates)
        )

    def _protect(self, exempt: Exempt) -> Cells:
        """Exempt newborns where they have a grace; those of version 0 are as old as the network."""
        cells = self.pool.cells
        if exempt.grace > 0:
            self.backend.protect(cells, max(0, self.version - 1 - exempt.grace), self.fates)
        return cells

    def check_ids(self, ids: Any) -> np.ndarray:
        """Return ids that a function of the user's chose; they must be those of living cells, each once.

        Raises
        ------
        ShapeError, DataError
        """
        living = self.columns()["id"]
        return choice(ids, living[living >= 0], numbers="ids", things="cells", whom="ids of living cells")

    def _count(self, n_split: int, n_delete: int) -> int:
        self._counts[SPLIT] += n_split
        self._counts[DELETE] += n_delete
        self._slots.clear()
        return n_split + n_delete

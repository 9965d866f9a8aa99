"""Selection: who dies and who splits in one extinction, while it is being chosen. Nothing of the network is written here."""

from __future__ import annotations

import math

import numpy as np

from dna.backend import Backend
from dna.cells import Scalar
from dna.errors import NumericsError, OptionError
from dna.pool import Pool
from dna.rules import Budget, Clock, Cosine, Passthrough, Scope, Share, budget_at, count_of, find_passthrough, share_at
from dna.types import DELETE, FATE, SLOT, SPLIT, Array, Nodes


class Selection:
    """What the rules of one extinction look at, and the fates that they give.

    Attributes
    ----------
    backend : Backend
    pool : Pool
    nodes : Nodes
        The network as it is before the event; to be read only.
    seed, event : int
        The network's seed and the number of the event: what random scores are drawn from.
    version : int
        The version of the topology that the event makes.
    clock : Clock
        Epochs and steps of the network's life.
    fates : (bump,) uint8, on the device
        KEEP, SPLIT or DELETE for each slot; free slots have no say.
    """

    def __init__(self, backend: Backend, pool: Pool, nodes: Nodes, *, seed: int, event: int, version: int, clock: Clock) -> None:
        self.backend, self.pool, self.nodes = backend, pool, nodes
        self.seed, self.event, self.version, self.clock = seed, event, version, clock
        self.fates: Array = backend.zeros(pool.bump, FATE)
        self._counts = {DELETE: 0, SPLIT: 0}
        self._scores: dict[Passthrough, Array] = {}

    def scores(self, passthrough: str | Passthrough | Scalar) -> Array:
        """Return the passthrough of every slot, (bump,) real on the device.

        Raises
        ------
        NumericsError
            One is NaN; the message names the cell.
        """
        measure = find_passthrough(passthrough)
        if measure not in self._scores:
            self._scores[measure] = self._score(measure)
        return self._scores[measure]

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
        """Return the number of cells that are to die so far by scope, as `living` does; their levels cross to the host."""
        if scope == "network":
            return {-1: self.n_died}
        targets = self.backend.take(self.pool.cells.target, self.slots(DELETE))
        levels = self.backend.download(self.backend.take(self.nodes.level, targets))
        return {int(level): int(n) for level, n in zip(*np.unique(levels, return_counts=True), strict=True)}

    def mark_counts(
        self, fate: int, passthrough: str | Passthrough | Scalar, counts: dict[int, int], *, keep_outputs: bool = False
    ) -> None:
        """Give `fate` to so many cells in each scope, or to all where there are fewer, among those without a fate.

        DELETE goes to the weakest, by (passthrough up, id up), and with `keep_outputs` not to the last cell of an output. SPLIT
        goes to the strongest, by (passthrough down, id up).
        """
        for where, count in counts.items():
            if count > 0:
                self._mark_count(fate, passthrough, where, count, keep_outputs)

    def mark_beyond(
        self, fate: int, passthrough: str | Passthrough | Scalar, bound: float, *, keep_outputs: bool = False
    ) -> None:
        """Give DELETE to the cells below a bound, or SPLIT to those above, among those without a fate."""
        above, below = (bound, -math.inf) if fate == SPLIT else (math.inf, bound)
        scores, pool = self.scores(passthrough), self.pool
        self._count(
            *self.backend.select_thresholds(scores, pool.cells, pool.bump, self.nodes, above, below, keep_outputs, self.fates)
        )

    def slots(self, fate: int) -> Array:
        """Return the slots of a fate, (n,) int32 on the device, ascending."""
        return self.backend.compact(self.fates, fate, self._counts[fate])

    def ids(self, slots: Array) -> Array:
        """Return the ids of the cells in some slots, on the device."""
        return self.backend.take(self.pool.cells.id, slots)

    def _mark_count(self, fate: int, passthrough: str | Passthrough | Scalar, where: int, count: int, keep_outputs: bool) -> None:
        n_split, n_delete = (count, 0) if fate == SPLIT else (0, count)
        scores, pool = self.scores(passthrough), self.pool
        self._count(
            *self.backend.select_counts(
                scores, pool.cells, pool.bump, self.nodes, where, n_split, n_delete, keep_outputs, self.fates
            )
        )

    def _count(self, n_split: int, n_delete: int) -> None:
        self._counts[SPLIT] += n_split
        self._counts[DELETE] += n_delete

    def _score(self, measure: Passthrough) -> Array:
        scores, bad = self.backend.score(measure, self.pool.cells, self.pool.bump, self.seed, self.event)
        if bad >= 0:
            slot = self.backend.upload(np.array([bad], SLOT))
            cell = int(self.backend.download(self.ids(slot))[0])
            raise NumericsError(f"passthrough {measure.name!r}: expected numbers, got NaN for cell {cell}")
        return scores

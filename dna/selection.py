"""Selection: who dies and who splits in one extinction, while it is being chosen. Nothing of the network is written here."""

from __future__ import annotations

import math

import numpy as np

from dna.backend import Backend
from dna.cells import Scalar
from dna.errors import NumericsError
from dna.pool import Pool
from dna.rules import Passthrough, Scope, count_of, find_passthrough
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
    fates : (bump,) uint8, on the device
        KEEP, SPLIT or DELETE for each slot; free slots have no say.
    """

    def __init__(self, backend: Backend, pool: Pool, nodes: Nodes, *, seed: int, event: int, version: int) -> None:
        self.backend, self.pool, self.nodes = backend, pool, nodes
        self.seed, self.event, self.version = seed, event, version
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

    def mark_share(
        self, fate: int, passthrough: str | Passthrough | Scalar, share: float, scope: Scope, *, keep_outputs: bool = False
    ) -> None:
        """Give `fate` to a share of the cells in scope, among those without a fate.

        DELETE goes to the weakest, by (passthrough up, id up), and with `keep_outputs` not to the last cell of an output. SPLIT
        goes to the strongest, by (passthrough down, id up).
        """
        for where, n in self.living(scope).items():
            count = count_of(share, n)
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

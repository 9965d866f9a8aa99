"""Statistics: what a network gathers of its cells while it trains, and only if somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from dna.backend import Backend
from dna.errors import OptionError
from dna.pool import Pool
from dna.rules import PERIOD, SAMPLES, STATISTICS, Passthrough
from dna.types import Array


class Statistics:
    """Tables of statistics on the device, a column a slot. They start anew whenever the topology changes.

    Attributes
    ----------
    tables : dict of str to (rows, bump) real, on the device
        By the name of the statistic.
    counts : dict of str to int
        Of how many steps or samples each is since the last start.
    steps : int
        Steps since the last start.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.tables: dict[str, Array] = {}
        self.counts: dict[str, int] = {}
        self.steps = 0

    def watch(self, names: Iterable[str], bump: int) -> None:
        """Gather these statistics from now on, and no others; those that are gathered already go on.

        Raises
        ------
        UnknownNameError
        """
        wanted = {name: STATISTICS[name] for name in names}
        self.tables = {name: self.tables[name] if name in self.tables else self._empty(name, bump) for name in wanted}
        self.counts = {name: self.counts.get(name, 0) for name in wanted}

    def restart(self, bump: int) -> None:
        """Forget all that was gathered; `bump` slots are in use now."""
        self.tables = {name: self._empty(name, bump) for name in self.tables}
        self.counts = dict.fromkeys(self.counts, 0)
        self.steps = 0

    @property
    def looks_at_samples(self) -> bool:
        """Whether the next step's samples are looked at."""
        return bool(self.tables) and self.steps % PERIOD == 0 and any(STATISTICS[name].by_samples for name in self.tables)

    @property
    def looks_now(self) -> bool:
        """Whether `observe` gathers anything at this step."""
        return bool(self.tables) and any(self.steps % PERIOD == 0 or not STATISTICS[name].by_samples for name in self.tables)

    def pass_by(self) -> None:
        """Count a step that nothing is gathered at."""
        self.steps += 1 if self.tables else 0

    def observe(self, pool: Pool, potentials: Array, batch: int) -> None:
        """Take note of a step: of the gradients of all cells and, now and then, of samples of the batch; 0 if there is none."""
        if not self.tables:
            return
        samples = min(batch, SAMPLES) if self.steps % PERIOD == 0 else 0
        for name, table in self.tables.items():
            statistic = STATISTICS[name]
            if not statistic.by_samples:
                self.backend.gather_step(statistic, pool.cells, pool.bump, table)
                self.counts[name] += 1
            elif samples > 0:
                self.backend.gather_samples(statistic, pool.cells, pool.bump, potentials, samples, self.counts[name], table)
                self.counts[name] += samples
        self.steps += 1

    def of(self, measure: Passthrough) -> tuple[Array, int] | None:
        """Return table and count of the statistic that a measure asks for, or None where it asks for none.

        Raises
        ------
        OptionError
            Nothing has been gathered.
        """
        name = measure.statistic
        if name is None:
            return None
        if self.counts.get(name, 0) == 0:
            raise OptionError(
                f"passthrough {measure.name!r}: expected steps of training since the topology last changed, with "
                f"net.watch({name!r}) or in a fit with this extinction, got none"
            )
        return self.tables[name], self.counts[name]

    def state(self) -> dict[str, Any]:
        """Return steps and counts as JSON values."""
        return {"steps": self.steps, "counts": dict(self.counts)}

    def restore(self, state: dict[str, Any], tables: dict[str, np.ndarray]) -> None:
        """Go on from what was saved."""
        self.steps, self.counts = state["steps"], dict(state["counts"])
        self.tables = {name: self._empty(name, tables[name].shape[1]) for name in self.counts}
        for name, table in self.tables.items():
            self.backend.write(table, tables[name])

    def _empty(self, name: str, bump: int) -> Array:
        return self.backend.zeros((STATISTICS[name].rows, bump), self.backend.maths.dtype)

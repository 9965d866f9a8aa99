"""Scores: the passthrough of all cells as it is before an extinction, computed once for each measure that its rules ask for."""

from __future__ import annotations

import numpy as np

from dna.backend import Backend
from dna.cells import Scalar
from dna.errors import DNAError, NumericsError, OptionError, explain_driver
from dna.pool import Pool
from dna.rules import PASSTHROUGHS, Passthrough, find_passthrough
from dna.statistics import Statistics
from dna.types import SLOT, Array


class Scores:
    """The scores of one extinction.

    Parameters
    ----------
    backend : Backend
    pool : Pool
    statistics : Statistics
        What the network gathered of its cells.
    seed, event : int
        The network's seed and the number of the event: what random scores are drawn from.
    """

    def __init__(self, backend: Backend, pool: Pool, statistics: Statistics, seed: int, event: int) -> None:
        self._backend, self._pool, self._statistics = backend, pool, statistics
        self._seed, self._event = seed, event
        self._known: dict[Passthrough, Array] = {}

    def of(self, passthrough: str | Passthrough | Scalar) -> Array:
        """Return the passthrough of every slot, (bump,) real on the device.

        Raises
        ------
        NumericsError
            One is NaN; the message names the cell.
        OptionError
            Its statistic has not been gathered, or it is a function that cannot be compiled.
        """
        measure = find_passthrough(passthrough)
        if measure not in self._known:
            self._known[measure] = self._score(measure)
        return self._known[measure]

    def _score(self, measure: Passthrough) -> Array:
        gathered, pool, backend = self._statistics.of(measure), self._pool, self._backend
        try:
            scores, bad = backend.score(
                measure, pool.cells, pool.bump, self._seed, self._event, gathered, full=pool.free == 0
            )
        except Exception as error:
            if _is_no_fault_of(measure, error):
                raise
            first = str(error).strip().partition("\n")[0]
            what = f"expected a scalar function that Numba can compile, got {type(error).__name__}: {first}"
            raise OptionError(f"passthrough {measure.name!r}: {what}") from error
        if bad >= 0:
            cell = int(backend.download(backend.take(pool.cells.id, backend.upload(np.array([bad], SLOT))))[0])
            raise NumericsError(f"passthrough {measure.name!r}: expected numbers, got NaN for cell {cell}")
        return scores


def _is_no_fault_of(measure: Passthrough, error: Exception) -> bool:
    """Whether an error has other causes than a function of the user's that cannot be compiled."""
    ours = measure in map(PASSTHROUGHS.__getitem__, PASSTHROUGHS)
    return ours or isinstance(error, DNAError | MemoryError) or explain_driver(error, None) is not None

"""Tally: the losses of batches, which stay on the device until somebody asks for them."""

from __future__ import annotations

import math

import numpy as np

from dna.backend import Backend
from dna.training.standing import Standing
from dna.types import OFFSET, SUM, Array


class Tally:
    """Sums of losses and hits, a row a batch.

    Reading makes the host wait for all that was launched. So a fit writes a row at each step, and reads many at once.

    Parameters
    ----------
    backend : Backend
    batches : int

    Attributes
    ----------
    sums : (batches, 2) float64, on the device
    place : (1,) int64, on the device
        The row that the next loss is written to.
    """

    def __init__(self, backend: Backend, batches: int) -> None:
        self._backend = backend
        self.sums: Array = backend.zeros((batches, 2), SUM)
        self.place: Array = backend.zeros(1, OFFSET)

    def __len__(self) -> int:
        return int(self.sums.shape[0])

    def turn_to(self, batch: int) -> None:
        """Let the next loss be that of this batch."""
        self._backend.fill(self.place, batch)

    def read(self, first: int, end: int) -> np.ndarray:
        """Return the rows of some batches, (end - first, 2), on the host."""
        return self._backend.download(self.sums[first:end]) if first < end else np.empty((0, 2), SUM)

    def lost(self, first: int, end: int) -> bool:
        """Whether the loss of one of these batches is not finite."""
        return not all(map(math.isfinite, self.read(first, end)[:, 0].tolist()))

    def totals(self, total: float, hits: float, first: int, end: int) -> tuple[float, float]:
        """Return these numbers and the sums of some batches, added in the order of the batches."""
        for batch_total, batch_hits in self.read(first, end).tolist():
            total, hits = total + batch_total, hits + batch_hits
        return total, hits

    def complete(self, start: Standing, standing: Standing) -> Standing:
        """Return a standing with the sums of the batches since `start`, which has those before."""
        total, hits = self.totals(start.total, start.hits, start.batches, standing.batches)
        return standing._replace(total=total, hits=hits)

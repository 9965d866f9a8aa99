"""Standing: how far an epoch has come that has not ended, so that a later fit ends it bit by bit."""

from __future__ import annotations

from typing import NamedTuple


class Standing(NamedTuple):
    """Where an epoch stands. Its shuffle is drawn again, as the network's generator moves on only when the epoch ends."""

    samples: int
    batch_size: int
    loss: str  # by name
    batches: int = 0  # applied so far
    total: float = 0.0  # sum of the losses of their samples; while batches run, of those that a fit began with
    hits: float = 0.0  # sum of the loss's metric, likewise

    def at(self, batches: int) -> Standing:
        """Return the standing after so many batches of the same epoch, whose losses are not added yet."""
        return Standing(self.samples, self.batch_size, self.loss, batches, self.total, self.hits)

    def same_epoch(self, other: Standing) -> bool:
        """Whether both are of epochs with the same batches and the same loss, as far as can be told."""
        return self[:3] == other[:3]

"""Shuffle: the order in which an epoch takes its samples."""

from __future__ import annotations

import numpy as np


class Shuffle:
    """Draws ahead of a network's generator, which moves on when the epoch has ended: one that was cut short is drawn again.

    One generator is kept for that, as another copy takes longer than all else of a short epoch's beginning but the drawing.

    Parameters
    ----------
    generator : numpy.random.Generator
        The network's own.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        source = generator.bit_generator
        self._own = generator
        self._ahead = np.random.Generator(type(source)(source.seed_seq))  # type: ignore[arg-type]

    def draw(self, n: int) -> np.ndarray:
        """Return the numbers 0 to n - 1 in the order of the next epoch, (n,) int64."""
        self._ahead.bit_generator.state = self._own.bit_generator.state
        return self._ahead.permutation(n)

    def settle(self) -> None:
        """Move the network's generator past the last draw."""
        self._own.bit_generator.state = self._ahead.bit_generator.state

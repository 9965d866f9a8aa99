"""Room for training steps of the dense plan on the CPU, and how a batch is cut for them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dna.cpu.loss import GROUP
from dna.cpu.memory import CACHE_LINE, aligned_zeros
from dna.types import NODE, SUM, Array

PARTS, FEWEST = 8, 64
"""A batch is cut into at most so many parts, of no fewer samples."""

class Room(NamedTuple):
    """Scratch memory of steps; p counts the parts of a batch. What threads write to has cache lines of its own for each part."""

    parts: Array  # (p, n_out, n_in) real: gradients of the matrix
    totals: Array  # (p, n_out or more) real: sums over samples of the gradients at the outputs
    sums: Array  # (p, CACHE_LINE / 8) float64: losses, hits and nothing
    ends: Array  # (p, 2, 1, n_out, GROUP) real: potentials and gradients of a group
    offset: Array  # (n_out,) real: sums of the biases
    numbers: Array  # (n_out,) int32: 0, 1, ...


def make_room(n_in: int, n_out: int, size: int, dtype: np.dtype) -> Room:
    """Return the room for batches of up to `size` samples."""
    p = parts_of(size)
    return Room(
        parts=aligned_zeros((p, n_out, n_in), dtype),
        totals=aligned_zeros((p, -(-n_out * dtype.itemsize // CACHE_LINE) * CACHE_LINE // dtype.itemsize), dtype),
        sums=aligned_zeros((p, CACHE_LINE // SUM.itemsize), SUM),
        ends=aligned_zeros((p, 2, 1, n_out, GROUP), dtype),
        offset=aligned_zeros(n_out, dtype),
        numbers=np.arange(n_out, dtype=NODE),
    )


def parts_of(n: int) -> int:
    """Return how many parts a batch of n samples has, whatever the number of threads."""
    return max(1, min(PARTS, n // FEWEST))

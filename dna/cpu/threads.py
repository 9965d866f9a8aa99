"""Threads: which work is for one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dna.cpu.compiler import jit

LITTLE = 1 << 20
"""Multiply-adds that one thread has done before another is awake: some twenty microseconds."""

LOOK, MOVE = 8, 16
"""Multiply-adds that take as long as looking at a number, and as moving one from rows to lanes or back."""


def is_little(work: int) -> bool:
    """Whether so many multiply-adds are for one thread alone.

    It goes by the size of the problem, never by the number of threads, so that bits do not depend on that.
    """
    return work <= LITTLE


def moves_alone(numbers: int, cell_samples: int) -> bool:
    """Whether one thread lays out so many numbers: few, or not many, where cells of so many samples are its own too."""
    return is_little((MOVE // 2 if is_little(cell_samples) else MOVE) * numbers)


@jit
def zeros(shape: Any, kind: Any) -> Any:
    """Return zeros, for kernels with `prange`: what is written there by NumPy's names is another loop on all threads."""
    return np.zeros(shape, kind)

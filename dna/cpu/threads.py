"""Threads: which work is for one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dna.cpu.compiler import jit

LITTLE = 1 << 20
"""Multiply-adds that one thread has done before another is awake: some twenty microseconds."""

LOOK, MOVE, JUDGE, UPDATE = 8, 16, 16, 64
"""Multiply-adds that take as long as looking at a number, as moving one from rows to lanes or back, as judging an output of a
sample, and as letting a cell learn."""

LITTLE_STEP = 1 << 22
"""Multiply-adds of a step's forward, moving counted in, up to which one thread takes the whole step. Two threads hand each other
potentials and gradients from phase to phase: where cores are far from each other that takes longer than it saves."""

MANY_TILES = 4
"""Tiles of samples from which it pays that each stays with the thread that laid it out."""


def is_little(work: int) -> bool:
    """Whether so many multiply-adds are for one thread alone.

    It goes by the size of the problem, never by the number of threads, so that bits do not depend on that.
    """
    return work <= LITTLE


def moves_alone(numbers: int, cell_samples: int) -> bool:
    """Whether one thread lays out so many numbers: few, or not many, where cells of so many samples are its own too."""
    return is_little((MOVE // 2 if is_little(cell_samples) else MOVE) * numbers)


def is_little_step(n_cells: int, shape: tuple[int, ...]) -> bool:
    """Whether one thread takes all phases of a step through so many cells, with potentials of this shape."""
    tiles, n_nodes, lanes = shape
    return tiles < MANY_TILES and (n_cells + MOVE * n_nodes) * tiles * lanes <= LITTLE_STEP


@jit
def zeros(shape: Any, kind: Any) -> Any:
    """Return zeros, for kernels with `prange`: what is written there by NumPy's names is another loop on all threads."""
    return np.zeros(shape, kind)

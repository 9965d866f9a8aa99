"""Threads: which work is for one of them."""

from __future__ import annotations

LITTLE = 1 << 20
"""Multiply-adds that one thread has done before another is awake: some twenty microseconds."""

LOOK, MOVE = 8, 16
"""Multiply-adds that take as long as looking at a number, and as moving one from rows to lanes or back."""


def is_little(work: int) -> bool:
    """Whether so many multiply-adds are for one thread alone.

    It goes by the size of the problem, never by the number of threads, so that bits do not depend on that.
    """
    return work <= LITTLE

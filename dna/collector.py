"""The collector of cycles, out of a compiler's way."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Hold back Python's collector of cycles until the block is done.

    A compiler makes objects by the hundred thousand, which live until it ends: to look through them for cycles again and again
    takes a seventh of its time, and frees next to nothing.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()

"""Bits: words of answers, a bit a cell, and which of them are set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from dna.cpu.compiler import jit

WORD = 64
"""Cells that answer a question side by side."""


@jit
def first_bit(word: Any) -> Any:
    """Return the place of the lowest bit of a uint64 that is set; one must be."""
    return np.uint64(trailing_zeros(word))

"""Keys of selection: unsigned integers in the order of the scores, so that every backend ranks by exact comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np

from dna.cells import Scalar

KEY_OF: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float32): np.dtype(np.uint32),
    np.dtype(np.float64): np.dtype(np.uint64),
}


def build_key(dtype: np.dtype[Any]) -> Scalar:
    """Build `key(bits) -> key` from a score's bits to an unsigned integer of the same width, increasing with the score.

    Positive floats are ordered as their bits are, negative ones the other way round; -0.0 and 0.0 get one key.
    """
    word = KEY_OF[dtype].type
    sign = word(1 << (8 * dtype.itemsize - 1))
    every = word((1 << (8 * dtype.itemsize)) - 1)

    def key(bits: Any) -> Any:
        return word(every - bits + word(1)) if bits & sign else bits | sign

    return key


def build_is_nan(dtype: np.dtype[Any]) -> Scalar:
    """Build `is_nan(bits)`, which no float optimization can remove."""
    word = KEY_OF[dtype].type
    mantissa = 23 if dtype.itemsize == 4 else 52
    infinity = word(((1 << (8 * dtype.itemsize - 1)) - 1) ^ ((1 << mantissa) - 1))
    magnitude = word((1 << (8 * dtype.itemsize - 1)) - 1)

    def is_nan(bits: Any) -> Any:
        return (bits & magnitude) > infinity

    return is_nan

"""Random numbers without a state: a hash of (seed, event, id), the same on every backend and for any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from dna.cells import Scalar

TWINS = 0x7477696E73
"""Added to the seed (exclusive or) where twins draw their shares. A child's share would otherwise be the number that the
passthrough `random` gives it in the next extinction, and the control would rank by weight.
"""


def build_uniform(real: type) -> Scalar:
    """Build `uniform(seed, event, id) -> real` in [0, 1), with 24 random bits.

    The integer mixer is Wellons' two-round xorshift-multiply hash with low bias ("Hash function prospector", 2018), chained over
    the words of its arguments. Words are 32 bits wide inside uint64, so that no product overflows.
    """
    u64 = np.uint64
    low32 = u64(0xFFFFFFFF)
    first, second = u64(0x7FEB352D), u64(0x846CA68B)
    s8, s15, s16, s32 = u64(8), u64(15), u64(16), u64(32)
    start = u64(0x9E3779B9)
    scale = real(2.0**-24)

    def uniform(seed: Any, event: Any, cell_id: Any) -> Any:
        h = start
        for word in (u64(seed) & low32, u64(seed) >> s32, u64(event) & low32, u64(cell_id) & low32, u64(cell_id) >> s32):
            h = h ^ word
            h = ((h ^ (h >> s16)) * first) & low32
            h = ((h ^ (h >> s15)) * second) & low32
            h = h ^ (h >> s16)
        return real(h >> s8) * scale

    return uniform

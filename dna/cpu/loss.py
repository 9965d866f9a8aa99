"""Loss on the CPU: one sample after another within a tile, tiles over threads, sums in float64 and in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.backend import LossMaths
from dna.cpu.compiler import jit, kernel


@cache
def loss_kernel(loss_maths: LossMaths, real: type) -> Callable[..., Any]:
    """Build `loss(potentials, gradient, outputs, targets, rows, scale) -> (sum of losses, sum of hits)`."""
    sample_maths = loss_maths.build(real)
    sample = jit(sample_maths)

    @kernel(sample_maths, real, parallel=True)
    def loss(potentials: Any, gradient: Any, outputs: Any, targets: Any, rows: Any, scale: Any) -> Any:
        tiles, tile = potentials.shape[0], potentials.shape[2]
        values, hits = np.zeros(tiles, np.float64), np.zeros(tiles, np.float64)
        for t in numba.prange(tiles):
            count = min(tile, len(rows) - t * tile)
            for o in outputs:
                for k in range(count, tile):
                    gradient[t, o, k] = 0
            for k in range(count):
                value, hit = sample(potentials, gradient, t, k, outputs, targets, rows[t * tile + k], scale)
                values[t] += value
                hits[t] += hit
        value, hit = 0.0, 0.0
        for t in range(tiles):
            value += values[t]
            hit += hits[t]
        return value, hit

    return loss

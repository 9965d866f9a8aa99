"""What a cell passes back: its part of all three gradients from that of its current."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dna.cells.kind import CellMaths, Scalar


def puller(maths: CellMaths, jit: Callable[[Scalar], Scalar]) -> Scalar:
    """Build `pull(w, v, b, i, g) -> (dL/dw, dL/dV, dL/db)` of a cell and sample, from g = dL/dI, compiled by `jit`."""
    if maths.gate is not None:
        gate = jit(maths.gate)

        def pull(w: Any, v: Any, b: Any, i: Any, g: Any) -> Any:
            gz = gate(i, g)
            return gz * v, gz * w, -gz

        return jit(pull)
    slopes = jit(maths.slopes)

    def pull_by_slopes(w: Any, v: Any, b: Any, i: Any, g: Any) -> Any:
        by_w, by_v, by_b = slopes(w, v, b, i)
        return g * by_w, g * by_v, g * by_b

    return jit(pull_by_slopes)

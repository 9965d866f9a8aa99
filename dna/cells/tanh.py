"""The saturating cell: I = tanh(w*V - b)."""

from __future__ import annotations

import math
from typing import Any

from dna.cells.kind import KINDS, CellKind, CellMaths


def build(real: type) -> CellMaths:
    one, zero = real(1), real(0)

    def current(w: Any, v: Any, b: Any) -> Any:
        return math.tanh(w * v - b)

    def slopes(w: Any, v: Any, b: Any) -> Any:
        y = math.tanh(w * v - b)
        slope = one - y * y
        return slope * v, slope * w, -slope

    def split(w: Any, b: Any, share: Any) -> Any:
        # No two tanh of smaller weights sum to one tanh. A silent cell does preserve the function: tanh(0*V - 0) = 0, while its
        # slope is 1, so the child trains from its first step and differs from its parent at once.
        return w, b, zero, zero

    return CellMaths(current, slopes, split)


TANH = KINDS.add("tanh", CellKind("tanh", build, halves=False))

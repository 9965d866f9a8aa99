"""The saturating cell: I = tanh(w*V - b)."""

from __future__ import annotations

from typing import Any

from dna.cells.functions import tanh
from dna.cells.kind import KINDS, CellKind, CellMaths


def build(real: type) -> CellMaths:
    one, zero, tangent = real(1), real(0), tanh(real)

    def current(w: Any, v: Any, b: Any) -> Any:
        return tangent(w * v - b)

    def slopes(w: Any, v: Any, b: Any, i: Any) -> Any:
        slope = one - i * i
        return slope * v, slope * w, -slope

    def gate(i: Any, g: Any) -> Any:
        return g * (one - i * i)

    def split(w: Any, b: Any, share: Any) -> Any:
        # No two tanh of smaller weights sum to one tanh. A silent cell does preserve the function: tanh(0*V - 0) = 0, while its
        # slope is 1, so the child trains from its first step and differs from its parent at once.
        return w, b, zero, zero

    return CellMaths(current, slopes, split, gate)


TANH = KINDS.add("tanh", CellKind("tanh", build, halves=False))

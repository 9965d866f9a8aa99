"""The linear cell of the DNA article: I = w*V - b."""

from __future__ import annotations

from typing import Any

from dna.cells.kind import KINDS, CellKind, CellMaths


def build(real: type) -> CellMaths:
    one, zero = real(1), real(0)

    def current(w: Any, v: Any, b: Any) -> Any:
        return w * v - b

    def slopes(w: Any, v: Any, b: Any, i: Any) -> Any:
        return v, w, -one

    def gate(i: Any, g: Any) -> Any:
        return g

    def split(w: Any, b: Any, share: Any) -> Any:
        first = w * share
        return first, b, w - first, zero

    return CellMaths(current, slopes, split, gate)


LINEAR = KINDS.add("linear", CellKind("linear", build, affine=True))

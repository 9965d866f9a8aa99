"""The rectified cell: I = max(w*V - b, 0), a hinge whose knot lies at V = b/w."""

from __future__ import annotations

from typing import Any

from dna.cells.kind import KINDS, CellKind, CellMaths


def build(real: type) -> CellMaths:
    one, zero = real(1), real(0)

    def current(w: Any, v: Any, b: Any) -> Any:
        z = w * v - b
        return z if z > zero else zero

    def slopes(w: Any, v: Any, b: Any, i: Any) -> Any:
        on = one if i > zero else zero
        return on * v, on * w, -on

    def gate(i: Any, g: Any) -> Any:
        return g if i > zero else zero

    def split(w: Any, b: Any, share: Any) -> Any:
        # max(s*z, 0) + max((1 - s)*z, 0) = max(z, 0) for 0 < s < 1: both twins keep the parent's knot.
        first, bias = w * share, b * share
        return first, bias, w - first, b - bias

    return CellMaths(current, slopes, split, gate)


RELU = KINDS.add("relu", CellKind("relu", build, signed=False))

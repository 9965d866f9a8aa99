"""The saturating cell: I = tanh(w*V - b)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dna.cells.kind import KINDS, CellKind, CellMaths, Scalar

CLIP = 9.02
"""tanh of anything beyond rounds to 1 in float32."""

NUMERATOR = (1.0, 0.136799149, 0.00386832756, 2.80074561e-05, 3.05850188e-08, -1.22034652e-11)
DENOMINATOR = (1.0, 0.47013247, 0.0272458381, 0.000393863083, 1.28736645e-06)
"""tanh(z) = z * P(z^2) / Q(z^2): a least-squares fit on [0, CLIP] with Lawson's weights, so that the largest relative error is
least; 1.3e-9 in exact arithmetic, 4e-7 in float32."""


def build(real: type) -> CellMaths:
    one, zero = real(1), real(0)

    def slopes(w: Any, v: Any, b: Any, i: Any) -> Any:
        slope = one - i * i
        return slope * v, slope * w, -slope

    def gate(i: Any, g: Any) -> Any:
        return g * (one - i * i)

    def split(w: Any, b: Any, share: Any) -> Any:
        # No two tanh of smaller weights sum to one tanh. A silent cell does preserve the function: tanh(0*V - 0) = 0, while its
        # slope is 1, so the child trains from its first step and differs from its parent at once.
        return w, b, zero, zero

    return CellMaths(_rational(real) if real is np.float32 else _library(), slopes, split, gate)


def _library() -> Scalar:
    def current(w: Any, v: Any, b: Any) -> Any:
        return math.tanh(w * v - b)

    return current


def _rational(real: type) -> Scalar:
    """Build the current out of arithmetic alone, which runs in SIMD lanes; the library's tanh does not."""
    one, clip = real(1), real(CLIP)
    p0, p1, p2, p3, p4, p5 = (real(c) for c in NUMERATOR)
    q0, q1, q2, q3, q4 = (real(c) for c in DENOMINATOR)

    def current(w: Any, v: Any, b: Any) -> Any:
        z = w * v - b
        z = -clip if z < -clip else z
        z = clip if z > clip else z
        u = z * z
        y = z * (p0 + u * (p1 + u * (p2 + u * (p3 + u * (p4 + u * p5))))) / (q0 + u * (q1 + u * (q2 + u * (q3 + u * q4))))
        y = -one if y < -one else y
        return one if y > one else y

    return current


TANH = KINDS.add("tanh", CellKind("tanh", build, halves=False))

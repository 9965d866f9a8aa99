"""Functions of one number that the maths of losses and activations call.

In float32 they are arithmetic alone, which runs in SIMD lanes where the library's functions are called lane by lane. Float64 is
there to check with, so in float64 they are the library's. NaN stays NaN.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dna.cells.kind import Scalar

TO_HALVINGS = 1 / math.log(2)
LEAST = 126.0
"""What has been halved more often is below the normal numbers of float32."""

HALVING = (1.0, -0.69314700, 0.24022397, -0.055489421, 0.0095770117, -0.0012730521, 0.00010851127)
"""2^-f for f in [0, 1]; relative error 1.9e-9 in exact arithmetic. This fit and the next are least squares with Lawson's weights,
so that the largest relative error is least."""

LOGARITHM = (2.0, 0.66666317, 0.40024909, 0.27960604, 0.28178334)
"""log((1 + s) / (1 - s)) / s in powers of s^2, for s in [0, 1/3]; relative error 4e-9 in exact arithmetic."""

CLIP = 9.02
"""tanh of anything beyond rounds to 1 in float32."""

NUMERATOR = (1.0, 0.136799149, 0.00386832756, 2.80074561e-05, 3.05850188e-08, -1.22034652e-11)
DENOMINATOR = (1.0, 0.47013247, 0.0272458381, 0.000393863083, 1.28736645e-06)
"""tanh(z) = z * P(z^2) / Q(z^2) on [0, CLIP], a fit of the same sort; relative error 1.3e-9 in exact arithmetic."""


def decay(real: type) -> Scalar:
    """Build e^-q for q >= 0. In float32 its relative error is at most (1 + q) * 1.2e-7, and beyond q = 87.3 it is 0."""
    if real is not np.float32:

        def by_library(q: Any) -> Any:
            return math.exp(-q)

        return by_library

    zero, one, to_halvings, least = real(0), real(1), real(TO_HALVINGS), real(LEAST)
    n6, n5, n4, n3, n2, n1, n0 = (real(2**k) for k in range(6, -1, -1))  # so many halvings, and what they leave
    s6, s5, s4, s3, s2, s1, s0 = (real(0.5 ** (2**k)) for k in range(6, -1, -1))
    c0, c1, c2, c3, c4, c5, c6 = (real(c) for c in HALVING)

    def decayed(q: Any) -> Any:
        times = q * to_halvings
        f, scale = times, one  # 2^-times = scale * 2^-f; comparisons and choices run in lanes, moving bits of a float would not
        f, scale = (f - n6, s6) if f >= n6 else (f, scale)
        f, scale = (f - n5, scale * s5) if f >= n5 else (f, scale)
        f, scale = (f - n4, scale * s4) if f >= n4 else (f, scale)
        f, scale = (f - n3, scale * s3) if f >= n3 else (f, scale)
        f, scale = (f - n2, scale * s2) if f >= n2 else (f, scale)
        f, scale = (f - n1, scale * s1) if f >= n1 else (f, scale)
        f, scale = (f - n0, scale * s0) if f >= n0 else (f, scale)
        part = c0 + f * (c1 + f * (c2 + f * (c3 + f * (c4 + f * (c5 + f * c6)))))
        return zero if times > least else scale * part

    return decayed


def log1p(real: type) -> Scalar:
    """Build log(1 + x) for 0 <= x < 2^32. In float32 its relative error is at most 3e-7."""
    if real is not np.float32:

        def by_library(x: Any) -> Any:
            return math.log1p(x)

        return by_library

    one, two, log_two = real(1), real(2), real(math.log(2))
    n4, n3, n2, n1, n0 = (real(2.0 ** (2**k)) for k in range(4, -1, -1))  # powers of two, their inverses and logarithms
    s4, s3, s2, s1, s0 = (real(0.5 ** (2**k)) for k in range(4, -1, -1))
    p4, p3, p2, p1, p0 = (real(2**k) for k in range(4, -1, -1))
    c0, c1, c2, c3, c4 = (real(c) for c in LOGARITHM)

    def logarithm(x: Any) -> Any:
        m, halvings = one + x, x - x  # 1 + x = m * 2^halvings
        m, halvings = (m * s4, p4) if m >= n4 else (m, halvings)
        m, halvings = (m * s3, halvings + p3) if m >= n3 else (m, halvings)
        m, halvings = (m * s2, halvings + p2) if m >= n2 else (m, halvings)
        m, halvings = (m * s1, halvings + p1) if m >= n1 else (m, halvings)
        m, halvings = (m * s0, halvings + p0) if m >= n0 else (m, halvings)
        rest = x if x < one else m - one  # 1 + x has lost what a small x is
        s = rest / (two + rest)
        u = s * s
        return halvings * log_two + s * (c0 + u * (c1 + u * (c2 + u * (c3 + u * c4))))

    return logarithm


def tanh(real: type) -> Scalar:
    """Build the hyperbolic tangent. In float32 its relative error is at most 4e-7."""
    if real is not np.float32:

        def by_library(z: Any) -> Any:
            return math.tanh(z)

        return by_library

    one, clip = real(1), real(CLIP)
    p0, p1, p2, p3, p4, p5 = (real(c) for c in NUMERATOR)
    q0, q1, q2, q3, q4 = (real(c) for c in DENOMINATOR)

    def tangent(z: Any) -> Any:
        z = -clip if z < -clip else z
        z = clip if z > clip else z
        u = z * z
        y = z * (p0 + u * (p1 + u * (p2 + u * (p3 + u * (p4 + u * p5))))) / (q0 + u * (q1 + u * (q2 + u * (q3 + u * q4))))
        y = -one if y < -one else y
        return one if y > one else y

    return tangent

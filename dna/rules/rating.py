"""Rating of pairs that a new cell may join: by gradient, by correlation, at random. Scalar functions, no loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dna.cells import CellKind, Scalar
from dna.rules.random import build_uniform

RATINGS = ("gradient", "correlation", "random")


class Rating(NamedTuple):
    """How a pair is rated: `add` folds one sample into five sums of float64, `judge` makes a score and a weight of them."""

    add: Scalar  # (sums, potential of the source, potential of the target, dL/d(sum of the target's currents)) -> sums
    judge: Scalar  # (sums, samples, seed, event, draw) -> (score, weight of the newborn)


def build_rating(jit: Callable[[Scalar], Scalar], by: str, kind: CellKind, real: type, size: float) -> Rating:
    """Build a rating; newborns have a weight of `size` or -`size`, and no bias.

    `gradient`: how fast the loss falls while the newborn's weight grows away from 0 in the better direction, which it takes. For
    cells that are linear in the weight and `size` 0 this is |dL/dw|, as in RigL (Evci et al., ICML 2020). `correlation`: the
    absolute Pearson correlation of both potentials. `random`: all alike, so that the order of the draws decides, as in SET
    (Mocanu et al., 2018). The last two take a sign by a hash of the draw.
    """
    if by == "gradient":
        return _gradient(jit, kind, real, size)
    uniform = jit(build_uniform(real))
    up, down, half, zero = real(size), real(0) - real(size), real(0.5), real(0)

    def signed(seed: Any, event: Any, draw: Any) -> Any:
        return up if uniform(seed, event, draw) < half else down

    sign = jit(signed)

    def add_products(sums: Any, v: Any, u: Any, g: Any) -> Any:
        x, y = np.float64(v), np.float64(u)
        return sums[0] + x, sums[1] + y, sums[2] + x * x, sums[3] + y * y, sums[4] + x * y

    def judge_correlation(sums: Any, n: Any, seed: Any, event: Any, draw: Any) -> Any:
        spread = (n * sums[2] - sums[0] * sums[0]) * (n * sums[3] - sums[1] * sums[1])
        score = zero
        if spread > 0:
            score = real(abs(n * sums[4] - sums[0] * sums[1]) / math.sqrt(spread))
        return score, sign(seed, event, draw)

    def add_nothing(sums: Any, v: Any, u: Any, g: Any) -> Any:
        return sums

    def judge_alike(sums: Any, n: Any, seed: Any, event: Any, draw: Any) -> Any:
        return zero, sign(seed, event, draw)

    if by == "correlation":
        return Rating(jit(add_products), jit(judge_correlation))
    return Rating(jit(add_nothing), jit(judge_alike))


def _gradient(jit: Callable[[Scalar], Scalar], kind: CellKind, real: type, size: float) -> Rating:
    maths = kind.build(real)
    current, slopes = jit(maths.current), jit(maths.slopes)
    up, down, zero = real(size), real(0) - real(size), real(0)

    def add(sums: Any, v: Any, u: Any, g: Any) -> Any:
        above = slopes(up, v, zero, current(up, v, zero))[0]
        below = slopes(down, v, zero, current(down, v, zero))[0]
        return sums[0] + np.float64(g * above), sums[1] + np.float64(g * below), sums[2], sums[3], sums[4]

    def judge(sums: Any, n: Any, seed: Any, event: Any, draw: Any) -> Any:
        if -sums[0] >= sums[1]:
            return real(-sums[0]), up
        return real(sums[1]), down

    return Rating(jit(add), jit(judge))


def starting_size(kind: CellKind) -> float:
    """Return the weight that a newborn of a kind begins with where nothing is said: 0 if such a cell can train, else 0.1.

    A ReLU cell of weight 0 passes nothing and sees no gradient, whatever comes.
    """
    maths = kind.build(np.float64)
    zero = np.float64(0)
    return 0.0 if maths.slopes(zero, np.float64(1), zero, maths.current(zero, np.float64(1), zero))[0] != 0 else 0.1

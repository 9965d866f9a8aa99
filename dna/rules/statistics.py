"""Statistics of cells: what is gathered while a network trains, for the measures of passthrough that look back.

A statistic has a few rows of real numbers a cell. All of them start from zero when the topology changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from dna.cells import Scalar
from dna.registry import Registry

PERIOD = 16
"""Statistics of samples are gathered at each sixteenth step, the first one included, ..."""

SAMPLES = 32
"""... over the first samples of the batch, at most so many; batches are shuffled, so that they are a random sample."""


class StatisticMaths(NamedTuple):
    """The scalar functions of a statistic at one precision; `table` is (rows, slots).

    Either `after_step` is given, or `of_sample` and `fold`.
    """

    value: Scalar  # (table, s, count) -> the statistic; count > 0 is how many steps or samples it is of
    after_step: Scalar | None = None  # (m, w, dL/dw) -> m, the only row of the table: called once a step and cell
    of_sample: Scalar | None = None  # (i, x, y) -> five terms, which are summed over a chunk of samples
    fold: Scalar | None = None  # (table, s, before, n, first x, first y, sums): a chunk of n samples joins those before
    # x and y are the potentials of source and target, in `of_sample` less those of the chunk's first sample; i is the current


@dataclass(frozen=True)
class Statistic:
    """A statistic: `build(real) -> StatisticMaths`."""

    name: str
    rows: int
    build: Callable[[type], StatisticMaths]
    by_samples: bool = True  # whether it looks at samples, and not at the gradient of a step


STATISTICS: Registry[Statistic] = Registry("statistic")


def _gradient(real: type) -> StatisticMaths:
    def after_step(m: Any, w: Any, by_w: Any) -> Any:
        return m + abs(w * by_w)

    def value(table: Any, s: Any, count: Any) -> Any:
        return table[0, s] / count

    return StatisticMaths(value, after_step=after_step)


def _current(real: type) -> StatisticMaths:
    zero = real(0)

    def of_sample(i: Any, x: Any, y: Any) -> Any:
        return abs(i), zero, zero, zero, zero

    def fold(table: Any, s: Any, before: Any, n: Any, x0: Any, y0: Any, a: Any, b: Any, c: Any, d: Any, e: Any) -> None:
        table[0, s] += a

    def value(table: Any, s: Any, count: Any) -> Any:
        return table[0, s] / count

    return StatisticMaths(value, of_sample=of_sample, fold=fold)


def _hebbian(real: type) -> StatisticMaths:
    """Build the correlation of source and target: rows are the two means, the two sums of squares and that of products.

    Sums are of deviations from the mean. Chunks join by the update of Chan, Golub and LeVeque ("Updating formulae and a pairwise
    algorithm for computing sample variances", 1979), which does not cancel as sums of squares would.
    """
    zero = real(0)

    def of_sample(i: Any, x: Any, y: Any) -> Any:
        return x, y, x * x, y * y, x * y

    def fold(table: Any, s: Any, before: Any, n: Any, x0: Any, y0: Any, x: Any, y: Any, xx: Any, yy: Any, xy: Any) -> None:
        x_mean, y_mean = x / n, y / n  # less the first potentials
        dx, dy = x0 + x_mean - table[0, s], y0 + y_mean - table[1, s]
        part, weight = n / (before + n), before * n / (before + n)
        table[0, s] += dx * part
        table[1, s] += dy * part
        table[2, s] += xx - x * x_mean + dx * dx * weight
        table[3, s] += yy - y * y_mean + dy * dy * weight
        table[4, s] += xy - x * y_mean + dx * dy * weight

    def value(table: Any, s: Any, count: Any) -> Any:
        product = table[2, s] * table[3, s]
        return abs(table[4, s]) / math.sqrt(product) if product > zero else zero

    return StatisticMaths(value, of_sample=of_sample, fold=fold)


GRADIENT = STATISTICS.add("gradient", Statistic("gradient", 1, _gradient, by_samples=False))
CURRENT = STATISTICS.add("current", Statistic("current", 1, _current))
HEBBIAN = STATISTICS.add("hebbian", Statistic("hebbian", 5, _hebbian))


def build_chunk(jit: Callable[[Scalar], Scalar], statistic: Statistic, current: Scalar, real: type) -> Scalar:
    """Build `gather(cells, s, potentials, samples, before, table)`: the first samples of a batch join the statistic of a cell."""
    maths = statistic.build(real)
    assert maths.of_sample is not None and maths.fold is not None
    of_sample, fold, zero = jit(maths.of_sample), jit(maths.fold), real(0)

    def gather(cells: Any, s: Any, potentials: Any, samples: Any, before: Any, table: Any) -> None:
        w, b, source, target = cells.weight[s], cells.bias[s], cells.source[s], cells.target[s]
        tile = potentials.shape[2]
        x0, y0 = potentials[0, source, 0], potentials[0, target, 0]
        a1, a2, a3, a4, a5 = zero, zero, zero, zero, zero
        for t in range((samples + tile - 1) // tile):
            x, y = potentials[t, source], potentials[t, target]
            for k in range(min(tile, samples - t * tile)):
                t1, t2, t3, t4, t5 = of_sample(current(w, x[k], b), x[k] - x0, y[k] - y0)
                a1 += t1
                a2 += t2
                a3 += t3
                a4 += t4
                a5 += t5
        fold(table, s, before, real(samples), x0, y0, a1, a2, a3, a4, a5)

    return jit(gather)

"""Passthrough: how much signal a cell passes, the score that selection ranks by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from dna.cells import Scalar
from dna.errors import OptionError
from dna.registry import Registry
from dna.rules.random import build_uniform
from dna.rules.statistics import STATISTICS


@dataclass(frozen=True)
class Passthrough:
    """A measure of cells.

    Parameters
    ----------
    name : str
        How users and the fossil record call it.
    build : callable
        `build(real) -> score`, with `score(w, b)` or, where `draws`, `score(w, b, u)` or, with a statistic, `score(w, b, m)`; a
        plain scalar function that Numba can compile. Larger means stronger.
    draws : bool
        Whether the score takes a uniform random number `u` in [0, 1), drawn anew for each cell and extinction.
    statistic : {"gradient", "current", "hebbian"}, optional
        What the score takes as `m`; it is gathered while the network trains.
    """

    name: str
    build: Callable[[type], Scalar]
    draws: bool = False
    statistic: str | None = None

    def __post_init__(self) -> None:
        if self.statistic is not None:
            STATISTICS[self.statistic]
            if self.draws:
                raise OptionError(f"passthrough {self.name!r}: expected a statistic or random numbers, got both")


PASSTHROUGHS: Registry[Passthrough] = Registry("passthrough")


def _weight(real: type) -> Scalar:
    def score(w: Any, b: Any) -> Any:
        return abs(w)

    return score


def _weight_bias(real: type) -> Scalar:
    def score(w: Any, b: Any) -> Any:
        return abs(w + b)

    return score


def _random(real: type) -> Scalar:
    def score(w: Any, b: Any, u: Any) -> Any:
        return u

    return score


def _statistic(real: type) -> Scalar:
    def score(w: Any, b: Any, m: Any) -> Any:
        return m

    return score


WEIGHT = PASSTHROUGHS.add("weight", Passthrough("weight", _weight))
WEIGHT_BIAS = PASSTHROUGHS.add("weight_bias", Passthrough("weight_bias", _weight_bias))
RANDOM = PASSTHROUGHS.add("random", Passthrough("random", _random, draws=True))
for _name in STATISTICS:
    PASSTHROUGHS.add(_name, Passthrough(_name, _statistic, statistic=_name))


def find_passthrough(measure: str | Passthrough | Scalar) -> Passthrough:
    """Return the measure that a user means by a name, a `Passthrough` or a scalar function `(w, b) -> score` of their own.

    Raises
    ------
    UnknownNameError
        The name is not known.
    OptionError
        It is neither a name nor a function.
    """
    if isinstance(measure, Passthrough):
        return measure
    if isinstance(measure, str):
        return PASSTHROUGHS[measure]
    if callable(measure):
        return _measure_of(measure)
    raise OptionError(f"passthrough: expected a name or a function (w, b) -> score, got {type(measure).__name__}")


@cache
def _measure_of(function: Scalar) -> Passthrough:
    """Return one and the same measure whenever a function is handed in, so that it is compiled once."""
    return Passthrough(getattr(function, "__name__", "custom"), lambda real: function)


def build_score(jit: Callable[[Scalar], Scalar], measure: Passthrough, real: type) -> Scalar:
    """Build `score(w, b, seed, event, cell_id, table, s, count)`: with a random number or a statistic where one is wanted."""
    own, uniform = jit(measure.build(real)), jit(build_uniform(real))

    def score(w: Any, b: Any, seed: Any, event: Any, cell_id: Any, table: Any, s: Any, count: Any) -> Any:
        return own(w, b)

    def random_score(w: Any, b: Any, seed: Any, event: Any, cell_id: Any, table: Any, s: Any, count: Any) -> Any:
        return own(w, b, uniform(seed, event, cell_id))

    if measure.statistic is None:
        return jit(random_score if measure.draws else score)
    value = jit(STATISTICS[measure.statistic].build(real).value)

    def statistic_score(w: Any, b: Any, seed: Any, event: Any, cell_id: Any, table: Any, s: Any, count: Any) -> Any:
        return own(w, b, value(table, s, count))

    return jit(statistic_score)

"""Amount: how many cells a rule is for. A share of the living, a threshold, a budget, or as many as died."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

from dna.errors import OptionError
from dna.rules.options import require_count, require_number
from dna.rules.paths import Clock, Cosine, Cubic

Share = float | Cosine | str
"""A share of the living cells in scope, one that decays, or `DIED`."""

Budget = int | Cubic
"""A number of cells, or a path of it."""

Choose = Callable[[Any], Any]
"""A function of a `CellTable` that returns ids."""

DIED = "died"
"""As many as die in the same event, in the same scope: the number of cells stays as it is."""

TENTH = 0.10
"""The share where nothing is said."""


class Exempt(NamedTuple):
    """Who may not die."""

    keep_outputs: bool = False  # the last cell of each output
    grace: int = 0  # for so many extinctions after its birth: a newborn


NOBODY = Exempt()


def settle_share(share: str, value: Share | None, threshold: str, bound: float | None, *, may_follow: bool = False) -> Share:
    """Return the share that is meant: as given, else 0.10, else 0 where a threshold takes its place.

    Raises
    ------
    OptionError
        Both are given, or one of them is out of range, or it is `DIED` and may not be.
    """
    if bound is not None:
        if value not in (None, 0, 0.0):
            raise OptionError(f"{share} and {threshold}: expected one of them, got both ({value}, {bound})")
        require_number(threshold, bound, -math.inf, math.inf)
        return 0.0
    value = TENTH if value is None else value
    if isinstance(value, Cosine) or (may_follow and value == DIED):
        return value
    require_number(share, value, 0.0, 1.0)
    return float(value)


def settle_budget(cells: Budget | None, scope: str, others: dict[str, Any]) -> None:
    """Check a budget of cells, which excludes shares and thresholds and is one of the whole network.

    Raises
    ------
    OptionError
    """
    if cells is None:
        return
    for name, value in others.items():
        if value not in (None, 0, 0.0):
            raise OptionError(f"cells and {name}: expected one of them, got both ({cells}, {value})")
    if scope != "network":
        raise OptionError(f"cells: expected scope='network' with a number of cells, got {scope!r}")
    if not isinstance(cells, Cubic):
        require_count("cells", cells, 1)


def settle_choice(choose: Choose | None, others: dict[str, Any]) -> None:
    """Check a function that chooses cells, which excludes all other amounts.

    Raises
    ------
    OptionError
    """
    if choose is None:
        return
    for name, value in others.items():
        if value not in (None, 0, 0.0):
            raise OptionError(f"choose and {name}: expected one of them, got both")
    if not callable(choose):
        raise OptionError(f"choose: expected a function of the cells, got {choose!r}")


def share_at(share: float | Cosine, clock: Clock) -> float:
    """Return a share at a time."""
    return share.at(clock) if isinstance(share, Cosine) else share


def budget_at(cells: Budget, clock: Clock) -> int:
    """Return a number of cells at a time."""
    return cells.at(clock) if isinstance(cells, Cubic) else cells


def largest_share(share: Share | None) -> float:
    """Return the largest value that a share takes; nothing is known of `DIED`, which counts as 0."""
    if isinstance(share, Cosine):
        return share.share
    return 0.0 if share is None or isinstance(share, str) else share


def count_of(share: float, n: int) -> int:
    """Return floor(share * n), with the share taken as the decimal number that is written: 0.29 of 100 is 29."""
    return math.floor(as_written(share) * n)


@cache
def as_written(share: float) -> Fraction:
    """Return the decimal number by which a share is written: 1/10, and not the float that is nearest to it."""
    return Fraction(repr(float(share)))  # NumPy's floats say their type as well

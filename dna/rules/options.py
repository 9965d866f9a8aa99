"""Checks of what rules are given, and shares as the decimal numbers that are written."""

from __future__ import annotations

import math
from dataclasses import fields
from fractions import Fraction
from typing import Any

from dna.errors import OptionError


def require_number(name: str, value: object, low: float, high: float, *, open_end: bool = False) -> None:
    """Raise OptionError unless `value` is a finite number in [low, high], or in [low, high)."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < low or value > high or (open_end and value == high):  # type: ignore[operator, arg-type]
        raise OptionError(f"{name}: expected a number in [{low}, {high}{')' if open_end else ']'}, got {value!r}")


def require_count(name: str, value: object, low: int) -> None:
    """Raise OptionError unless `value` is an integer of at least `low`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise OptionError(f"{name}: expected an integer of at least {low}, got {value!r}")


def settle_share(share: str, value: float | None, threshold: str, bound: float | None) -> float:
    """Return the share that is meant: as given, else 0.10, else 0 where a threshold takes its place.

    Raises
    ------
    OptionError
        Both are given, or one of them is out of range.
    """
    if bound is not None:
        if value not in (None, 0, 0.0):
            raise OptionError(f"{share} and {threshold}: expected one of them, got both ({value}, {bound})")
        require_number(threshold, bound, -math.inf, math.inf)
        value = 0.0
    value = 0.10 if value is None else value
    require_number(share, value, 0.0, 1.0)
    return float(value)


def count_of(share: float, n: int) -> int:
    """Return floor(share * n), with the share taken as the decimal number that is written: 0.29 of 100 is 29."""
    return math.floor(Fraction(repr(share)) * n)


def options_of(rule: Any, **instead: Any) -> dict[str, Any]:
    """Return the fields of a rule as plain values, its name first; `instead` gives those that have no plain value."""
    return {"name": rule.name} | {field.name: getattr(rule, field.name) for field in fields(rule)} | instead

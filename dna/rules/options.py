"""What rules are given: checks, and plain values for the record."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from dna.errors import OptionError


def require_number(name: str, value: object, low: float, high: float, *, open_end: bool = False) -> None:
    """Raise OptionError unless `value` is a finite number in [low, high], or in [low, high)."""
    value = _own(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if not is_number or value < low or value > high or (open_end and value == high):  # type: ignore[operator]
        raise OptionError(f"{name}: expected a number in [{low}, {high}{')' if open_end else ']'}, got {value!r}")


def require_count(name: str, value: object, low: int) -> None:
    """Raise OptionError unless `value` is an integer of at least `low`."""
    value = _own(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise OptionError(f"{name}: expected an integer of at least {low}, got {value!r}")


def name_of(function: Any) -> str | None:
    """Return what the record calls a function of the user's."""
    return None if function is None else getattr(function, "__name__", type(function).__name__)


def options_of(rule: Any, **instead: Any) -> dict[str, Any]:
    """Return the fields of a rule as plain values, its name first; `instead` gives those that have no plain value.

    A user's own rule need be no dataclass and need not have a name: then its attributes are told, and that of its class.
    """
    given = {field.name: getattr(rule, field.name) for field in fields(rule)} if is_dataclass(rule) else vars(rule)
    name = getattr(rule, "name", type(rule).__name__)
    return {"name": name} | {name: _plain(value) for name, value in (given | instead).items()}


def _plain(value: Any) -> Any:
    """Return a value that a record and a file can hold: itself where it is plain, else what it is called."""
    if hasattr(value, "options"):
        return value.options()
    value = _own(value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else name_of(value)


def _own(value: Any) -> Any:
    """Return a number of NumPy as Python's own."""
    return value.item() if isinstance(value, np.generic) else value

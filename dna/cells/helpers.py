"""Scalar functions may call others: a target compiles those that a function encloses, and then the function around them."""

from __future__ import annotations

from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

Function = Callable[..., Any]


def with_helpers(function: Function, compiled: Callable[[Function], Function]) -> Function:
    """Return the function with each plain Python function in its closure replaced by what `compiled` makes of it."""
    if not isinstance(function, FunctionType) or not any(_is_plain(cell) for cell in function.__closure__ or ()):
        return function
    closure = tuple(CellType(compiled(cell.cell_contents)) if _is_plain(cell) else cell for cell in function.__closure__ or ())
    around = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, closure)
    around.__module__, around.__qualname__ = function.__module__, function.__qualname__
    return around


def _is_plain(cell: CellType) -> bool:
    try:
        return isinstance(cell.cell_contents, FunctionType)
    except ValueError:  # nothing was put into it
        return False

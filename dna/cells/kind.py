"""What a cell kind is: scalar functions, written once and compiled for every target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dna.errors import OptionError
from dna.registry import Registry

Scalar = Callable[..., Any]


class CellMaths(NamedTuple):
    """The scalar functions of a kind at one precision.

    Each is a plain Python function over scalars that Numba can compile: `math` functions, arithmetic, comparisons, and functions
    of this sort that it encloses. Constants are to be of the type `real` (a bare `0.5` makes float64 of float32).
    """

    current: Scalar  # (w, v, b) -> I
    slopes: Scalar  # (w, v, b, i) -> (dI/dw, dI/dV, dI/db), where i = current(w, v, b)
    split: Scalar | None  # (w, b, share) -> (w1, b1, w2, b2), which together give the same current; None where no rule exists
    gate: Scalar | None = None  # of I = phi(z), z = w*V - b: (i, g) -> dL/dz from g = dL/dI, which is cheaper than three slopes


@dataclass(frozen=True)
class CellKind:
    """A cell kind, `I = phi(w*V - b)` or anything else of a weight, a potential and a bias.

    Parameters
    ----------
    name : str
        How users and saved models call it.
    build : callable
        `build(real) -> CellMaths` for `real` in (numpy.float32, numpy.float64).
    halves : bool
        Whether both cells of a function-preserving split see the gradient that their parent saw. Then a child inherits its
        parent's optimizer state, otherwise it starts from zero.
    signed : bool
        Whether currents of both signs come from one sign of the weight. It decides the init of networks with hidden levels.
    affine : bool
        Whether the current is w*V - b and nothing else. Then kernels may sum the biases of a node by themselves.
    """

    name: str
    build: Callable[[type], CellMaths]
    halves: bool = True
    signed: bool = True
    affine: bool = False


KINDS: Registry[CellKind] = Registry("cell kind")


def register_cell(
    name: str,
    current: Scalar,
    slopes: Scalar,
    split: Scalar | None = None,
    *,
    halves: bool = False,
    signed: bool = True,
    replace: bool = False,
) -> CellKind:
    """Register a cell kind from plain scalar functions, for every backend.

    Parameters
    ----------
    name : str
        An identifier that is not taken.
    current : callable
        `(w, v, b) -> I`.
    slopes : callable
        `(w, v, b, i) -> (dI/dw, dI/dV, dI/db)`, where `i` is the current.
    split : callable, optional
        `(w, b, share) -> (w1, b1, w2, b2)` with `I(w1, b1) + I(w2, b2) = I(w, b)` at every potential and 0 < share < 1.
    halves, signed, replace : bool
        See `CellKind`; `replace` allows a name that is taken.

    Returns
    -------
    CellKind

    Raises
    ------
    OptionError
        The name is taken or no identifier, something that must be callable is not, or it fails or returns something else.

    Notes
    -----
    The functions must be finite at v = 0 for every w and b that training meets: lanes past the end of a batch hold such a
    potential. They must be compilable by Numba: no arrays, `math` only, and no functions of yours but those that they enclose.
    Write constants as arguments of arithmetic with integers or through `numpy.float32`, since a bare `0.5` computes in float64.
    To build constants for either precision, construct a `CellKind`; the first network of that kind registers it by its name.
    """
    for what, function in (("current", current), ("slopes", slopes), ("split", split)):
        if function is None and what == "split":
            continue
        if not callable(function):
            raise OptionError(f"{what} of cell kind {name!r}: expected a function, got {type(function).__name__}")
    maths = CellMaths(current, slopes, split)
    kind = CellKind(name, lambda real: maths, halves=halves, signed=signed)
    _require_runs(kind)
    return KINDS.add(name, kind, replace=replace)


def find_kind(cell: str | CellKind) -> CellKind:
    """Return the kind of a name, or the one that is given; that is registered by its name, by which files know it.

    Raises
    ------
    UnknownNameError
        The name is not known.
    OptionError
        The kind has the name of one of the library's, or its functions do not work.
    """
    if not isinstance(cell, CellKind):
        return KINDS[cell]
    if cell.name in KINDS:
        known = KINDS[cell.name]
        if known is cell:
            return cell
        if known.build.__module__ == f"{__package__}.{cell.name}":
            raise OptionError(f"cell kind {cell.name!r}: expected another name, as this is one of the library's own kinds")
    _require_runs(cell)
    return KINDS.add(cell.name, cell, replace=True)


def _require_runs(kind: CellKind) -> None:
    """Raise OptionError where a function of a kind fails as plain Python, long before a compiler says so in its own words."""
    maths = kind.build(np.float64)
    if not isinstance(maths, CellMaths):
        raise OptionError(f"cell kind {kind.name!r}: expected build(real) -> dna.CellMaths, got {type(maths).__name__}")
    w, v, b = (np.float64(value) for value in (0.7, 0.3, 0.2))
    current = _tried(kind, "current", maths.current, (w, v, b), 1)
    _tried(kind, "slopes", maths.slopes, (w, v, b, current[0]), 3)
    if maths.split is not None:
        _tried(kind, "split", maths.split, (w, b, np.float64(0.5)), 4)


def _tried(kind: CellKind, what: str, function: Scalar, arguments: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    wish = f"{what} of cell kind {kind.name!r}: expected {count} number{'s' if count > 1 else ''} of {len(arguments)} arguments"
    try:
        with np.errstate(all="ignore"):
            found = function(*arguments)
    except (ArithmeticError, ValueError):  # outside of a function's domain; compiled code gives Inf or NaN there
        return (np.float64(0.5),) * count
    except Exception as error:
        raise OptionError(f"{wish}, got {type(error).__name__}: {error}") from error
    values = found if isinstance(found, tuple) else (found,)
    if len(values) != count or not all(isinstance(value, int | float | np.number) for value in values):
        raise OptionError(f"{wish}, got {found!r}")
    return values

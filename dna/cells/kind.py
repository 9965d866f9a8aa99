"""What a cell kind is: scalar functions, written once and compiled for every target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

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
        The name is taken or no identifier, or something that must be callable is not.

    Notes
    -----
    The functions must be finite at v = 0 for every w and b that training meets: lanes past the end of a batch hold such a
    potential. They must be compilable by Numba: no arrays, `math` only, and no functions of yours but those that they enclose.
    Write constants as arguments of arithmetic with integers or through `numpy.float32`, since a bare `0.5` computes in float64.
    To build constants for either precision, construct a `CellKind` and add it to `dna.cells.KINDS`.
    """
    for what, function in (("current", current), ("slopes", slopes), ("split", split)):
        if function is None and what == "split":
            continue
        if not callable(function):
            raise OptionError(f"{what} of cell kind {name!r}: expected a function, got {type(function).__name__}")
    maths = CellMaths(current, slopes, split)
    return KINDS.add(name, CellKind(name, lambda real: maths, halves=halves, signed=signed), replace=replace)

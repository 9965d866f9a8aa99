"""Relays: whether a node between two cells can hand on what one cell would give, and by which weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from dna.cells import ACTIVATIONS, Activation, CellKind

WEIGHTS = (-3.0, -1.0, -0.25, 0.25, 1.0, 3.0)
BIASES = (-2.0, -0.5, 0.0, 0.5, 2.0)
POTENTIALS = (-100.0, -10.0, -3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0, 10.0, 100.0)
"""What is tried: a relay is exact where it gives the same current for all of these."""

CLOSE = 1e-9
"""Relative difference of currents that counts as rounding, in float64."""


class Relay(NamedTuple):
    """A path A -> new -> B in place of a cell (w, b): one half carries (w, b), the other half is (1, 0)."""

    below: bool  # whether the half from A to the new node carries (w, b)

    def halves(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return weights and biases below the node, then above it."""
        one, zero = np.ones_like(weight), np.zeros_like(bias)
        return (weight, bias, one, zero) if self.below else (one, zero, weight, bias)


NEAT = Relay(below=False)
"""Of NEAT: the new cell below gets the weight 1, the one above that of the cell which makes way."""


def find_relay(kind: CellKind, activation: Activation, *, positive: bool) -> Relay | None:
    """Return the relay that gives just what the cell gave, or None where there is none.

    Parameters
    ----------
    kind, activation
        Of the cells, and of the level of the new node.
    positive : bool
        Whether the potential of A is never negative.
    """
    maths, sigma = kind.build(np.float64), activation.build(np.float64).value
    potentials = [v for v in POTENTIALS if v >= 0 or not positive]

    def gives_the_same(below: bool) -> bool:
        for w, b, v in product(WEIGHTS, BIASES, potentials):
            first, second = ((w, b), (1.0, 0.0)) if below else ((1.0, 0.0), (w, b))
            handed = maths.current(second[0], sigma(maths.current(first[0], v, first[1])), second[1])
            wanted = maths.current(w, v, b)
            if not abs(handed - wanted) <= CLOSE * max(1.0, abs(wanted)):
                return False
        return True

    return next((Relay(below) for below in (False, True) if gives_the_same(below)), None)


def repeats(kind: CellKind, activation: Activation, *, positive: bool) -> bool:
    """Whether a node with one cell (1, 0) holds the potential of the node below it."""
    maths, sigma = kind.build(np.float64), activation.build(np.float64).value
    handed = [(v, sigma(maths.current(1.0, v, 0.0))) for v in POTENTIALS if v >= 0 or not positive]
    return all(abs(value - v) <= CLOSE * max(1.0, abs(v)) for v, value in handed)


def is_positive(kind: CellKind, activation: Activation) -> bool:
    """Whether nodes above the inputs that have this activation never hold a negative potential."""
    maths, sigma = kind.build(np.float64), activation.build(np.float64).value
    currents = [maths.current(w, v, b) for w, b, v in product(WEIGHTS, BIASES, POTENTIALS)]
    sums: Sequence[float] = POTENTIALS if min(currents) < 0 else [v for v in POTENTIALS if v >= 0]
    return all(sigma(v) >= 0 for v in sums)


def usual_activation(kind: CellKind) -> Activation:
    """Return what hidden nodes do where the user does not say: `relu` for linear cells, which bend nothing, else `identity`."""
    return ACTIVATIONS["relu" if kind.affine else "identity"]

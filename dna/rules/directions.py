"""Directions in which a newborn node can look: what a level below holds, and what a level above would gain by.

All sums run in float64 and in one order, so that they do not depend on the number of threads, as those of a library might.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dna.cells import Activation

ROUNDS = 60
"""Rounds of the power method."""


class View(NamedTuple):
    """One batch as a newborn node sees it."""

    sources: np.ndarray  # (s,) nodes that its cells may come from
    targets: np.ndarray  # (t,) nodes that its cells may run to
    potentials: np.ndarray  # (batch, s) float64
    gradient: np.ndarray  # (batch, t) float64: dL/d(sum of the target's currents)

    def cross(self) -> np.ndarray:
        """Return the sum over samples of gradient times potential, (t, s): dL/dw of a cell from each source to each target."""
        return product(self.gradient.T, self.potentials)


class Candidate(NamedTuple):
    """A node that may be born: with weights below, or above, and how fast the loss would fall with it."""

    weight: np.ndarray  # (s,) of the cells that run to it, or (t,) of those that leave it
    bias: float  # the sum of the biases of the cells that run to it
    score: float


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the product of two matrices."""
    result: np.ndarray = np.einsum("ij,jk->ik", left, right)
    return result


def size(values: np.ndarray) -> float:
    """Return the Euclidean norm."""
    return float(np.sqrt((values * values).sum()))


def top_directions(matrix: np.ndarray, count: int) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """Return (left vector, singular value, right vector) of the largest singular values, as many as are not zero.

    The power method with deflation, from the row of the largest norm: after `ROUNDS` rounds a vector lies in the span of those
    whose values are nearly as large, whatever their gaps, which is all that a choice of directions needs.
    """
    found: list[tuple[np.ndarray, float, np.ndarray]] = []
    rest = matrix.astype(np.float64)
    zero = 1e-12 * max(size(rest), np.finfo(np.float64).tiny)
    while len(found) < min(count, *rest.shape) and size(rest) > zero:
        right = rest[np.argmax((rest * rest).sum(1))]
        for _ in range(ROUNDS):
            left = np.einsum("ij,j->i", rest, right / size(right))
            right = np.einsum("ij,i->j", rest, left / size(left))
        value = size(right)
        found.append((left / size(left), value, right / value))
        rest = rest - value * found[-1][0][:, None] * found[-1][2]
    return found


def silent_below(view: View, count: int) -> list[Candidate]:
    """Return newborns whose cells below are silent: those above point where the gradient of the cells below is largest."""
    return [Candidate(left, 0.0, value) for left, value, _ in top_directions(view.cross(), count)]


def silent_above(view: View, activation: Activation, count: int, candidates: int, draws: np.random.Generator) -> list[Candidate]:
    """Return newborns whose cells above are silent: those below are the best of some candidates.

    Candidates are the top right singular vectors of the cross matrix and their opposites, and directions drawn at random, whose
    thresholds are their values at samples drawn at random. Each is scaled so that its sum has the variance 1 over the batch, and
    scored by the norm of the gradient that its cells above would see, over the norm of its potentials. What one that is chosen
    explains of the gradient is taken out before the next is chosen.
    """
    weights, biases = _draw(view, count, candidates, draws)
    sums = product(view.potentials, weights.T)
    spread = sums.std(0)
    useful = spread > 1e-6 * (1.0 + np.abs(sums).max(0))
    weights, sums, biases = weights[useful] / spread[useful, None], sums[:, useful] / spread[useful], biases[useful]
    thresholds = np.where(biases < 0, 0.0, sums[biases, np.arange(len(biases))])
    value = np.frompyfunc(activation.build(np.float64).value, 1, 1)
    held = value(sums - thresholds).astype(np.float64)
    norms = np.sqrt((held * held).sum(0))
    gradient, chosen = view.gradient.copy(), list[Candidate]()
    while len(chosen) < min(count, len(weights)):
        steps = product(held.T, gradient)
        scores = np.divide(np.sqrt((steps * steps).sum(1)), norms, out=np.zeros_like(norms), where=norms > 0)
        best = int(np.argmax(scores))
        if not scores[best] > 0:
            break
        chosen.append(Candidate(weights[best], float(thresholds[best]), float(scores[best])))
        gradient = gradient - held[:, best : best + 1] * (steps[best] / norms[best] ** 2)
        norms[best] = 0.0
    return chosen


def _draw(view: View, count: int, candidates: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return directions, (c, s), and for each the sample whose sum is its threshold, or -1 for a threshold of 0."""
    samples, sources = view.potentials.shape
    tops = [right for _, _, right in top_directions(view.cross(), min(count, candidates // 2))]
    rest = candidates - 2 * len(tops)
    known = np.array([sign * top for top in tops for sign in (1.0, -1.0)]).reshape(-1, sources)
    weights = np.concatenate([known, draws.standard_normal((rest, sources))])
    return weights, np.concatenate([np.full(len(known), -1), draws.integers(0, samples, rest)])

"""The init `spread`, for networks of non-linear cells: knots where potentials live, and one scale of potentials at all levels."""

from __future__ import annotations

import numpy as np

from dna.cells import CellKind
from dna.graph.structure import Structure

DEVIATION = 1.0
"""The deviation over samples that potentials above the inputs get."""

INPUT_MEAN, INPUT_DEVIATION = 0.5, 12**-0.5
"""Of an input, taken as uniform on [0, 1]."""

END = 3**0.5
"""Where a uniform distribution ends, in deviations from its mean."""

SIGNED_KNOTS, UNSIGNED_KNOTS = (-1.0, 1.0), (1.0, END)
"""Ranges of k, the place of a knot; see `spread`."""

PARTS = 16
"""Parts of the range of knots; moments are taken at the middle of each."""

GAINS = np.geomspace(1e-5, 4.0, 57)
"""Slopes at the knot that a cell can get, in units of 1 / (deviation of its source); beyond, a saturating cell is a step."""


def spread(structure: Structure, kind: CellKind, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and biases that put every knot inside its source's distribution and keep the deviation of potentials.

    In units of its source's mean mu and deviation s a cell is `phi(g * (sign * (V - mu) / s + k))`, that is

        w = sign * g / s,    b = w * mu - g * k

    with random signs. Its knot lies at `V = mu - sign * k * s`. Where currents have both signs (`kind.signed`), k is uniform on
    [-1, 1]: the currents of rising and falling cells have mean 0 together, at any V. Currents of one sign (relu) add up to a mean
    that bends with V, the more the closer knots lie to mu, and every level bends it further; there k is uniform on [1, sqrt(3)].
    Rising cells then open in the lower end of the range, falling cells in the upper end, and in between their mean is the same.

    In these units the moments of a current depend on g, sign and k alone. The gain g of a node of n cells solves
    `n * variance(g) = 1`, where the variance is the mean over signs and knots; where cells saturate before, it is 4. The mu
    and s of a node are then the sums over the cells that it did get.

    Parameters
    ----------
    structure : Structure
        Any directed acyclic graph, of any fan-in; cells that skip levels count as what they come from.
    kind : CellKind
        Its moments are integrated numerically, so a kind of the user's own needs no more than its current and `signed`.
    rng : numpy.random.Generator
        Of signs and knots; the same state gives the same bits.

    Returns
    -------
    weight, bias : (n_cells,) float64

    Notes
    -----
    The rule needs no data. It takes inputs as independent and uniform on [0, 1], other sources as uniform around their mean, and
    nodes as sums without activation. To spread the active regions of units over the range of their input is the rule of Nguyen
    and Widrow (1990), here with one input a unit. To keep the variance by fan-in is that of LeCun et al. (1998) and He et al.
    (2015), here with the variance of the current instead of that of the weight, and with the mean that currents of one sign add
    up to.
    """
    n, n_nodes = len(structure.source), len(structure.level)
    low, high = SIGNED_KNOTS if kind.signed else UNSIGNED_KNOTS
    falling, part = (rng.random(n) < 0.5).astype(np.intp), rng.integers(0, PARTS, n)
    knot = low + (high - low) * (part + rng.random(n)) / PARTS

    mean, variance = _moments(kind, _middles(PARTS, low, high))
    gain = _gains(structure, variance.mean((0, 1)))[structure.target]
    node_mean = np.bincount(structure.target, _look_up(mean, falling, part, gain), minlength=n_nodes)
    node_deviation = np.sqrt(np.bincount(structure.target, _look_up(variance, falling, part, gain), minlength=n_nodes))
    node_deviation[node_deviation == 0] = 1.0
    node_mean[structure.inputs], node_deviation[structure.inputs] = INPUT_MEAN, INPUT_DEVIATION

    weight = np.where(falling, -gain, gain) / node_deviation[structure.source]
    return weight, weight * node_mean[structure.source] - gain * knot


def _gains(structure: Structure, variance: np.ndarray) -> np.ndarray:
    """Return the gain of each node's cells, from its fan-in and the variance of a current at each of GAINS."""
    reached = np.maximum.accumulate(variance)
    rises = np.flatnonzero(np.diff(reached, prepend=-1.0) > 0)  # np.interp wants increasing places
    fan_in = np.bincount(structure.target, minlength=len(structure.level))
    gains: np.ndarray = np.interp(DEVIATION**2 / np.maximum(fan_in, 1), reached[rises], GAINS[rises], right=GAINS[-1])
    return gains


def _look_up(table: np.ndarray, falling: np.ndarray, part: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return the moments of cells, linear between the gains of the table."""
    above = np.clip(np.searchsorted(GAINS, gain), 1, len(GAINS) - 1)
    share = (gain - GAINS[above - 1]) / (GAINS[above] - GAINS[above - 1])
    moments: np.ndarray = table[falling, part, above - 1] * (1 - share) + table[falling, part, above] * share
    return moments


def _moments(kind: CellKind, knots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of a current over a source of mean 0 and deviation 1: (2, n_knots, n_gains) each.

    The first axis is of rising and falling cells. A gain at which the kind gives NaN or Inf has the moments of the largest one
    below that does not.
    """
    current = np.frompyfunc(kind.build(np.float64).current, 3, 1)
    sign, g = np.array([1.0, -1.0])[:, None, None, None], GAINS[:, None]
    with np.errstate(all="ignore"):
        values = current(sign * g, _middles(16, -END, END), -g * knots[:, None, None]).astype(np.float64)
        mean, variance = values.mean(-1), values.var(-1)
    sound = (np.isfinite(mean) & np.isfinite(variance)).all((0, 1))
    last = np.maximum.accumulate(np.where(sound, np.arange(len(GAINS)), 0))
    return np.nan_to_num(mean[..., last]), np.nan_to_num(variance[..., last])


def _middles(n: int, low: float, high: float) -> np.ndarray:
    """Return the middles of n equal parts of [low, high]."""
    return low + (high - low) * (np.arange(n) + 0.5) / n

"""Losses: the value and the gradient of one sample, written once and compiled for every target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dna.cells import Scalar
from dna.registry import Registry


@dataclass(frozen=True)
class Loss:
    """A loss over the output potentials.

    Parameters
    ----------
    name : str
        How users call it.
    build : callable
        `build(real) -> sample`, where `sample(potentials, gradient, tile, lane, outputs, targets, row, scale) -> (value, hits)`
        reads `potentials[tile, outputs[o], lane]` and `targets[row]`, writes `scale * dL/dV` to the same places of `gradient`,
        and returns the loss of the sample and how right it was, in [0, 1].
    labels : bool
        Whether targets are class labels, (batch, 1) int64, or values, (batch, outputs) real.
    metric : str or None
        What the mean of `hits` is called, if it means anything.
    """

    name: str
    build: Callable[[type], Scalar]
    labels: bool
    metric: str | None


LOSSES: Registry[Loss] = Registry("loss")


def _cross_entropy(real: type) -> Scalar:
    zero, one = real(0), real(1)

    def sample(potentials: Any, gradient: Any, tile: Any, lane: Any, outputs: Any, targets: Any, row: Any, scale: Any) -> Any:
        best, top = 0, potentials[tile, outputs[0], lane]
        for o in range(1, outputs.shape[0]):
            v = potentials[tile, outputs[o], lane]
            if v > top:
                best, top = o, v
        total = zero
        for o in range(outputs.shape[0]):
            e = math.exp(potentials[tile, outputs[o], lane] - top)
            gradient[tile, outputs[o], lane] = e
            total += e
        factor = scale / total
        for o in range(outputs.shape[0]):
            gradient[tile, outputs[o], lane] *= factor
        label = targets[row, 0]
        gradient[tile, outputs[label], lane] -= scale
        value = math.log(total) + top - potentials[tile, outputs[label], lane]
        return value, one if best == label else zero

    return sample


def _binary_cross_entropy(real: type) -> Scalar:
    zero, one, half = real(0), real(1), real(0.5)

    def sample(potentials: Any, gradient: Any, tile: Any, lane: Any, outputs: Any, targets: Any, row: Any, scale: Any) -> Any:
        share = one / real(outputs.shape[0])
        value, hits = zero, zero
        for o in range(outputs.shape[0]):
            v, t = potentials[tile, outputs[o], lane], targets[row, o]
            e = math.exp(-abs(v))
            p = one / (one + e) if v > zero else e / (one + e)
            gradient[tile, outputs[o], lane] = scale * share * (p - t)
            value += (v if v > zero else zero) - v * t + math.log1p(e)
            hits += one if (v > zero) == (t > half) else zero
        return value * share, hits * share

    return sample


def _mse(real: type) -> Scalar:
    zero, one, two = real(0), real(1), real(2)

    def sample(potentials: Any, gradient: Any, tile: Any, lane: Any, outputs: Any, targets: Any, row: Any, scale: Any) -> Any:
        share = one / real(outputs.shape[0])
        value = zero
        for o in range(outputs.shape[0]):
            d = potentials[tile, outputs[o], lane] - targets[row, o]
            gradient[tile, outputs[o], lane] = scale * share * two * d
            value += d * d
        return value * share, zero

    return sample


CROSS_ENTROPY = LOSSES.add("cross_entropy", Loss("cross_entropy", _cross_entropy, labels=True, metric="accuracy"))
BINARY_CROSS_ENTROPY = LOSSES.add(
    "binary_cross_entropy", Loss("binary_cross_entropy", _binary_cross_entropy, labels=False, metric="accuracy")
)
MSE = LOSSES.add("mse", Loss("mse", _mse, labels=False, metric=None))

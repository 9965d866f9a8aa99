"""Losses: what an output adds to the loss of its sample and the gradient there, written once and compiled for every target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from dna.cells import Scalar, decay, log1p
from dna.registry import Registry


class SampleMaths(NamedTuple):
    """The scalar functions of a loss at one precision. They pass over the outputs of a sample twice.

    What the first pass saw of a sample are four numbers a, b, c, d of the type `real`; a loss that needs to see nothing leaves
    them as they are. `v` is the potential of an output and `t` its target: a value, or for labels 1 at the label's output and 0
    elsewhere. What `judge` returns is summed over the outputs, but for the gradient; hits are how right the sample is, in [0, 1].
    """

    start: tuple[Any, Any, Any, Any]  # before the first output
    see: Scalar  # (a, b, c, d, v, t) -> (a, b, c, d), output by output
    settle: Scalar  # (a, b, c, d, n) -> (a, b, c, d), after the last of n outputs
    judge: Scalar  # (a, b, c, d, v, t) -> (loss, dL/dV, hits)


@dataclass(frozen=True)
class Loss:
    """A loss over the output potentials.

    Parameters
    ----------
    name : str
        How users call it.
    build : callable
        `build(real) -> SampleMaths` for `real` in (numpy.float32, numpy.float64).
    labels : bool
        Whether targets are class labels, (batch, 1) int64, or values, (batch, outputs) real.
    metric : str or None
        What the mean of `hits` is called, if it means anything.
    """

    name: str
    build: Callable[[type], SampleMaths]
    labels: bool
    metric: str | None


LOSSES: Registry[Loss] = Registry("loss")


def _cross_entropy(real: type) -> SampleMaths:
    """Softmax, and the negative logarithm of the label's share.

    Seen: the largest potential so far, the sum of e^(v - largest) over all others, and whether the largest is the label's.
    """
    zero, one, lowest = real(0), real(1), real(-math.inf)
    exp_of_minus, logarithm = decay(real), log1p(real)

    def see(top: Any, others: Any, right: Any, d: Any, v: Any, t: Any) -> Any:
        e = exp_of_minus(abs(v - top))
        higher = v > top
        return v if higher else top, (others + one) * e if higher else others + e, t if higher else right, d

    def settle(top: Any, others: Any, right: Any, d: Any, n: Any) -> Any:
        return top, one / (one + others), right, top + logarithm(others)

    def judge(top: Any, inverse: Any, right: Any, total: Any, v: Any, t: Any) -> Any:
        return t * (total - v), exp_of_minus(top - v) * inverse - t, t * right

    return SampleMaths((lowest, zero, zero, zero), see, settle, judge)


def _binary_cross_entropy(real: type) -> SampleMaths:
    """The mean over the outputs, each a logit. Seen: the share of an output."""
    zero, one, half = real(0), real(1), real(0.5)
    exp_of_minus, logarithm = decay(real), log1p(real)

    def judge(share: Any, b: Any, c: Any, d: Any, v: Any, t: Any) -> Any:
        e = exp_of_minus(abs(v))
        p = (one if v > zero else e) / (one + e)
        loss = (v if v > zero else zero) - v * t + logarithm(e)
        return share * loss, share * (p - t), share if (v > zero) == (t > half) else zero

    return SampleMaths(*_mean(real), judge)


def _mse(real: type) -> SampleMaths:
    """The mean over the outputs. Seen: the share of an output."""
    zero, two = real(0), real(2)

    def judge(share: Any, b: Any, c: Any, d: Any, v: Any, t: Any) -> Any:
        difference = v - t
        return share * difference * difference, share * two * difference, zero

    return SampleMaths(*_mean(real), judge)


def _mean(real: type) -> tuple[Any, Scalar, Scalar]:
    """Build what losses share that are means over the outputs: nothing needs to be seen but how many they are."""
    zero, one = real(0), real(1)

    def see(a: Any, b: Any, c: Any, d: Any, v: Any, t: Any) -> Any:
        return a, b, c, d

    def settle(a: Any, b: Any, c: Any, d: Any, n: Any) -> Any:
        return one / real(n), b, c, d

    return (zero, zero, zero, zero), see, settle


CROSS_ENTROPY = LOSSES.add("cross_entropy", Loss("cross_entropy", _cross_entropy, labels=True, metric="accuracy"))
BINARY_CROSS_ENTROPY = LOSSES.add(
    "binary_cross_entropy", Loss("binary_cross_entropy", _binary_cross_entropy, labels=False, metric="accuracy")
)
MSE = LOSSES.add("mse", Loss("mse", _mse, labels=False, metric=None))

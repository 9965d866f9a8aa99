"""What a node does with the sum of its currents: V = sigma(sum of I)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from dna.cells.functions import decay, tanh
from dna.cells.kind import Scalar
from dna.registry import Registry


class ActivationMaths(NamedTuple):
    """The scalar functions of an activation at one precision."""

    value: Scalar  # (sum of currents) -> V
    slope: Scalar  # (V) -> dV / d(sum of currents); of the value, so that sums need not be kept


@dataclass(frozen=True)
class Activation:
    """A node activation: `build(real) -> ActivationMaths`."""

    name: str
    build: Callable[[type], ActivationMaths]


ACTIVATIONS: Registry[Activation] = Registry("activation")


def _identity(real: type) -> ActivationMaths:
    one = real(1)

    def value(z: Any) -> Any:
        return z

    def slope(v: Any) -> Any:
        return one

    return ActivationMaths(value, slope)


def _relu(real: type) -> ActivationMaths:
    one, zero = real(1), real(0)

    def value(z: Any) -> Any:
        return z if z > zero else zero

    def slope(v: Any) -> Any:
        return one if v > zero else zero

    return ActivationMaths(value, slope)


def _tanh(real: type) -> ActivationMaths:
    one = real(1)

    def slope(v: Any) -> Any:
        return one - v * v

    return ActivationMaths(tanh(real), slope)


def _sigmoid(real: type) -> ActivationMaths:
    one, zero, exp_of_minus = real(1), real(0), decay(real)

    def value(z: Any) -> Any:
        e = exp_of_minus(abs(z))
        return (e if z < zero else one) / (one + e)

    def slope(v: Any) -> Any:
        return v * (one - v)

    return ActivationMaths(value, slope)


for _name, _build in (("identity", _identity), ("relu", _relu), ("tanh", _tanh), ("sigmoid", _sigmoid)):
    ACTIVATIONS.add(_name, Activation(_name, _build))

"""Optimizers: the update of one parameter, written once and compiled for every target."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from dna.cells import Scalar
from dna.errors import OptionError, UnknownNameError
from dna.rules import Clock, Cosine

BIAS_LR = 7
"""The place in `h` of the factor of h[0] for biases."""

OPTIMIZERS: dict[str, type[Optimizer]] = {}
"""All optimizers by name, a user's own included: a class that has a `name` is known to files by it."""


@dataclass(frozen=True)
class Optimizer:
    """Base of optimizers. Weights and biases are updated alike, each with its own moments, which live in the pool.

    A subclass gives `name`, by which files know it, `moments` (how many real numbers of state a parameter has, 0 to 2),
    `update(real)`, a builder of the scalar function `(value, gradient, first, second, h) -> (value, first, second)`, and
    `coefficients(step)`, up to seven values of `h`, the learning rate first. A field `bias_lr` is the factor of the learning rate
    for biases; the network gives its own where that is None or missing.
    """

    name: ClassVar[str]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        name = vars(cls).get("name")
        if name in OPTIMIZERS and OPTIMIZERS[name].__module__ == __name__:
            raise OptionError(f"optimizer {cls.__name__}: expected another name than {name!r}, one of the library's own")
        if isinstance(name, str):
            OPTIMIZERS[name] = cls

    @property
    def moments(self) -> int:
        raise AttributeError(f"{type(self).__name__} does not say how many moments it keeps")

    @staticmethod
    def update(real: type) -> Scalar:
        raise AttributeError("an optimizer needs update(real)")

    def coefficients(self, step: int) -> tuple[float, ...]:
        """Return `h` for the given step, counted from 1."""
        raise AttributeError(f"{type(self).__name__} does not give its coefficients")

    def table(self, first: int, steps: int, dtype: np.dtype[Any], bias_lr: float = 1.0) -> np.ndarray:
        """Return `h` of so many steps from `first` on, (steps, 8), for kernels; the last place is the factor of h[0] for biases.

        That is the optimizer's own `bias_lr`, or else this one. All steps come at once, as short epochs feel each call.
        """
        own = getattr(self, "bias_lr", None)
        last = bias_lr if own is None else own
        rows = [self.coefficients(step) for step in range(first, first + steps)]
        return np.array([(*row, *[0.0] * (BIAS_LR - len(row)), last) for row in rows], dtype).reshape(steps, BIAS_LR + 1)

    def options(self) -> dict[str, Any]:
        """Return the arguments as plain values; a learning rate that moves is an object of its own arguments."""
        return asdict(self)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum and weight decay, `v = m*v + (g + d*x)`, `x -= lr*v`.

    Parameters
    ----------
    lr : float or Cosine
        Learning rate, > 0. A `dna.Cosine` in steps falls from its `share`; the steps are those of the network by this optimizer.
    momentum : float
        m in [0, 1).
    weight_decay : float
        d >= 0; it acts on biases too.
    bias_lr : float
        Factor of the learning rate for biases, >= 0; see the notes of `Adam`.

    Raises
    ------
    OptionError

    Notes
    -----
    The form of momentum is that of Sutskever et al. (2013) as PyTorch has it: the first velocity is the first gradient.
    Velocities start from zero, so both forms agree.
    """

    lr: float | Cosine
    momentum: float = 0.0
    weight_decay: float = 0.0
    bias_lr: float = 1.0

    name = "sgd"

    def __post_init__(self) -> None:
        _require_rate(self.lr)
        _require("momentum", self.momentum, 0.0, 1.0)
        _require("weight_decay", self.weight_decay, 0.0, math.inf)
        _require("bias_lr", self.bias_lr, 0.0, math.inf)

    @property
    def moments(self) -> int:
        return 1 if self.momentum else 0

    @staticmethod
    def update(real: type) -> Scalar:
        def update(value: Any, gradient: Any, first: Any, second: Any, h: Any) -> Any:
            first = h[1] * first + (gradient + h[2] * value)
            return value - h[0] * first, first, second

        return update

    def coefficients(self, step: int) -> tuple[float, ...]:
        return rate_at(self.lr, step), self.momentum, self.weight_decay


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), with weight decay added to the gradient.

    Parameters
    ----------
    lr : float or Cosine
        Learning rate, > 0; 0.001 if not given. A `dna.Cosine` in steps falls from its `share`; the steps are those of the
        network by this optimizer.
    beta1, beta2 : float
        Decay of the first and second moment, in [0, 1).
    eps : float
        Added to the root of the second moment, > 0.
    weight_decay : float
        At least 0; it acts on biases too.
    bias_lr : float, optional
        Factor of the learning rate for biases, >= 0; see the notes for the default.

    Raises
    ------
    OptionError

    Notes
    -----
    A node of n linear cells has n biases, which all see one gradient and move together. Adam takes steps of one size whatever
    the gradient, so that the node's threshold moves n times as far as one bias would. In a single layer, the article's model, the
    factor is 1. With hidden nodes, which this drives out of their range, the default for linear cells is (nodes above the
    inputs) / cells, at most 1: a threshold then learns about as fast as in a dense layer. Biases of other cells move their own
    knots, and their factor is 1.

    The bias correction counts the steps of the network, not of the cell: a child inherits moments that are corrected already.
    """

    lr: float | Cosine = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    bias_lr: float | None = None

    name = "adam"

    def __post_init__(self) -> None:
        _require_rate(self.lr)
        _require("beta1", self.beta1, 0.0, 1.0)
        _require("beta2", self.beta2, 0.0, 1.0)
        _require("eps", self.eps, 0.0, math.inf, open_low=True)
        _require("weight_decay", self.weight_decay, 0.0, math.inf)
        if self.bias_lr is not None:
            _require("bias_lr", self.bias_lr, 0.0, math.inf)

    @property
    def moments(self) -> int:
        return 2

    @staticmethod
    def update(real: type) -> Scalar:
        one = real(1)

        def update(value: Any, gradient: Any, first: Any, second: Any, h: Any) -> Any:
            gradient = gradient + h[4] * value
            first = h[1] * first + (one - h[1]) * gradient
            second = h[2] * second + (one - h[2]) * gradient * gradient
            # h[0] and h[3] hold lr and eps with both bias corrections folded in.
            return value - h[0] * first / (math.sqrt(second) + h[3]), first, second

        return update

    def coefficients(self, step: int) -> tuple[float, ...]:
        root = math.sqrt(1.0 - self.beta2**step)
        rate = rate_at(self.lr, step)
        return rate * root / (1.0 - self.beta1**step), self.beta1, self.beta2, self.eps * root, self.weight_decay


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019).

    The decay takes `lr * weight_decay` of a parameter at each step, whatever its gradients were; for biases `lr` is theirs. The
    parameters are those of `Adam`, and `weight_decay` is 0.01 if not given.
    """

    weight_decay: float = 0.01

    name = "adamw"

    @staticmethod
    def update(real: type) -> Scalar:
        one = real(1)

        def update(value: Any, gradient: Any, first: Any, second: Any, h: Any) -> Any:
            first = h[1] * first + (one - h[1]) * gradient
            second = h[2] * second + (one - h[2]) * gradient * gradient
            # h[4] is the decay over the bias corrections that h[0] holds.
            return value - h[0] * (first / (math.sqrt(second) + h[3]) + h[4] * value), first, second

        return update

    def coefficients(self, step: int) -> tuple[float, ...]:
        rate, beta1, beta2, eps, decay = super().coefficients(step)
        return rate, beta1, beta2, eps, decay * (1.0 - self.beta1**step) / math.sqrt(1.0 - self.beta2**step)


def find_optimizer(optimizer: str | Optimizer, **options: Any) -> Optimizer:
    """Return an optimizer by name, or the one that is given.

    Raises
    ------
    UnknownNameError
        The name is not known.
    OptionError
        It is neither a name nor an optimizer, or that of the name needs to be told its learning rate.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str):
        raise OptionError(f"optimizer: expected dna.SGD(...), dna.Adam(...) or a name, got {optimizer!r}")
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    if isinstance(options.get("lr"), dict):  # as `Optimizer.options` gives it
        options["lr"] = Cosine(**options["lr"])
    chosen = OPTIMIZERS[optimizer]
    if "lr" not in options and chosen is SGD:
        raise OptionError(f"optimizer {optimizer!r}: expected its learning rate too, as in dna.SGD(0.1)")
    return chosen(**options)


def rate_at(lr: float | Cosine, step: int) -> float:
    """Return the learning rate of a step, counted from 1."""
    return lr.at(Clock(steps=step - 1)) if isinstance(lr, Cosine) else lr


def _require_rate(lr: object) -> None:
    if not isinstance(lr, Cosine):
        _require("lr", lr, 0.0, math.inf, open_low=True)
    elif lr.unit != "steps" or lr.share == 0:
        raise OptionError(f'lr: expected a Cosine with a share > 0 and unit="steps", got {lr}')


def _require(name: str, value: object, low: float, high: float, *, open_low: bool = False) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if not is_number or not (low <= value < high) or (open_low and value == low):  # type: ignore[operator]
        raise OptionError(f"{name}: expected a number in {'(' if open_low else '['}{low}, {high}), got {value!r}")

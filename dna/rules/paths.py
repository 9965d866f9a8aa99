"""Paths: numbers that move with the training, shares that decay and budgets of cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from dna.errors import OptionError, UnknownNameError
from dna.rules.options import options_of, require_count, require_number

Unit = Literal["epochs", "steps"]
UNITS: tuple[Unit, ...] = ("epochs", "steps")


class Clock(NamedTuple):
    """How far a network has been trained over its life, whatever the optimizer and the calls of `fit`."""

    epochs: int = 0
    steps: int = 0

    def read(self, unit: Unit) -> int:
        """Return epochs or steps."""
        return self.epochs if unit == "epochs" else self.steps


UNTRAINED = Clock()


@dataclass(frozen=True)
class Cosine:
    """A share, or a learning rate, that falls along half a cosine and is 0 from `until` on.

    It is `share / 2 * (1 + cos(pi * (t - begin) / (until - begin)))` at the time t.

    Parameters
    ----------
    share : float
        In [0, 1], at `begin` and before.
    until : int
        When it reaches 0.
    begin : int
        When it starts to fall.
    unit : {"epochs", "steps"}
        What `begin` and `until` count, over the network's life.

    Raises
    ------
    OptionError, UnknownNameError

    Notes
    -----
    The decay of the update fraction of RigL (Evci et al., "Rigging the Lottery", ICML 2020, with alpha = `share` and T_end =
    `until`); for learning rates that of Loshchilov and Hutter ("SGDR", ICLR 2017), without restarts.
    """

    share: float
    until: int
    begin: int = 0
    unit: Unit = "epochs"

    name: ClassVar[str] = "cosine"

    def __post_init__(self) -> None:
        require_number("share", self.share, 0.0, 1.0)
        _require_span(self.begin, self.until, self.unit)

    def at(self, clock: Clock) -> float:
        """Return the share at a time."""
        return self.share / 2 * (1 + math.cos(math.pi * _progress(clock.read(self.unit), self.begin, self.until)))

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values."""
        return options_of(self)


@dataclass(frozen=True)
class Cubic:
    """A number of cells that goes from `start` to `end`, fast at first: `end + (start - end) * (1 - progress)**3`, rounded.

    Parameters
    ----------
    start, end : int
        Cells at `begin` and before, and from `until` on; `end` may be the larger one.
    until, begin : int
        The progress goes from 0 to 1 between them.
    unit : {"epochs", "steps"}
        What `begin` and `until` count, over the network's life.

    Raises
    ------
    OptionError, UnknownNameError

    Notes
    -----
    The path of gradual pruning (Zhu and Gupta, "To prune, or not to prune", 2017, equation 1), told in cells and not in sparsity.
    """

    start: int
    end: int
    until: int
    begin: int = 0
    unit: Unit = "epochs"

    name: ClassVar[str] = "cubic"

    def __post_init__(self) -> None:
        require_count("start", self.start, 1)
        require_count("end", self.end, 1)
        _require_span(self.begin, self.until, self.unit)

    def at(self, clock: Clock) -> int:
        """Return the number of cells at a time."""
        progress = _progress(clock.read(self.unit), self.begin, self.until)
        return round(self.end + (self.start - self.end) * (1 - progress) ** 3)

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values."""
        return options_of(self)


def require_unit(unit: Unit) -> None:
    """Raise UnknownNameError where the unit is none."""
    if unit not in UNITS:
        raise UnknownNameError("unit", unit, UNITS)


def _require_span(begin: int, until: int, unit: Unit) -> None:
    require_count("begin", begin, 0)
    require_count("until", until, 1)
    if until <= begin:
        raise OptionError(f"until: expected more than begin = {begin}, got {until}")
    require_unit(unit)


def _progress(now: int, begin: int, until: int) -> float:
    return min(max((now - begin) / (until - begin), 0.0), 1.0)

"""Schedules: when an extinction fires. Their state belongs to the network, so that it survives a fit and is saved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from dna.errors import OptionError, UnknownNameError
from dna.rules.options import options_of, require_count, require_number
from dna.rules.paths import Clock

SIGNALS = ("gradient_norm", "gradient_variance", "dead", "saturated", "entropy", "mutual_information")
"""What can be measured of a level: see `dna.signals`."""

Signals = Mapping[str, float]
"""Values by `name.level`."""

NO_SIGNALS: Signals = MappingProxyType({})


def check_signals(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of signals, each once, or raise UnknownNameError."""
    wanted = tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in SIGNALS:
            raise UnknownNameError("signal", name, SIGNALS)
    return wanted


class ScheduleState(NamedTuple):
    """Where the schedule stands; it belongs to the network, survives `fit`, and is saved with it."""

    epochs: int = 0  # since the last extinction
    best: float | None = None  # lowest watched loss since the last extinction
    stalled: int = 0  # epochs since that improved
    steps: int = 0  # since the last extinction

    def after_steps(self, count: int) -> ScheduleState:
        """Return the state after so many more steps."""
        return ScheduleState(self.epochs, self.best, self.stalled, self.steps + count)

    def after_epoch(self, loss: float, min_delta: float) -> ScheduleState:
        """Return the state after one more epoch that ended with the watched loss `loss`."""
        improved = self.best is None or loss < self.best - min_delta
        best, stalled = (loss, 0) if improved else (self.best, self.stalled + 1)
        return self._replace(epochs=self.epochs + 1, best=best, stalled=stalled)


class Schedule:
    """Base of what says when an extinction is due. A user's own is a subclass.

    Attributes
    ----------
    name : str
    by_steps : bool
        Whether it is asked after each step, and not after each epoch.
    min_delta : float
        By how much the watched loss must fall to count as improved.
    signals : tuple of str
        The growth signals that it wants to see, names of `SIGNALS`; they are measured at the end of epochs only.
    """

    name: ClassVar[str]
    by_steps: bool = False
    min_delta: float = 0.0
    signals: tuple[str, ...] = ()

    def fires(self, state: ScheduleState, clock: Clock, signals: Signals) -> bool:
        """Whether an extinction is due, given what has happened since the last one, the time, and the signals asked for."""
        raise AttributeError(f"{type(self).__name__} does not say when it fires")

    def options(self) -> dict[str, Any]:
        """Return `name` and all parameters as JSON values, for the fossil record."""
        return options_of(self)


@dataclass(frozen=True)
class Plateau(Schedule):
    """An extinction when the watched loss has stalled: early stopping that does not stop.

    Parameters
    ----------
    every : int
        n: at least so many epochs pass between extinctions, and before the first.
    patience : int
        k: the watched loss must have failed to improve for more than k epochs.
    min_delta : float
        What counts as an improvement of the best watched loss since the last extinction.

    Raises
    ------
    OptionError
    """

    every: int = 5
    patience: int = 3
    min_delta: float = 1e-3

    name: ClassVar[str] = "plateau"

    def __post_init__(self) -> None:
        require_number("min_delta", self.min_delta, 0.0, math.inf)
        require_count("every", self.every, 1)
        require_count("patience", self.patience, 0)

    def fires(self, state: ScheduleState, clock: Clock, signals: Signals) -> bool:
        """Whether enough epochs have passed and the loss has stalled for long enough."""
        return state.epochs >= self.every and state.stalled > self.patience


@dataclass(frozen=True, kw_only=True)
class Every(Schedule):
    """An extinction every n epochs or steps, whatever the loss does.

    Parameters
    ----------
    epochs, steps : int
        How many pass between extinctions, and before the first; one of them.
    begin, until : int, optional
        No extinction before so many epochs (or steps) of the network's life, and none after.

    Raises
    ------
    OptionError
    """

    epochs: int | None = None
    steps: int | None = None
    begin: int = 0
    until: int | None = None

    name: ClassVar[str] = "every"

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise OptionError(f"epochs and steps: expected one of them, got {self.epochs} and {self.steps}")
        require_count(*("steps", self.steps) if self.epochs is None else ("epochs", self.epochs), 1)
        require_count("begin", self.begin, 0)
        if self.until is not None:
            require_count("until", self.until, max(self.begin, 1))

    @property
    def by_steps(self) -> bool:  # type: ignore[override]
        """Whether it counts steps."""
        return self.steps is not None

    def fires(self, state: ScheduleState, clock: Clock, signals: Signals) -> bool:
        """Whether enough epochs or steps have passed, and it is neither too early nor too late."""
        if self.steps is not None:
            since, period, now = state.steps, self.steps, clock.steps
        else:
            since, period, now = state.epochs, self.epochs or 1, clock.epochs
        return since >= period and self.begin <= now and (self.until is None or now <= self.until)


@dataclass(frozen=True)
class Signal(Schedule):
    """An extinction when a growth signal passes a threshold at the end of an epoch.

    Parameters
    ----------
    signal : str
        `gradient_norm`, `gradient_variance`, `dead`, `saturated`, `entropy` or `mutual_information`; see `dna.signals`.
    above, below : float
        It fires above or below (strictly); one of them.
    level : int, optional
        The level to look at. By default all above the inputs, one of which suffices.
    every : int
        At least so many epochs pass between extinctions, and before the first.

    Raises
    ------
    OptionError, UnknownNameError
    """

    signal: str
    above: float | None = None
    below: float | None = None
    level: int | None = None
    every: int = 1

    name: ClassVar[str] = "signal"

    def __post_init__(self) -> None:
        check_signals([self.signal])
        if (self.above is None) == (self.below is None):
            raise OptionError(f"above and below: expected one of them, got {self.above} and {self.below}")
        require_number(*("below", self.below) if self.above is None else ("above", self.above), -math.inf, math.inf)
        if self.level is not None:
            require_count("level", self.level, 1)
        require_count("every", self.every, 1)

    @property
    def signals(self) -> tuple[str, ...]:  # type: ignore[override]
        """The signal that it looks at."""
        return (self.signal,)

    def fires(self, state: ScheduleState, clock: Clock, signals: Signals) -> bool:
        """Whether enough epochs have passed and a level is past the threshold; a level of which nothing is known is not."""
        if self.level is None:
            values = [value for key, value in signals.items() if key.startswith(f"{self.signal}.")]
        else:
            values = [signals[key] for key in (f"{self.signal}.{self.level}",) if key in signals]
        if self.above is not None:
            return state.epochs >= self.every and any(value > self.above for value in values)
        return state.epochs >= self.every and any(value < self.below for value in values)  # type: ignore[operator]

"""Schedules: when an extinction fires. Their state belongs to the network, so that it survives a fit and is saved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from dna.rules.options import options_of, require_count, require_number


class ScheduleState(NamedTuple):
    """Where the schedule stands; it belongs to the network, survives `fit`, and is saved with it."""

    epochs: int = 0  # since the last extinction
    best: float | None = None  # lowest watched loss since the last extinction
    stalled: int = 0  # epochs since that improved

    def after_epoch(self, loss: float, min_delta: float) -> ScheduleState:
        """Return the state after one more epoch that ended with the watched loss `loss`."""
        improved = self.best is None or loss < self.best - min_delta
        return ScheduleState(self.epochs + 1, loss if improved else self.best, 0 if improved else self.stalled + 1)


class Schedule(Protocol):
    """What says when an extinction is due; a class of a user's own may be one."""

    name: ClassVar[str]

    @property
    def min_delta(self) -> float:
        """By how much the watched loss must fall to count as improved."""
        ...

    def fires(self, state: ScheduleState) -> bool:
        """Whether an extinction is due after the epoch that led to `state`."""
        ...

    def options(self) -> dict[str, Any]:
        """Return `name` and all parameters as JSON values, for the fossil record."""
        ...


@dataclass(frozen=True)
class Plateau:
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

    def fires(self, state: ScheduleState) -> bool:
        """Whether enough epochs have passed and the loss has stalled for long enough."""
        return state.epochs >= self.every and state.stalled > self.patience

    def options(self) -> dict[str, Any]:
        """Return all parameters as plain values."""
        return options_of(self)

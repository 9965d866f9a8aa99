"""Trainable: what `fit` needs of a network."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from dna.engine import Engine
from dna.fossils import ExtinctionEvent
from dna.rules import NO_SIGNALS, Extinction, ScheduleState, Signals
from dna.training.history import History
from dna.training.optimizers import Optimizer
from dna.training.samples import Ends
from dna.training.standing import Standing


class Trainable(Ends, Protocol):
    """What `fit` needs of a network."""

    engine: Engine
    rng: np.random.Generator
    schedule: ScheduleState
    optimizer: Optimizer | None
    epoch: int
    step: int
    trained: int
    standing: Standing | None
    history: History
    events: list[ExtinctionEvent]
    host_copy: Any

    def apply(self, optimizer: Optimizer) -> Any: ...
    def watch(self, *statistics: str) -> None: ...
    def check_extinction(self, rule: Extinction) -> None: ...
    def evolve(
        self,
        rule: Extinction,
        trigger: str,
        epoch: int,
        schedule: ScheduleState,
        loss_before: float | None,
        signals: Signals = NO_SIGNALS,
    ) -> ExtinctionEvent: ...
    def complete_event(self, loss_after: float) -> None: ...
    def note_loss(self, value: float, n_events: int) -> None: ...

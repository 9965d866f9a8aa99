"""History: what each epoch of a fit came to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from dna.fossils import ExtinctionEvent
from dna.rules import Signals


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    Attributes
    ----------
    number : int
        Counted over the life of the network, from 1.
    loss : float
        Mean loss over the samples of the epoch, each taken before its batch was applied.
    metric : float or None
        Mean of the loss's metric (accuracy for both cross-entropies), likewise.
    val_loss, val_metric : float or None
        The same over the validation data after the epoch.
    cells : int
        Living cells at the end of training, before an extinction.
    seconds : float
        Of training and validation.
    event : ExtinctionEvent or None
        The extinction that followed.
    within : tuple of ExtinctionEvent
        Those that fired between two of its steps.
    signals : mapping of str to float
        Growth signals at its end, by `name.level`: those that the fit or its schedule asked for.
    """

    number: int
    loss: float
    metric: float | None
    val_loss: float | None
    val_metric: float | None
    cells: int
    seconds: float
    event: ExtinctionEvent | None = None
    within: tuple[ExtinctionEvent, ...] = ()
    signals: Signals = field(default_factory=dict)

    @property
    def events(self) -> tuple[ExtinctionEvent, ...]:
        """All extinctions of the epoch, oldest first."""
        return self.within if self.event is None else (*self.within, self.event)

    @property
    def watched(self) -> float:
        """The loss that the schedule watches: that of the validation data if there is any."""
        return self.loss if self.val_loss is None else self.val_loss

    def with_signals(self, signals: Signals) -> Epoch:
        return replace(self, signals=signals)

    def followed_by(self, event: ExtinctionEvent) -> Epoch:
        return replace(self, event=event)


@dataclass
class History:
    """All epochs of a fit, in order. `history.loss` and the like are lists, one value an epoch.

    Attributes
    ----------
    epochs : list of Epoch
    metric_name : str or None
        What `metric` means.
    """

    epochs: list[Epoch] = field(default_factory=list)
    metric_name: str | None = None

    def __len__(self) -> int:
        return len(self.epochs)

    def __getattr__(self, name: str) -> list[Any]:
        if name.startswith("_") or name not in Epoch.__dataclass_fields__:
            raise AttributeError(f"'History' object has no attribute {name!r}")
        return [getattr(epoch, name) for epoch in self.epochs]

    @property
    def extinctions(self) -> list[ExtinctionEvent]:
        """The extinctions that fired, oldest first."""
        return [event for epoch in self.epochs for event in epoch.events]

    def __repr__(self) -> str:
        if not self.epochs:
            return "<History of no epochs>"
        return f"<History of {len(self)} epochs, loss {self.epochs[-1].loss:.4f}, {len(self.extinctions)} extinctions>"

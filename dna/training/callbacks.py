"""Callbacks: what users hang into a fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dna.errors import OptionError
from dna.fossils import ExtinctionEvent
from dna.training.history import Epoch, History


class Callback:
    """Base of callbacks; override what you need. A network is handed in as `network` and may be looked at and saved.

    Return True from `on_epoch` to end the fit after this epoch.
    """

    def on_start(self, network: Any, history: History) -> None:
        """Before the first epoch."""

    def on_epoch(self, network: Any, epoch: Epoch) -> bool | None:
        """After an epoch, and after the extinction that it led to."""

    def on_extinction(self, network: Any, event: ExtinctionEvent) -> None:
        """For each extinction of an epoch, at its end: the network is as it is after them all. Before `on_epoch`."""

    def on_end(self, network: Any, history: History) -> None:
        """After the last epoch, or when the fit was interrupted or failed; of those that started, the last one first."""


def require_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    """Return callbacks in a row, or raise OptionError."""
    found = tuple(callbacks) if isinstance(callbacks, Iterable) else (callbacks,)
    strangers = [callback for callback in found if not isinstance(callback, Callback)]
    if strangers or not isinstance(callbacks, Iterable):
        got = strangers[0] if strangers else callbacks
        raise OptionError(f"callbacks: expected a list of objects of classes derived from dna.Callback, got {got!r}")
    return found

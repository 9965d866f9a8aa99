"""Early stopping: a fit that ends once the watched loss has stalled."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from dna import check
from dna.errors import OptionError
from dna.training.callbacks import Callback
from dna.training.history import Epoch, History


class EarlyStopping(Callback):
    """Ends a fit after so many epochs in a row whose watched loss was no improvement.

    The watched loss is that of the validation data, or of the training where there are none. Extinctions make it worse for a
    while: be more patient than the network needs to repair them.

    Parameters
    ----------
    patience : int
        Epochs in a row without improvement, at least 1.
    min_delta : float
        An improvement is by more than this, at least 0.
    best : path, optional
        Where to save the network after each epoch that is the best so far (after its extinction, if there was one), for
        `dna.load(best)`.

    Attributes
    ----------
    best_loss : float
        The lowest watched loss of the fit, Inf at its start.
    stalled : int
        Epochs since.

    Raises
    ------
    OptionError
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0, best: str | os.PathLike[str] | None = None) -> None:
        self.patience = check.count("patience", patience, 1)
        if isinstance(min_delta, bool) or not isinstance(min_delta, int | float) or not 0 <= min_delta < math.inf:
            raise OptionError(f"min_delta: expected a number of at least 0, got {min_delta!r}")
        self.min_delta, self.best = min_delta, None if best is None else Path(best)
        self.best_loss, self.stalled = math.inf, 0

    def on_start(self, network: Any, history: History) -> None:
        """Begin anew; save, so that a file that cannot be written is found before hours of training.

        Raises
        ------
        FileError
        """
        self.best_loss, self.stalled = math.inf, 0
        self._save(network)

    def on_epoch(self, network: Any, epoch: Epoch) -> bool:
        """Whether the fit is to end."""
        if epoch.watched < self.best_loss - self.min_delta:
            self.best_loss, self.stalled = epoch.watched, 0
            self._save(network)
        else:
            self.stalled += 1
        return self.stalled >= self.patience

    def _save(self, network: Any) -> None:
        if self.best is not None:
            network.save(self.best)

"""Checkpoints of a fit: the last few by epoch, and `latest.dna`, each of them whole at any moment."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from dna import check
from dna.errors import DNAError, FileError
from dna.files import name_file
from dna.training import Callback, Epoch, History

LATEST = "latest.dna"

_NUMBERED = re.compile(r"epoch-(\d{6,})\.dna")


class Checkpoints(Callback):
    """Saves a network while it trains: at the start of a fit, after every `every` epochs of the network's life, and at the end.

    A fit that is interrupted within an epoch leaves that very state in `latest.dna`, so that nothing is lost.

    Parameters
    ----------
    folder : path
        Made if it is missing. `epoch-000012.dna` is the network after 12 epochs, `latest.dna` the newest state of all.
    every : int
        Epochs between two checkpoints, at least 1.
    keep : int
        How many of the numbered files stay, at least 1. Those of later epochs than the present one are another run's, and stay.

    Raises
    ------
    OptionError
        A count is out of range.
    """

    def __init__(self, folder: str | os.PathLike[str], *, every: int = 1, keep: int = 3) -> None:
        self.folder = Path(folder)
        self.every, self.keep = check.count("every", every, 1), check.count("keep", keep, 1)
        self._saved: tuple[int, ...] | None = None
        self._outer: BaseException | None = None

    def on_start(self, network: Any, history: History) -> None:
        """Save before the first epoch: a folder that cannot be written to is found before hours of training."""
        self._outer = sys.exc_info()[1]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{self.folder}: expected a folder, or a place where one can be made: {error}") from error
        self._save(network)

    def on_epoch(self, network: Any, epoch: Epoch) -> None:
        if network.epoch % self.every == 0:
            self._save(network)

    def on_end(self, network: Any, history: History) -> None:
        if self._saved == _moment(network):
            return
        failing = sys.exc_info()[1] is not self._outer
        try:
            self._save(network)
        except DNAError:
            if not failing:  # what ended the fit is not to be hidden by a state that cannot be saved
                raise

    def _save(self, network: Any) -> None:
        latest, numbered = self.folder / LATEST, self.folder / f"epoch-{network.epoch:06d}.dna"
        if network.standing is None:
            network.save(numbered)
            name_file(numbered, latest)
            self._remove_old(network.epoch)
        else:
            network.save(latest)
        self._saved = _moment(network)

    def _remove_old(self, epoch: int) -> None:
        found = (_NUMBERED.fullmatch(name) for name in os.listdir(self.folder))
        ours = sorted((int(match[1]), match[0]) for match in found if match and int(match[1]) <= epoch)
        for _, name in ours[: -self.keep]:
            with suppress(OSError):  # a file too many does no harm
                os.unlink(self.folder / name)


def _moment(network: Any) -> tuple[int, ...]:
    """Return where a network stands: epochs and further batches trained, and what callbacks did to it by hand beside them."""
    batches = 0 if network.standing is None else network.standing.batches
    return network.epoch, batches, network.trained, network.engine.moves

"""Watching a fit while it goes on: TensorBoard, a file of JSON lines, and the page, each a callback."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Unpack

from dna.errors import FileError, MissingExtraError
from dna.fossils import ExtinctionEvent
from dna.graph.filters import Filters, part
from dna.graph.lives import chronicle_of
from dna.training.callbacks import Callback
from dna.training.history import Epoch, History

EVENT_FIELDS = ("number", "epoch", "trigger", "version", "cells_before", "cells_after", "n_born", "n_died", "seconds", "capacity")


class TensorBoard(Callback):
    """Writes scalars after every epoch, and histograms of weights and biases after every extinction, for TensorBoard.

    Scalars are `loss/training`, `loss/validation`, the metric by its name, `cells` and `seconds` by epoch, and by the epoch of an
    extinction `extinction/born`, `extinction/died`, `extinction/loss_before` and `extinction/loss_after`.

    Parameters
    ----------
    folder : str or path
        Where the event files go; made if it is missing.
    every : int, optional
        Histograms are also written after every so many epochs.

    Raises
    ------
    MissingExtraError
        tensorboardX is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str], every: int | None = None) -> None:
        try:
            import tensorboardX
        except ImportError as error:
            raise MissingExtraError("TensorBoard needs tensorboardX: pip install hebbian-dna[watch]") from error
        self._open, self._folder, self._every = tensorboardX.SummaryWriter, Path(folder), every
        self._writer: Any = None
        self._metric: str | None = None

    def on_start(self, network: Any, history: History) -> None:
        self._writer, self._metric = self._open(str(self._folder)), history.metric_name

    def on_epoch(self, network: Any, epoch: Epoch) -> None:
        values = {"loss/training": epoch.loss, "loss/validation": epoch.val_loss, "cells": epoch.cells, "seconds": epoch.seconds}
        if self._metric is not None:
            values |= {f"{self._metric}/training": epoch.metric, f"{self._metric}/validation": epoch.val_metric}
        self._scalars(values, epoch.number)
        if self._every is not None and epoch.number % self._every == 0:
            self._histograms(network, epoch.number)
        self._writer.flush()

    def on_extinction(self, network: Any, event: ExtinctionEvent) -> None:
        values = {"born": event.n_born, "died": event.n_died, "loss_before": event.loss_before, "loss_after": event.loss_after}
        self._scalars({f"extinction/{name}": value for name, value in values.items()}, event.epoch)
        self._histograms(network, event.epoch)

    def on_end(self, network: Any, history: History) -> None:
        self._writer.close()

    def _scalars(self, values: dict[str, float | None], epoch: int) -> None:
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, epoch)

    def _histograms(self, network: Any, epoch: int) -> None:
        cells = network.cells
        for name in ("weight", "bias"):
            if len(cells):
                self._writer.add_histogram(name, getattr(cells, name), epoch)


class JSONLines(Callback):
    """Appends one line of JSON an epoch to a file, with its extinctions; each is on the disk before the next epoch begins.

    Parameters
    ----------
    path : str or path
        In an existing folder. A file that is there is gone on with.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def on_start(self, network: Any, history: History) -> None:
        """Find out now whether the file can be written.

        Raises
        ------
        FileError
        """
        self._append("")

    def on_epoch(self, network: Any, epoch: Epoch) -> None:
        names = ("loss", "metric", "val_loss", "val_metric", "cells", "seconds")
        line = {"epoch": epoch.number} | {name: getattr(epoch, name) for name in names}
        line["extinctions"] = [_told(event) for event in epoch.events]
        self._append(json.dumps(line) + "\n")

    def _append(self, text: str) -> None:
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FileError(f"{self._path}: cannot be written: {error}") from error


class LivePage(Callback):
    """Writes the page anew after every epoch that had an extinction, and at the end; reload it in the browser to see more.

    Parameters
    ----------
    path : str or path
        Where the page goes; the suffix may be that of any export. It is replaced whole each time.
    **filters
        The part to show: see `dna.graph.filters.Filters`.
    """

    def __init__(self, path: str | os.PathLike[str], **filters: Unpack[Filters]) -> None:
        self._path, self._filters = Path(path), filters
        self._due = False

    def on_start(self, network: Any, history: History) -> None:
        """Write the page of the start, and so find out now whether it can be written.

        Raises
        ------
        FileError, OptionError
        """
        self._write(network)

    def on_extinction(self, network: Any, event: ExtinctionEvent) -> None:
        self._due = True

    def on_epoch(self, network: Any, epoch: Epoch) -> None:
        if self._due:
            self._write(network)
        self._due = False

    def on_end(self, network: Any, history: History) -> None:
        self._write(network)

    def _write(self, network: Any) -> None:
        from dna.graph.export import export  # all formats, which `import dna` need not load

        export(part(network.topology(), self._filters), self._path, chronicle_of(network))


def _told(event: ExtinctionEvent) -> dict[str, Any]:
    losses = {"loss_before": event.loss_before, "loss_after": event.loss_after}
    return {name: getattr(event, name) for name in EVENT_FIELDS} | losses

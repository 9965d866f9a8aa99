"""Fit: epochs of batches, and extinctions when the schedule says so."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from dna import check
from dna.engine import Engine
from dna.errors import NumericsError, OptionError
from dna.fossils import ExtinctionEvent
from dna.rules import Extinction, ScheduleState
from dna.training.callbacks import Callback
from dna.training.history import Epoch, History
from dna.training.losses import LOSSES, Loss
from dna.training.optimizers import Optimizer
from dna.training.samples import Ends, Samples, lay_out

EVALUATION_BATCH = 1024


class Trainable(Ends, Protocol):
    """What `fit` needs of a network."""

    engine: Engine
    rng: np.random.Generator
    schedule: ScheduleState
    epoch: int
    history: History

    def apply(self, optimizer: Optimizer) -> Any: ...
    def check_extinction(self, rule: Extinction) -> None: ...
    def evolve(self, rule: Extinction, trigger: str, losses: Iterator[float]) -> ExtinctionEvent: ...


def fit(
    network: Trainable,
    x: Any,
    y: Any,
    *,
    epochs: int,
    batch_size: int,
    loss: Loss,
    optimizer: Optimizer,
    extinction: Extinction | None,
    validation: tuple[Any, Any] | None,
    callbacks: Sequence[Callback],
    progress: bool,
    history: History,
) -> History:
    """Train `network` in place and fill `history`; see `dna.Network.fit`."""
    epochs, batch_size = check.count("epochs", epochs, 0), check.count("batch_size", batch_size, 1)
    if extinction is not None:
        network.check_extinction(extinction)
    train = lay_out(network, x, y, loss)
    held_out = None if validation is None else lay_out(network, *_pair(validation), loss, name="validation ")
    history.metric_name = loss.metric
    network.history = history
    network.engine.ready_plan()
    for callback in callbacks:
        callback.on_start(network, history)
    try:
        with _Progress(progress, epochs, -(-train.n // batch_size)) as bar:
            for _ in range(epochs):
                epoch = _run_epoch(network, train, held_out, loss, optimizer, batch_size, bar)
                network.epoch = epoch.number
                if extinction is not None:
                    epoch = _follow_schedule(network, epoch, extinction, loss, train if held_out is None else held_out)
                history.epochs.append(epoch)
                bar.show(epoch)
                if _tell(callbacks, network, epoch):
                    break
    finally:
        for callback in callbacks:
            callback.on_end(network, history)
    return history


def evaluate(network: Trainable, samples: Samples, loss: Loss) -> tuple[float, float | None]:
    """Return the mean loss over the samples, and the mean metric if the loss has one."""
    engine, value, hits = network.engine, 0.0, 0.0
    for start in range(0, samples.n, EVALUATION_BATCH):
        rows = network.backend.upload(np.arange(start, min(start + EVALUATION_BATCH, samples.n)))
        engine.load(samples.x, rows)
        engine.forward()
        batch_value, batch_hits = engine.loss(loss, samples.targets, rows, 1.0)
        value, hits = value + batch_value, hits + batch_hits
    engine.forget()
    return value / samples.n, hits / samples.n if loss.metric else None


def find_loss(loss: str | Loss) -> Loss:
    """Return a loss by name, or the one that is given."""
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        raise OptionError(f"loss: expected a name or a dna.training.Loss, got {loss!r}")
    return LOSSES[loss]


def _run_epoch(
    network: Trainable,
    train: Samples,
    held_out: Samples | None,
    loss: Loss,
    optimizer: Optimizer,
    batch_size: int,
    bar: _Progress,
) -> Epoch:
    start = time.perf_counter()
    engine, value, hits = network.engine, 0.0, 0.0
    order = network.rng.permutation(train.n)
    number = network.epoch + 1
    for first in range(0, train.n, batch_size):
        rows = network.backend.upload(order[first : first + batch_size])
        engine.load(train.x, rows)
        engine.forward()
        batch_value, batch_hits = engine.loss(loss, train.targets, rows, 1.0 / len(rows))
        if not np.isfinite(batch_value):
            raise NumericsError(
                f"loss: expected a finite value, got {batch_value} in epoch {number}, batch {first // batch_size}; "
                "the cells are those before this batch. A smaller learning rate may help"
            )
        engine.backward(inputs_too=False)
        network.apply(optimizer)
        value, hits = value + batch_value, hits + batch_hits
        bar.step()
    what = f"validation loss of epoch {number}"
    val_loss, val_metric = (None, None) if held_out is None else _watch(network, held_out, loss, what)
    metric = hits / train.n if loss.metric else None
    cells, seconds = len(engine.pool), time.perf_counter() - start
    return Epoch(number, value / train.n, metric, val_loss, val_metric, cells, seconds)


def _follow_schedule(network: Trainable, epoch: Epoch, extinction: Extinction, loss: Loss, watched: Samples) -> Epoch:
    """Count the epoch in the schedule, and let an extinction happen if one is due."""
    network.schedule = network.schedule.after_epoch(epoch.watched, extinction.when.min_delta)
    if not extinction.when.fires(network.schedule):
        return epoch
    losses = (_watch(network, watched, loss, f"loss {when} the extinction")[0] for when in ("before", "after"))
    return epoch.followed_by(network.evolve(extinction, "schedule", losses))


def _watch(network: Trainable, samples: Samples, loss: Loss, what: str) -> tuple[float, float | None]:
    """Evaluate, and refuse what a schedule cannot compare and a file cannot hold."""
    value, metric = evaluate(network, samples, loss)
    if not np.isfinite(value):
        raise NumericsError(f"{what}: expected a finite value, got {value}")
    return value, metric


def _tell(callbacks: Iterable[Callback], network: Trainable, epoch: Epoch) -> bool:
    stop = False
    for callback in callbacks:
        if epoch.event is not None:
            callback.on_extinction(network, epoch.event)
        stop = bool(callback.on_epoch(network, epoch)) or stop
    return stop


def _pair(validation: Any) -> tuple[Any, Any]:
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise OptionError(f"validation: expected a pair (x, y), got {type(validation).__name__}")
    return validation[0], validation[1]


class _Progress:
    """A bar over all batches of a fit, and a line for each extinction."""

    def __init__(self, shown: bool, epochs: int, batches: int) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=epochs * batches, disable=not shown, unit="batch", dynamic_ncols=True, leave=True)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def step(self) -> None:
        self._bar.update()

    def show(self, epoch: Epoch) -> None:
        if self._bar.disable:
            return
        self._bar.set_description(f"epoch {epoch.number}", refresh=False)
        figures = {"loss": f"{epoch.loss:.4f}"}
        if epoch.val_loss is not None:
            figures["val"] = f"{epoch.val_loss:.4f}"
        self._bar.set_postfix(figures | {"cells": epoch.cells if epoch.event is None else epoch.event.cells_after})
        if epoch.event is not None:
            self._bar.write(str(epoch.event))

"""Fit: epochs of batches, and extinctions when the schedule says so."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from dna import check
from dna.errors import NumericsError, OptionError
from dna.fossils import ExtinctionEvent
from dna.interrupt import Uninterrupted
from dna.rules import NO_SIGNALS, Clock, Extinction, check_signals
from dna.signals import measure
from dna.training.batches import Batches
from dna.training.callbacks import Callback, require_callbacks
from dna.training.health import HealthWatch, require_sound
from dna.training.history import Epoch, History
from dna.training.losses import LOSSES, Loss
from dna.training.optimizers import Optimizer
from dna.training.progress import Progress
from dna.training.samples import Samples, lay_out
from dna.training.tally import Tally
from dna.training.trainable import Trainable

EVALUATION_BATCH = 1024


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
    signals: Sequence[str],
    saving: Sequence[Callback],
    callbacks: Any,
    progress: bool,
    history: History,
) -> History:
    """Train `network` in place and fill `history`; see `dna.Network.fit`."""
    epochs, batch_size = check.count("epochs", epochs, 0), check.count("batch_size", batch_size, 1)
    callbacks = (*saving, *require_callbacks(callbacks))
    watched_signals = check_signals(signals)
    if extinction is not None:
        network.check_extinction(extinction)
        watched_signals = check_signals([*watched_signals, *extinction.when.signals])
    train = lay_out(network, x, y, loss)
    held_out = None if validation is None else lay_out(network, *_pair(validation), loss, name="validation ")
    watched = train if held_out is None else held_out
    history.metric_name = loss.metric
    network.history = history
    if extinction is not None:
        network.watch(*network.engine.statistics.tables, *extinction.statistics)
    network.engine.plans.ready(batch_size)
    require_sound(network)
    network.host_copy.renew(network)
    with ExitStack() as endings:  # the last to start is the first to end, and one that fails keeps none of the others from it
        for callback in callbacks:
            callback.on_start(network, history)
            endings.callback(callback.on_end, network, history)
        with Progress(progress, epochs, -(-train.n // batch_size)) as bar:
            _end_interrupted_extinction(network, watched, loss)
            batches = Batches(network, train, loss, optimizer, batch_size)
            for _ in range(epochs):
                epoch = _run_epoch(network, train, held_out, loss, batches, extinction, bar)
                if watched_signals:
                    found = measure(network.engine, watched.x, watched.targets, watched.n, loss, watched_signals)
                    epoch = epoch.with_signals(found)
                _close_epoch(network, epoch, batches, extinction, loss, train, watched)
                network.host_copy.renew(network)
                bar.show(history.epochs[-1])
                if _tell(callbacks, network, history.epochs[-1]):
                    break
    return history


def evaluate(network: Trainable, samples: Samples, loss: Loss) -> tuple[float, float | None]:
    """Return the mean loss over the samples, and the mean metric if the loss has one."""
    engine, tally = network.engine, Tally(network.backend, -(-samples.n // EVALUATION_BATCH))
    for start in range(0, samples.n, EVALUATION_BATCH):
        rows = network.backend.upload(np.arange(start, min(start + EVALUATION_BATCH, samples.n)))
        engine.load(samples.x, rows, EVALUATION_BATCH)
        engine.forward()
        engine.loss(loss, samples.targets, rows, 1.0, (tally.sums, tally.place))
    engine.forget()
    value, hits = tally.totals(0.0, 0.0, 0, len(tally))
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
    batches: Batches,
    extinction: Extinction | None,
    bar: Progress,
) -> Epoch:
    """Train over all samples, or over those that an interrupted epoch left."""
    start, within = time.perf_counter(), extinction if extinction is not None and extinction.when.by_steps else None
    batches.begin()
    bar.step(batches.start.batches)
    events = [] if within is None else _follow_step(network, train, batches.last, loss, within)
    watch = HealthWatch(network, batches.tally, batches.start.batches, batches.run)
    try:
        for count in watch.run(alone=within is not None):
            if within is not None:
                if _is_due_now(network, within):
                    watch.check()
                if stepped := _follow_step(network, train, batches.last, loss, within):
                    events += stepped
                    watch.renew()
            bar.step(count)
        watch.check()
        standing = batches.complete()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            watch.withdraw()
        batches.complete()  # perhaps once more, as Ctrl-C may have come while it ran
        raise
    what = f"validation loss of epoch {network.epoch + 1}"
    val_loss, val_metric = (None, None) if held_out is None else _watch(network, held_out, loss, what)
    metric = standing.hits / train.n if loss.metric else None
    cells, seconds = len(network.engine.pool), time.perf_counter() - start
    mean = standing.total / train.n
    return Epoch(network.epoch + 1, mean, metric, val_loss, val_metric, cells, seconds, within=tuple(events))


def _follow_step(
    network: Trainable, train: Samples, samples: np.ndarray, loss: Loss, extinction: Extinction
) -> list[ExtinctionEvent]:
    """Let the extinction happen that is due after a step, judged by the loss of the batch at hand; none without a batch.

    After an interruption it is asked again, and ends what was due or lacks its loss still.
    """
    if len(samples) == 0:
        return []
    if _is_due_now(network, extinction):
        loss_before = _batch_loss(network, train, samples, loss, "before")
        network.evolve(extinction, "schedule", network.epoch, network.schedule, loss_before)
    elif network.schedule.steps > 0 or not _lacks_loss(network.events):
        return []
    network.complete_event(_batch_loss(network, train, samples, loss, "after"))
    return [network.events[-1]]


def _is_due_now(network: Trainable, extinction: Extinction) -> bool:
    """Whether an extinction that goes by steps is due."""
    return extinction.when.fires(network.schedule, Clock(network.epoch, network.trained), NO_SIGNALS)


def _batch_loss(network: Trainable, train: Samples, samples: np.ndarray, loss: Loss, when: str) -> float:
    """Return the mean loss of a batch, and send it back too, for rules that look at the last batch."""
    engine, rows, tally = network.engine, network.backend.upload(samples), Tally(network.backend, 1)
    engine.load(train.x, rows)
    engine.forward()
    engine.loss(loss, train.targets, rows, 1.0 / len(rows), (tally.sums, tally.place))
    value = tally.totals(0.0, 0.0, 0, 1)[0] / len(samples)
    engine.backward(inputs_too=False)
    engine.forget()
    if not np.isfinite(value):
        raise NumericsError(f"loss {when} the extinction: expected a finite value, got {value}")
    return value


def _close_epoch(
    network: Trainable,
    epoch: Epoch,
    batches: Batches,
    extinction: Extinction | None,
    loss: Loss,
    train: Samples,
    watched: Samples,
) -> None:
    """End an epoch in one piece: it is counted and the extinction that is due has happened, or nothing has happened yet."""
    schedule, due = network.schedule, False
    if extinction is not None:
        schedule = schedule.after_epoch(epoch.watched, extinction.when.min_delta)
        clock = Clock(epoch.number, network.trained)
        due = not extinction.when.by_steps and extinction.when.fires(schedule, clock, epoch.signals)
    loss_before = _watch(network, watched, loss, "loss before the extinction")[0] if due else None
    if extinction is not None and due and extinction.needs_batch:
        _batch_loss(network, train, batches.order[:EVALUATION_BATCH], loss, "before")
    with Uninterrupted():
        earlier = len(network.events)
        if extinction is not None and due:
            epoch = epoch.followed_by(network.evolve(extinction, "schedule", epoch.number, schedule, loss_before, epoch.signals))
        else:
            network.schedule = schedule
        network.note_loss(epoch.watched, earlier)
        batches.settle()
        network.epoch, network.standing = epoch.number, None
        network.history.epochs.append(epoch)
    if due:
        network.complete_event(_watch(network, watched, loss, "loss after the extinction")[0])


def _end_interrupted_extinction(network: Trainable, watched: Samples, loss: Loss) -> None:
    """Measure the loss after the last extinction where an earlier fit was interrupted before it had done so."""
    if not _lacks_loss(network.events):
        return
    if network.standing is None and network.events[-1].epoch == network.epoch:
        network.complete_event(_watch(network, watched, loss, "loss after the extinction")[0])


def _lacks_loss(events: Sequence[ExtinctionEvent]) -> bool:
    """Whether the loss after the last extinction has not been measured, though the one before it has."""
    return bool(events) and events[-1].loss_before is not None and events[-1].loss_after is None


def _watch(network: Trainable, samples: Samples, loss: Loss, what: str) -> tuple[float, float | None]:
    """Evaluate, and refuse what a schedule cannot compare and a file cannot hold."""
    value, metric = evaluate(network, samples, loss)
    if not np.isfinite(value):
        raise NumericsError(f"{what}: expected a finite value, got {value}")
    return value, metric


def _tell(callbacks: Iterable[Callback], network: Trainable, epoch: Epoch) -> bool:
    stop = False
    for callback in callbacks:
        for event in epoch.events:
            callback.on_extinction(network, event)
        stop = bool(callback.on_epoch(network, epoch)) or stop
    return stop


def _pair(validation: Any) -> tuple[Any, Any]:
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise OptionError(f"validation: expected a pair (x, y), got {type(validation).__name__}")
    return validation[0], validation[1]

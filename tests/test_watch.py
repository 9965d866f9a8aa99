"""Watching a fit: what is written is what the history says, as other readers read it."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dna
from dna.errors import FileError, MissingExtraError, OptionError
from dna.training import EarlyStopping, JSONLines, LivePage, TensorBoard

RULE = dna.Extinction(split=0.2, delete=0.1, every=2, patience=0, min_delta=10.0)


def fit(net: dna.Network, *callbacks: dna.Callback, epochs: int = 6) -> dna.History:
    x = np.random.default_rng(0).random((60, net.n_in)).astype(np.float32)
    y = x[:, : net.n_out].argmax(1)
    return net.fit(
        x, y, epochs=epochs, batch_size=20, optimizer=dna.SGD(0.1), extinction=RULE, callbacks=callbacks, progress=False,
        validation=(x, y),
    )  # fmt: skip


@pytest.fixture
def net() -> dna.Network:
    return dna.Network([6, 3], device="cpu", init="glorot")


def records(folder: Path) -> Iterator[Any]:
    """Yield the events of TensorBoard's files: a length, its checksum, a protocol buffer, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            yield Event.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length


def test_tensorboard_holds_what_the_history_says(net: dna.Network, tmp_path: Path) -> None:
    history = fit(net, TensorBoard(tmp_path / "runs", every=4))
    scalars: dict[str, dict[int, float]] = {}
    histograms: dict[str, list[int]] = {}
    for event in records(tmp_path / "runs"):
        for value in event.summary.value:
            if value.HasField("histo"):
                histograms.setdefault(value.tag, []).append(event.step)
                last = value.histo
            else:
                scalars.setdefault(value.tag, {})[event.step] = value.simple_value
    for tag, values in {
        "loss/training": history.loss,
        "loss/validation": history.val_loss,
        "accuracy/training": history.metric,
        "accuracy/validation": history.val_metric,
        "cells": history.cells,
    }.items():
        np.testing.assert_allclose([scalars[tag][number] for number in history.number], values, rtol=1e-6)
    events = history.extinctions
    assert len(events) > 1
    assert scalars["extinction/born"] == {event.epoch: event.n_born for event in events}
    np.testing.assert_allclose(list(scalars["extinction/loss_after"].values()), [event.loss_after for event in events], rtol=1e-6)
    assert sorted(histograms["weight"]) == sorted([event.epoch for event in events] + [4])
    assert last.num == len(net)


def test_tensorboard_without_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingExtraError, match=r"pip install hebbian-dna\[watch\]"):
        TensorBoard(tmp_path)


def test_lines_of_json_hold_what_the_history_says_and_are_gone_on_with(net: dna.Network, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    first, second = fit(net, JSONLines(path)), fit(net, JSONLines(path), epochs=3)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    epochs = [*first.epochs, *second.epochs]
    assert [line["epoch"] for line in lines] == list(range(1, 10))
    for name in ("loss", "metric", "val_loss", "val_metric", "cells", "seconds"):
        assert [line[name] for line in lines] == [getattr(epoch, name) for epoch in epochs]
    told = [event for line in lines for event in line["extinctions"]]
    assert [(one["number"], one["epoch"], one["n_died"], one["loss_after"]) for one in told] == [
        (event.number, event.epoch, event.n_died, event.loss_after) for event in net.fossils
    ]


def test_the_page_is_written_at_the_start_after_every_extinction_and_at_the_end(net: dna.Network, tmp_path: Path) -> None:
    path = tmp_path / "topology.html"
    seen: list[tuple[int, int]] = []

    class Look(dna.Callback):
        def on_start(self, network: Any, history: dna.History) -> None:
            seen.append((0, versions()))

        def on_epoch(self, network: Any, epoch: Any) -> None:
            seen.append((network.version, versions()))

    def versions() -> int:
        text = path.read_text(encoding="utf-8")
        return int(text.split('"last": ', 1)[1].split(",", 1)[0])

    fit(net, LivePage(path), Look())
    assert len(seen) == 7
    assert all(version == shown for version, shown in seen)
    assert seen[-1][0] > 1
    losses = zip(net.history.number, net.history.loss, net.history.val_loss, strict=True)
    assert json.dumps([list(loss) for loss in losses]) in path.read_text(encoding="utf-8")


def test_a_page_of_a_part(net: dna.Network, tmp_path: Path) -> None:
    path = tmp_path / "topology.csv"
    fit(net, LivePage(path, strongest=4), epochs=1)
    assert len(path.read_text().splitlines()) == 5


@pytest.mark.parametrize("make", [JSONLines, LivePage])
def test_what_cannot_be_written_is_told_before_anything_is_trained(net: dna.Network, tmp_path: Path, make: Any) -> None:
    with pytest.raises(FileError, match="nowhere"):
        fit(net, make(tmp_path / "nowhere" / "x.html"))
    assert net.epoch == 0


def test_filters_of_a_page_are_checked_before_anything_is_trained(net: dna.Network, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="target"):
        fit(net, LivePage(tmp_path / "t.html", target=99))
    assert net.epoch == 0


def told(*losses: float) -> list[dna.training.Epoch]:
    return [dna.training.Epoch(k, loss, None, None, None, 1, 0.0) for k, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("patience", "min_delta", "losses", "ends"),
    [
        (1, 0.0, [3.0, 2.0, 2.0], 3),
        (2, 0.0, [3.0, 2.0, 2.5, 1.9, 2.0, 1.9], 6),
        (2, 0.5, [3.0, 2.9, 2.6], 3),
        (3, 0.0, [1.0, 2.0, 3.0], None),
    ],
)
def test_early_stopping_counts_epochs_without_improvement(
    net: dna.Network, patience: int, min_delta: float, losses: list[float], ends: int | None
) -> None:
    stop = EarlyStopping(patience, min_delta)
    for _ in range(2):  # another fit begins anew
        stop.on_start(net, net.history)
        ended = [epoch.number for epoch in told(*losses) if stop.on_epoch(net, epoch)]
        assert ended == ([] if ends is None else [ends])
    assert stop.best_loss == min(losses) or min_delta


def test_early_stopping_ends_a_fit_and_keeps_the_best(net: dna.Network, tmp_path: Path) -> None:
    class Losses(dna.Callback):
        def __init__(self) -> None:
            self.weights: list[np.ndarray] = []

        def on_epoch(self, network: dna.Network, epoch: dna.training.Epoch) -> None:
            self.weights.append(network.cells.weight)

    seen = Losses()
    stop = EarlyStopping(2, min_delta=0.02, best=tmp_path / "best.dna")
    history = fit(net, stop, seen, epochs=200)
    assert len(history) < 200
    best = len(history) - 2
    assert stop.best_loss == history.val_loss[best - 1]
    kept = dna.load(tmp_path / "best.dna", device="cpu")
    assert kept.epoch == best
    np.testing.assert_array_equal(kept.cells.weight, seen.weights[best - 1])
    with pytest.raises(FileError):
        fit(net, EarlyStopping(best=tmp_path / "nowhere" / "best.dna"))
    for wrong in ({"patience": 0}, {"patience": 1.5}, {"min_delta": -1.0}, {"min_delta": float("nan")}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            EarlyStopping(**wrong)  # type: ignore[arg-type]

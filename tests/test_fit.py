"""Fit: what it returns, that it can be cut anywhere and joined again bit by bit, and that whoever is watching is told."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import batch, snapshot

import dna

X = batch(50, 6)
Y = (X[:, :3] @ batch(3, 3)).argmax(1)
RULE = dna.Extinction(split=0.2, delete=0.1, jitter=0.1, every=3, patience=0, min_delta=10.0)
"""Fires after every third epoch, so that most cuts lie between two extinctions."""


def new_network(device: str = "cpu", **options: Any) -> dna.Network:
    return dna.Network([6, 5, 3], **{"init": "he", "seed": 4, "device": device} | options)


def fit(net: dna.Network, epochs: int, **options: Any) -> dna.History:
    standard = {"batch_size": 8, "optimizer": dna.Adam(0.02), "extinction": RULE, "progress": False}
    return net.fit(X, Y, epochs=epochs, **standard | options)


def bits(net: dna.Network) -> dict[str, Any]:
    """Return the state without what two equal runs differ in: the seconds they took."""
    return snapshot(net) | {"history": None}


def test_it_learns(device: str) -> None:
    net = dna.Network([6, 3], device=device)
    epochs, size = (4, 50) if device == "cudasim" else (20, 8)
    history = fit(net, epochs, batch_size=size, optimizer=dna.SGD(1.0), extinction=None)
    assert history is net.history and len(history) == epochs
    assert history.loss[-1] < 0.6 * history.loss[0]
    assert net.evaluate(X, Y)["accuracy"] > max(0.5, history.metric[0])
    assert (net.predict(X) == Y).mean() == pytest.approx(net.evaluate(X, Y)["accuracy"])


def test_the_history_counts_over_the_life_of_the_network() -> None:
    net = new_network()
    first, second = fit(net, 2), fit(net, 2, validation=(X[:20], Y[:20]))
    assert (first.number, second.number) == ([1, 2], [3, 4])
    assert first.val_loss == [None, None] and all(value > 0 for value in second.val_loss)
    assert [event and event.number for event in second.event] == [0, None]
    assert second.cells == [45, 45 + 9 - 4] and second.metric_name == "accuracy"


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples() -> None:
    """The last batch is smaller: 50 samples make six batches of 8 and one of 2."""
    net = new_network()
    history = fit(net, 1, optimizer=dna.SGD(1e-30), extinction=None)
    assert history.loss[0] == pytest.approx(net.evaluate(X, Y)["loss"], rel=1e-6)


@pytest.mark.parametrize("cuts", [[2, 2, 1], [1, 1, 1, 1, 1], [3, 2]])
def test_fits_of_a_few_epochs_equal_one_of_all(cuts: list[int]) -> None:
    whole, parts = new_network(), new_network()
    fit(whole, sum(cuts))
    for epochs in cuts:
        fit(parts, epochs)
    assert len(whole.fossils) == 1
    assert bits(parts) == bits(whole)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
@pytest.mark.parametrize("optimizer", [dna.Adam(0.02), dna.SGD(0.1, momentum=0.9)], ids=["adam", "momentum"])
def test_a_loaded_network_goes_on_bit_by_bit(tmp_path: Path, optimizer: dna.Optimizer, epochs: int) -> None:
    """Wherever it was saved: between extinctions, after one; with schedule, shuffles, optimizer state and random numbers."""
    whole, saved = new_network(), new_network()
    rule = dna.Extinction(split=0.2, delete=0.1, passthrough="random", jitter=0.2, every=3, patience=0, min_delta=10.0)
    fit(whole, 6, optimizer=optimizer, extinction=rule)
    fit(saved, epochs, optimizer=optimizer, extinction=rule)
    saved.save(tmp_path / "net.dna")
    loaded = dna.load(tmp_path / "net.dna", device="cpu")
    fit(loaded, 6 - epochs, optimizer=optimizer, extinction=rule)
    assert len(whole.fossils) == 2
    assert bits(loaded) == bits(whole)


@pytest.mark.parametrize("back", [False, True])
def test_a_network_moves_between_devices(device: str, tmp_path: Path, back: bool) -> None:
    """What was trained here runs there, and the same extinction follows, as ranks do not depend on the device."""
    home, away = (device, "cpu") if back else ("cpu", device)
    here = new_network(home)
    fit(here, 3, batch_size=25)
    assert len(here.fossils) == 1
    here.save(tmp_path / "net.dna")
    there = dna.load(tmp_path / "net.dna", device=away)
    assert (here.device, there.device) == (home, away) and bits(there) == bits(here)
    np.testing.assert_allclose(there.forward(X[:7]), here.forward(X[:7]), rtol=1e-5, atol=1e-5)
    events = [net.extinction(dna.Extinction(passthrough="weight_bias")) for net in (here, there)]
    assert events[0].died.tolist() == events[1].died.tolist() != []
    assert events[0].parents.tolist() == events[1].parents.tolist() != []
    assert bits(there) == bits(here)


# --- callbacks ----------------------------------------------------------------------------------------------------------


class Diary(dna.Callback):
    def __init__(self, stop_after: int | None = None) -> None:
        self.entries: list[str] = []
        self.stop_after = stop_after

    def on_start(self, network: dna.Network, history: dna.History) -> None:
        self.entries.append(f"start {len(history)}")

    def on_epoch(self, network: dna.Network, epoch: Any) -> bool:
        assert epoch is network.history.epochs[-1]
        self.entries.append(f"epoch {epoch.number}")
        return epoch.number == self.stop_after

    def on_extinction(self, network: dna.Network, event: dna.ExtinctionEvent) -> None:
        assert event is network.fossils[-1] and event.loss_after is not None
        self.entries.append(f"extinction {event.number}")

    def on_end(self, network: dna.Network, history: dna.History) -> None:
        self.entries.append(f"end {len(history)}")


def test_callbacks_are_told_in_order() -> None:
    diary = Diary()
    fit(new_network(), 4, callbacks=[diary])
    assert diary.entries == ["start 0", "epoch 1", "epoch 2", "extinction 0", "epoch 3", "epoch 4", "end 4"]


def test_a_callback_ends_the_fit_and_all_callbacks_are_still_told() -> None:
    stopper, other = Diary(stop_after=2), Diary()
    history = fit(new_network(), 9, callbacks=[stopper, other])
    assert len(history) == 2
    assert stopper.entries == other.entries == ["start 0", "epoch 1", "epoch 2", "end 2"]


def test_all_callbacks_that_started_are_told_of_the_end_even_if_one_fails() -> None:
    class Fails(Diary):
        def __init__(self, when: str) -> None:
            super().__init__()
            self.when = when

        def on_start(self, network: dna.Network, history: dna.History) -> None:
            super().on_start(network, history)
            if self.when == "start":
                raise RuntimeError("no start")

        def on_end(self, network: dna.Network, history: dna.History) -> None:
            super().on_end(network, history)
            raise RuntimeError("no end")

    first, last = Diary(), Diary()
    with pytest.raises(RuntimeError, match="no end"):
        fit(new_network(), 1, callbacks=[first, Fails("end"), last])
    assert first.entries == last.entries == ["start 0", "epoch 1", "end 1"]
    first, last, failed = Diary(), Diary(), Fails("start")
    with pytest.raises(RuntimeError, match="no start"):
        fit(new_network(), 1, callbacks=[first, failed, last])
    assert (first.entries, failed.entries, last.entries) == (["start 0", "end 0"], ["start 0"], [])


def test_no_epochs_change_nothing() -> None:
    net = new_network()
    before = snapshot(net)
    assert len(fit(net, 0)) == 0
    assert snapshot(net) == before


def test_the_bar_and_a_line_for_each_extinction_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    net = new_network()
    fit(net, 3, progress=True)
    shown = capsys.readouterr()
    assert str(net.fossils[0]) in shown.out + shown.err and "epoch 3" in shown.err
    fit(net, 3)
    assert capsys.readouterr() == ("", "")


def test_its_orders_are_those_of_the_networks_generator(device: str) -> None:
    net, wanted = dna.Network([6, 3], device=device, seed=3), deepcopy(dna.Network([6, 3], device="cpu", seed=3).rng)
    fit(net, 2, batch_size=50, extinction=None)
    for _ in range(2):
        wanted.permutation(len(X))
    assert net.rng.bit_generator.state == wanted.bit_generator.state

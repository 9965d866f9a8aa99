"""Checkpoints of a fit: the last few stay, `latest.dna` is whole and goes on bit by bit, and no failure harms the network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import batch, snapshot

import dna
from dna.checkpoint import LATEST

X = batch(30, 4)
Y = X[:, :2].argmax(1)
RULE = dna.Extinction(split=0.2, delete=0.2, every=1, patience=0, min_delta=10.0)


def new_network() -> dna.Network:
    return dna.Network([4, 2], device="cpu", seed=2)


def fit(net: dna.Network, epochs: int, **options: Any) -> dna.History:
    standard = {"batch_size": 8, "optimizer": dna.Adam(0.02), "extinction": RULE, "progress": False}
    return net.fit(X, Y, epochs=epochs, **standard | options)


def bits(net: dna.Network) -> dict[str, Any]:
    return snapshot(net) | {"history": None}


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def load(folder: Path, name: str = LATEST) -> dna.Network:
    return dna.load(folder / name, device="cpu")


class StopAt(dna.Callback):
    """Breaks the fit off in the middle of an epoch: after so many batches in all."""

    def __init__(self, net: dna.Network, batches: int) -> None:
        dense = net.backend.dense  # the plan of a network so small
        assert dense is not None
        self.real, self.left = dense.backward, batches
        dense.backward = self.backward  # type: ignore[method-assign]

    def backward(self, *arguments: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        self.real(*arguments)


def test_the_last_few_stay_and_the_latest_is_the_newest(tmp_path: Path) -> None:
    folder, net = tmp_path / "runs" / "a", new_network()
    fit(net, 7, checkpoint=folder, every=2, keep=2)
    assert names(folder) == ["epoch-000006.dna", "epoch-000007.dna", LATEST]
    assert bits(load(folder)) == bits(load(folder, "epoch-000007.dna")) == bits(net)
    assert load(folder, "epoch-000006.dna").epoch == 6
    assert (folder / LATEST).samefile(folder / "epoch-000007.dna"), "two names of one file take its space once"


def test_there_is_a_latest_from_the_start(tmp_path: Path) -> None:
    net = new_network()
    before = bits(net)
    fit(net, 0, checkpoint=tmp_path)
    assert bits(load(tmp_path)) == before == bits(net)
    fit(net, 0, checkpoint=tmp_path)
    assert names(tmp_path) == ["epoch-000000.dna", LATEST], "nothing is left of giving a file the name that it has"


@pytest.mark.parametrize("batches", [0, 1, 5, 8, 9])
def test_what_was_interrupted_goes_on_from_the_latest(tmp_path: Path, batches: int) -> None:
    whole, net = new_network(), new_network()
    fit(whole, 5)
    StopAt(net, batches)
    with pytest.raises(KeyboardInterrupt):
        fit(net, 5, checkpoint=tmp_path, every=2)
    later = load(tmp_path)
    assert bits(later) == bits(net) and later.step == batches
    fit(later, 5 - later.epoch, checkpoint=tmp_path, every=2)
    assert bits(later) == bits(load(tmp_path)) == bits(whole)


def test_what_a_callback_does_after_the_last_epoch_is_saved_too(tmp_path: Path) -> None:
    class ByHand(dna.Callback):
        def on_epoch(self, network: Any, epoch: Any) -> None:
            network.fossils[-1].undo()
            network.extinction(dna.Extinction(split=1.0, delete=0.0))

    net = new_network()
    fit(net, 2)
    fit(net, 1, checkpoint=tmp_path, callbacks=[ByHand()])
    assert len(net.fossils) == 1 and bits(load(tmp_path)) == bits(net)


def test_files_of_others_stay(tmp_path: Path) -> None:
    foreign = ["epoch-000099.dna", "epoch-1.dna", "epoch-000001.dna.bak", "notes.txt"]
    for name in foreign:
        (tmp_path / name).touch()
    fit(new_network(), 4, checkpoint=tmp_path, keep=1)
    assert names(tmp_path) == sorted([*foreign, "epoch-000004.dna", LATEST])


def test_a_file_system_without_hard_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    net = new_network()
    fit(net, 2, checkpoint=tmp_path, keep=1)
    assert names(tmp_path) == ["epoch-000002.dna", LATEST]
    assert bits(load(tmp_path)) == bits(net)


# --- failures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["open", "fsync", "replace", "write"])
def test_a_failing_disk_leaves_the_checkpoints_before_and_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    whole, net = new_network(), new_network()
    fit(whole, 4)

    class Fill(dna.Callback):
        def on_start(self, network: Any, history: Any) -> None:
            self.patch = pytest.MonkeyPatch()

        def on_epoch(self, network: Any, epoch: Any) -> None:
            if epoch.number == 2:
                refuse_from_now_on(self.patch, function)

    fill = Fill()
    with pytest.raises(dna.DNAError, match="No space left") as caught:
        fit(net, 4, checkpoint=tmp_path, callbacks=[fill])
    fill.patch.undo()
    assert isinstance(caught.value, OSError)
    assert names(tmp_path) == ["epoch-000000.dna", "epoch-000001.dna", "epoch-000002.dna", LATEST]
    assert load(tmp_path).epoch == 2 and net.epoch == 3 == len(net.history)
    for left in (net, load(tmp_path)):
        fit(left, 4 - left.epoch)
        assert bits(left) == bits(whole)


def test_a_last_checkpoint_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    net = new_network()

    class Fill(dna.Callback):
        def on_epoch(self, network: Any, epoch: Any) -> None:
            refuse_from_now_on(patch, "fsync")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(dna.errors.FileError, match="No space left"):
        fit(net, 1, checkpoint=tmp_path, every=5, callbacks=[Fill()])
    assert names(tmp_path) == ["epoch-000000.dna", LATEST] and net.epoch == 1


def refuse_from_now_on(patch: pytest.MonkeyPatch, function: str) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise OSError(28, "No space left on device")

    if function == "write":
        from dna import files

        patch.setattr(files, "_write_and_rename", refuse)
    else:
        patch.setattr(os, function, refuse)


def test_a_state_that_cannot_be_saved_does_not_hide_what_ended_the_fit(tmp_path: Path) -> None:
    net = new_network()

    class Spoil(dna.Callback):
        def on_epoch(self, network: Any, epoch: Any) -> None:
            column = np.full(network.engine.pool.capacity, np.nan, np.float32)
            pool = network.engine.pool
            pool.cells = pool.cells._replace(weight=network.backend.upload(column))

    with pytest.raises(dna.NumericsError):
        fit(net, 3, checkpoint=tmp_path, callbacks=[Spoil()])
    assert load(tmp_path).epoch == 1


def test_impossible_arguments_are_refused_before_anything_changed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    net = new_network()
    before = bits(net)
    for options, error in (
        ({"every": 0}, dna.OptionError),
        ({"keep": 0}, dna.OptionError),
        ({"every": 1.5}, dna.OptionError),
        ({"checkpoint": tmp_path / "file"}, dna.errors.FileError),
        ({"checkpoint": tmp_path / "file" / "below"}, dna.errors.FileError),
    ):
        with pytest.raises(error):
            fit(net, 1, **{"checkpoint": tmp_path / "runs", **options})
    assert bits(net) == before and names(tmp_path) == ["file"]

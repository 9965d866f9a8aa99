"""Numbers stay honest: NaN and Inf are found with the cell, the level and the batch that bore them, and the network goes back."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from compare import SIMULATING, batch, snapshot, step_by_step

import dna
from dna.backend import Update

X = batch(24, 4)
Y = X[:, :2].argmax(1)
BATCHES = 4


def network(device: str) -> dna.Network:
    return dna.Network([4, 3, 2], cell="tanh", device=device, seed=1)


def fit(net: dna.Network, epochs: int = 1, **options: Any) -> dna.History:
    return net.fit(X, Y, **{"epochs": epochs, "batch_size": 6, "optimizer": dna.Adam(0.01), "progress": False} | options)


def bits(net: dna.Network) -> dict[str, Any]:
    return snapshot(net) | {"history": None}


def poison(net: dna.Network, patch: pytest.MonkeyPatch, column: str, step: int, slot: int, value: float) -> None:
    """Let a step write a number that is none, each time that it is run."""
    step_by_step(net, patch)
    real = net.backend.apply

    def apply(optimizer: Any, cells: Any, *arguments: Any) -> None:
        real(optimizer, cells, *arguments)
        if net.trained == step - 1:  # a step counts once it is done
            host = net.backend.download(getattr(cells, column))
            host[..., slot] = value
            new = net.backend.upload(host)
            net.engine.pool.cells = net.engine.pool.cells._replace(**{column: new})

    patch.setattr(net.backend, "apply", apply)


CASES = [("state", 3, np.inf), ("state", 8, np.nan), ("bias", 6, np.inf), ("weight", 4, np.nan), ("weight", 1, -np.inf)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # in the simulator Python computes, and warns of what is infinite
@pytest.mark.parametrize(("column", "step", "value"), CASES[::4] if SIMULATING else CASES)
def test_a_number_that_is_none_is_traced_to_its_cell_and_batch(
    device: str, monkeypatch: pytest.MonkeyPatch, column: str, step: int, value: float
) -> None:
    """Infinite state never shows in the loss, and an infinite weight may hide behind tanh: the end of the epoch finds them."""
    net, before = network(device), network(device)
    with monkeypatch.context() as patch:
        poison(net, patch, column, step, slot=13, value=value)
        with pytest.raises(dna.NumericsError, match=f"of cell 13 into level 2: expected a finite value, got {value}") as caught:
            fit(net, 2)
    told = caught.value
    assert (told.cell, told.level, told.epoch, told.batch) == (13, 2, (step + 3) // BATCHES, (step - 1) % BATCHES)
    assert net.trained == step - 1

    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        step_by_step(before, patch)
        real, count = before.backend.apply, iter(range(99))
        patch.setattr(before.backend, "apply", lambda *given: stop() if next(count) == step - 1 else real(*given))
        with pytest.raises(KeyboardInterrupt):
            fit(before, 2)
    found, expected = (one["arrays"]["cells.weight"] for one in (bits(net), bits(before)))
    assert found == expected, "the network stands just before that batch"
    assert net.standing == before.standing and net.epoch == before.epoch


def test_the_network_trains_on_from_there() -> None:
    net, whole = network("cpu"), network("cpu")
    for one in (net, whole):
        one.watch("gradient", "current")
    fit(whole, 3)
    with pytest.MonkeyPatch.context() as patch:
        poison(net, patch, "state", 7, slot=5, value=np.inf)
        with pytest.raises(dna.NumericsError):
            fit(net, 3)
    fit(net, 3 - net.epoch)
    assert bits(net) == bits(whole)


def test_a_learning_rate_that_is_far_too_large() -> None:
    net = network("cpu")
    with pytest.raises(dna.NumericsError) as caught:
        fit(net, 50, optimizer=dna.SGD(1e38))
    told = caught.value
    assert told.cell in net.cells.id and told.level in (1, 2) and told.epoch == net.epoch + 1 and told.batch is not None
    assert np.isfinite(net.cells.weight).all() and np.isfinite(net.cells.bias).all()
    bits(net)


def test_a_loss_that_overflows_names_the_cell_where_the_signal_is_lost() -> None:
    net = dna.Network([4, 3, 2], cell="linear", init="ones", device="cpu")
    with pytest.raises(dna.NumericsError, match="where the signal is lost first at cell 0 into level 1") as caught:
        net.fit(np.full((3, 4), 3e38), batch(3, 2), epochs=1, loss="mse", optimizer=dna.SGD(0.1), progress=False)
    assert (caught.value.cell, caught.value.level, caught.value.batch) == (0, 1, 0)
    with pytest.raises(dna.NumericsError, match="into level 2"):
        net.fit(np.full((3, 4), 1e25), batch(3, 2), epochs=1, loss="mse", optimizer=dna.SGD(0.1), progress=False)


@pytest.mark.parametrize("look", [2, 256])
def test_a_device_that_runs_ahead_tells_the_same_loss_and_leaves_the_same_network(
    monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    """Its losses are read now and then; batches that ran in vain are taken back, and the first bad one is found again."""
    monkeypatch.setattr("dna.training.health.LOOK", look)
    told, left, applied = [], [], []
    for runs_ahead in (False, True):
        net = network("cpu")
        net.backend.runs_ahead = runs_ahead
        fit(net, 1)
        real = net.backend.loss

        def loss(*arguments: Any, net: dna.Network = net, real: Any = real) -> None:
            real(*arguments)
            sums, place = arguments[-2:]  # which has moved on
            if net.epoch == 1 and place[0] == 2:
                sums[1] = np.inf

        monkeypatch.setattr(net.backend, "loss", loss)
        count_of(net, "apply", applied, monkeypatch)
        with pytest.raises(dna.NumericsError) as caught:
            fit(net, 2)
        told.append((str(caught.value), vars(caught.value)))
        left.append(bits(net))
    assert told[0] == told[1] and "loss: expected a finite value, got inf in epoch 2, batch 1" in told[0][0]
    assert left[0]["arrays"] | {"cells.weight_grad": 0, "cells.bias_grad": 0} == left[1]["arrays"] | {
        "cells.weight_grad": 0, "cells.bias_grad": 0,
    }  # fmt: skip
    assert left[0]["meta"] == left[1]["meta"]
    assert len(applied) == 1 + min(look, BATCHES) + 1, "one before it, those that ran in vain, and one in the search"


def count_of(net: dna.Network, method: str, calls: list[str], patch: pytest.MonkeyPatch) -> None:
    real = getattr(net.backend, method)
    patch.setattr(net.backend, method, lambda *arguments: (calls.append(method), real(*arguments)))


def test_ctrl_c_before_a_bad_loss_is_seen_leaves_a_network_that_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    net, before = network("cpu"), network("cpu")
    net.backend.runs_ahead = True
    for one in (net, before):
        fit(one, 1)
    real = net.backend.loss

    def loss(*arguments: Any) -> None:
        real(*arguments)
        sums, place = arguments[-2:]  # which has moved on
        if place[0] == 1:
            sums[0] = np.nan
        if place[0] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(net.backend, "loss", loss)
    with pytest.raises(KeyboardInterrupt):
        fit(net, 1)
    assert net.trained == BATCHES and net.standing is None
    found, expected = (one["arrays"] for one in (bits(net), bits(before)))
    for name in ("cells.weight", "cells.bias", "cells.state"):
        assert found[name] == expected[name]


def test_nothing_is_ranked_while_a_cell_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The passthrough |w| does not see a bias; the extinction after the step must not happen all the same."""
    net = network("cpu")
    poison(net, monkeypatch, "bias", 2, slot=3, value=np.inf)
    rule = dna.Extinction(when=dna.Every(steps=2))
    with pytest.raises(dna.NumericsError, match="bias of cell 3") as caught:
        fit(net, 1, extinction=rule)
    assert caught.value.batch == 1 and len(net.fossils) == 0


def test_a_network_that_is_lost_from_the_start_is_refused() -> None:
    net = network("cpu")
    poison(net, pytest.MonkeyPatch(), "weight", 1, slot=2, value=np.nan)
    net.backend.apply(Update(dna.SGD(0.1), np.zeros(8, np.float32)), net.engine.pool.cells, 0)
    with pytest.raises(dna.NumericsError, match="weight of cell 2 into level 1"):
        fit(net)
    assert net.trained == 0


def test_the_error_can_be_sent_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(dna.NumericsError("text", cell=1, level=2, epoch=3, batch=4)))
    assert (str(error), error.cell, error.level, error.epoch, error.batch) == ("text", 1, 2, 3, 4)


def test_what_does_not_come_again_leaves_all_as_it_was(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batches are run once more in search of it, and taken back a second time; the scatter plan may lead there."""
    from dna.training import health

    net, before = network(device), network(device)
    answers = iter([True, False])  # as the fit begins, and at the end of its epoch; all is sound from then on
    monkeypatch.setattr(health, "is_sound", lambda network: next(answers, True))
    with pytest.raises(dna.NumericsError, match="finite ones when its batches ran again"):
        fit(net)
    for column in ("weight", "bias"):
        np.testing.assert_array_equal(getattr(net.cells, column), getattr(before.cells, column))
    assert (net.step, net.trained, net.standing, net.epoch) == (0, 0, None, 0)

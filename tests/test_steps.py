"""Whole steps of the dense plan: the same as phase by phase, and the same bits however they are taken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import naive
import numba
import numpy as np
import pytest
from compare import TOLERANCE, batch, gradients, naive_copy

import dna
from dna.runner import Runner
from dna.training import batches as training_batches

COLUMNS = ("weight", "bias", "weight_grad", "bias_grad")


def new_network(n_in: int = 21, n_out: int = 7, **options: Any) -> dna.Network:
    return dna.Network([n_in, n_out], **{"init": "he", "dtype": "float64", "device": "cpu", "seed": 3} | options)


def grown(n_in: int = 21, n_out: int = 7, **options: Any) -> dna.Network:
    """Return a network with parallel cells and free slots, whose cells are not in the order of the matrix."""
    net = new_network(n_in, n_out, **options)
    net.extinction(dna.Extinction(split=0.2, delete=0.1))
    net.extinction(dna.Extinction(split=0.1, delete=0.4))
    return net


def fit(net: dna.Network, n: int, size: int, loss: str = "cross_entropy", **options: Any) -> dna.History:
    x = batch(n, net.n_in)
    y = np.arange(n) * 5 % net.n_out if loss == "cross_entropy" else np.abs(batch(n, net.n_out, seed=4)) % 1
    arguments: dict[str, Any] = {"epochs": 2, "optimizer": dna.SGD(0.1), "progress": False} | options
    return net.fit(x, y, batch_size=size, loss=loss, **arguments)


def bits(net: dna.Network) -> dict[str, bytes]:
    found = {name: getattr(net.cells, name).tobytes() for name in COLUMNS} | {"state": net.engine.pool.cells.state.tobytes()}
    return found | {"losses": np.array([epoch.loss for epoch in net.history.epochs]).tobytes()}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets how many steps each call took."""
    taken: list[int] = []
    take = Runner.take_steps

    def note(self: Runner, steps: Any) -> int:
        taken.append(take(self, steps))
        return taken[-1]

    monkeypatch.setattr(Runner, "take_steps", note)
    return taken


@pytest.mark.parametrize(("make", "loss", "optimizer", "dtype", "n_in", "n_out", "n", "size", "activation"), [
    (new_network, "cross_entropy", dna.SGD(0.1), "float64", 21, 7, 70, 30, "identity"),
    (new_network, "mse", dna.SGD(0.1, momentum=0.9, weight_decay=0.01), "float64", 16, 5, 333, 200, "tanh"),
    (new_network, "binary_cross_entropy", dna.Adam(0.02), "float64", 40, 11, 9, 9, "identity"),
    (new_network, "cross_entropy", dna.AdamW(0.02), "float32", 33, 10, 1300, 600, "identity"),
    (new_network, "mse", dna.Adam(0.02, bias_lr=0.5), "float32", 16, 1, 90, 1, "tanh"),
    (grown, "mse", dna.SGD(0.1), "float64", 21, 7, 333, 200, "identity"),
    (grown, "cross_entropy", dna.Adam(0.02, bias_lr=0.5), "float32", 33, 10, 1300, 600, "tanh"),
])  # fmt: skip
def test_the_same_as_phase_by_phase(
    make: Any, loss: str, optimizer: dna.Optimizer, dtype: str, n_in: int, n_out: int, n: int, size: int, activation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    taken, nets = counted(monkeypatch), []
    for whole in (True, False):
        if not whole:
            monkeypatch.setattr(Runner, "takes_steps", lambda self, size: False)
        net = make(n_in, n_out, dtype=dtype, activation=[activation])
        fit(net, n, size, loss, optimizer=optimizer)
        nets.append(net)
    assert sum(taken) == 2 * -(-n // size) == nets[0].step == nets[0].trained
    tolerance = {"rtol": 1e-9, "atol": 1e-11} if dtype == "float64" else {"rtol": 2e-3, "atol": 2e-4}
    for name in COLUMNS:
        np.testing.assert_allclose(getattr(nets[0].cells, name), getattr(nets[1].cells, name), **tolerance)
    for one, other in zip(nets[0].history.epochs, nets[1].history.epochs, strict=True):
        assert (one.loss, one.metric or 0) == pytest.approx((other.loss, other.metric or 0), rel=1e-5)


@pytest.mark.parametrize("n", [3, 70, 300])
@pytest.mark.parametrize("make", [new_network, grown])
def test_gradients_against_the_oracle(make: Any, n: int) -> None:
    """A step leaves the gradients of its batch."""
    net, model = make(), naive_copy(make())
    assert net.engine.takes_steps(n)
    fit(net, n, n, "mse", epochs=1)
    x, y = batch(n, 21), np.abs(batch(n, 7, seed=4)) % 1
    naive.backward(model, x, 2 * (naive.outputs(model, x) - y) / (7 * n))
    for found, expected in zip((net.cells.weight_grad, net.cells.bias_grad), gradients(model), strict=True):
        np.testing.assert_allclose(found, expected, **TOLERANCE["float64"])


@pytest.mark.parametrize("make", [new_network, grown])
def test_bits_are_those_of_single_steps_watched_steps_and_any_threads(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dna.cpu.threads.LITTLE", 0)  # the parts of a batch are shared out
    taken = counted(monkeypatch)

    def run(**options: Any) -> dict[str, bytes]:
        net = make(50, 10, dtype="float32")
        if "watch" in options:
            net.watch(*options["watch"])
        fit(net, 1100, 500, optimizer=dna.Adam(0.01))
        return bits(net)

    together = run()
    assert taken == [2, 1, 2, 1]
    assert run(watch=["gradient"]) == together
    assert run(watch=["current", "hebbian"]) == together
    assert taken[4:] == [1] * 12
    with monkeypatch.context() as patch:
        patch.setattr(training_batches, "AT_ONCE", 0)
        assert run() == together
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert run() == together
    finally:
        numba.set_num_threads(before)


def test_a_fit_that_is_cut_goes_on_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_batches, "AT_ONCE", 2 * 50 * 21 * 7)
    whole = new_network()
    fit(whole, 470, 50, epochs=3)
    take, calls = Runner.take_steps, 0

    def cut(self: Runner, steps: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return take(self, steps)

    net = new_network()
    with monkeypatch.context() as patch:
        patch.setattr(Runner, "take_steps", cut)
        with pytest.raises(KeyboardInterrupt):
            fit(net, 470, 50, epochs=3)
    assert net.epoch == 1 and net.standing is not None and net.standing.batches == 2 and net.step == 12
    net.save(tmp_path / "net.dna")
    net = dna.load(tmp_path / "net.dna", device="cpu")
    fit(net, 470, 50, epochs=2)
    assert {**bits(net), "losses": None} == {**bits(whole), "losses": None}
    assert [epoch.loss for epoch in net.history.epochs] == [epoch.loss for epoch in whole.history.epochs[1:]]


def test_a_loss_that_is_not_finite_ends_before_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for whole in (True, False):
        if not whole:
            monkeypatch.setattr(Runner, "takes_steps", lambda self, size: False)
        net = new_network(dtype="float32")
        with pytest.raises(dna.NumericsError, match=r"got inf in epoch 1, batch \d+, .* at cell \d+ into level 1") as caught:
            fit(net, 600, 20, "mse", optimizer=dna.SGD(1e9))
        assert net.step == net.trained == caught.value.batch == net.standing.batches  # type: ignore[union-attr]
        assert np.isfinite(net.cells.weight).all()
        found.append((caught.value.batch, caught.value.cell))
    assert found[0] == found[1] and found[0][0] > 0


def test_a_loss_that_is_not_finite_is_told_by_its_cell() -> None:
    net = new_network(dtype="float32", init="ones")
    x = np.full((80, 21), 1e30)
    x[:50] = 1
    with pytest.raises(dna.NumericsError, match=r"got inf in epoch 1, batch \d+, .* at cell 0 into level 1"):
        net.fit(x, np.zeros((80, 7)), epochs=1, batch_size=10, loss="mse", optimizer=dna.SGD(1e-9), progress=False)
    assert net.step == (net.standing.batches if net.standing else 0) < 8


def test_who_does_not_take_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are shorter than a vector, many parallel cells, hidden nodes."""
    taken = counted(monkeypatch)
    many = new_network(16, 1)
    with monkeypatch.context() as patch:
        patch.setattr("dna.cpu.dense.MANY", 15)
        fit(many, 40, 20)
    for net in (new_network(3, 2), dna.Network([21, 5, 7], device="cpu")):
        fit(net, 40, 20)
    assert taken == []
    for net in (many, new_network(), grown(), new_network(density=0.5)):
        fit(net, 40, 20)
    assert taken == [2, 2] * 4


PROGRAM = """
import numpy as np
from test_steps import fit, new_network
for dtype in {dtypes}:
    net = new_network(37, 8, dtype=dtype)
    assert net.engine.takes_steps(60)
    fit(net, 100, 60)
    np.save(f"{folder}/{{dtype}}.npy", net.cells.weight)
"""
DTYPES = ["float32", "float64"]


@pytest.mark.slow
@pytest.mark.parametrize(("cpu", "features"), [("haswell", "+avx,+avx2,+fma"), ("x86-64", "+sse,+sse2")])
def test_narrower_registers_compute_the_same(cpu: str, features: str, tmp_path: Path) -> None:
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "PYTHONPATH": here}
    program = [sys.executable, "-c", PROGRAM.format(dtypes=DTYPES, folder=tmp_path)]
    ran = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for dtype in DTYPES:
        net = new_network(37, 8, dtype=dtype)
        fit(net, 100, 60)
        np.testing.assert_allclose(np.load(tmp_path / f"{dtype}.npy"), net.cells.weight, rtol=1e-4, atol=1e-5)

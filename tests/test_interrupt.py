"""Ctrl-C: a fit that is interrupted leaves a network that is whole, runs, saves and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compare import batch, snapshot

import dna

ROOT = Path(__file__).resolve().parents[1]
X = batch(40, 6)
Y = X[:, :3].argmax(1)
RULE = dna.Extinction(split=0.2, delete=0.1, every=1, patience=0, min_delta=10.0)


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    """A shell may have started the tests with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def fit(net: dna.Network, epochs: int = 4, **options: Any) -> dna.History:
    return net.fit(X, Y, epochs=epochs, batch_size=8, optimizer=dna.Adam(0.01), extinction=RULE, progress=False, **options)


def assert_whole(net: dna.Network, tmp_path: Path) -> None:
    """What is recorded is what happened, and the network saves, loads, runs and trains on."""
    assert net.version == len(net.fossils)
    born = sum(event.n_born for event in net.fossils)
    died = sum(event.n_died for event in net.fossils)
    assert len(net) == 18 + born - died
    net.save(tmp_path / "net.dna")
    twin = dna.load(tmp_path / "net.dna", device="cpu")
    assert snapshot(twin) | {"history": None} == snapshot(net) | {"history": None}
    assert (net.forward(X) == twin.forward(X)).all()
    assert len(fit(net)) == 4


class RaisesAt(dna.Callback):
    def __init__(self, where: str) -> None:
        self.where = where
        self.ended = False

    def _reach(self, where: str) -> None:
        if where == self.where:
            raise KeyboardInterrupt

    def on_start(self, network: dna.Network, history: dna.History) -> None:
        self._reach("start")

    def on_extinction(self, network: dna.Network, event: dna.ExtinctionEvent) -> None:
        self._reach("extinction")

    def on_epoch(self, network: dna.Network, epoch: Any) -> None:
        self._reach(f"epoch {epoch.number}")

    def on_end(self, network: dna.Network, history: dna.History) -> None:
        self.ended = True


@pytest.mark.parametrize(("where", "epochs"), [("start", 0), ("epoch 1", 1), ("extinction", 2), ("epoch 3", 3)])
def test_a_callback_that_raises(where: str, epochs: int, tmp_path: Path) -> None:
    net, callback = dna.Network([6, 3], device="cpu"), RaisesAt(where)
    with pytest.raises(KeyboardInterrupt):
        fit(net, callbacks=[callback])
    assert len(net.history) == net.epoch == epochs
    assert callback.ended == (where != "start")
    assert_whole(net, tmp_path)


def interrupt_within(monkeypatch: pytest.MonkeyPatch, backend: Any, method: str, nth: int) -> None:
    """Send Ctrl-C at the n-th call of a backend's method, before it runs, as if pressed there."""
    real: Callable[..., Any] = getattr(backend, method)
    calls = 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments, **options)

    monkeypatch.setattr(backend, method, interrupted)


@pytest.mark.parametrize("method", ["load_rows", "forward", "loss", "backward", "apply"])
def test_ctrl_c_in_the_middle_of_a_step(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = dna.Network([6, 3], device="cpu")
    net.compile("gather")
    interrupt_within(monkeypatch, net.backend, method, nth=8)
    with pytest.raises(KeyboardInterrupt):
        fit(net)
    assert net.history.number == [1]
    assert_whole(net, tmp_path)


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_ctrl_c_in_the_middle_of_a_step_of_the_dense_plan(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = dna.Network([6, 3], device="cpu")
    interrupt_within(monkeypatch, net.backend.dense, method, nth=8)
    with pytest.raises(KeyboardInterrupt):
        fit(net)
    assert net.history.number == [1]
    assert_whole(net, tmp_path)


@pytest.mark.parametrize("method", ["score", "compact", "take_cells", "release", "claim", "write_children"])
def test_ctrl_c_in_the_middle_of_an_extinction(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs to its end and is recorded; then Ctrl-C goes through."""
    net = dna.Network([6, 3], device="cpu")
    interrupt_within(monkeypatch, net.backend, method, nth=1)
    with pytest.raises(KeyboardInterrupt):
        net.extinction(RULE)
    assert len(net.fossils) == 1
    assert_whole(net, tmp_path)


def test_ctrl_c_at_the_first_apply_leaves_a_file_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimizer's rows of state and its name must come together."""
    net = dna.Network([6, 3], device="cpu")
    real = net.engine.pool.keep_state

    def interrupted(rows: int) -> None:
        real(rows)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(net.engine.pool, "keep_state", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(net)
    assert_whole(net, tmp_path)


@pytest.mark.slow
def test_a_real_signal_to_a_process_that_trains(tmp_path: Path) -> None:
    code = """if True:
        import signal, sys
        import numpy as np
        import dna
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started this with the signal ignored

        class Tell(dna.Callback):
            def on_epoch(self, network, epoch):
                if epoch.number == 3:
                    print("training", flush=True)

        rng = np.random.default_rng(0)
        x = rng.standard_normal((500, 30))
        net = dna.Network([30, 5], device="cpu")
        rule = dna.Extinction(every=1, patience=0, min_delta=10.0)
        try:
            net.fit(x, x[:, :5].argmax(1), epochs=10**6, batch_size=50, optimizer=dna.Adam(0.01), extinction=rule,
                    callbacks=[Tell()], progress=False)
        except KeyboardInterrupt:
            assert 3 <= len(net.history) < 10**6
            net.save(sys.argv[1])
            twin = dna.load(sys.argv[1], device="cpu")
            assert np.array_equal(twin.forward(x), net.forward(x))
            assert len(twin.fossils) == twin.version > 0
            net.fit(x, x[:, :5].argmax(1), epochs=1, optimizer=dna.Adam(0.01), progress=False)
            print("whole", flush=True)
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("NUMBA_ENABLE_CUDASIM", None)
    command = [sys.executable, "-c", code, tmp_path / "net.dna"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (line, out) == ("training\n", "whole\n"), err
    assert process.returncode == 0


# --- how long it takes ---------------------------------------------------------------------------------------------------

LARGE = batch(2000, 400)
LARGE_LABELS = LARGE[:, :300].argmax(1)


def train(net: dna.Network, folder: Path, epochs: int = 1000) -> None:
    net.fit(LARGE, LARGE_LABELS, epochs=epochs, optimizer=dna.SGD(0.01), progress=False)


def extinguish(net: dna.Network, folder: Path) -> None:
    net.extinction(dna.Extinction(split=0.1, delete=0.1))


def save(net: dna.Network, folder: Path) -> None:
    net.save(folder / "net.dna")


def export(net: dna.Network, folder: Path) -> None:
    dna.export(net, folder / "net.gexf")


def without_end(work: Callable[[dna.Network, Path], None]) -> Callable[[dna.Network, Path], None]:
    def repeat(net: dna.Network, folder: Path) -> None:
        while True:
            work(net, folder)

    return repeat


WORK = {"train": train, "extinction": without_end(extinguish), "save": without_end(save), "export": without_end(export)}


@pytest.mark.parametrize("name", WORK)
def test_ctrl_c_is_answered_within_a_second(name: str, tmp_path: Path) -> None:
    """In time of this process, as others may hold the cores; the network is of 120,000 cells, and its kernels are compiled."""
    net = dna.Network([400, 300], device="cpu", init="glorot")
    extinguish(net, tmp_path)
    train(net, tmp_path, epochs=1)
    pressed = 0.0

    def press(number: int, frame: Any) -> None:
        nonlocal pressed
        pressed = time.process_time()
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGALRM, press)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.4)
        with pytest.raises(KeyboardInterrupt):
            WORK[name](net, tmp_path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.process_time() - pressed < 1.0
    assert net.version == len(net.fossils)
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".dna-tmp")]
    net.save(tmp_path / "net.dna")
    assert snapshot(dna.load(tmp_path / "net.dna", device="cpu")) | {"history": None} == snapshot(net) | {"history": None}

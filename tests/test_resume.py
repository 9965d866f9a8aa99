"""Resume is exact: cut anywhere, saved, loaded and gone on with, a run is the run that never stopped, bit by bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compare import SIMULATING, batch, snapshot, step_by_step

import dna

ROOT = Path(__file__).resolve().parents[1]
X = batch(50, 6)
Y = (X[:, :3] @ batch(3, 3)).argmax(1)
EPOCHS, BATCHES = 4, 4
RULE = dna.Extinction(split=0.2, delete=0.1, passthrough="random", jitter=0.2, every=1, patience=0, min_delta=10.0)
"""Fires after every second epoch."""

STEP = ("load_rows", "forward", "loss", "backward", "apply")
EXTINCTION = ("score", "select_counts", "compact", "take_cells", "release", "claim", "write_children", "make_plan")


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    """A shell may have started the tests with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def new_network(device: str) -> dna.Network:
    return dna.Network([6, 5, 3], init="he", seed=4, device=device)


def fit(net: dna.Network, epochs: int, **options: Any) -> dna.History:
    standard = {"batch_size": -(-50 // BATCHES), "optimizer": dna.Adam(0.02), "extinction": RULE, "progress": False}
    return net.fit(X, Y, epochs=epochs, **standard | options)


def bits(net: dna.Network) -> dict[str, Any]:
    return snapshot(net) | {"history": None}  # it holds seconds


def figures(net: dna.Network, skip: int = 0) -> list[tuple[Any, ...]]:
    """Return what the epochs of a fit came to, without their seconds."""
    return [(e.number, e.loss, e.metric, e.val_loss, e.cells, e.event is not None) for e in net.history.epochs[skip:]]


@pytest.fixture(scope="module")
def whole(device: str) -> dna.Network:
    """The run that never stopped."""
    net = new_network(device)
    fit(net, EPOCHS, validation=(X[:20], Y[:20]))
    assert len(net.fossils) == EPOCHS // 2 and net.standing is None
    return net


def stop_at(patch: pytest.MonkeyPatch, net: dna.Network, method: str, nth: int) -> None:
    """Send Ctrl-C at the n-th call of a backend's method from now on, as if pressed there."""
    step_by_step(net, patch)
    real: Callable[..., Any] = getattr(net.backend, method)
    calls = 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments, **options)

    patch.setattr(net.backend, method, interrupted)


PLACES = [(method, nth) for method in STEP for nth in (1, 2, 7, 11)] + [(method, nth) for method in EXTINCTION for nth in (1, 2)]
PLACES += [("zeros", 3), ("zeros", 9), ("download", 8)]  # while room for a batch of another size is taken, and losses are read

BETWEEN_STEPS = [("apply", 3), *((method, nth) for method in EXTINCTION for nth in (1, 2)), ("loss", 5)]


@pytest.mark.parametrize(("method", "nth"), PLACES[::6] if SIMULATING else PLACES)
def test_a_run_that_is_cut_anywhere_goes_on_bit_by_bit(
    device: str, whole: dna.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, nth: int
) -> None:
    net = new_network(device)
    with monkeypatch.context() as patch:
        stop_at(patch, net, method, nth)
        with pytest.raises(KeyboardInterrupt):
            fit(net, EPOCHS, validation=(X[:20], Y[:20]))
    net.save(tmp_path / "net.dna")
    later = dna.load(tmp_path / "net.dna", device=device)
    assert bits(later) == bits(net)
    ended = later.epoch
    fit(later, EPOCHS - ended, validation=(X[:20], Y[:20]))
    assert bits(later) == bits(whole)
    assert figures(later) == figures(whole, ended)
    fit(net, EPOCHS - ended, validation=(X[:20], Y[:20]))
    assert bits(net) == bits(whole), "the network that was interrupted goes on like the one that was loaded"


@pytest.mark.parametrize(("method", "nth"), BETWEEN_STEPS[::6] if SIMULATING else BETWEEN_STEPS)
def test_extinctions_between_steps_too(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, nth: int
) -> None:
    rule = dna.Extinction(split=0.2, delete=0.1, passthrough="random", when=dna.Every(steps=3, until=11))
    straight, net = new_network(device), new_network(device)
    fit(straight, 3, extinction=rule)
    assert len(straight.fossils) == 3 and all(event.loss_after is not None for event in straight.fossils)
    with monkeypatch.context() as patch:
        stop_at(patch, net, method, nth)
        with pytest.raises(KeyboardInterrupt):
            fit(net, 3, extinction=rule)
    net.save(tmp_path / "net.dna")
    net = dna.load(tmp_path / "net.dna", device=device)
    fit(net, 3 - net.epoch, extinction=rule)
    assert bits(net) == bits(straight)


GROWING = dna.Extinction(
    births=[dna.SplitNodes(nodes=1, jitter=0.3), dna.GrowNodes(nodes=1), dna.Regrow(share=0.1, by="gradient")],
    deaths=[dna.Delete(share=dna.Cosine(0.3, until=20, unit="steps"), passthrough="gradient", grace=1), dna.DeleteStranded()],
    when=dna.Every(steps=5, until=13),
)
OPTIMIZERS = {
    "decay and a rate that falls": dna.AdamW(dna.Cosine(0.03, until=20, unit="steps"), weight_decay=0.05),
    "momentum": dna.SGD(0.05, momentum=0.9),
}


@pytest.mark.parametrize("batches", range(1, EPOCHS * BATCHES, 3))
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_life_of_every_kind_of_birth_goes_on(tmp_path: Path, name: str, batches: int) -> None:
    """Nodes, pairs, a grace, shares and rates along a path, a statistic that is watched; cut anywhere, also within an epoch."""
    options: dict[str, Any] = {"optimizer": OPTIMIZERS[name], "extinction": GROWING}
    straight, net = new_network("cpu"), new_network("cpu")
    fit(straight, EPOCHS, **options)
    assert len(straight.fossils) == 2 and any(len(event.nodes_born) > 0 for event in straight.fossils)

    class Cut(dna.Callback):
        def on_epoch(self, network: Any, epoch: Any) -> None:
            if network.step >= batches:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, net, "load_rows", batches + 1)
        with pytest.raises(KeyboardInterrupt):
            fit(net, EPOCHS, callbacks=[Cut()], **options)
    net.save(tmp_path / "net.dna")
    net = dna.load(tmp_path / "net.dna", device="cpu")
    fit(net, EPOCHS - net.epoch, **options)
    assert bits(net) == bits(straight)


def test_every_batch_can_be_the_last(device: str, whole: dna.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch a fit, saved and loaded after each: Ctrl-C within `apply` waits for its end."""
    net = new_network(device)
    for _ in range(EPOCHS * BATCHES):
        with monkeypatch.context() as patch:
            stop_at(patch, net, "apply", 1)
            with pytest.raises(KeyboardInterrupt):
                fit(net, EPOCHS - net.epoch, validation=(X[:20], Y[:20]))
        net.save(tmp_path / "net.dna")
        net = dna.load(tmp_path / "net.dna", device=device)
    assert net.standing is not None and net.step == EPOCHS * BATCHES
    fit(net, EPOCHS - net.epoch, validation=(X[:20], Y[:20]))
    assert bits(net) == bits(whole)


@pytest.mark.slow
@pytest.mark.parametrize("batches", [6, 11])
def test_a_new_process_with_other_threads_goes_on_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    """The first process, of one thread, is cut within an epoch, saves and is killed; the next has two, and shares work out."""
    code = """if True:
        import os, signal, sys, numba
        import dna
        import test_resume as life
        from dna.cpu import threads as sharing
        from dna.training.batches import Batches
        sharing.LITTLE = 0
        path, batches, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        assert numba.get_num_threads() == threads
        if threads == 1:
            net = life.new_network("cpu")
            step, count = Batches._step, 0
            def counted(*arguments):
                global count
                count += 1
                if count > batches:
                    raise KeyboardInterrupt
                step(*arguments)
            Batches._step = counted
            try:
                life.fit(net, life.EPOCHS)
            except KeyboardInterrupt:
                net.save(path)
            os.kill(os.getpid(), signal.SIGKILL)
        net = dna.load(path, device="cpu")
        assert net.standing is not None and net.standing.batches == batches % life.BATCHES
        life.fit(net, life.EPOCHS - net.epoch)
        net.save(path)
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    environment.pop("NUMBA_ENABLE_CUDASIM", None)
    for threads, status in ((1, -signal.SIGKILL), (2, 0)):
        command = [sys.executable, "-c", code, str(tmp_path / "net.dna"), str(batches), str(threads)]
        threaded = environment | {"NUMBA_NUM_THREADS": str(threads)}
        ran = subprocess.run(command, env=threaded, capture_output=True, text=True, check=False)
        assert ran.returncode == status, ran.stderr
    monkeypatch.setattr("dna.cpu.threads.LITTLE", 0)
    never_stopped = new_network("cpu")
    fit(never_stopped, EPOCHS)
    assert bits(dna.load(tmp_path / "net.dna", device="cpu")) == bits(never_stopped)


def test_an_epoch_of_other_batches_or_another_loss_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ({"batch_size": 10}, {"loss": "mse"}):
        net = new_network("cpu")
        with monkeypatch.context() as patch:
            stop_at(patch, net, "forward", 3)
            with pytest.raises(KeyboardInterrupt):
                fit(net, 1)
        assert net.standing is not None and net.standing.batches == 2
        targets = Y if "batch_size" in options else batch(50, 3)
        net.fit(X, targets, epochs=1, optimizer=dna.Adam(0.02), progress=False, **{"batch_size": -(-50 // BATCHES), **options})
        assert net.step == 2 + -(-50 // options.get("batch_size", 13)) and net.standing is None  # type: ignore[operator]

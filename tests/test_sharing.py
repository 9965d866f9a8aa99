"""Threads and forks: one network serves many threads one at a time, two networks do not meet, and a fork is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import batch, snapshot

import dna
from dna.turn import Turn

ROOT = Path(__file__).resolve().parents[1]
X = batch(200, 20)
Y = X[:, :4].argmax(1)
RULE = dna.Extinction(split=0.2, delete=0.2, every=1, patience=0, min_delta=10.0)


def network(seed: int = 0) -> dna.Network:
    return dna.Network([20, 30, 4], cell="tanh", device="cpu", seed=seed)


def fit(net: dna.Network, epochs: int, **options: Any) -> dna.History:
    return net.fit(X, Y, epochs=epochs, batch_size=16, optimizer=dna.Adam(0.01), extinction=RULE, progress=False, **options)


def in_threads(*jobs: Callable[[], Any]) -> list[Any]:
    """Run jobs at the same time; return what they return, or raise what they raise."""
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        start.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(run, job) for job in jobs]]


def test_threads_that_predict_get_their_own_outputs() -> None:
    net = network()
    parts = [X[k * 50 : (k + 1) * 50 + k] for k in range(4)]
    expected = [net.predict(part, labels=False) for part in parts]
    for _ in range(10):
        found = in_threads(*[lambda part=part: [net.predict(part, labels=False) for _ in range(10)] for part in parts])
        for one, outputs in zip(expected, found, strict=True):
            assert all(np.array_equal(output, one) for output in outputs)


def test_threads_that_change_and_read_a_network_meet_whole_states(tmp_path: Path) -> None:
    net = network()

    def change() -> None:
        for _ in range(15):
            net.extinction(dna.Extinction(split=0.1, delete=0.1))

    def read() -> None:
        for _ in range(30):
            cells = net.cells
            assert len(np.unique(cells.id)) == len(cells.id) == len(cells.weight)
            net.forward(X)

    def save() -> None:
        for _ in range(10):
            net.save(tmp_path / "net.dna")
            dna.load(tmp_path / "net.dna", device="cpu")

    in_threads(change, read, read, save)
    assert net.version == len(net.fossils) == 15


def test_two_networks_train_in_two_threads_as_they_do_alone() -> None:
    alone, together = [network(seed) for seed in (1, 2)], [network(seed) for seed in (1, 2)]
    for net in alone:
        fit(net, 4)
    in_threads(*[lambda net=net: fit(net, 4) for net in together])
    for one, other in zip(alone, together, strict=True):
        assert snapshot(one) | {"history": None} == snapshot(other) | {"history": None}


class Meet(dna.Callback):
    """Lets another thread try something in the middle of a fit."""

    def __init__(self, attempt: Callable[[], Any]) -> None:
        self.attempt, self.error = attempt, None

    def on_epoch(self, network: Any, epoch: Any) -> None:
        def run() -> None:
            try:
                self.attempt()
            except dna.DNAError as error:
                self.error = error

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(timeout=60)
        assert not thread.is_alive()


@pytest.mark.parametrize("what", ["forward", "fit", "extinction", "save", "cells", "graph"])
def test_another_thread_is_refused_while_a_fit_runs(what: str, tmp_path: Path) -> None:
    net = network()
    attempts: dict[str, Callable[[], Any]] = {
        "forward": lambda: net.forward(X),
        "fit": lambda: fit(net, 1),
        "extinction": net.extinction,
        "save": lambda: net.save(tmp_path / "net.dna"),
        "cells": lambda: net.cells,
        "graph": net.graph,
    }
    meet, whole = Meet(attempts[what]), network()
    fit(net, 2, callbacks=[meet])
    fit(whole, 2)
    assert isinstance(meet.error, dna.InUseError) and "a fit is running in thread 'MainThread'" in str(meet.error)
    assert snapshot(net) | {"history": None} == snapshot(whole) | {"history": None}
    fit(net, 1)


def test_callbacks_may_look_at_the_network_but_not_fit_it() -> None:
    class Look(dna.Callback):
        def on_epoch(self, network: Any, epoch: Any) -> None:
            assert network.evaluate(X, Y)["loss"] > 0
            with pytest.raises(dna.InUseError, match="expected no second fit"):
                fit(network, 1)

    net = network()
    fit(net, 2, callbacks=[Look()])
    assert net.epoch == 2


def test_a_backward_after_the_forward_of_another_thread_is_refused() -> None:
    net = network()
    net.forward(X)
    in_threads(lambda: net.forward(X[:7]))
    with pytest.raises(dna.InUseError, match="expected a forward of this thread"):
        net.backward(np.ones((7, 4)))
    net.forward(X[:7])
    net.backward(np.ones((7, 4)))


def test_a_thread_waits_for_a_short_turn() -> None:
    turn, order = Turn(), []

    def hold() -> None:
        with turn:
            order.append("held")
            time.sleep(0.2)
            order.append("released")

    def wait() -> None:
        while not order:
            time.sleep(0.001)
        with turn:
            order.append("taken")

    in_threads(hold, wait)
    assert order == ["held", "released", "taken"]


@pytest.mark.slow
def test_a_forked_process_is_refused() -> None:
    code = """if True:
        import os, warnings, numpy as np, dna
        warnings.simplefilter("ignore")
        net = dna.Network([3, 2], device="cpu")
        net.forward(np.ones((2, 3)))
        child = os.fork()
        if child == 0:
            refused = 0
            for attempt in (lambda: net.forward(np.ones((2, 3))), lambda: net.cells, lambda: dna.Network([3, 2], device="cpu")):
                try:
                    attempt()
                except dna.DeviceError as error:
                    refused += "start processes with the method 'spawn'" in str(error)
            os._exit(refused)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), net.forward(np.ones((2, 3))).shape)
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("NUMBA_ENABLE_CUDASIM", None)
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout == "3 (2, 2)\n", ran.stderr

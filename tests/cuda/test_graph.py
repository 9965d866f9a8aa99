"""Steps that are recorded once and launched as a whole: what a graph holds is all that a step is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compare import snapshot

import dna

pytestmark = pytest.mark.cudasim

X = np.random.default_rng(0).normal(size=(44, 4))
Y = X[:, :2].argmax(1)
WITHIN = dna.Extinction(split=0.2, delete=0.1, when=dna.Every(steps=7))


def fit(monkeypatch: pytest.MonkeyPatch, repeats: bool, **options: Any) -> tuple[dna.Network, int]:
    """Return a network that was trained, and how often it was asked to go forward by launches of their own."""
    net = dna.Network([4, 3], cell="relu", seed=4, device="cudasim")
    forwards, real = 0, net.backend.forward

    def forward(*arguments: Any) -> None:
        nonlocal forwards
        forwards += 1
        real(*arguments)

    monkeypatch.setattr(net.backend, "forward", forward)
    if not repeats:
        monkeypatch.setattr(net.backend, "repeat", lambda key, work: work())
    standard = {"epochs": 2, "batch_size": 8, "optimizer": dna.Adam(0.02), "progress": False}
    net.fit(X, Y, **standard | options)
    return net, forwards


@pytest.mark.parametrize(
    ("options", "spared"),
    [({"validation": (X, Y)}, 2 + 1), ({"extinction": WITHIN}, 0)],
    ids=["validation in between", "extinctions within an epoch"],
)
def test_a_step_that_is_launched_as_a_whole_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], spared: int
) -> None:
    """An epoch has six batches, of 8 samples and at last of 4. Rates of Adam, samples and losses differ from step to step."""
    (apart, all_of_them), (together, some) = (fit(monkeypatch, repeats, **options) for repeats in (False, True))
    assert snapshot(together) | {"history": None} == snapshot(apart) | {"history": None}
    assert together.history.loss == apart.history.loss
    assert all_of_them - some >= spared


def test_where_no_graph_can_be_made_a_line_says_so_and_steps_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Any) -> None:
        raise RuntimeError("capture is not supported\nhere")

    monkeypatch.setattr("dna.cuda.graph.Launches.close", refuse)
    apart, _ = fit(monkeypatch, False)
    together, _ = fit(monkeypatch, True)
    assert snapshot(together) | {"history": None} == snapshot(apart) | {"history": None}
    said = capsys.readouterr().err.splitlines()
    assert said == ["dna: steps are launched kernel by kernel, as no graph can be made: RuntimeError: capture is not supported"]

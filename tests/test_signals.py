"""Growth signals: against plain Python, on potentials of known entropy, and in schedules, histories, records and files."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from compare import batch, give_cells, naive_copy, unchanged

import dna
from dna.rules import SIGNALS, Clock, ScheduleState
from dna.signals import CHUNKS, _entropies, _informations, measure
from dna.training import find_loss, lay_out


def signals(net: dna.Network, x: Any, y: Any, *names: str, loss: str = "mse") -> dict[str, float]:
    chosen = find_loss(loss)
    samples = lay_out(net, x, y, chosen)
    return measure(net.engine, samples.x, samples.targets, samples.n, chosen, names or SIGNALS)


def test_gradients_are_those_of_the_oracle(device: str) -> None:
    """Of 19 samples 16 are looked at, in eight chunks of two that lie far from each other."""
    net = dna.Network([3, 4, 2], activation="tanh", dtype="float64", device=device)
    model, x, y = naive_copy(net), batch(19, 3), batch(19, 2)
    rows = [k * 19 // 16 for k in range(16)]
    parts: list[list[float]] = []
    for chunk in range(CHUNKS):
        picked = [rows[chunk], rows[chunk + CHUNKS]]
        gy = [
            [g / 2 for g in naive.mse(out, y[row]).gradient]
            for row, out in zip(picked, naive.outputs(model, x[picked]), strict=True)
        ]
        naive.backward(model, x[picked], gy)
        parts.append([g for cell in model.cells() for g in (cell.weight_grad, cell.bias_grad)])
    found = signals(net, x, y, "gradient_norm", "gradient_variance")
    into = [model.level[cell.target] for cell in model.cells() for _ in range(2)]
    for level in (1, 2):
        columns = [[part[k] for part in parts] for k in range(len(into)) if into[k] == level]
        means = [sum(column) / CHUNKS for column in columns]
        variances = [sum((g - m) ** 2 for g in column) / (CHUNKS - 1) for column, m in zip(columns, means, strict=True)]
        assert found[f"gradient_norm.{level}"] == pytest.approx(math.hypot(*means), rel=1e-9)
        assert found[f"gradient_variance.{level}"] == pytest.approx(2 * sum(variances) / len(variances), rel=1e-9)


def test_the_variance_is_that_of_single_samples() -> None:
    """One cell of L = (y - w)^2 with x = 1 has the gradient 2 (w - y), whose variance is 4 times that of y."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(60):
        net = dna.Network([1, 1], device="cpu", dtype="float64")
        y = draw.normal(size=(64, 1))
        found.append(signals(net, np.ones((64, 1)), y, "gradient_variance")["gradient_variance.1"])
    # dL/db = -dL/dw, so the mean over both parameters is 4. The deviation of one estimate is sqrt(2 / 7) of it.
    assert np.mean(found) == pytest.approx(4.0, abs=4 * 4 * math.sqrt(2 / 7 / 60))


def test_dead_and_saturated_nodes(device: str) -> None:
    net = dna.Network([2, 4, 1], cell="linear", activation="relu", device=device)
    weight = {2: 1.0, 3: 0.0, 4: -1.0, 5: 1.0}  # by target; inputs are positive, so 3 and 4 are silent
    cells = net.cells
    give_cells(net, weight=[weight.get(int(t), 1.0) for t in cells.target], bias=np.zeros(len(net)))
    x = np.abs(batch(40, 2)) + 0.1
    found = signals(net, x, batch(40, 1), "dead", "saturated")
    assert found == {"dead.1": 0.5, "saturated.1": 0.5, "dead.2": 0.0, "saturated.2": 0.0}
    net = dna.Network([1, 2, 1], cell="linear", activation="tanh", device=device)
    give_cells(net, weight=[100.0, 0.01, 1.0, 1.0], bias=np.zeros(4))
    found = signals(net, np.linspace(0.5, 1.5, 16)[:, None], batch(16, 1), "dead", "saturated")
    assert found["saturated.1"] == 0.5 and found["saturated.2"] == 0.0


def entropy(values: list[Any]) -> float:
    n, counts = len(values), Counter(values)
    return -sum(c / n * math.log2(c / n) for c in counts.values()) + (len(counts) - 1) / (2 * n * math.log(2))


def test_entropy_and_information_of_known_tables() -> None:
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 3, 500)
    same, shifted, noise = labels.astype(float), (labels == 2).astype(float), draw.integers(0, 16, 500).astype(float)
    potentials = np.stack([same, shifted, noise, np.full(500, 0.3)], axis=1)
    columns = [list(column) for column in potentials.T]
    np.testing.assert_allclose(_entropies(potentials), [entropy(column) for column in columns], atol=1e-12)
    expected = [entropy(column) + entropy(list(labels)) - entropy(list(zip(column, labels, strict=True))) for column in columns]
    np.testing.assert_allclose(_informations(potentials, labels), np.maximum(expected, 0.0), atol=1e-12)
    assert expected[0] == pytest.approx(math.log2(3), abs=0.02) and expected[3] == pytest.approx(0.0, abs=1e-12)


def test_the_correction_takes_the_bias_away() -> None:
    """Of independent potentials and labels the tables alone would tell (16 - 1) (10 - 1) / (2 n) nats."""
    draw = np.random.default_rng(2)
    n = 4000
    found = _informations(draw.random((n, 200)), draw.integers(0, 10, n))
    assert found.mean() < 0.2 * 15 * 9 / (2 * n * math.log(2))


def test_what_cannot_be_told_is_left_out() -> None:
    net = dna.Network([3, 2], device="cpu")
    assert set(signals(net, batch(30, 3), batch(30, 2))) == {f"{name}.1" for name in SIGNALS if name != "mutual_information"}
    assert "mutual_information.1" in signals(net, batch(30, 3), np.arange(30) % 2, loss="cross_entropy")
    assert "gradient_variance.1" not in signals(net, batch(1, 3), batch(1, 2))
    net.extinction(dna.Extinction(split=0.0, delete=1.0, keep_outputs=False))
    assert signals(net, batch(30, 3), batch(30, 2), "gradient_norm", "dead") == {"gradient_norm.1": 0.0}


def test_a_schedule_fires_by_a_threshold() -> None:
    none, seen = ScheduleState(epochs=3), {"dead.1": 0.1, "dead.2": 0.6, "gradient_norm.1": 9.0, "gradient_variance.1": 7.0}
    fires = {
        dna.Signal("dead", above=0.5): True,
        dna.Signal("dead", above=0.6): False,
        dna.Signal("dead", above=0.5, level=1): False,
        dna.Signal("dead", above=0.5, level=3): False,
        dna.Signal("dead", below=0.2): True,
        dna.Signal("dead", below=0.1): False,
        dna.Signal("dead", below=0.2, every=4): False,
        dna.Signal("gradient_norm", below=8.0): False,
        dna.Signal("dead", above=0.5, every=4): False,
        dna.Signal("saturated", above=-1.0): False,
    }
    for schedule, expected in fires.items():
        assert schedule.fires(none, Clock(3), seen) is expected, schedule


def test_signals_reach_history_callbacks_record_and_file(tmp_path: Path) -> None:
    told = []

    class Listener(dna.Callback):
        def on_epoch(self, network: Any, epoch: Any) -> None:
            told.append(epoch.signals["entropy.2"])

    x, y = batch(60, 6), np.arange(60) % 3
    net = dna.Network([6, 8, 3], device="cpu", seed=1)
    rule = dna.Extinction(split=0.1, delete=0.1, when=dna.Signal("gradient_norm", above=0.0, level=1, every=2))
    fit = {"epochs": 4, "optimizer": dna.Adam(0.01), "extinction": rule, "progress": False}
    history = net.fit(x, y, signals=["entropy"], callbacks=[Listener()], **fit)
    assert told == [signals_["entropy.2"] for signals_ in history.signals] and all(value > 0 for value in told)
    assert [event.epoch for event in net.fossils] == [2, 4]
    assert dict(net.fossils[0].signals) == dict(history.epochs[1].signals)
    assert set(net.fossils[0].signals) == {f"{name}.{level}" for name in ("entropy", "gradient_norm") for level in (1, 2)}
    assert net.fossils[0].options["when"]["signal"] == "gradient_norm"
    net.save(tmp_path / "net.dna")
    assert dict(dna.load(tmp_path / "net.dna", device="cpu").fossils[1].signals) == dict(net.fossils[1].signals)
    twin = dna.Network([6, 8, 3], device="cpu", seed=1)
    twin.fit(x, y, **fit)
    assert (twin.cells.weight == net.cells.weight).all(), "looking changes nothing of what is learned"


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: dna.Signal("entrpy", above=1.0), r"unknown signal 'entrpy' \(did you mean 'entropy'\?\)"),
        (lambda: dna.Signal("dead"), "above and below: expected one of them, got None and None"),
        (lambda: dna.Signal("dead", above=0.1, below=0.2), "above and below: expected one of them, got 0.1 and 0.2"),
        (lambda: dna.Signal("dead", above=math.nan), "above: expected a number"),
        (lambda: dna.Signal("dead", above=0.1, level=0), "level: expected an integer of at least 1, got 0"),
        (lambda: dna.Signal("dead", above=0.1, every=0), "every: expected an integer of at least 1, got 0"),
    ],
)
def test_bad_schedules(make: Any, match: str) -> None:
    with pytest.raises(dna.OptionError, match=match):
        make()


def test_names_may_come_one_by_one() -> None:
    net = dna.Network([4, 3], device="cpu")
    names = (name for name in ("dead", "entropy", "dead"))
    options = {"epochs": 1, "loss": "mse", "optimizer": dna.SGD(0.1), "progress": False}
    history = net.fit(batch(8, 4), batch(8, 3), signals=names, extinction=dna.Extinction(), **options)
    assert list(history.epochs[0].signals) == ["dead.1", "entropy.1"]


def test_an_unknown_signal_changes_nothing() -> None:
    net = dna.Network([3, 2], device="cpu")
    with unchanged(net), pytest.raises(dna.UnknownNameError, match="unknown signal 'norm'"):
        net.fit(batch(4, 3), batch(4, 2), loss="mse", optimizer=dna.SGD(0.1), signals=["norm"], progress=False)


def test_nodes_without_cells_are_gone_and_not_dead() -> None:
    net = dna.Network([3, 4, 2], device="cpu", activation="tanh")
    x, y = batch(30, 3), batch(30, 2)
    assert signals(net, x, y, "dead") == {"dead.1": 0.0, "dead.2": 0.0}
    lost = dna.Delete(choose=lambda cells: cells.id[(cells.source == 3) | (cells.target == 3) | (cells.target == 4)])
    net.extinction(dna.Extinction(deaths=lost))
    assert signals(net, x, y, "dead") == {"dead.1": 1 / 3, "dead.2": 0.0}, "node 4 has lost what it hears, and node 3 all"

"""Statistics of cells and the measures that rank by them: against the oracle, over steps, through files and changes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from compare import CELL_KINDS, SIMULATING, batch, dag_network, naive_copy, snapshot, unchanged

import dna
from dna.rules import PERIOD, SAMPLES, STATISTICS, find_passthrough
from dna.saved import to_state

STEPS = PERIOD + 3
WIDE = 40 if SIMULATING else 150
NAMES = ("current", "gradient", "hebbian")


def scores(net: dna.Network, name: str) -> dict[int, float]:
    """Return what a network would rank its cells by, by id."""
    pool, measure = net.engine.pool, find_passthrough(name)
    found, _ = net.backend.score(measure, pool.cells, pool.bump, 0, 0, net.engine.statistics.of(measure))
    ids = pool.columns()[0]["id"]
    return {i: v for i, v in zip(ids.tolist(), net.backend.download(found).tolist(), strict=True) if i >= 0}


def train(net: dna.Network, steps: int, width: int = WIDE, lr: float = 0.05) -> list[np.ndarray]:
    """Take steps by hand on batches of their own; return the batches."""
    seen = []
    for step in range(steps):
        x = batch(width, net.n_in, seed=step + 10) + 3.0
        net.forward(x)
        net.backward(batch(width, net.n_out, seed=step + 90))
        seen.append(x)
        net.apply(dna.SGD(lr))
    return seen


@pytest.mark.parametrize(("kind", "dtype"), [*((kind, "float64") for kind in CELL_KINDS), ("tanh", "float32")])
def test_statistics_are_those_of_the_oracle(device: str, kind: str, dtype: str) -> None:
    """With a learning rate of 1e-30 nothing moves, so that all samples meet the same cells."""
    net = dag_network(device, cell=kind, dtype=dtype)
    net.watch(*NAMES)
    model = naive_copy(net)
    samples = np.concatenate([x[:SAMPLES] for x in train(net, STEPS, lr=1e-30)[::PERIOD]])
    tolerance = {"rtol": 1e-9, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-3, "atol": 1e-4}
    for name, oracle in (("current", naive.mean_current), ("hebbian", naive.correlation)):
        expected, found = oracle(model, samples.tolist()), scores(net, name)
        assert found.keys() == expected.keys()
        np.testing.assert_allclose([found[i] for i in expected], list(expected.values()), err_msg=name, **tolerance)
    assert net.engine.statistics.counts == {"current": len(samples), "hebbian": len(samples), "gradient": STEPS}


def test_the_gradient_is_that_of_every_step(device: str) -> None:
    net = dag_network(device)
    net.watch("gradient")
    expected = np.zeros(len(net))
    for step in range(STEPS):
        x = batch(9, net.n_in, seed=step)
        net.forward(x)
        net.backward(batch(9, net.n_out, seed=step + 50))
        cells = net.cells
        expected += np.abs(cells.weight * cells.weight_grad) / STEPS
        net.apply(dna.Adam(0.01))
    found = scores(net, "gradient")
    np.testing.assert_allclose([found[i] for i in net.cells.id.tolist()], expected, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_extinctions_rank_by_them(device: str, name: str) -> None:
    net = dag_network(device)
    net.watch(name)
    train(net, 2, width=12)
    ranked = scores(net, name)
    event = net.extinction(dna.Extinction(split=0.2, delete=0.2, passthrough=name, keep_outputs=False))
    order = sorted(ranked, key=lambda i: (ranked[i], i))
    assert set(event.died.tolist()) == set(order[:3])
    assert set(event.parents.tolist()) == set(sorted(ranked, key=lambda i: (-ranked[i], i))[:3])
    assert event.options["deaths"][0]["passthrough"] == name


def test_a_measure_of_the_users_own_takes_a_statistic() -> None:
    def per_weight(real: type) -> Any:
        def score(w: Any, b: Any, m: Any) -> Any:
            return m / (abs(w) + 1)

        return score

    net = dag_network("cpu")
    measure = dna.Passthrough("per_weight", per_weight, statistic="current")
    net.watch("current")
    train(net, 1)
    currents, cells = scores(net, "current"), net.cells
    expected = {i: currents[i] / (abs(w) + 1) for i, w in zip(cells.id.tolist(), cells.weight.tolist(), strict=True)}
    event = net.extinction(dna.Extinction(split=0.0, delete=0.2, passthrough=measure, keep_outputs=False))
    assert set(event.died.tolist()) == set(sorted(expected, key=lambda i: (expected[i], i))[:3])


def test_without_steps_there_is_nothing_to_rank_by() -> None:
    net = dna.Network([4, 3], device="cpu")
    rule = dna.Extinction(passthrough="current")
    with unchanged(net), pytest.raises(dna.OptionError, match=r"'current': expected steps of training .* got none"):
        net.extinction(rule)
    net.watch("current")
    train(net, 1)
    with unchanged(net), pytest.raises(dna.NumericsError):  # what was gathered stays where an extinction fails
        net.extinction(dna.Extinction(passthrough=lambda w, b: w * math.nan))
    net.extinction(rule)
    with unchanged(net), pytest.raises(dna.OptionError, match="expected steps of training since the topology last changed"):
        net.extinction(rule)
    with pytest.raises(dna.UnknownNameError, match=r"unknown statistic 'curent' \(did you mean 'current'\?\)"):
        net.watch("curent")
    with pytest.raises(dna.OptionError, match="expected a statistic or random numbers, got both"):
        dna.Passthrough("odd", lambda real: max, draws=True, statistic="current")


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_watches_what_it_ranks_by_and_is_resumed_exactly(device: str, tmp_path: Path, name: str) -> None:
    """Files are written between two extinctions, where the tables are half full."""
    x, y = batch(30, 6), np.arange(30) % 3
    rule = dna.Extinction(split=0.1, delete=0.1, passthrough=name, when=dna.Every(epochs=2))
    fit = {"batch_size": 10, "optimizer": dna.Adam(0.01), "extinction": rule, "progress": False}
    whole, parts = (dna.Network([6, 4, 3], device=device, seed=4) for _ in range(2))
    whole.fit(x, y, epochs=4, **fit)
    for epochs in (1, 2, 1):
        parts.fit(x, y, epochs=epochs, **fit)
        parts.save(tmp_path / "net.dna")
        assert snapshot(dna.load(tmp_path / "net.dna", device=device))["arrays"] == snapshot(parts)["arrays"]
        parts = dna.load(tmp_path / "net.dna", device=device)
    assert len(whole.fossils) == 2 and whole.engine.statistics.steps == 0
    one, other = snapshot(whole), snapshot(parts)
    assert one["arrays"] == other["arrays"] and one["meta"] == other["meta"]


def test_nothing_is_gathered_unless_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    net = dna.Network([6, 3], device="cpu")
    monkeypatch.delattr(net.backend.__class__, "gather_step")
    monkeypatch.delattr(net.backend.__class__, "gather_samples")
    net.watch("current", "gradient")
    net.watch()
    rule = dna.Extinction(when=dna.Every(epochs=1))
    net.fit(batch(8, 6), batch(8, 3), epochs=2, loss="mse", optimizer=dna.SGD(0.1), extinction=rule, progress=False)
    assert not net.engine.statistics.tables and len(net.fossils) == 2


def test_a_state_that_is_loaded_stays_as_it_is() -> None:
    """Twice loaded, it gives two networks that do not meet."""
    net = dna.Network([6, 3], device="cpu")
    net.watch(*NAMES)
    state = to_state(net)
    one, other = dna.load(state, device="cpu"), dna.load(state, device="cpu")
    one.forward(batch(4, 6))
    one.backward(np.ones((4, 3)))
    one.apply(dna.SGD(0.1))
    for name in NAMES:
        assert one.engine.statistics.tables[name].any()
        assert not other.engine.statistics.tables[name].any() and not state.arrays[f"statistics.{name}"].any()


def test_all_begins_anew_with_every_change_of_the_topology() -> None:
    """Extinction, undo and settlement: slots mean other cells then, and there may be fewer of them."""
    net = dna.Network([6, 3], device="cpu")
    net.watch("gradient", "current")

    def step() -> None:
        net.forward(batch(4, 6))
        net.backward(np.ones((4, 3)))
        net.apply(dna.SGD(0.1))
        assert net.engine.statistics.counts == {"gradient": 1, "current": 4} and net.engine.statistics.steps == 1

    step()
    event = net.extinction(dna.Extinction(split=0.5, delete=0.0))
    step()
    event.undo()
    step()
    net.settle()
    step()
    assert {table.shape[1] for table in net.engine.statistics.tables.values()} == {18}


def test_constant_potentials_correlate_with_nothing() -> None:
    net = dna.Network([3, 2], device="cpu")
    net.watch("hebbian")
    x = batch(20, 3)
    x[:, 1] = 7.0
    net.forward(x)
    net.backward(np.ones((20, 2)))
    net.apply(dna.SGD(0.1))
    found = scores(net, "hebbian")
    for cell, source in zip(net.cells.id.tolist(), net.cells.source.tolist(), strict=True):
        assert (found[cell] == 0.0) == (source == 1) and 0.0 <= found[cell] <= 1.0 + 1e-6


def test_the_catalogue_of_statistics_is_that_of_the_measures() -> None:
    assert set(STATISTICS) == set(NAMES)

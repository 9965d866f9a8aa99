"""Regrowth against the oracle: the same pairs of nodes, slots and ids on every device; newborns that train."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from compare import CELL_KINDS, assert_same, batch, naive_copy, snapshot, unchanged

import dna
from dna.rules import regrowth
from dna.rules.pairs import GROWTH, build_shuffle, half_bits

LAYERS = [6, 5, 4]
X, GY = batch(9, 6), batch(9, 4, 1)
TOTAL = 25  # cells of `sparse`
CASES: dict[str, tuple[dict[str, Any], dict[int, int]]] = {
    "random": ({"by": "random"}, {-1: 5}),
    "gradient": ({"by": "gradient"}, {-1: 5}),
    "correlation": ({"by": "correlation"}, {-1: 5}),
    "gradient, level by level": ({"by": "gradient", "scope": "layer"}, {1: 3, 2: 2}),
    "gradient, over levels": ({"by": "gradient", "reach": 2}, {-1: 5}),
    "gradient, few candidates": ({"by": "gradient", "candidates": 3}, {-1: 5}),
    "correlation, with a weight": ({"by": "correlation", "weight": 0.25}, {-1: 5}),
    "random, with a weight": ({"by": "random", "weight": 0.25, "scope": "layer"}, {1: 3, 2: 2}),
}


def sparse(device: str, **options: Any) -> dna.Network:
    standard = {"density": 0.5, "cell": "tanh", "init": "he", "dtype": "float64", "device": device, "seed": 5}
    return dna.Network(LAYERS, **standard | options)


def grow(net: dna.Network, **options: Any) -> dna.ExtinctionEvent:
    net.forward(X)
    net.backward(GY)
    return net.extinction(dna.Extinction(births=dna.Regrow(**options)))


def joined(net: dna.Network) -> list[tuple[int, int]]:
    return list(zip(net.cells.source.tolist(), net.cells.target.tolist(), strict=True))


# --- against the oracle -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_the_same_pairs_slots_and_ids(device: str, kind: str, name: str) -> None:
    options, counts = CASES[name]
    net = sparse(device, cell=kind)
    net.forward(X)
    net.backward(GY)
    model = naive_copy(net)
    deaths = dna.Delete(share=0.2, scope=options.get("scope", "network"))
    event = net.extinction(dna.Extinction(births=dna.Regrow(share="died", **options), deaths=deaths))
    size = options.get("weight", 0.1 if kind == "relu" else 0.0)
    growth = naive.Growth(options["by"], counts, size, options.get("candidates"), options.get("reach", 1))
    expected = naive.regrow(model, naive.Rule(delete=0.2, scope=deaths.scope), growth, X.tolist(), GY.tolist())
    assert (event.born.tolist(), event.parents.tolist(), event.died.tolist()) == expected
    assert event.n_born > 0
    assert_same(net, model, rtol=0, atol=0)
    assert len(set(joined(net))) == len(net), "two cells between one pair of nodes"


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [sparse("cpu") for _ in CASES]
    for net, (options, _) in zip(whole, CASES.values(), strict=True):
        grow(net, share=0.3, **options)
    monkeypatch.setattr(regrowth, "BLOCK", 3)
    for expected, (options, _) in zip(whole, CASES.values(), strict=True):
        net = sparse("cpu")
        grow(net, share=0.3, **options)
        assert snapshot(net)["arrays"] == snapshot(expected)["arrays"]


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 100, 257])
def test_the_order_of_draws_is_a_permutation(count: int) -> None:
    shuffle = build_shuffle(lambda function: function)
    seed = 2**40 + 7
    orders = [[int(shuffle(k, count, half_bits(count), seed ^ GROWTH, event)) for k in range(count)] for event in (0, 1)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    assert orders[0] == [naive.shuffle(k, count, seed ^ GROWTH, 0) for k in range(count)]
    assert count < 16 or orders[0] != orders[1] != list(range(count))


def test_random_pairs_are_uniform() -> None:
    """Each of the 25 free pairs is joined about equally often, over 400 seeds."""
    times: dict[tuple[int, int], int] = {}
    for seed in range(400):
        net = sparse("cpu", density=[0.5, 0.5], seed=0)
        net.engine.seed = seed
        old = set(joined(net))
        net.extinction(dna.Extinction(births=dna.Regrow(share=0.2, by="random")))
        for pair in set(joined(net)) - old:
            times[pair] = times.get(pair, 0) + 1
    assert len(times) == 25
    expected = 400 * 5 / 25
    assert sum((n - expected) ** 2 / expected for n in times.values()) < 60  # chi squared, 24 degrees of freedom: p < 1e-4


# --- newborns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CELL_KINDS)
@pytest.mark.parametrize("by", ["gradient", "correlation", "random"])
def test_newborns_train_and_lower_the_loss(kind: str, by: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 6))
    y = np.stack([x[:, 0] * 0.7 - x[:, 3], x[:, 1] + x[:, 5], np.tanh(x[:, 2]), x[:, 4]], 1)
    losses = {}
    for grows in (False, True):
        net = dna.Network([6, 4], cell=kind, init="glorot", density=0.25, device="cpu", seed=3)
        options: dict[str, Any] = {"batch_size": 20, "loss": "mse", "optimizer": dna.Adam(0.02), "progress": False}
        net.fit(x, y, epochs=20, **options)
        if grows:
            net.forward(x)
            net.backward((net.forward(x) - y) / 200)
            event = net.extinction(dna.Extinction(births=dna.Regrow(share=1.0, by=by)))
            assert event.n_born == 6
            first = net.cells.weight[-6:]
        net.fit(x, y, epochs=20, **options)
        losses[grows] = net.evaluate(x, y, loss="mse")["loss"]
    assert (np.abs(net.cells.weight[-6:] - first) > 0.01).sum() >= 3  # where a pair has nothing to say, a weight of 0 is right
    assert losses[True] < 0.95 * losses[False]


@pytest.mark.parametrize("kind", ["linear", "tanh"])
def test_a_birth_leaves_the_function_as_it_is(device: str, kind: str) -> None:
    net = sparse(device, cell=kind)
    before = net.forward(X)
    assert grow(net, share=0.5, by="gradient").n_born == 12
    np.testing.assert_allclose(net.forward(X), before, rtol=1e-12, atol=1e-14)
    assert (net.cells.weight[-12:] == 0).all()


def test_a_newborn_of_weight_zero_has_the_gradient_that_it_was_chosen_by() -> None:
    net = sparse("cpu")
    grow(net, share=0.2, by="gradient")
    net.forward(X)
    net.backward(GY)
    model = naive_copy(net)
    naive.backward(model, X.tolist(), GY.tolist())
    chosen = np.abs(net.cells.weight_grad[-5:])
    others = sparse("cpu")
    grow(others, share=1.0, by="random")  # joins all pairs there are
    others.forward(X)
    others.backward(GY)
    assert len(others) == 50
    assert np.allclose(np.sort(np.abs(others.cells.weight_grad[25:]))[-5:], np.sort(chosen))


def test_fit_shows_a_batch_to_rules_that_look_at_one(device: str) -> None:
    net = sparse(device)
    rule = dna.Extinction(
        births=dna.Regrow(share="died", by="gradient"), deaths=dna.Delete(share=0.2), when=dna.Every(epochs=1, until=2)
    )
    net.fit(X, GY, epochs=2, batch_size=5, loss="mse", optimizer=dna.Adam(0.01), extinction=rule, progress=False)
    assert [event.n_born for event in net.fossils] == [5, 5]
    assert net.fossils[0].options["births"][0]["name"] == "regrow"
    rule = dna.Extinction(births=dna.Regrow(cells=28, by="correlation"), when=dna.Every(steps=1))
    net.fit(X, GY, epochs=1, batch_size=5, loss="mse", optimizer=dna.Adam(0.01), extinction=rule, progress=False)
    assert [event.n_born for event in net.fossils] == [5, 5, 3, 0] and len(net) == 28


def test_regrowth_is_saved_and_undone(tmp_path: Path) -> None:
    net = sparse("cpu")
    net.forward(X)
    net.backward(GY)
    before = snapshot(net)
    net.extinction(dna.Extinction(births=[dna.Split(share=0.1), dna.Regrow(share=0.4)], deaths=dna.Delete(share=0.3)))
    assert net.fossils[-1].parents.tolist()[2:] == [-1] * 10
    net.save(tmp_path / "net.dna")
    twin = dna.load(tmp_path / "net.dna", device="cpu")
    for one in (net, twin):
        one.fossils[-1].undo()
        assert snapshot(one)["arrays"] == before["arrays"]


# --- limits -------------------------------------------------------------------------------------------------------------


def test_where_pairs_run_out_fewer_are_born(device: str) -> None:
    net = sparse(device)
    event = net.extinction(dna.Extinction(births=dna.Regrow(share=1.0, by="random")))
    assert event.n_born == 25 and len(set(joined(net))) == 50
    event = net.extinction(dna.Extinction(births=dna.Regrow(share=1.0, by="random")))
    assert event.n_born == 0


def test_memory_is_that_of_a_block_however_many_pairs_there_are() -> None:
    """A dense layer of these nodes would have 400 million cells."""
    net = dna.Network([20_000, 20_000], density=1e-5, device="cpu")
    tracemalloc.start()
    event = net.extinction(dna.Extinction(births=dna.Regrow(share=0.5, by="random")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert event.n_born == 2000 and len(set(joined(net))) == 6000
    assert peak < 64e6


def test_a_look_at_a_batch_needs_one() -> None:
    net = sparse("cpu")
    with unchanged(net), pytest.raises(dna.OptionError, match="regrow by gradient: expected a forward and a backward"):
        net.extinction(dna.Extinction(births=dna.Regrow()))
    net.forward(X)
    with unchanged(net), pytest.raises(dna.OptionError, match="regrow by gradient: expected a forward and a backward"):
        net.extinction(dna.Extinction(births=dna.Regrow()))
    net.forward(X)
    net.extinction(dna.Extinction(births=dna.Regrow(by="correlation")))
    with unchanged(net), pytest.raises(dna.OptionError, match="regrow by correlation: expected a forward since"):
        net.extinction(dna.Extinction(births=dna.Regrow(by="correlation")))


def test_an_exhausted_pool_changes_nothing(device: str) -> None:
    net = sparse(device, capacity=27)
    with unchanged(net), pytest.raises(dna.PoolExhausted, match="5 slots needed, 2 free"):
        net.extinction(dna.Extinction(births=dna.Regrow(share=0.2, by="random")))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"by": "gradents"}, "unknown way to regrow 'gradents' .did you mean 'gradient'"),
        ({"candidates": 0}, "candidates: expected an integer of at least 1"),
        ({"reach": 0}, "reach: expected an integer of at least 1"),
        ({"weight": -1.0}, r"weight: expected a number in \[0"),
        ({"share": 1.5}, r"share: expected a number in \[0"),
        ({"share": 0.1, "cells": 4}, "cells and share: expected one of them"),
        ({"scope": "level"}, "unknown scope"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(dna.OptionError, match=match):
        dna.Regrow(**options)

"""Copies and pickles: what a file would hold, and nothing of the network that they came from."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compare import batch

import dna
from dna.fossils import ExtinctionEvent
from dna.graph.filters import part
from dna.saved import to_state

X, Y = batch(24, 4), np.arange(24) % 3
RULE = dna.Extinction(split=0.3, delete=0.3, every=2, patience=0, min_delta=9.0)


def trained(epochs: int = 5) -> dna.Network:
    net = dna.Network([4, 3], device="cpu", seed=3)
    train(net, epochs)
    return net


def train(net: dna.Network, epochs: int) -> None:
    net.fit(X, Y, epochs=epochs, batch_size=7, optimizer=dna.Adam(0.05), extinction=RULE, progress=False)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_goes_on_as_its_original_does_and_apart_from_it(way: Callable[[dna.Network], dna.Network]) -> None:
    net, whole = trained(5), trained(9)
    twin = way(net)
    assert (twin.device, len(twin.fossils), len(twin.history)) == ("cpu", 2, 0)
    train(twin, 4)
    assert len(net.fossils) == 2, "the original is as it was"
    assert_same(twin, whole)
    train(net, 4)
    assert_same(net, whole)


def assert_same(one: dna.Network, other: dna.Network) -> None:
    mine, theirs = to_state(one), to_state(other)
    assert mine.arrays.keys() == theirs.arrays.keys()
    for name in mine.arrays:
        np.testing.assert_array_equal(mine.arrays[name], theirs.arrays[name], err_msg=name)
    assert {name: mine.meta[name] for name in mine.meta if name != "fossils"} == {
        name: theirs.meta[name] for name in theirs.meta if name != "fossils"  # these tell how long extinctions took
    }


def test_events_are_pickled_whole_but_cannot_be_undone() -> None:
    net = trained()
    for event, again in zip(net.fossils, pickle.loads(pickle.dumps(net.history)).extinctions, strict=True):
        assert isinstance(again, ExtinctionEvent)
        assert str(again) == str(event)
        for remains in ("births", "split", "dead"):
            mine, theirs = getattr(event, remains), getattr(again, remains)
            for name in mine.names:
                np.testing.assert_array_equal(getattr(theirs, name), getattr(mine, name))
        with pytest.raises(dna.UndoError, match="belongs to no network"):
            again.undo()
    net.fossils[-1].undo()
    assert len(net.fossils) == 1


@pytest.mark.parametrize(
    "error",
    [
        dna.UnknownNameError("plan", "gahter", ["gather", "dense"]),
        dna.NumericsError("NaN", cell=3, level=1, epoch=2, batch=0),
        dna.PoolExhausted(7, 2),
        dna.DeviceLost("gone"),
        dna.DataError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_between_processes(error: dna.DNAError) -> None:
    again: Any = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_what_a_notebook_shows_is_one_line() -> None:
    net = trained()
    shown = [net, net.history, net.fossils, net.fossils[0], net.cells, net.topology(), net.graph(), net.graph(parallel="merged")]
    assert [repr(thing) for thing in shown] == [
        "<dna.Network 4-3, 12 linear cells, version 2, cpu>",
        f"<History of 5 epochs, loss {net.history.loss[-1]:.4f}, 2 extinctions>",
        "<FossilRecord of 2 extinctions>",
        f"<{net.fossils[0]}>",
        "<CellTable of 12 cells: id, source, target, weight, bias, weight_grad, bias_grad, parent, born>",
        "<Topology 4-3, version 2, 12 linear cells>",
        "<TopologyView with 7 nodes and 12 edges, version 2>",
        f"<MergedView with 7 nodes and {net.graph(parallel='merged').number_of_edges()} edges, version 2>",
    ]
    assert repr(dna.Network([4, *[2] * 7, 3], device="cpu")) == "<dna.Network 4-2-2-...-2-2-3, 38 linear cells, version 0, cpu>"
    assert repr(part(net.topology(), {"strongest": 5})) == "<Topology 4-3, version 2, 5 of 12 linear cells>"

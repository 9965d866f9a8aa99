"""Bad input: a typed error that says what was expected and what came, and a network that is as it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from compare import batch, snapshot, unchanged
from scipy.sparse import csr_array

import dna

X, Y = batch(12, 4), np.arange(12) % 3
VALUES = batch(12, 3)
SGD = dna.SGD(0.1)


def spoiled(array: np.ndarray, value: float) -> np.ndarray:
    array = np.array(array, float)
    array[2, 1] = value
    return array


@pytest.fixture(scope="module")
def trained() -> dna.Network:
    """A network with a past: optimizer state, a schedule under way, an extinction, a history."""
    net = dna.Network([4, 3], device="cpu", deterministic=True)
    net.fit(X, Y, epochs=3, batch_size=5, optimizer=dna.Adam(0.05), progress=False)
    net.extinction(dna.Extinction(split=0.2, delete=0.1))
    net.fit(X, Y, epochs=2, optimizer=dna.Adam(0.05), extinction=dna.Extinction(), progress=False)
    return net


class Frame:
    """In the manner of pandas: an array of objects, that can be asked for numbers."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.full((12, 4), "text", object)

    def to_numpy(self, dtype: Any = None) -> np.ndarray:
        raise NotImplementedError


class Tensor:
    """In the manner of PyTorch: on a GPU."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("move it to the host first")


def fit(**options: Any) -> Callable[[dna.Network], Any]:
    standard = {"x": X, "y": Y, "epochs": 1, "optimizer": SGD, "progress": False}
    return lambda net: net.fit(**standard | options)


Call = tuple[Callable[[dna.Network], Any], type[dna.DNAError], str]

FORWARD: dict[str, Call] = {
    "one dimension": (lambda net: net.forward(X[0]), dna.ShapeError, r"x: expected shape \(batch, 4\), got \(4,\)"),
    "three columns": (lambda net: net.forward(X[:, :3]), dna.ShapeError, r"x: expected shape \(batch, 4\), got \(12, 3\)"),
    "one sample by itself": (lambda net: net.forward(X[0]), dna.ShapeError, r"one sample is x\.reshape\(1, -1\)"),
    "images": (lambda net: net.forward(X.reshape(12, 2, 2)), dna.ShapeError, r"got \(12, 2, 2\); x\.reshape\(len\(x\), -1\)"),
    "sparse": (lambda net: net.forward(csr_array(X)), dna.DataError, r"got dtype object, a csr_array; take x\.toarray\(\)"),
    "a frame of texts": (lambda net: net.forward(Frame()), dna.DataError, r"got dtype object; .* x\.to_numpy\('float32'\)"),
    "no array": (lambda net: net.forward(Tensor()), dna.DataError, "expected what NumPy makes an array of, got Tensor: move it"),
    "no samples": (lambda net: net.forward(X[:0]), dna.DataError, "x: expected at least one sample, got none"),
    "ragged": (lambda net: net.forward([[1, 2, 3, 4], [1, 2]]), dna.ShapeError, "x: expected a rectangular array"),
    "texts": (lambda net: net.forward([["a", "b", "c", "d"]]), dna.DataError, "x: expected real numbers, got dtype <U1"),
    "complex": (lambda net: net.forward(X * 1j), dna.DataError, "x: expected real numbers, got dtype complex128"),
    "objects": (lambda net: net.forward([[None] * 4]), dna.DataError, "x: expected real numbers, got dtype object"),
    "NaN": (lambda net: net.forward(spoiled(X, math.nan)), dna.DataError, r"x: expected finite values, got nan at \(2, 1\)"),
    "Inf": (lambda net: net.forward(spoiled(X, -math.inf)), dna.DataError, r"x: expected finite values, got -inf at \(2, 1\)"),
    "past float32": (lambda net: net.forward(spoiled(X, 1e300)), dna.DataError, "x: expected finite values"),
    "predict, empty": (lambda net: net.predict(X[:0]), dna.DataError, "x: expected at least one sample"),
    "predict, NaN": (lambda net: net.predict(spoiled(X, math.nan)), dna.DataError, "x: expected finite values"),
}

BACKWARD: dict[str, Call] = {
    "without forward": (lambda net: net.backward(VALUES), dna.OptionError, "backward: expected a forward before it"),
    "two columns": (lambda net: run(net).backward(VALUES[:, :2]), dna.ShapeError, r"gy: expected shape \(.*, 3\), got \(12, 2\)"),
    "another batch": (lambda net: run(net).backward(VALUES[:5]), dna.ShapeError, "gy: .* for the 12 samples of .*, got 5"),
    "NaN": (lambda net: run(net).backward(spoiled(VALUES, math.nan)), dna.DataError, "gy: expected finite values"),
}

FIT: dict[str, Call] = {
    "x, three columns": (fit(x=X[:, :3]), dna.ShapeError, r"x: expected shape \(batch, 4\), got \(12, 3\)"),
    "x, none": (fit(x=X[:0], y=Y[:0]), dna.DataError, "x: expected at least one sample"),
    "x, NaN": (fit(x=spoiled(X, math.nan)), dna.DataError, r"x: expected finite values, got nan at \(2, 1\); 1 in all"),
    "x, Inf": (fit(x=spoiled(X, math.inf)), dna.DataError, r"x: expected finite values, got inf at \(2, 1\)"),
    "x, past float32": (fit(x=spoiled(X, 1e300)), dna.DataError, "x: expected finite values, got inf"),
    "y, too few": (fit(y=Y[:5]), dna.ShapeError, r"y: expected class labels of shape \(12,\), got \(5,\)"),
    "y, too large": (fit(y=Y + 1), dna.DataError, r"y: expected labels in \[0, 3\), got 1 to 3"),
    "y, negative": (fit(y=Y - 1), dna.DataError, r"y: expected labels in \[0, 3\), got -1 to 1"),
    "y, reals": (fit(y=Y / 2), dna.DataError, "y: expected class labels as integers, got dtype float64"),
    "y, one-hot": (fit(y=np.eye(3)[Y]), dna.ShapeError, "y: expected class labels of shape"),
    "y, rows of one-hot": (fit(y=np.eye(3)[Y]), dna.ShapeError, r"got \(12, 3\); of one-hot rows take y\.argmax\(1\)"),
    "y, texts": (fit(y=["abc"[label] for label in Y]), dna.DataError, r"got dtype <U1; np\.unique\(y, return_inverse=True"),
    "y, ragged": (fit(y=[[1], [1, 2]]), dna.ShapeError, "y: expected"),
    "values, too few": (fit(loss="mse", y=VALUES[:5]), dna.ShapeError, r"y: expected shape \(12, 3\), got \(5, 3\)"),
    "values, NaN": (fit(loss="mse", y=spoiled(VALUES, math.nan)), dna.DataError, r"y: .* finite values, got nan at \(2, 1\)"),
    "values past 1": (
        fit(loss="binary_cross_entropy", y=np.full((12, 3), 1.5)),
        dna.DataError,
        r"y: expected values in \[0.0, 1.0\], got 1.5 to 1.5",
    ),
    "unknown loss": (fit(loss="cross_entrpy"), dna.UnknownNameError, r"'cross_entrpy' \(did you mean 'cross_entropy'\?\)"),
    "no loss": (fit(loss=None), dna.OptionError, "loss: expected a name or a dna.training.Loss, got None"),
    "optimizer": (fit(optimizer="adm"), dna.UnknownNameError, r"unknown optimizer 'adm' \(did you mean 'adam'\?\)"),
    "no optimizer": (fit(optimizer=0.1), dna.OptionError, "optimizer: expected dna.SGD"),
    "optimizer without rate": (fit(optimizer="sgd"), dna.OptionError, r"'sgd': expected its learning rate too, as in dna\.SGD"),
    "a function as callback": (fit(callbacks=[print]), dna.OptionError, "callbacks: expected .* got <built-in"),
    "a class as callback": (fit(callbacks=[dna.Callback]), dna.OptionError, "callbacks: expected .* got <class"),
    "one callback": (fit(callbacks=dna.Callback()), dna.OptionError, "callbacks: expected a list of .* got <dna"),
    "epochs": (fit(epochs=-1), dna.OptionError, "epochs: expected an integer of at least 0, got -1"),
    "half an epoch": (fit(epochs=0.5), dna.OptionError, "epochs: expected an integer of at least 0, got 0.5"),
    "batch_size": (fit(batch_size=0), dna.OptionError, "batch_size: expected an integer of at least 1, got 0"),
    "extinction": (fit(extinction="article"), dna.OptionError, "extinction: expected dna.Extinction"),
    "no pair": (fit(validation=X), dna.OptionError, r"validation: expected a pair \(x, y\), got ndarray"),
    "validation": (fit(validation=(X, Y + 7)), dna.DataError, r"validation y: expected labels in \[0, 3\), got 7 to 9"),
    "evaluate": (lambda net: net.evaluate(X, Y - 1), dna.DataError, r"y: expected labels in \[0, 3\)"),
    "evaluate, loss": (lambda net: net.evaluate(X, Y, loss="mes"), dna.UnknownNameError, r"did you mean 'mse'\?"),
}

REST: dict[str, Call] = {
    "apply": (lambda net: net.apply("sdg"), dna.UnknownNameError, r"unknown optimizer 'sdg' \(did you mean 'sgd'\?\)"),
    "apply, rule": (lambda net: net.apply(SGD, rule=0.1), dna.OptionError, "extinction: expected dna.Extinction"),
    "compile": (lambda net: net.compile("gahter"), dna.UnknownNameError, r"unknown plan 'gahter' \(did you mean 'gather'\?\)"),
    "scatter": (lambda net: net.compile("scatter"), dna.DeterminismError, "expected plan='gather' or 'auto'"),
    "extinction": (lambda net: net.extinction("article"), dna.OptionError, "extinction: expected dna.Extinction"),
    "export, path first": (lambda net: dna.export("x.html", net), dna.OptionError, "network: expected a dna.Network, .* got str"),
    "export": (lambda net: dna.export(net, "/tmp/topology.gexff"), dna.UnknownNameError, r"did you mean '\.?gexf'\?"),
}


def run(net: dna.Network) -> dna.Network:
    net.forward(X)
    return net


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [pytest.param(*call, id=name) for calls in (FORWARD, BACKWARD, FIT, REST) for name, call in calls.items()],
)
def test_calls(trained: dna.Network, call: Callable[[dna.Network], Any], error: type[dna.DNAError], match: str) -> None:
    trained.apply(dna.SGD(1e-30))  # forgets the last forward
    with unchanged(trained), pytest.raises(error, match=match):
        call(trained)


def test_a_loss_that_is_no_number_stops_before_its_update() -> None:
    net = dna.Network([4, 3], device="cpu")
    with pytest.raises(dna.NumericsError, match=r"loss: expected a finite value, got .* in epoch"):
        net.fit(X, VALUES, loss="mse", epochs=50, optimizer=dna.SGD(1e6), progress=False)
    assert np.isfinite(net.cells.weight).all()


def test_a_validation_loss_that_is_no_number_is_an_error_too() -> None:
    """The schedule would otherwise compare with NaN for good, and the network could not be saved."""
    net = dna.Network([4, 3], device="cpu")
    far = np.full((2, 4), 1e30)
    with pytest.raises(dna.NumericsError, match="validation loss of epoch 1: expected a finite value, got inf"):
        net.fit(X, VALUES, loss="mse", epochs=1, validation=(far, VALUES[:2]), optimizer=SGD, progress=False)
    snapshot(net)


def test_labels_may_be_booleans_and_adam_has_a_rate() -> None:
    ends = []
    for labels, optimizer in ((Y > 0, "adam"), ((Y > 0).astype(int), dna.Adam(0.001))):
        net = dna.Network([4, 2], device="cpu", init="glorot")
        net.fit(X, labels, epochs=2, optimizer=optimizer, progress=False)
        ends.append(net.cells.weight)
    np.testing.assert_array_equal(*ends)


# --- new networks -------------------------------------------------------------------------------------------------------

NETWORKS: dict[str, tuple[dict[str, Any], type[dna.DNAError], str]] = {
    "one level": ({"layers": [4]}, dna.OptionError, r"layers: expected at least two levels .*, got \[4\]"),
    "an empty level": ({"layers": [4, 0, 3]}, dna.OptionError, r"at least one node each, got \[4, 0, 3\]"),
    "half a node": ({"layers": [4, 1.5]}, dna.OptionError, r"layers: expected a sequence of integers .*, got \[4, 1.5\]"),
    "a number": ({"layers": 4}, dna.OptionError, "layers: expected a sequence of integers"),
    "cell": ({"cell": "linaer"}, dna.UnknownNameError, r"unknown cell kind 'linaer' \(did you mean 'linear'\?\)"),
    "no cell": ({"cell": None}, dna.UnknownNameError, "unknown cell kind None"),
    "density, a text": ({"density": "half"}, dna.OptionError, r"density: expected numbers in \(0, 1\], got 'half'"),
    "activation": ({"activation": ["sigmod"]}, dna.UnknownNameError, r"unknown activation 'sigmod' \(did you mean 'sigmoid'\?\)"),
    "activations": ({"activation": ["relu", "relu"]}, dna.OptionError, "activation: expected one name, or 1, .*, got 2"),
    "no activation": ({"activation": 5}, dna.OptionError, "activation: expected"),
    "init": ({"init": "one"}, dna.UnknownNameError, r"unknown init 'one' \(did you mean 'ones'\?\)"),
    "a list of inits": ({"init": ["ones"]}, dna.UnknownNameError, r"unknown init \['ones'\]"),
    "dtype": ({"dtype": "float23"}, dna.UnknownNameError, r"unknown dtype 'float23' \(did you mean 'float32'\?\)"),
    "a list of dtypes": ({"dtype": ["float32"]}, dna.UnknownNameError, "unknown dtype"),
    "seed": ({"seed": -1}, dna.OptionError, "seed: expected an integer of at least 0, got -1"),
    "half a seed": ({"seed": 0.5}, dna.OptionError, "seed: expected an integer of at least 0, got 0.5"),
    "a large seed": ({"seed": 2**63}, dna.OptionError, f"seed: expected an integer of at most {2**63 - 1}, got {2**63}"),
    "a large capacity": ({"capacity": 2**31}, dna.OptionError, f"capacity: expected an integer of at most {2**31 - 1}, got"),
    "capacity": ({"capacity": 0}, dna.OptionError, "capacity: expected an integer of at least 1, got 0"),
    "a small capacity": ({"capacity": 11}, dna.PoolExhausted, "12 slots needed, 11 free"),
    "density": ({"density": 0.0}, dna.OptionError, r"density: expected numbers in \(0, 1\], got 0.0"),
    "densities": ({"density": [0.5, 0.5]}, dna.OptionError, "density: expected one number, or 1, .*, got 2"),
    "device": ({"device": "cpuu"}, dna.UnknownNameError, r"unknown device 'cpuu' \(did you mean 'cpu'\?\)"),
    "a device that is not there": ({"device": "cuda:99"}, dna.DeviceError, "cuda:99"),
    "no device": ({"device": None}, dna.UnknownNameError, "unknown device None"),
}


@pytest.mark.parametrize(("options", "error", "match"), NETWORKS.values(), ids=NETWORKS)
def test_networks(options: dict[str, Any], error: type[dna.DNAError], match: str) -> None:
    with pytest.raises(error, match=match):
        dna.Network(**{"layers": [4, 3], "device": "cpu"} | options)


GRAPHS: dict[str, tuple[Any, dict[str, Any], type[dna.DNAError], str]] = {
    "a cycle": (nx.DiGraph(["ab", "bc", "cb", "cd"]), {}, dna.CycleError, "expected no cycles, got one through node '[bc]'"),
    "all in a cycle": (nx.DiGraph(["ab", "ba"]), {}, dna.GraphError, "inputs: expected at least one node, got none"),
    "a loop": (nx.DiGraph(["ab", "bb", "bc"]), {}, dna.CycleError, "expected no cycles, got one through node 'b'"),
    "undirected": (nx.Graph(["ab"]), {}, dna.GraphError, "expected a directed networkx graph, got Graph"),
    "no graph": ([[0, 1]], {}, dna.GraphError, "expected a directed networkx graph, got list"),
    "empty": (nx.DiGraph(), {}, dna.GraphError, "inputs: expected at least one node, got none"),
    "stranger": (nx.DiGraph(["ab"]), {"inputs": ["z"]}, dna.GraphError, "inputs: expected nodes of the graph, got 'z'"),
    "fed input": (nx.DiGraph(["ab", "bc"]), {"inputs": ["b"]}, dna.GraphError, "inputs: .*, got 'b' with 1"),
    "output that feeds on": (nx.DiGraph(["ab", "bc"]), {"outputs": ["b"]}, dna.GraphError, "outputs: .*, got 'b' with 1"),
    "twice": (nx.DiGraph(["ab"]), {"inputs": ["a", "a"]}, dna.GraphError, "inputs: expected every node once"),
    "a text": (nx.DiGraph([("a", "b", {"weight": "x"})]), {}, dna.GraphError, "weight of 'a' -> 'b': expected a number, got 'x'"),
    "NaN": (nx.DiGraph([("a", "b", {"bias": math.nan})]), {}, dna.GraphError, "bias of 'a' -> 'b': expected a finite number"),
}


@pytest.mark.parametrize(("graph", "options", "error", "match"), GRAPHS.values(), ids=GRAPHS)
def test_graphs(graph: Any, options: dict[str, Any], error: type[dna.DNAError], match: str) -> None:
    with pytest.raises(error, match=match):
        dna.Network.from_networkx(graph, device="cpu", **options)


# --- rules and optimizers -----------------------------------------------------------------------------------------------

RULES: dict[str, tuple[dict[str, Any], type[dna.DNAError], str]] = {
    "negative": ({"split": -0.1}, dna.OptionError, r"split: expected a number in \[0.0, 1.0\], got -0.1"),
    "too large": ({"delete": 1.1}, dna.OptionError, r"delete: expected a number in \[0.0, 1.0\], got 1.1"),
    "too large together": ({"split": 0.7, "delete": 0.4}, dna.OptionError, r"expected at most 1, got 0.7 \+ 0.4"),
    "two splits": ({"births": [dna.Split(), dna.Split(above=1.0)]}, dna.OptionError, "at most one dna.Split or dna.Spl.*, got 2"),
    "NaN": ({"split": math.nan}, dna.OptionError, "split: expected a number"),
    "text": ({"delete": "0.1"}, dna.OptionError, "delete: expected a number .*, got '0.1'"),
    "share and threshold": ({"split": 0.1, "split_above": 1.0}, dna.OptionError, "split_above: expected one of them, got both"),
    "crossed": ({"split_above": 1.0, "delete_below": 2.0}, dna.OptionError, "expected at least delete_below = 2.0, got 1.0"),
    "NaN threshold": ({"delete_below": math.nan}, dna.OptionError, "delete_below: expected a number"),
    "no float": ({"split_above": 10**400}, dna.OptionError, "above: expected a number in .*, got 1000"),
    "infinite threshold": ({"split_above": math.inf}, dna.OptionError, "split_above: expected a"),
    "passthrough": ({"passthrough": "wieght"}, dna.UnknownNameError, r"unknown passthrough 'wieght' \(did you mean 'weight'\?\)"),
    "no passthrough": ({"passthrough": 3}, dna.OptionError, "passthrough: expected a name or a function"),
    "rule": ({"rule": "preserved"}, dna.UnknownNameError, r"unknown split rule 'preserved' \(did you mean 'preserve'\?\)"),
    "scope": ({"scope": "layers"}, dna.UnknownNameError, r"unknown scope 'layers' \(did you mean 'layer'\?\)"),
    "jitter": ({"jitter": 1.0}, dna.OptionError, r"jitter: expected a number in \[0.0, 1.0\), got 1.0"),
    "every": ({"every": 0}, dna.OptionError, "every: expected an integer of at least 1, got 0"),
    "patience": ({"patience": -1}, dna.OptionError, "patience: expected an integer of at least 0, got -1"),
    "min_delta": ({"min_delta": -1e-3}, dna.OptionError, "min_delta: expected a number"),
    "two forms of births": ({"births": dna.Split(), "split": 0.1}, dna.OptionError, "births and split: expected one of them"),
    "two forms of deaths": ({"deaths": (), "keep_outputs": False}, dna.OptionError, "deaths and keep_outputs: expected one"),
    "two schedules": ({"when": dna.Plateau(), "every": 2}, dna.OptionError, "when and every: expected one of them"),
    "whose measure": ({"births": dna.Split(), "scope": "layer"}, dna.OptionError, "births and scope: expected one of them"),
    "a class for a birth": ({"births": dna.Split}, dna.OptionError, "births: expected dna.Split.* or another rule with"),
    "a death for a birth": ({"births": dna.Delete()}, dna.OptionError, "births: expected dna.Split"),
    "a name for a death": ({"deaths": ["weakest"]}, dna.OptionError, "deaths: expected dna.Delete.*, got 'weakest'"),
    "a number of epochs": ({"when": 5}, dna.OptionError, "when: expected dna.Plateau.*, got 5"),
    "all that follow": ({"delete": "died"}, dna.OptionError, "delete: expected a number in .*, got 'died'"),
    "decay and share": ({"split": dna.Cosine(0.6, until=9), "delete": 0.5}, dna.OptionError, r"at most 1, got 0.6 \+ 0.5"),
    "two deaths": ({"deaths": [dna.Delete(share=0.6), dna.Delete(share=0.5)]}, dna.OptionError, r"at most 1, got 0.6 \+ 0.5"),
}


@pytest.mark.parametrize(("options", "error", "match"), RULES.values(), ids=RULES)
def test_rules(options: dict[str, Any], error: type[dna.DNAError], match: str) -> None:
    with pytest.raises(error, match=match):
        dna.Extinction(**options)


PARTS: dict[str, tuple[Callable[[], Any], str]] = {
    "no period": (dna.Every, "epochs and steps: expected one of them, got None and None"),
    "two periods": (lambda: dna.Every(epochs=1, steps=2), "epochs and steps: expected one of them, got 1 and 2"),
    "period": (lambda: dna.Every(steps=0), "steps: expected an integer of at least 1, got 0"),
    "half a period": (lambda: dna.Every(epochs=0.5), "epochs: expected an integer of at least 1, got 0.5"),
    "begin": (lambda: dna.Every(epochs=1, begin=-1), "begin: expected an integer of at least 0, got -1"),
    "until": (lambda: dna.Every(epochs=1, begin=5, until=4), "until: expected an integer of at least 5, got 4"),
    "cosine": (lambda: dna.Cosine(1.5, until=3), r"share: expected a number in \[0.0, 1.0\], got 1.5"),
    "cosine, until": (lambda: dna.Cosine(0.5, until=3, begin=3), "until: expected more than begin = 3, got 3"),
    "cosine, unit": (lambda: dna.Cosine(0.5, until=3, unit="step"), r"unknown unit 'step' \(did you mean 'steps'\?\)"),
    "cubic": (lambda: dna.Cubic(0, 10, until=3), "start: expected an integer of at least 1, got 0"),
    "no cells": (lambda: dna.Delete(cells=0), "cells: expected an integer of at least 1, got 0"),
    "cells and share": (lambda: dna.Delete(cells=5, share=0.1), "cells and share: expected one of them, got both"),
    "cells and threshold": (lambda: dna.Split(cells=5, above=0.1), "cells and above: expected one of them, got both"),
    "cells by layer": (lambda: dna.Delete(cells=5, scope="layer"), "cells: expected scope='network'"),
    "grace": (lambda: dna.Delete(grace=-1), "grace: expected an integer of at least 0, got -1"),
    "choice and share": (lambda: dna.Split(choose=max, share=0.1), "choose and share: expected one of them, got both"),
    "choice and grace": (lambda: dna.Delete(choose=max, grace=1), "choose and grace: expected one of them, got both"),
    "no choice": (lambda: dna.Delete(choose=[1, 2]), r"choose: expected a function of the cells, got \[1, 2\]"),
    "nodes": (lambda: dna.DeleteNodes(share=0.5, below=1.0), "share and below: expected one of them, got both"),
    "share of the dead": (lambda: dna.Split(share="dead"), "share: expected a number in .*, got 'dead'"),
}


@pytest.mark.parametrize(("make", "match"), PARTS.values(), ids=PARTS)
def test_parts_of_rules(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(dna.OptionError, match=match):
        make()


def test_a_budget_below_the_number_of_outputs(trained: dna.Network) -> None:
    with unchanged(trained), pytest.raises(dna.OptionError, match="cells: expected at least 3, one for each output, got 2"):
        trained.extinction(dna.Extinction(deaths=dna.Delete(cells=2)))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: dna.SGD(0.0), r"lr: expected a number in \(0.0, inf\), got 0.0"),
        (lambda: dna.SGD(math.nan), "lr: expected a number"),
        (lambda: dna.SGD("fast"), "lr: expected a number .*, got 'fast'"),
        (lambda: dna.SGD(dna.Cosine(0.1, until=9)), r"lr: expected a Cosine with a share > 0 and unit=.steps., got Cosine"),
        (lambda: dna.AdamW(dna.Cosine(0.0, until=9, unit="steps")), "lr: expected a Cosine with a share > 0"),
        (lambda: dna.SGD(0.1, momentum=1.0), r"momentum: expected a number in \[0.0, 1.0\), got 1.0"),
        (lambda: dna.SGD(0.1, weight_decay=-1.0), "weight_decay: expected a number"),
        (lambda: dna.Adam(0.1, beta2=1.0), "beta2: expected a number"),
        (lambda: dna.Adam(0.1, eps=0.0), "eps: expected a number"),
        (lambda: dna.SGD(10**400), "lr: expected a number"),
    ],
)
def test_optimizers(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(dna.OptionError, match=match):
        make()


# --- files --------------------------------------------------------------------------------------------------------------


def test_files_that_are_torn_or_not_ours(trained: dna.Network, tmp_path: Path) -> None:
    path = tmp_path / "net.dna"
    trained.save(path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", whole[:7], whole[: len(whole) // 2], whole[:-1], bytes(flipped), b"PK\x03\x04" + whole):
        path.write_bytes(content)
        with pytest.raises(dna.CheckpointError):
            dna.load(path, device="cpu")
    path.write_bytes(whole)
    assert snapshot(dna.load(path, device="cpu"))["arrays"] == snapshot(trained)["arrays"]


def test_a_device_that_is_not_there_is_no_fault_of_the_file(trained: dna.Network, tmp_path: Path) -> None:
    trained.save(tmp_path / "net.dna")
    with pytest.raises(dna.DeviceError):
        dna.load(tmp_path / "net.dna", device="cuda:99")
    with pytest.raises(dna.CheckpointError):
        dna.load(tmp_path / "none.dna")


def test_a_failed_save_leaves_file_and_network(trained: dna.Network, tmp_path: Path) -> None:
    (tmp_path / "net.dna").mkdir()
    with unchanged(trained), pytest.raises(dna.DNAError):
        trained.save(tmp_path / "net.dna")
    assert list((tmp_path / "net.dna").iterdir()) == []

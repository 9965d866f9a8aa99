"""Inits: the scale of potentials over levels, living cells, seeds, given numbers, and what a network learns from there."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import numpy as np
import pytest

import dna
from dna.cells import KINDS, CellKind, CellMaths
from dna.graph.init import INITS, draw
from dna.graph.spread import DEVIATION
from dna.graph.structure import Structure, from_graph, layered


def _softplus(real: type) -> CellMaths:
    def current(w: Any, v: Any, b: Any) -> Any:
        return math.log1p(math.exp(w * v - b))

    def slopes(w: Any, v: Any, b: Any, i: Any) -> Any:
        slope = real(1) - math.exp(-i)
        return slope * v, slope * w, -slope

    return CellMaths(current, slopes, None)


CURRENTS = {
    "linear": lambda z: z,
    "relu": lambda z: np.maximum(z, 0.0),
    "tanh": np.tanh,
    "softplus": lambda z: np.log1p(np.exp(z)),
}
OWN = CellKind("softplus", _softplus, signed=False)


def _kind(name: str) -> CellKind:
    return OWN if name == "softplus" else KINDS[name]


def _generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _potentials(structure: Structure, weight: np.ndarray, bias: np.ndarray, name: str, x: np.ndarray) -> np.ndarray:
    """Return all potentials, (samples, nodes), level by level, in float64."""
    values = np.zeros((len(x), len(structure.level)))
    values[:, structure.inputs] = x
    for node in range(len(structure.level)):
        cells = np.flatnonzero(structure.target == node)
        if len(cells):
            values[:, node] = CURRENTS[name](weight[cells] * values[:, structure.source[cells]] - bias[cells]).sum(1)
    return values


def _skipping() -> Structure:
    """Twelve inputs, 12 + 12 hidden nodes of uneven fan-in, 3 outputs; cells skip levels, and one hidden node has one cell."""
    rng, graph = _generator(3), nx.MultiDiGraph()
    levels = [[f"{k}.{i}" for i in range(n)] for k, n in enumerate((12, 12, 12, 3))]
    for k, nodes in enumerate(levels[1:], start=1):
        below = [node for level in levels[:k] for node in level]
        for i, node in enumerate(nodes):
            count = 1 if (k, i) == (1, 0) else int(rng.integers(6, len(below) + 1))
            # The first one comes from the level below, so that a node's level is the level it was made for.
            first = levels[k - 1][i % len(levels[k - 1])]
            others = [below[j] for j in rng.choice(len(below), count, replace=False) if below[j] != first]
            graph.add_edges_from((source, node) for source in [first, *others[: count - 1]])
    for node in [n for n in graph if graph.out_degree(n) == 0 and not n.startswith("3.")]:
        graph.add_edge(node, "3.0")
    return from_graph(graph)


@pytest.mark.parametrize("name", ["linear", "relu", "tanh", "softplus"])
@pytest.mark.parametrize("density", [1.0, 0.3])
def test_potentials_keep_their_deviation_over_four_levels(name: str, density: float) -> None:
    structure = layered([100, 80, 60, 40, 20], density, _generator(1))
    weight, bias = draw("spread", structure, _kind(name), _generator(2))
    values = _potentials(structure, weight, bias, name, _generator(4).random((2000, 100)))
    for level in range(1, 5):
        deviation = np.sqrt(values[:, structure.level == level].var(0).mean())
        assert 0.5 * DEVIATION < deviation < 2 * DEVIATION, (level, deviation)


def test_he_loses_the_scale_that_spread_keeps() -> None:
    structure = layered([100, 80, 60, 40, 20], 1.0, _generator(1))
    weight, bias = draw("he", structure, KINDS["relu"], _generator(2))
    values = _potentials(structure, weight, bias, "relu", _generator(4).random((2000, 100)))
    deviation = np.sqrt(values[:, structure.level == 4].var(0).mean())
    assert not 0.5 * DEVIATION < deviation < 2 * DEVIATION


@pytest.mark.parametrize("inputs", ["uniform", "images"])
def test_no_relu_cell_is_dead(inputs: str) -> None:
    """Also where inputs are what the rule does not assume: four in five are 0, the others near 1."""
    structure = layered([100, 80, 60, 10], 1.0, _generator(1))
    weight, bias = draw("spread", structure, KINDS["relu"], _generator(2))
    x = _generator(4).random((2000, 100))
    if inputs == "images":
        x = np.where(x < 0.8, 0.0, x)  # a deviation and a mean that the rule does not assume
    values = _potentials(structure, weight, bias, "relu", x)
    fires = [((w * values[:, s] - b) > 0).any() for w, b, s in zip(weight, bias, structure.source, strict=True)]
    assert np.mean(fires) > 0.99


@pytest.mark.parametrize("name", ["linear", "relu", "tanh"])
def test_any_graph_has_its_scale(name: str) -> None:
    structure = _skipping()
    weight, bias = draw("spread", structure, KINDS[name], _generator(2))
    values = _potentials(structure, weight, bias, name, _generator(4).random((4000, 12)))
    for level in range(1, structure.n_levels):
        deviation = np.sqrt(values[:, structure.level == level].var(0).mean())
        assert 0.4 * DEVIATION < deviation < 2.5 * DEVIATION, (level, deviation)


def test_knots_lie_in_the_range_of_inputs() -> None:
    structure = layered([50, 20, 5], 1.0, _generator(1))
    first = structure.level[structure.target] == 1
    knots, rising = {}, {}
    for name in ("relu", "tanh"):
        weight, bias = draw("spread", structure, KINDS[name], _generator(2))
        knots[name], rising[name] = (bias / weight)[first], weight[first] > 0
        assert ((knots[name] > -1e-12) & (knots[name] < 1 + 1e-12)).all()
        assert 0.4 < rising[name].mean() < 0.6
    assert (knots["relu"][rising["relu"]] < 0.22).all() and (knots["relu"][~rising["relu"]] > 0.78).all()
    assert knots["tanh"].min() < 0.3 and knots["tanh"].max() > 0.7 and 0.45 < np.median(knots["tanh"]) < 0.55


@pytest.mark.parametrize("init", ["he", "glorot", "spread"])
def test_the_same_seed_draws_the_same_bits_and_another_does_not(init: str) -> None:
    structure = layered([30, 20, 10], 1.0, _generator(1))
    first, again, other = (draw(init, structure, KINDS["tanh"], _generator(seed)) for seed in (5, 5, 6))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize("init", sorted(INITS))
def test_given_weights_and_biases_stand(init: str) -> None:
    graph = nx.DiGraph()
    graph.add_edge("a", "h", weight=3.0)
    graph.add_edge("b", "h", bias=-2.0)
    graph.add_edge("h", "y", weight=0.25, bias=7.0)
    weight, bias = draw(init, from_graph(graph), KINDS["relu"], _generator())
    assert weight[0] == 3.0 and bias[1] == -2.0 and weight[2] == 0.25 and bias[2] == 7.0
    assert np.isfinite(weight).all() and np.isfinite(bias).all()


def test_a_kind_without_a_variance_or_with_an_overflow_gets_finite_numbers() -> None:
    def build(real: type) -> CellMaths:
        def flat(w: Any, v: Any, b: Any) -> Any:
            return real(1)

        def steep(w: Any, v: Any, b: Any) -> Any:
            return w * v - b if abs(w) < 1e-3 else float("inf")

        return CellMaths(flat if real is np.float32 else steep, flat, None)

    structure = layered([5, 4, 3], 1.0, _generator(1))
    for real in (np.float32, np.float64):
        kind = CellKind("odd", lambda _, real=real: build(real))
        weight, bias = draw("spread", structure, kind, _generator(2))
        assert np.isfinite(weight).all() and np.isfinite(bias).all()



@pytest.mark.parametrize("cell", ["relu", "tanh"])
def test_two_levels_learn_the_exclusive_or_that_one_level_cannot(cell: str) -> None:
    """The sign of (x1 - 1/2) * (x2 - 1/2) is no sum of functions of x1 and of x2, whatever the cells."""
    x = _generator(1).random((2048, 2)).astype(np.float32)
    y = ((x[:, 0] > 0.5) ^ (x[:, 1] > 0.5)).astype(np.int64)
    deep = dna.Network([2, 16, 2], cell=cell, device="cpu")
    flat = dna.Network([2, 2], cell=cell, init="spread", device="cpu")
    for network in (deep, flat):
        network.fit(x, y, epochs=60, batch_size=64, optimizer=dna.Adam(0.01), progress=False)
    assert deep.evaluate(x, y)["accuracy"] > 0.93
    assert flat.evaluate(x, y)["accuracy"] < 0.7

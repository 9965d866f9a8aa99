"""The dense plan: affine cells between inputs and outputs as a matrix, on the CPU, against the oracle and the gather plan."""

from __future__ import annotations

from typing import Any

import naive
import networkx as nx
import numpy as np
import pytest
from compare import TOLERANCE, batch, gradients, naive_copy, snapshot

import dna

BATCHES = (1, 3, 8, 33, 130, 300)


def sparse(**options: Any) -> dna.Network:
    """Return a network with parallel cells and free slots, whose columns of x are not in the order of its nodes."""
    rng = np.random.default_rng(3)
    graph = nx.MultiDiGraph()
    inputs, outputs = [f"i{k}" for k in range(19)], [f"o{k}" for k in range(8)]
    graph.add_nodes_from([*inputs[::-1], *outputs])
    for u, v in zip(rng.choice(inputs, 90), rng.choice(outputs, 90), strict=True):
        graph.add_edge(u, v, weight=float(rng.normal()), bias=float(rng.normal()))
    for output in outputs:
        graph.add_edge("i0", output, weight=1.0, bias=0.0)
    standard = {"inputs": inputs, "outputs": outputs[::-1], "dtype": "float64", "device": "cpu"}
    net = dna.Network.from_networkx(graph, **standard | options)
    net.extinction(dna.Extinction(split=0.1, delete=0.3))
    return net


def full(**options: Any) -> dna.Network:
    """Return a network whose slots lie like the matrix."""
    return dna.Network([21, 7], **{"init": "he", "dtype": "float64", "device": "cpu"} | options)


@pytest.mark.parametrize("n", BATCHES)
@pytest.mark.parametrize("make", [sparse, full])
@pytest.mark.parametrize("activation", ["identity", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forward_and_backward(make: Any, activation: str, dtype: str, n: int) -> None:
    net = make(activation=[activation], dtype=dtype)
    net.compile("dense")
    rng = np.random.default_rng(n)
    x, gy = (rng.normal(size=(n, width)).astype(dtype) for width in (net.n_in, net.n_out))
    model = naive_copy(net)
    tolerance = {name: 20 * value for name, value in TOLERANCE[dtype].items()}
    np.testing.assert_allclose(net.forward(x), naive.outputs(model, x), **tolerance)
    np.testing.assert_allclose(net.backward(gy), naive.backward(model, x, gy), **tolerance)
    by_weight, by_bias = gradients(model)
    np.testing.assert_allclose(net.cells.weight_grad, by_weight, **tolerance)
    np.testing.assert_allclose(net.cells.bias_grad, by_bias, **tolerance)


def test_a_step_changes_the_matrix() -> None:
    """Cells that changed are summed anew: by apply, by an extinction, by its undoing, and where columns are put back."""
    for net in (sparse(), full()):
        x, gy = batch(9, net.n_in), batch(9, net.n_out)

        def check(net: dna.Network = net, x: np.ndarray = x) -> None:
            np.testing.assert_allclose(net.forward(x), naive.outputs(naive_copy(net), x), **TOLERANCE["float64"])

        check()
        net.backward(gy)
        net.apply(dna.SGD(0.1))
        check()
        event = net.extinction(dna.Extinction(split=0.2, delete=0.2))
        check()
        event.undo()
        check()
        pool = net.engine.pool
        pool.cells = pool.cells._replace(weight=2 * pool.cells.weight)
        check()


def test_the_batch_may_change_between_forward_and_backward() -> None:
    net, x, gy = full(), batch(9, 21), batch(9, 7)
    net.forward(x)
    net.backward(gy)
    expected = net.cells.weight_grad
    net.forward(x)
    x[:] = 0
    net.backward(gy)
    np.testing.assert_array_equal(net.cells.weight_grad, expected)


def test_a_batch_that_is_refused_leaves_the_one_before() -> None:
    net, x, gy = full(), batch(9, 21), batch(9, 7)
    net.forward(x)
    bad = x + 1
    bad[8, 20] = np.inf
    with pytest.raises(dna.DataError, match=r"x: expected finite values, got inf at \(8, 20\)"):
        net.forward(bad)
    gx = net.backward(gy)
    np.testing.assert_allclose(gx, naive.backward(naive_copy(net), x, gy), **TOLERANCE["float64"])


@pytest.mark.parametrize("statistic", ["current", "hebbian", "gradient"])
def test_statistics_see_the_same_as_with_gather(statistic: str) -> None:
    """The inputs are laid out for those who look at potentials."""
    tables = []
    for plan in ("dense", "gather"):
        net = full()
        net.compile(plan)
        net.watch(statistic)
        labels = np.arange(70) % 7
        net.fit(batch(70, 21), labels, epochs=2, batch_size=30, optimizer=dna.SGD(0.1), progress=False)
        tables.append(net.engine.statistics.tables[statistic])
        net.forward(batch(7, 21))
        np.testing.assert_array_equal(net.engine.potentials()[:21].T, batch(7, 21))
    np.testing.assert_allclose(*tables, rtol=1e-9, atol=1e-12)


def test_regrowth_by_gradient_sees_the_same_as_with_gather() -> None:
    born = []
    for plan in ("dense", "gather"):
        net = full(density=0.5, seed=2)
        net.compile(plan)
        net.forward(batch(40, 21))
        net.backward(batch(40, 7))
        rule = dna.Extinction(births=dna.Regrow(share=0.2, by="gradient"), deaths=dna.Delete(share=0.2))
        net.extinction(rule)
        born.append(sorted(zip(net.cells.source.tolist(), net.cells.target.tolist(), strict=True)))
    assert born[0] == born[1]


def test_who_cannot_have_it() -> None:
    for net, why in (
        (dna.Network([4, 3], cell="relu", device="cpu"), "expected cells of an affine kind, got relu"),
        (dna.Network([4, 3, 2], device="cpu"), "expected inputs and outputs and no other nodes, got levels of 4, 3, 2"),
    ):
        before = snapshot(net)
        with pytest.raises(dna.OptionError, match=f"plan 'dense': {why}"):
            net.compile("dense")
        assert snapshot(net) == before and net.plan.startswith("gather (chosen by auto)")


@pytest.mark.parametrize(
    ("layers", "density", "batches"),
    [
        ((784, 10), 1.0, {1: "dense", 32: "dense", 1024: "dense"}),
        ((784, 10), 0.01, {1: "dense", 12: "dense", 64: "gather", 2048: "gather"}),  # hardly any cells
        ((784, 20), 0.05, {1: "dense", 2048: "gather"}),  # few cells
        ((784, 50), 0.5, {1: "dense", 16: "gather", 128: "gather"}),  # a matrix that would have to be summed, and is not small
        ((784, 1000), 1.0, {1: "dense", 96: "dense", 128: "gather", 1024: "gather"}),  # 96 samples take as many tiles as 128
        ((2000, 5), 0.2, {1024: "gather", 4096: "dense"}),  # more numbers than caches hold
        ((100, 100), 0.05, {4: "gather", 8: "gather"}),  # few cells
        ((784, 10), 0.2, {1: "dense", 8: "dense"}),
        ((20, 200), 1.0, {1: "dense", 8: "gather", 512: "gather"}),  # short rows
        ((20, 5), 1.0, {32: "dense", 2048: "gather"}),
    ],
)
def test_auto_goes_by_sizes(layers: tuple[int, int], density: float, batches: dict[int, str]) -> None:
    net = dna.Network(list(layers), density=density, device="cpu")
    for n, plan in batches.items():
        net.engine.plans.choose(n, outside=True)
        assert net.plan.startswith(f"{plan} (chosen by auto)"), n


def test_steps_of_fit_are_whole_wherever_matrices_are_narrow() -> None:
    """But not where rows are short and many, and so are samples."""
    net = dna.Network([20, 200], density=0.1, device="cpu")
    for outside, n, plan in ((True, 64, "gather"), (False, 64, "dense"), (False, 2048, "gather")):
        net.engine.plans.choose(n, outside)
        assert net.engine.plans.name == plan
    full = dna.Network([784, 10], device="cpu")
    full.engine.plans.choose(60_000)
    assert full.engine.plans.name == "dense"

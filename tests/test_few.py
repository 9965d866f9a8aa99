"""One sample, or a few of affine cells, by the gather plan on the CPU: packed forward, slots backward, rows of 1 to 8 lanes."""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest
from compare import TOLERANCE, batch, gradients, naive_copy

import dna

FEW = (1, 3, 8)
SHAPES = ([19, 8], [20, 9, 4], [12, 7, 6, 3])


def network(layers: list[int], lived: bool = True, **options: Any) -> dna.Network:
    """Return a network with biases that runs by the gather plan; one that has `lived` has parallel cells and free slots."""
    standard = {"init": "he", "density": 0.7, "dtype": "float64", "device": "cpu", "seed": 3}
    net = dna.Network(layers, **standard | options)
    pool = net.engine.pool
    pool.cells.bias[: pool.bump] = batch(1, pool.bump)[0]
    if lived:
        net.extinction(dna.Extinction(split=0.1, delete=0.3))
    net.compile("gather")
    return net


def form_of(net: dna.Network) -> str:
    return net.engine.plans.form


@pytest.mark.parametrize("layers", SHAPES)
@pytest.mark.parametrize(
    ("n", "lived", "options"),
    [
        *((n, True, {"dtype": "float32"}) for n in FEW),
        (3, False, {"activation": "tanh"}),  # slots in the order of targets
        (1, True, {"cell": "relu"}),
        (1, False, {"cell": "tanh"}),
    ],
)
def test_forward_and_backward(layers: list[int], n: int, lived: bool, options: dict[str, str]) -> None:
    net, dtype = network(layers, lived, **options), options.get("dtype", "float64")
    x, gy = (batch(n, width).astype(dtype) for width in (net.n_in, net.n_out))
    model = naive_copy(net)
    tolerance = {name: 20 * value for name, value in TOLERANCE[dtype].items()}
    np.testing.assert_allclose(net.forward(x), naive.outputs(model, x), **tolerance)
    assert form_of(net) == "few" and net.plan.startswith("gather (as asked)")
    np.testing.assert_allclose(net.backward(gy), naive.backward(model, x, gy), **tolerance)
    by_weight, by_bias = gradients(model)
    np.testing.assert_allclose(net.cells.weight_grad, by_weight, **tolerance)
    np.testing.assert_allclose(net.cells.bias_grad, by_bias, **tolerance)


@pytest.mark.parametrize("n", [1, 3, 8])
@pytest.mark.parametrize("layers", [[310, 260], [310, 40, 1800]])
def test_work_that_is_shared_out(layers: list[int], n: int) -> None:
    """More cells than one thread takes alone, beside rows of 16 lanes, which hold the same samples and zeros."""
    net = dna.Network(layers, init="he", activation=["tanh"] * (len(layers) - 1), device="cpu", dtype="float64")
    net.compile("gather")
    x, gy, found = batch(n, net.n_in), batch(n, net.n_out), []
    for rows, form in ((n, "few"), (16, "gather")):
        padded = [np.concatenate([part, np.zeros((rows - n, part.shape[1]))]) for part in (x, gy)]
        outputs = net.forward(padded[0])[:n]
        assert form_of(net) == form
        found.append((outputs, net.backward(padded[1])[:n], net.cells.weight_grad, net.cells.bias_grad))
    for few, many in zip(*found, strict=True):
        np.testing.assert_allclose(few, many, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("lived", [True, False])
def test_cells_are_packed_anew_when_they_have_changed(lived: bool) -> None:
    """By apply, by an extinction, by its undoing, and where columns are put back."""
    net = network([19, 8], lived)
    x, gy = batch(2, 19), batch(2, 8)

    def check() -> None:
        np.testing.assert_allclose(net.forward(x), naive.outputs(naive_copy(net), x), **TOLERANCE["float64"])
        assert form_of(net) == "few"

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


def test_numbers_that_are_refused_leave_the_batch_before() -> None:
    net = network([19, 8])
    x, gy = batch(2, 19), batch(2, 8)
    net.forward(x)
    for n in (2, 3):  # of that batch's size, and of another
        bad = np.zeros((n, 19))
        bad[1, 7] = np.nan
        with pytest.raises(dna.DataError, match=r"x: expected finite values, got nan at \(1, 7\)"):
            net.forward(bad)
    expected = net.backward(gy), net.cells.weight_grad
    bad = gy.copy()
    bad[0, 3] = np.inf
    with pytest.raises(dna.DataError, match=r"gy: expected finite values, got inf at \(0, 3\)"):
        net.backward(bad)
    np.testing.assert_array_equal(net.cells.weight_grad, expected[1])
    np.testing.assert_array_equal(net.backward(gy), expected[0])


def test_lanes_past_the_end_hold_nothing_of_the_batch_before() -> None:
    """Three samples take the rows of four, which another batch has used."""
    net = network([19, 8])
    net.forward(batch(4, 19))
    net.backward(batch(4, 8))
    x, gy = batch(3, 19), batch(3, 8)
    model = naive_copy(net)
    net.forward(x)
    np.testing.assert_allclose(net.backward(gy), naive.backward(model, x, gy), **TOLERANCE["float64"])
    np.testing.assert_allclose(net.cells.weight_grad, gradients(model)[0], **TOLERANCE["float64"])


def test_those_who_look_at_potentials_see_the_batch() -> None:
    x, tables = batch(5, 20), []
    for copies in (1, 2):  # the second goes by rows of 16 lanes
        net = network([20, 9, 4])
        net.watch("current")
        net.forward(np.concatenate([x] * copies))
        np.testing.assert_array_equal(net.engine.potentials()[:20, :5].T, x)
        net.backward(np.zeros((5 * copies, 4)))
        seen = net.engine.seen()
        assert seen is not None and seen.n == 5 * copies and seen.went_back
        net.apply(dna.SGD(0.1))
        tables.append(net.engine.statistics.tables["current"] / copies)
    np.testing.assert_allclose(*tables, rtol=1e-9, atol=1e-12)


def test_who_runs_by_it() -> None:
    """Calls from outside with one sample, or up to eight of affine cells, in up to four levels, where the plan is gather."""
    for net, n, form in (
        (network([19, 8]), 8, "few"),
        (network([19, 8]), 9, "gather"),
        (network([9, 8, 7, 6, 5]), 1, "gather"),
        (network([19, 8], cell="relu"), 1, "few"),
        (network([19, 8], cell="relu"), 2, "gather"),
        (dna.Network([19, 8], device="cpu"), 1, "dense"),
        (dna.Network([784, 100], density=0.2, device="cpu"), 1, "few"),  # a matrix too large to be summed for one sample
    ):
        net.forward(np.zeros((n, net.n_in)))
        assert form_of(net) == form
    net = network([19, 8])
    net.fit(batch(4, 19), np.arange(4), epochs=1, batch_size=2, optimizer=dna.SGD(0.1), progress=False)
    assert form_of(net) == "gather"

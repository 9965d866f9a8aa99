"""Backward on every device against the oracle: dL/dw, dL/db of every cell, and dL/dV of the inputs."""

from __future__ import annotations

from unittest.mock import Mock

import naive
import numba
import numpy as np
import pytest
from compare import CELL_KINDS, ODD_BATCHES, PLANS, TOLERANCE, batch, dag_network, gradients, naive_copy

import dna
from dna.cpu.backward import FEWEST_TILES
from dna.cpu.threads import LITTLE


def check_backward(net: dna.Network, x: np.ndarray, gy: np.ndarray) -> None:
    tolerance = TOLERANCE[net.backend.maths.dtype.name]
    model = naive_copy(net)
    net.forward(x)
    gx = net.backward(gy)
    expected = naive.backward(model, x, gy)
    np.testing.assert_allclose(gx, expected, err_msg="inputs", **tolerance)
    cells = net.cells
    for name, seen, wanted in zip(("weight", "bias"), (cells.weight_grad, cells.bias_grad), gradients(model), strict=True):
        np.testing.assert_allclose(seen, wanted, err_msg=name, **tolerance)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_all_activations_skips_and_parallel_cells(device: str, kind: str, plan: str) -> None:
    net = dag_network(device, cell=kind)
    net.compile(plan)
    check_backward(net, batch(7, 3), batch(7, 2))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("n", ODD_BATCHES)
def test_batches_that_do_not_fill_a_tile(device: str, plan: str, n: int) -> None:
    """The lanes past the end must add nothing, though their potentials are not zero: these cells have biases."""
    net = dag_network(device, activation=None, dtype="float32")
    net.compile(plan)
    check_backward(net, batch(n, 3).astype(np.float32), batch(n, 2).astype(np.float32) / n)


@pytest.mark.parametrize("plan", PLANS)
def test_gradients_are_written_not_added(device: str, plan: str) -> None:
    net = dag_network(device)
    net.compile(plan)
    check_backward(net, batch(9, 3), batch(9, 2))
    check_backward(net, batch(7, 3), batch(7, 2))
    gy = batch(7, 2, seed=1)
    net.backward(gy)  # once more after the same forward
    model = naive_copy(net)
    naive.backward(model, batch(7, 3), gy)
    np.testing.assert_allclose(net.cells.weight_grad, gradients(model)[0], **TOLERANCE["float64"])


@pytest.mark.parametrize("n", [100, 150, 300])
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_batches_of_several_tiles_on_the_cpu(kind: str, n: int) -> None:
    """What is held of a cell while the tiles of a batch pass ends as its gradient, once."""
    net = dag_network("cpu", cell=kind)
    check_backward(net, batch(n, 3), batch(n, 2))
    assert net.engine.backend.tile(n) * 2 < 300
    check_backward(net, batch(n, 3, seed=1), batch(n, 2))


@pytest.mark.parametrize(("kind", "n"), [("linear", 600), ("linear", 1024), ("relu", 1024)])
def test_parts_of_a_large_batch_add_up_whoever_takes_them(kind: str, n: int) -> None:
    """Halves where tiles are odd in number, and tile by tile where they are even."""
    net = dna.Network([40, 60], cell=kind, init="he", device="cpu")
    net.extinction(dna.Extinction(split=0.0, delete=0.1))
    x, gy = batch(n, 40).astype(np.float32), batch(n, 60).astype(np.float32)
    assert len(net.cells) * n > LITTLE and FEWEST_TILES * net.engine.backend.tile(n) <= n

    def back(plan: str) -> tuple[np.ndarray, ...]:
        net.compile(plan)
        net.forward(x)
        gx, cells = net.backward(gy), net.cells
        return gx, cells.weight_grad, cells.bias_grad

    before, threads = back("gather"), numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone = back("gather")
    finally:
        numba.set_num_threads(threads)
    for seen, one, wanted in zip(before, alone, back("scatter"), strict=True):
        np.testing.assert_array_equal(seen, one)
        np.testing.assert_allclose(seen, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_evaluation_between_forward_and_backward_is_not_taken_for_the_forward() -> None:
    net = dag_network("cpu")
    net.forward(batch(7, 3))
    net.evaluate(batch(7, 3, seed=1), batch(7, 2), loss="mse")
    with pytest.raises(dna.OptionError, match="expected a forward before it"):
        net.backward(batch(7, 2))


@pytest.mark.parametrize(("plan", "layers"), [("gather", [19, 8]), ("gather", [12, 7, 6]), ("auto", [19, 8])])
@pytest.mark.parametrize(("n", "refused"), [(130, 5), (5, 130)])
def test_a_batch_that_is_refused_leaves_the_one_before_whatever_way_it_would_have_gone(
    plan: str, layers: list[int], n: int, refused: int
) -> None:
    net = dna.Network(layers, init="he", density=0.8, dtype="float64", device="cpu")
    net.compile(plan)
    x, gy = batch(n, net.n_in), batch(n, net.n_out)
    model = naive_copy(net)
    net.forward(x)
    told = net.plan
    with pytest.raises(dna.DataError, match="x: expected finite values"):
        net.forward(np.full((refused, net.n_in), np.nan))
    assert net.plan == told
    np.testing.assert_allclose(net.backward(gy), naive.backward(model, x, gy), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(net.cells.weight_grad, gradients(model)[0], rtol=1e-9, atol=1e-9)


def test_a_forward_that_broke_off_is_no_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    net = dna.Network([19, 8], device="cpu")
    net.forward(batch(5, 19))
    monkeypatch.setattr(type(net.backend.dense), "answer", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        net.forward(batch(7, 19))
    with pytest.raises(dna.OptionError, match="expected a forward before it"):
        net.backward(batch(5, 8))


def test_no_backward_by_another_plan_than_the_forward(device: str) -> None:
    net = dag_network(device)
    for plan in PLANS:
        net.forward(batch(7, 3))
        net.compile(plan)
        with pytest.raises(dna.OptionError, match="expected a forward before it, got none since cells or plan last changed"):
            net.backward(batch(7, 2))


def test_free_slots_keep_zero_gradients(device: str) -> None:
    net = dag_network(device)
    net.extinction(dna.Extinction(split=0.0, delete=0.4))
    for plan in PLANS:
        net.compile(plan)
        check_backward(net, batch(7, 3), batch(7, 2))
        columns, free = net.engine.pool.columns()
        assert len(free) == 7
        assert not columns["weight_grad"][free].any() and not columns["bias_grad"][free].any()

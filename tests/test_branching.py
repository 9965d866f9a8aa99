"""The example of evolution inside a kernel: cells branch and die while it runs, on every device."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from compare import SIMULATING

import dna

pytestmark = pytest.mark.filterwarnings("ignore:Grid size")  # Numba's hint that an example is small for a GPU

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "branching.py"
EXAMPLE_NAMES = runpy.run_path(str(EXAMPLE))
task, train, count_cells, cpu_step = (EXAMPLE_NAMES[name] for name in ("task", "train", "count_cells", "cpu_step"))
LEAST, LEARNING_RATE = EXAMPLE_NAMES["LEAST"], EXAMPLE_NAMES["LEARNING_RATE"]


def test_cells_branch_and_die_while_a_kernel_runs(device: str) -> None:
    x, y, weights = task()
    net = dna.Network([8, 3], device=device)
    losses = train(net, x, y, steps=4 if SIMULATING else 400)
    columns, free = net.engine.pool.columns()
    living = columns["id"] >= 0
    assert len(net) == living.sum() > 24, "no cell branched"
    assert sorted(free.tolist()) == np.flatnonzero(~living).tolist()
    assert len(np.unique(columns["id"][living])) == len(net)
    assert (np.abs(columns["weight"][living]) >= LEAST).all()
    young = columns["parent"] >= 0
    assert (columns["parent"][young & living] < columns["id"][young & living]).all()
    assert losses[-1] < 0.95 * losses[0]
    if not SIMULATING:
        counts = count_cells(net)
        assert losses[-1] < 1e-6 * losses[0]
        assert counts[np.abs(weights) == 4].min() > counts[np.abs(weights) == 1].max()
        assert counts[weights == 0].sum() == 0, "cells of weight 0 live on"


def test_a_step_with_branches_is_a_step_of_descent(device: str) -> None:
    """A split of a linear cell preserves the function, so outputs are those of plain descent as long as nobody has died."""
    x, y, _ = task()
    net, plain = (dna.Network([8, 3], device=device) for _ in range(2))
    train(net, x, y, steps=1)
    error = plain.forward(x) - y
    plain.backward(error / len(x))
    plain.apply(dna.SGD(LEARNING_RATE))
    assert len(net) > len(plain)
    np.testing.assert_allclose(net.forward(x), plain.forward(x), rtol=1e-4, atol=1e-4)


def test_a_full_pool_leaves_cells_whole() -> None:
    x, y, _ = task()
    net = dna.Network([8, 3], device="cpu", capacity=26)
    pool = net.engine.pool
    net.backward((net.forward(x) - y) / len(x))
    cpu_step()(pool.cells, pool.heap, pool.bump, pool.next_id, np.int32(1))
    assert net.settle() == 26 and net.cells.id.tolist() == list(range(26))


def test_the_example_runs_as_a_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", [str(EXAMPLE), "--device", "cpu"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert "pairs whose weight is 4.00 have" in capsys.readouterr().out

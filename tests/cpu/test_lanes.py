"""Rows of lanes follow the machine's registers, and every width computes the same."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from dna.cpu import lanes

PROGRAM = """
import numpy as np
import dna
from dna.cpu.lanes import lanes_of_machine

assert lanes_of_machine(np.float32) == {lanes}, lanes_of_machine(np.float32)

def check(kind, batch):
    bend = (lambda z: np.maximum(z, 0)) if kind == "relu" else (lambda z: z)
    net = dna.Network([150, 20, 3], cell=kind, activation="identity", device="cpu", seed=1)
    rng = np.random.default_rng(0)
    x, gy = rng.normal(size=(batch, 150)), rng.normal(size=(batch, 3))
    y = net.forward(x)
    gx = net.backward(gy)
    cells = net.cells

    def level(v, low, high):
        own = (cells.target >= low) & (cells.target < high)
        z = cells.weight[own] * v[:, cells.source[own] - (0 if low == 150 else 150)] - cells.bias[own]
        out = np.zeros((len(v), high - low))
        np.add.at(out.T, cells.target[own] - low, bend(z).T)
        return own, (z > 0) | (kind == "linear"), out

    first, on, hidden = level(x, 150, 170)
    second, on_top, out = level(hidden, 170, 173)
    np.testing.assert_allclose(y, out, rtol=2e-4, atol=2e-4)
    into = gy[:, cells.target[second] - 170] * on_top
    found, wanted = cells.weight_grad[second], (into * hidden[:, cells.source[second] - 150]).sum(0)
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)
    assert net.engine.backend.tile(1000) == {lanes}
    print(kind, batch)

for kind, batch in {cases}:
    check(kind, batch)
"""
CASES = [("relu", 200), ("linear", 200), ("linear", 30)]


@pytest.mark.parametrize(("cpu", "features", "width"), [("haswell", "+avx,+avx2,+fma", 64), ("x86-64", "+sse,+sse2", 64)])
def test_narrower_registers_compute_the_same(cpu: str, features: str, width: int) -> None:
    """The machine is told to be an older one, in a process of its own."""
    environment = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-c", PROGRAM.format(lanes=width, cases=CASES)]
    ran = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"after {ran.stdout}: {ran.stderr}"
    assert ran.stdout.split() == [str(part) for case in CASES for part in case]


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_a_tile_is_a_power_of_two_that_wastes_little(real: type) -> None:
    most = lanes.lanes_of_machine(real)
    assert most in (64, 128)
    for affine, fewest in ((False, lanes.FEWEST_LANES), (True, lanes.FEWEST_AFFINE)):
        for batch in range(1, 1200):
            width = lanes.lanes_of(batch, real, affine)
            assert fewest <= width <= most and width & (width - 1) == 0
            assert -(-batch // width) * width - batch < width
        assert lanes.lanes_of(1, real, affine) == fewest
        assert lanes.lanes_of(10 * most, real, affine) == most

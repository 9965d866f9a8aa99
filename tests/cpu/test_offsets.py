"""Offsets past 2^31: arrays too large for 32 bits, of which a test touches a few pages only, as they lie in files with holes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import batch

import dna
from dna.cpu.apply import apply_kernel

LANES = 16
NODES = 2**27 + 3
"""LANES of float32 a node: the first lane of a second tile is element 2^31 + 48."""


@pytest.fixture
def huge(tmp_path: Path) -> Any:
    def make(name: str, shape: tuple[int, ...]) -> np.ndarray:
        return np.memmap(tmp_path / name, np.float32, "w+", shape=shape)

    return make


def test_potentials_of_nodes_past_32_bits_are_laid_out_and_read_back(huge: Any) -> None:
    backend = dna.Network([2, 2], device="cpu").backend
    potentials, data = huge("potentials", (2, NODES, LANES)), batch(20, 3).astype(np.float32)
    nodes = np.array([0, 2**26, NODES - 1], np.int32)
    backend.load_rows(potentials, nodes, data, np.arange(20))
    for column, node in enumerate(nodes):
        np.testing.assert_array_equal(potentials[0, node], data[:16, column])
        np.testing.assert_array_equal(potentials[1, node], np.r_[data[16:, column], np.zeros(12)])
    np.testing.assert_array_equal(backend.store_rows(potentials, nodes, 20), data)


def test_optimizer_state_past_32_bits_is_kept_in_its_rows(huge: Any) -> None:
    """Four rows of 2^30 slots."""
    net = dna.Network([3, 2], device="cpu", init="glorot")
    x, optimizer = batch(5, 3), dna.Adam(0.1)
    net.forward(x)
    net.backward(np.ones((5, 2)))
    cells = net.engine.pool.cells
    state = huge("state", (4, 2**30))
    weights = cells.weight.copy()
    twin = cells._replace(weight=weights, bias=cells.bias.copy(), state=state)
    apply_kernel(type(optimizer), 2, np.float32, False)(twin, 6, optimizer.table(1, 1, np.dtype(np.float32))[0])
    net.apply(optimizer)
    np.testing.assert_array_equal(state[:, :6], net.engine.pool.cells.state)
    np.testing.assert_array_equal(weights, net.engine.pool.cells.weight)


@pytest.mark.parametrize(
    ("layers", "density", "match"),
    [
        ([2**31 - 10, 20], 1.0, "layers: expected at most 2147483647 nodes"),
        ([2**16, 2**16], 1.0, "layers and density: expected at most 2147483647 cells, got 4294967296"),
        ([2**20, 2**20, 2**20], 0.001, "layers and density: expected at most 2147483647 cells, got"),
    ],
)
def test_numbers_that_int32_does_not_have_are_refused_before_memory_is_taken(
    layers: list[int], density: float, match: str
) -> None:
    with pytest.raises(dna.OptionError, match=match):
        dna.Network(layers, density=density, device="cpu")

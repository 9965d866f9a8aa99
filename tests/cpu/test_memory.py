"""Laying batches out and reading them back: every size, every order of rows and nodes, one thread or all."""

from __future__ import annotations

import numpy as np
import pytest

from dna.cpu import memory

SIZES = [(1, 1), (7, 8), (8, 7), (16, 16), (17, 15), (40, 33), (131, 24), (300, 41)]


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize(("batch", "width"), SIZES)
@pytest.mark.parametrize("alone", [True, False])
def test_there_and_back(real: type, batch: int, width: int, alone: bool) -> None:
    rng = np.random.default_rng(batch)
    for tile in (16, 64, 128):
        data, rows = rng.random((2 * batch, width)).astype(real), rng.permutation(2 * batch)[:batch]
        nodes = rng.permutation(width + 3)[:width].astype(np.int32)
        tiles = np.full((-(-batch // tile), width + 3, tile), 7, real)
        memory.rows_loader(alone)(tiles, nodes, data, rows)
        expected = np.full((width + 3, tiles.shape[0] * tile), 7, real)
        expected[nodes] = 0
        expected[nodes, :batch] = data[rows].T
        np.testing.assert_array_equal(np.concatenate(list(tiles), axis=1), expected)
        out = np.full((batch, width), 7, real)
        memory.rows_storer(alone)(tiles, nodes, out, np.arange(batch))
        np.testing.assert_array_equal(out, data[rows])


@pytest.mark.parametrize("alone", [True, False])
def test_what_is_not_finite_is_found(alone: bool) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        data = np.ones((9, 21), np.float32)
        assert memory.finite_checker(alone)(data)
        data[8, 20] = bad
        assert not memory.finite_checker(alone)(data)


def test_scratch_is_lent_to_one_at_a_time() -> None:
    """A part of what was lent, under another type, holds it as well."""
    scratch, real, word = memory.Scratch(), np.dtype(np.float32), np.dtype(np.uint32)

    def place(array: np.ndarray) -> int:
        return int(array.__array_interface__["data"][0])

    first = scratch.empty(1000, real)
    kept, where = first[7:].view(word), place(first)
    del first
    kept[:] = 5
    second = scratch.empty(1000, real)
    second.fill(0)
    assert (kept == 5).all()
    assert not np.shares_memory(kept, second)
    del kept
    again = [place(scratch.empty(n, word)) for n in (10, 1000)]
    assert again == [where, where]
    assert scratch.empty(1001, real).shape == (1001,)

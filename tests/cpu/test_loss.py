"""The CPU's loss: one thread, which takes whole tiles, and all, which take parts of them, come to the same."""

from __future__ import annotations

import numpy as np
import pytest
from compare import batch

from dna.cpu.loss import loss_kernel
from dna.cpu.memory import aligned_zeros
from dna.training import LOSSES

OUTPUTS, LANES = 11, 128


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_one_thread_and_all_judge_alike(loss: str) -> None:
    """150 samples: a last tile, and a last part of it, that are not full."""
    n, maths, found = 150, LOSSES[loss], []
    potentials = batch(-(-n // LANES) * OUTPUTS, LANES).astype(np.float32).reshape(-1, OUTPUTS, LANES)
    targets = np.arange(n)[:, np.newaxis] % OUTPUTS if maths.labels else batch(n, OUTPUTS, 1).astype(np.float32)
    rows, outputs = np.random.default_rng(0).permutation(n), np.arange(OUTPUTS, dtype=np.int32)
    for alone in (True, False):
        gradient = aligned_zeros(potentials.shape, potentials.dtype) + np.float32(7)
        sums = loss_kernel(maths, np.float32, LANES, alone)(potentials, gradient, outputs, targets, rows, np.float32(0.5))
        found.append((sums, gradient))
    np.testing.assert_allclose(*(sums for sums, _ in found), rtol=1e-12)
    np.testing.assert_array_equal(*(gradient for _, gradient in found))
    of_samples = found[0][1].transpose(0, 2, 1).reshape(-1, OUTPUTS)
    assert (of_samples[n:] == 0).all() and (abs(of_samples[:n]).sum(axis=1) > 0).all()

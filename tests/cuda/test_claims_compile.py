"""A user's kernel that claims and releases compiles for every GPU that is supported, with the warp-wide draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dna.cuda import pool
from dna.cuda.device import SIMULATED, cuda, kernel
from dna.cuda.offline import CC, compile_kernel
from dna.types import Cells, Heap

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator has no compiler")

CLAIM_BY_BLOCK = pool.block_claim()


@kernel
def move(cells: Any, heap: Any, old: Any, new: Any) -> None:
    """Move each cell to another slot, where there is one."""
    i = cuda.grid(1)
    if i < old.shape[0]:
        slot, cell_id = pool.claim(heap)
        new[i] = slot
        if slot >= 0:
            cells.id[slot], cells.weight[slot] = cell_id, cells.weight[old[i]]
            pool.release(cells, heap, old[i])


@kernel
def settle_down(cells: Any, heap: Any, old: Any, new: Any) -> None:
    """Claim a cell for every second thread, a block at a time."""
    slot, cell_id = CLAIM_BY_BLOCK(heap, cuda.grid(1) % 2 == 0)
    if slot >= 0:
        cells.id[slot] = cell_id


def arguments(real: Any) -> tuple[Any, ...]:
    """Return arrays of the types that the kernel is launched with."""
    node, number, cell_id = np.zeros(2, np.int32), np.zeros(2, real), np.zeros(2, np.int64)
    cells = Cells(node, node, number, number, number, number, np.zeros((2, 2), real), cell_id, cell_id, node)
    return cells, Heap(node, cell_id), node, node


@pytest.mark.parametrize("cc", [(7, 5), (8, 0), (9, 0), (10, 0)])
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("function", [move, settle_down], ids=["by warp", "by block"])
def test_claims_and_releases_compile_without_a_spill(function: Any, cc: CC, real: Any) -> None:
    usage = compile_kernel(function, arguments(real), cc)
    assert usage.cubin > 0
    assert usage.spill_stores == usage.spill_loads == 0


def test_a_gpu_draws_by_warp() -> None:
    assert pool.draw is pool.draw_by_warp

"""Statistics of cells on the CPU: one pass over the pool, which nothing else reads at that time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba

from dna.cells import CellKind
from dna.cpu.compiler import jit, kernel
from dna.rules.statistics import Statistic, build_chunk

BLOCK = 4096


@cache
def step_gatherer(statistic: Statistic, real: type) -> Callable[..., Any]:
    """Build `gather(cells, bump, table)`: the gradients of a step join a statistic. Free slots have none.

    A block works on slices of its own: their indices start at 0, so that LLVM need not think of negative ones, and uses SIMD.
    """
    maths = statistic.build(real)
    assert maths.after_step is not None
    after_step = jit(maths.after_step)

    @kernel("step", maths.after_step, real, parallel=True)
    def gather(cells: Any, bump: Any, table: Any) -> None:
        for block in numba.prange((bump + BLOCK - 1) // BLOCK):
            start, end = block * BLOCK, min(block * BLOCK + BLOCK, bump)
            m, w, by_w = table[0, start:end], cells.weight[start:end], cells.weight_grad[start:end]
            for s in range(end - start):
                m[s] = after_step(m[s], w[s], by_w[s])

    return gather


@cache
def sample_gatherer(statistic: Statistic, kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `gather(cells, bump, potentials, samples, before, table)`: the first samples of a batch join a statistic."""
    maths, current = statistic.build(real), kind.build(real).current
    chunk = build_chunk(jit, statistic, jit(current), real)

    @kernel("samples", maths.of_sample, maths.fold, current, real, parallel=True)
    def gather(cells: Any, bump: Any, potentials: Any, samples: Any, before: Any, table: Any) -> None:
        for block in numba.prange((bump + BLOCK - 1) // BLOCK):
            for s in range(block * BLOCK, min(block * BLOCK + BLOCK, bump)):
                if cells.id[s] >= 0:
                    chunk(cells, s, potentials, samples, before, table)

    return gather

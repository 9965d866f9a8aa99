"""Statistics of cells on CUDA: one pass over the pool, a thread a cell."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dna.cells import CellKind
from dna.cuda.device import cuda, jit, kernel
from dna.rules.statistics import Statistic, build_chunk


@cache
def step_gatherer(statistic: Statistic, real: type) -> Callable[..., Any]:
    """Build `gather_step(weight, weight_grad, bump, table)`: the gradients of a step join a statistic. Free slots have none.

    Bytes a cell: three `real` read, one written.
    """
    maths = statistic.build(real)
    assert maths.after_step is not None
    after_step = jit(maths.after_step)

    @kernel
    def gather_step(weight: Any, weight_grad: Any, bump: Any, table: Any) -> None:
        for s in range(cuda.grid(1), bump, cuda.gridsize(1)):
            table[0, s] = after_step(table[0, s], weight[s], weight_grad[s])

    return gather_step


@cache
def sample_gatherer(statistic: Statistic, kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `gather_samples(cells, bump, potentials, samples, before, table)`: the first samples of a batch join a statistic.

    Bytes a cell: id, ends, weight, bias and the rows of the statistic, and two rows of potentials.
    """
    chunk = build_chunk(jit, statistic, jit(kind.build(real).current), real)

    @kernel
    def gather_samples(cells: Any, bump: Any, potentials: Any, samples: Any, before: Any, table: Any) -> None:
        for s in range(cuda.grid(1), bump, cuda.gridsize(1)):
            if cells.id[s] >= 0:
                chunk(cells, s, potentials, samples, before, table)

    return gather_samples

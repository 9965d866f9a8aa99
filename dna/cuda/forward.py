"""Forward on the GPU: potentials of one level from those below it. Neighbouring threads hold neighbouring samples of a tile."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dna.cells import Activation, CellKind
from dna.cuda.device import cuda, jit, kernel


@cache
def gather(kind: CellKind, activation: Activation, real: type) -> Callable[..., Any]:
    """Build `gather_level(level_nodes, weight, bias, order, potentials)`, where `order` is cells by target.

    A thread a node and sample. It sums its cells in the order of the plan, so the bits do not depend on the grid. Bytes a
    cell-sample: one `real` of potential read, and for each warp 8 bytes of plan and two `real` of cell, the same for all lanes;
    operations: the current (2 for a linear cell) and one addition.
    """
    current, value = jit(kind.build(real).current), jit(activation.build(real).value)
    zero = real(0)

    @kernel
    def gather_level(level_nodes: Any, weight: Any, bias: Any, order: Any, potentials: Any) -> None:
        n, tile = level_nodes.shape[0], potentials.shape[2]
        for job in range(cuda.grid(1), potentials.shape[0] * n * tile, cuda.gridsize(1)):
            t, node, k = job // (n * tile), level_nodes[job // tile % n], job % tile
            total = zero
            for c in range(order.start[node], order.start[node + 1]):
                s = order.slots[c]
                total += current(weight[s], potentials[t, order.others[c], k], bias[s])
            potentials[t, node, k] = value(total)

    return gather_level


@cache
def clearer(real: type) -> Callable[..., Any]:
    """Build `clear(level_nodes, potentials)`: zeros, for the scatter plan to add to. One `real` written a node and sample."""
    zero = real(0)

    @kernel
    def clear(level_nodes: Any, potentials: Any) -> None:
        n, tile = level_nodes.shape[0], potentials.shape[2]
        for job in range(cuda.grid(1), potentials.shape[0] * n * tile, cuda.gridsize(1)):
            potentials[job // (n * tile), level_nodes[job // tile % n], job % tile] = zero

    return clear


@cache
def scatter(kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `scatter_level(level, cells, bump, node_level, potentials)`, straight over the pool: a thread a cell and sample.

    Currents are added atomically, in an order that depends on timing. Bytes a cell-sample: one `real` read, one atomic addition,
    and for each warp the cell's 16 bytes and two `real`; operations: the current and the addition.
    """
    current = jit(kind.build(real).current)

    @kernel
    def scatter_level(level: Any, cells: Any, bump: Any, node_level: Any, potentials: Any) -> None:
        tile = potentials.shape[2]
        samples = potentials.shape[0] * tile
        for job in range(cuda.grid(1), bump * samples, cuda.gridsize(1)):
            s, t, k = job // samples, job % samples // tile, job % tile
            if cells.id[s] >= 0 and node_level[cells.target[s]] == level:
                i = current(cells.weight[s], potentials[t, cells.source[s], k], cells.bias[s])
                cuda.atomic.add(potentials, (t, cells.target[s], k), i)

    return scatter_level


@cache
def activate(activation: Activation, real: type) -> Callable[..., Any]:
    """Build `activate_level(level_nodes, potentials)`: sums of currents become potentials.

    Bytes a node and sample: one `real` read, one written.
    """
    value = jit(activation.build(real).value)

    @kernel
    def activate_level(level_nodes: Any, potentials: Any) -> None:
        n, tile = level_nodes.shape[0], potentials.shape[2]
        for job in range(cuda.grid(1), potentials.shape[0] * n * tile, cuda.gridsize(1)):
            t, node, k = job // (n * tile), level_nodes[job // tile % n], job % tile
            potentials[t, node, k] = value(potentials[t, node, k])

    return activate_level

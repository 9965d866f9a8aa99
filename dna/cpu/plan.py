"""The gather plan on the CPU: two stable counting sorts of the living slots, by target and by source."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cpu.compiler import kernel
from dna.types import NODE, OFFSET, SLOT, Cells, Plan


@cache
def node_sorter() -> Callable[..., Any]:
    """Build `sort(node, other, ids, bump, slots, others, start)`: slots by (node, slot), other ends, offsets."""

    @kernel("sort")
    def sort(node: Any, other: Any, ids: Any, bump: Any, slots: Any, others: Any, start: Any) -> None:
        start[:] = 0
        for s in range(bump):
            if ids[s] >= 0:
                start[node[s] + 1] += 1
        for n in range(1, len(start)):
            start[n] += start[n - 1]
        # start[n] serves as the cursor of node n, and so ends as the start of node n + 1.
        for s in range(bump):
            if ids[s] >= 0:
                place = start[node[s]]
                slots[place] = s
                others[place] = other[s]
                start[node[s]] = place + 1
        for n in range(len(start) - 1, 0, -1):
            start[n] = start[n - 1]
        start[0] = 0

    return sort


def make_gather(cells: Cells, bump: int, n_cells: int, n_nodes: int) -> Plan:
    """Return the gather plan of the living cells."""
    sort = node_sorter()
    columns = []
    for node, other in ((cells.target, cells.source), (cells.source, cells.target)):
        slots, others, start = np.empty(n_cells, SLOT), np.empty(n_cells, NODE), np.empty(n_nodes + 1, OFFSET)
        sort(node, other, cells.id, bump, slots, others, start)
        columns += [slots, others, start]
    return Plan(*columns)


def make_scatter() -> Plan:
    """Return the scatter plan: it runs over the pool as it is, and holds nothing."""
    slots, nodes, offsets = np.empty(0, SLOT), np.empty(0, NODE), np.empty(0, OFFSET)
    return Plan(slots, nodes, offsets, slots, nodes, offsets)

"""Exemption on CUDA: the strongest cell of each output node may not die, found by atomics on integers alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dna.cuda.device import cuda, kernel, launch_over
from dna.cuda.memory import full
from dna.types import DELETE, ID, KEEP, Array, Cells, Nodes

EXEMPT = 255
"""A fate that only selection knows: the cell may not die, but may split. It becomes KEEP in the end."""

NO_OUTPUT, NO_CELL = -2, -1
"""What stands for the strongest cell of a node that is no output, and of an output that has none."""


def exempt_last(keys: Array, cells: Cells, nodes: Nodes, fates: Array) -> None:
    """Exempt from deletion, of each output's cells that do not die already, the last in the order of the weakest.

    That order is (key up, id up). It would be the last to go, so no output loses all its cells, and nothing changes elsewhere.
    """
    n_nodes, n = nodes.level.shape[0], keys.shape[0]
    best_key, best_id = full(n_nodes, 0, keys.dtype), full(n_nodes, NO_OUTPUT, ID)
    launch_over(output_marker(), nodes.outputs.shape[0], nodes.outputs, best_id)
    launch_over(best_key_finder(), n, keys, cells, fates, best_key, best_id)
    launch_over(best_id_finder(), n, keys, cells, fates, best_key, best_id)
    launch_over(exempter(), n, cells, best_id, fates)


def protect(cells: Cells, born_after: int, fates: Array) -> None:
    """Exempt the cells that came later than a version."""
    launch_over(protector(), fates.shape[0], cells, born_after, fates)


@cache
def protector() -> Callable[..., Any]:
    """Build `protect_young(cells, born_after, fates)`: the cells that came later than a version are exempt from deletion.

    Bytes a slot: 13 read, and 1 written if it is exempt.
    """

    @kernel
    def protect_young(cells: Any, born_after: Any, fates: Any) -> None:
        for s in range(cuda.grid(1), fates.shape[0], cuda.gridsize(1)):
            if cells.id[s] >= 0 and cells.born[s] > born_after and fates[s] == KEEP:
                fates[s] = EXEMPT

    return protect_young


@cache
def output_marker() -> Callable[..., Any]:
    """Build `mark(outputs, best_id)`.

    Bytes an output: 4 read, 8 written.
    """

    @kernel
    def mark(outputs: Any, best_id: Any) -> None:
        for i in range(cuda.grid(1), outputs.shape[0], cuda.gridsize(1)):
            best_id[outputs[i]] = NO_CELL

    return mark


@cache
def best_key_finder() -> Callable[..., Any]:
    """Build `find_key(keys, cells, fates, best_key, best_id)`: the largest key of each output.

    Bytes a slot: 13 and a key read, a node's best mostly from cache; an atomic where that is beaten.
    """

    @kernel
    def find_key(keys: Any, cells: Any, fates: Any, best_key: Any, best_id: Any) -> None:
        for s in range(cuda.grid(1), keys.shape[0], cuda.gridsize(1)):
            if cells.id[s] >= 0 and fates[s] != DELETE:
                node = cells.target[s]
                # A stale best is lower, so looking before the atomic loses nothing, and spares most of them.
                if best_id[node] != NO_OUTPUT and keys[s] > best_key[node]:
                    cuda.atomic.max(best_key, node, keys[s])

    return find_key


@cache
def best_id_finder() -> Callable[..., Any]:
    """Build `find_id(keys, cells, fates, best_key, best_id)`: the largest id of each output among cells of its largest key.

    Bytes a slot: as `best_key_finder`.
    """

    @kernel
    def find_id(keys: Any, cells: Any, fates: Any, best_key: Any, best_id: Any) -> None:
        for s in range(cuda.grid(1), keys.shape[0], cuda.gridsize(1)):
            if cells.id[s] >= 0 and fates[s] != DELETE:
                node = cells.target[s]
                if best_id[node] != NO_OUTPUT and keys[s] == best_key[node] and cells.id[s] > best_id[node]:
                    cuda.atomic.max(best_id, node, cells.id[s])

    return find_id


@cache
def exempter() -> Callable[..., Any]:
    """Build `exempt(cells, best_id, fates)`.

    Bytes a slot: 13 read, a node's best mostly from cache, and 1 written if it is exempt.
    """

    @kernel
    def exempt(cells: Any, best_id: Any, fates: Any) -> None:
        for s in range(cuda.grid(1), fates.shape[0], cuda.gridsize(1)):
            if cells.id[s] >= 0 and cells.id[s] == best_id[cells.target[s]] and fates[s] == KEEP:
                fates[s] = EXEMPT

    return exempt

"""Split on CUDA: parents and children are written in pairs, a thread a pair."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dna.cells import CellKind
from dna.cuda.device import cuda, jit, kernel
from dna.rules import build_birth


@cache
def children_writer(rule: str, kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `write(cells, parents, children, first_id, version, seed, jitter)`; the k-th child gets the id `first_id + k`.

    Bytes a child: 32 read and 52 written of float32, and 8 a row of state.
    """
    share, join, inherit_state, name = build_birth(jit, rule, kind, real)

    @kernel
    def write(cells: Any, parents: Any, children: Any, first_id: Any, version: Any, seed: Any, jitter: Any) -> None:
        for k in range(cuda.grid(1), parents.shape[0], cuda.gridsize(1)):
            parent, child, child_id = parents[k], children[k], first_id + k
            share(cells, parent, child, child_id, version, seed, jitter)
            join(cells, parent, child, child_id, version, seed, jitter)
            inherit_state(cells, parent, child, child_id, version, seed, jitter)
            name(cells, parent, child, child_id, version, seed, jitter)

    return write

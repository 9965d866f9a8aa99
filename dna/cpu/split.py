"""Split on the CPU: parents and children are written in pairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import CellKind
from dna.cpu.compiler import jit, kernel
from dna.rules import build_birth, build_split, inherits_state

BLOCK = 256
"""Children that one thread writes, a few columns of all of them after the other: memory is read ahead in a few places only."""


@cache
def children_writer(rule: str, kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `write(cells, parents, children, first_id, version, seed, jitter)`; the k-th child gets the id `first_id + k`.

    Parents ascend while children, whose slots come from the top of the stack, mostly descend. So after a block comes the one as
    far from the other end, whose parents lie where its children do: those cells are in cache then.
    """
    share, join, inherit_state, name = build_birth(jit, rule, kind, real)

    @jit
    def write_block(cells: Any, parents: Any, children: Any, first_id: Any, version: Any, seed: Any, jitter: Any) -> None:
        for k in range(len(parents)):
            share(cells, np.uint64(parents[k]), np.uint64(children[k]), first_id + k, version, seed, jitter)
        for k in range(len(parents)):
            join(cells, np.uint64(parents[k]), np.uint64(children[k]), first_id + k, version, seed, jitter)
        for k in range(len(parents)):
            inherit_state(cells, np.uint64(parents[k]), np.uint64(children[k]), first_id + k, version, seed, jitter)
        for k in range(len(parents)):
            name(cells, np.uint64(parents[k]), np.uint64(children[k]), first_id + k, version, seed, jitter)

    @jit
    def write_one(block: Any, cells: Any, parents: Any, children: Any, first_id: Any, *numbers: Any) -> None:
        first, end = block * BLOCK, min(block * BLOCK + BLOCK, len(parents))
        write_block(cells, parents[first:end], children[first:end], first_id + first, *numbers)

    @kernel(build_split(rule, kind, real), inherits_state(rule, kind), real, BLOCK, parallel=True)
    def write(cells: Any, parents: Any, children: Any, first_id: Any, version: Any, seed: Any, jitter: Any) -> None:
        blocks = (len(parents) + BLOCK - 1) // BLOCK
        for near in numba.prange((blocks + 1) // 2):
            far = blocks - 1 - near
            write_one(near, cells, parents, children, first_id, version, seed, jitter)
            if near < far:
                write_one(far, cells, parents, children, first_id, version, seed, jitter)

    return write

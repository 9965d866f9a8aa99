"""Split on the CPU: parents and children are written in pairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dna.cells import CellKind
from dna.cpu.compiler import jit, kernel
from dna.rules import build_birth, build_split, inherits_state


@cache
def children_writer(rule: str, kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `write(cells, parents, children, first_id, version, seed, jitter)`; the k-th child gets the id `first_id + k`."""
    birth = build_birth(jit, rule, kind, real)

    @kernel(build_split(rule, kind, real), inherits_state(rule, kind), real)
    def write(cells: Any, parents: Any, children: Any, first_id: Any, version: Any, seed: Any, jitter: Any) -> None:
        for k in range(len(parents)):
            birth(cells, parents[k], children[k], first_id + k, version, seed, jitter)

    return write

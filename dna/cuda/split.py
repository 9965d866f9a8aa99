"""Split on CUDA: parents and children are written in pairs, a thread a pair."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dna.cells import CellKind
from dna.cuda.device import cuda, jit, kernel
from dna.rules import build_split, build_uniform, inherits_state


@cache
def children_writer(rule: str, kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `write(cells, parents, children, first_id, version, seed, jitter)`; the k-th child gets the id `first_id + k`.

    The twins' shares are (1 + j)/2 and (1 - j)/2 with j uniform in [-jitter, jitter], drawn by the child's id.
    """
    split, uniform, inherit = jit(build_split(rule, kind, real)), jit(build_uniform(real)), inherits_state(rule, kind)
    half, one, two = real(0.5), real(1), real(2)

    @kernel
    def write(cells: Any, parents: Any, children: Any, first_id: Any, version: Any, seed: Any, jitter: Any) -> None:
        for k in range(cuda.grid(1), parents.shape[0], cuda.gridsize(1)):
            a, c = parents[k], children[k]
            cell_id = first_id + k
            share = half
            if jitter > 0:
                share = half * (one + jitter * (two * uniform(seed, version, cell_id) - one))
            w1, b1, w2, b2 = split(cells.weight[a], cells.bias[a], share)
            cells.weight[a], cells.bias[a] = w1, b1
            cells.source[c], cells.target[c] = cells.source[a], cells.target[a]
            cells.weight[c], cells.bias[c] = w2, b2
            cells.weight_grad[c], cells.bias_grad[c] = 0, 0
            for row in range(cells.state.shape[0]):
                cells.state[row, c] = cells.state[row, a] if inherit else 0
            cells.parent[c], cells.born[c] = cells.id[a], version
            cells.id[c] = cell_id

    return write

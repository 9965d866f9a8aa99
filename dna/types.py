"""The arrays that the engine works on: what each means, its shape and its unit.

Every tuple here is passed to kernels as it is, on every backend; arrays are NumPy arrays on the CPU and device arrays on a GPU.
`real` is float32 or float64, one choice a network.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = Any
"""A backend's array: NumPy on the CPU, a device array on a GPU."""

NODE = np.dtype(np.int32)
SLOT = np.dtype(np.int32)
ID = np.dtype(np.int64)
OFFSET = np.dtype(np.int64)
FATE = np.dtype(np.uint8)
SUM = np.dtype(np.float64)
REALS: dict[str, np.dtype] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}

LARGEST_NODE = 2**31 - 1
"""Nodes are int32."""

FREE = -1
"""The id of a slot that holds no cell, and the parent of a cell that was not born by a split."""

KEEP, SPLIT, DELETE = 0, 1, 2
"""The fate of a cell in an extinction."""


class Cells(NamedTuple):
    """The pool's columns. A free slot has id -1, and zeros in every real column."""

    source: Array  # (capacity,) int32: node whose potential the cell takes
    target: Array  # (capacity,) int32: node that receives the cell's current
    weight: Array  # (capacity,) real
    bias: Array  # (capacity,) real
    weight_grad: Array  # (capacity,) real: dL/dw of the last backward
    bias_grad: Array  # (capacity,) real: dL/db of the last backward
    state: Array  # (rows, capacity) real: optimizer state, rows = 2 * moments: (weight, bias) of the 1st, then of the 2nd
    id: Array  # (capacity,) int64: the cell's id, or -1 for a free slot
    parent: Array  # (capacity,) int64: id of the cell it split from, or -1
    born: Array  # (capacity,) int32: topology version in which it first lived


class Heap(NamedTuple):
    """The allocator's own arrays: a stack of free slots under a bump pointer."""

    free: Array  # (capacity,) int32: free[0:counters[FREE_COUNT]] are the free slots, the top is taken first
    counters: Array  # (5,) int64, indexed by the names below


FREE_COUNT, BUMP, NEXT_ID, CLAIMED, RELEASED = range(5)
"""Places in `Heap.counters`: free slots on the stack; slots ever used; the next id; tickets drawn for claims and for releases
by kernels since the last settlement."""


class Nodes(NamedTuple):
    """What backends know of nodes."""

    level: Array  # (n_nodes,) int32: 0 for inputs; a cell always runs to a higher level
    inputs: Array  # (n_inputs,) int32: node of each column of x
    outputs: Array  # (n_outputs,) int32: node of each column of y
    by_level: tuple[Array, ...]  # one a level: (n,) int32, its nodes, ascending; for the host to hand out, not for kernels

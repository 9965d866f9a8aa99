"""Room for training steps of the dense plan on the CPU, and how a batch is cut for them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from dna.cpu.loss import GROUP
from dna.cpu.memory import CACHE_LINE, aligned_zeros
from dna.types import NODE, OFFSET, SUM, Array

PARTS, FEWEST = 8, 64
"""A batch is cut into at most so many parts, of no fewer samples."""

LINE = CACHE_LINE // OFFSET.itemsize
READY, DONE, CLAIMS = 0, LINE, 2 * LINE
"""Places of `Room.turns`."""


class Room(NamedTuple):
    """Scratch memory of steps; p counts the parts of a batch. What threads write to has cache lines of its own for each part."""

    parts: Array  # (p, n_out, n_in) real: gradients of the matrix
    totals: Array  # (p, n_out or more) real: sums over samples of the gradients at the outputs
    sums: Array  # (p, CACHE_LINE / 8) float64: losses, hits and nothing
    ends: Array  # (p, 2, 1, n_out, GROUP) real: potentials and gradients of a group
    offset: Array  # (n_out,) real: sums of the biases
    numbers: Array  # (n_out,) int32: 0, 1, ...
    turns: Array  # ((2 + p) * LINE,) int64: the step that may run, or -1 - the failed one; parts done; each part's next step


def make_room(n_in: int, n_out: int, size: int, dtype: np.dtype) -> Room:
    """Return the room for batches of up to `size` samples."""
    p = parts_of(size)
    return Room(
        parts=aligned_zeros((p, n_out, n_in), dtype),
        totals=aligned_zeros((p, -(-n_out * dtype.itemsize // CACHE_LINE) * CACHE_LINE // dtype.itemsize), dtype),
        sums=aligned_zeros((p, CACHE_LINE // SUM.itemsize), SUM),
        ends=aligned_zeros((p, 2, 1, n_out, GROUP), dtype),
        offset=aligned_zeros(n_out, dtype),
        numbers=np.arange(n_out, dtype=NODE),
        turns=aligned_zeros((2 + p) * LINE, OFFSET),
    )


@intrinsic  # type: ignore[untyped-decorator]
def borrowed(typing_context: Any, array: Any, index: Any) -> Any:
    """Return `array[index]` of an array with two dimensions or more as a view that its owner does not count, and must outlive.

    All views of an array are counted at one place. Threads that make one for each part of a batch keep each other waiting there.
    """
    view = array.copy(ndim=array.ndim - 1)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        whole, part = context.make_array(kind)(context, builder, arguments[0]), context.make_array(view)(context, builder)
        shape, strides = (cgutils.unpack_tuple(builder, each, kind.ndim) for each in (whole.shape, whole.strides))
        at = builder.mul(context.cast(builder, arguments[1], signature.args[1], types.intp), strides[0])
        data = cgutils.pointer_add(builder, whole.data, at, part.data.type)
        populate_array(part, data=data, shape=shape[1:], strides=strides[1:], itemsize=whole.itemsize, meminfo=None)
        return part._getvalue()

    return view(array, index), generate


def parts_of(n: int) -> int:
    """Return how many parts a batch of n samples has, whatever the number of threads."""
    return max(1, min(PARTS, n // FEWEST))

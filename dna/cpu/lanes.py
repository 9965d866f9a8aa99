"""Lanes: how many samples a kernel takes at a time, and rows of that many numbers that live in registers.

A loop over a constant number of lanes becomes SIMD code for any scalar function. A row on the stack that never leaves its
kernel is kept in registers over the loop around it, and needs no check of whether it overlaps another array. So the sum over a
node's cells costs a load and an addition of registers a cell, at any width of the machine's registers.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

REGISTERS = 8
"""Registers of one row: half of those of AVX2, a quarter of those of AVX-512 and NEON."""

FEWEST_LANES = 64
"""Rows are not shorter than that. Loops over fewer lanes are unrolled before they can become SIMD code, and a row of 16 takes as
long as one of 128."""


@cache
def lanes_of_machine(real: type) -> int:
    """Return the lanes of a full row: those of `REGISTERS` registers, or the fewest."""
    features = _features()
    bits = 512 if "avx512f" in features else 256 if "avx" in features else 128
    return max(FEWEST_LANES, REGISTERS * bits // (8 * np.dtype(real).itemsize))


@cache
def lanes_of(batch: int, real: type) -> int:
    """Return the lanes for batches of this size: the power of two up to the machine's that wastes least.

    A row costs about as much as half its registers beside them, for finding the cell.
    """
    choices = [FEWEST_LANES]
    while choices[-1] < lanes_of_machine(real):
        choices.append(2 * choices[-1])
    overhead = lanes_of_machine(real) // 2
    return min(reversed(choices), key=lambda lanes: -(-batch // lanes) * (lanes + overhead))


def _features() -> set[str]:
    """Return what the CPU that Numba compiles for can do; `NUMBA_CPU_FEATURES` stands for another."""
    forced = numba.config.CPU_FEATURES
    if forced is not None:
        return {feature[1:] for feature in forced.split(",") if feature.startswith("+")}
    return {name for name, there in llvm.get_host_cpu_features().items() if there}


@intrinsic  # type: ignore[untyped-decorator]
def new_row(typing_context: Any, like: Any, lanes: Any) -> Any:
    """Return an array of `lanes` numbers on the stack, of the type of the array `like`, not initialised.

    It must not outlive the call that makes it, and must not be handed to anything that is not inlined.
    """
    row_type = types.Array(like.dtype, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = cgutils.alloca_once(builder, ir.ArrayType(context.get_data_type(like.dtype), _literal(lanes)))
        memory.align = 64
        return _row(context, builder, row_type, memory, _literal(lanes))

    return row_type(like, types.IntegerLiteral(_literal(lanes))), generate


@intrinsic  # type: ignore[untyped-decorator]
def row_at(typing_context: Any, tiles: Any, tile: Any, node: Any, lanes: Any) -> Any:
    """Return a view of `tiles[tile, node]`, the row of one node, whose length the compiler knows; nothing is checked."""
    row_type = types.Array(tiles.dtype, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        index = [context.cast(builder, arguments[i], signature.args[i], types.intp) for i in (1, 2)]
        nodes = builder.extract_value(array.shape, 1)
        row = builder.add(builder.mul(index[0], nodes), index[1])
        first = builder.mul(row, context.get_constant(types.intp, _literal(lanes)))
        return _row(context, builder, row_type, builder.gep(array.data, [first], inbounds=True), _literal(lanes))

    return row_type(tiles, tile, node, types.IntegerLiteral(_literal(lanes))), generate


def _literal(lanes: Any) -> int:
    if not isinstance(lanes, types.IntegerLiteral):
        raise RequireLiteralValue("the number of lanes")
    count: int = lanes.literal_value
    return count


def _row(context: Any, builder: Any, row_type: Any, memory: Any, lanes: int) -> Any:
    row = context.make_array(row_type)(context, builder)
    real = context.get_data_type(row_type.dtype)
    size, shape = context.get_constant(types.intp, context.get_abi_sizeof(real)), [context.get_constant(types.intp, lanes)]
    data = builder.bitcast(memory, real.as_pointer())
    context.populate_array(row, data=data, shape=shape, strides=[size], itemsize=size, meminfo=None)
    return row._getvalue()

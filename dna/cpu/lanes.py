"""Lanes: how many samples a kernel takes at a time, and rows of that many numbers that live in registers.

A loop over a constant number of lanes becomes SIMD code for any scalar function. A row on the stack that never leaves its
kernel is kept in registers over the loop around it, and needs no check of whether it overlaps another array. So the sum over a
node's cells costs a load and an addition of registers a cell, at any width of the machine's registers.
"""

from __future__ import annotations

from functools import cache, reduce
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

FEWEST_AFFINE = 16
"""For affine cells, whose loops are vector code already."""

VECTOR = 16
"""Numbers of one vector of that code, or all lanes where they are fewer; the compiler cuts it to the width of the machine."""


@cache
def lanes_of_machine(real: type) -> int:
    """Return the lanes of a full row: those of `REGISTERS` registers, or the fewest."""
    features = features_of_machine()
    bits = 512 if "avx512f" in features else 256 if "avx" in features else 128
    return max(FEWEST_LANES, REGISTERS * bits // (8 * np.dtype(real).itemsize))


@cache
def lanes_of(batch: int, real: type, affine: bool) -> int:
    """Return the lanes for batches of this size: the power of two up to the machine's that wastes least.

    A row costs about as much as half its registers beside them, for finding the cell.
    """
    choices = [FEWEST_AFFINE if affine else FEWEST_LANES]
    while choices[-1] < lanes_of_machine(real):
        choices.append(2 * choices[-1])
    overhead = lanes_of_machine(real) // 2
    return min(reversed(choices), key=lambda lanes: -(-batch // lanes) * (lanes + overhead))


def features_of_machine() -> set[str]:
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
        memory = cgutils.alloca_once(builder, ir.ArrayType(context.get_data_type(like.dtype), literal_of(lanes)))
        memory.align = 64
        return _row(context, builder, row_type, memory, literal_of(lanes))

    return row_type(like, types.IntegerLiteral(literal_of(lanes))), generate


@intrinsic  # type: ignore[untyped-decorator]
def row_at(typing_context: Any, tiles: Any, tile: Any, node: Any, lanes: Any) -> Any:
    """Return a view of `tiles[tile, node]`, the row of one node, whose length the compiler knows; nothing is checked."""
    row_type = types.Array(tiles.dtype, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        index = [context.cast(builder, arguments[i], signature.args[i], types.intp) for i in (1, 2)]
        nodes = builder.extract_value(array.shape, 1)
        row = builder.add(builder.mul(index[0], nodes), index[1])
        first = builder.mul(row, context.get_constant(types.intp, literal_of(lanes)))
        return _row(context, builder, row_type, builder.gep(array.data, [first], inbounds=True), literal_of(lanes))

    return row_type(tiles, tile, node, types.IntegerLiteral(literal_of(lanes))), generate


@intrinsic  # type: ignore[untyped-decorator]
def part_of_row(typing_context: Any, matrix: Any, row: Any, first: Any, lanes: Any) -> Any:
    """Return a view of `matrix[row, first : first + lanes]`, which may begin anywhere; nothing is checked."""
    row_type = types.Array(matrix.dtype, 1, "C", aligned=False)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        index = [context.cast(builder, arguments[i], signature.args[i], types.intp) for i in (1, 2)]
        begin = builder.add(builder.mul(index[0], builder.extract_value(array.shape, 1)), index[1])
        return _row(context, builder, row_type, builder.gep(array.data, [begin], inbounds=True), literal_of(lanes))

    return row_type(matrix, row, first, types.IntegerLiteral(literal_of(lanes))), generate


@intrinsic  # type: ignore[untyped-decorator]
def add_scaled(typing_context: Any, total: Any, part: Any, factor: Any, row: Any, lanes: Any) -> Any:
    """Add `factor` times `row` to the lanes of `total` that follow `part * lanes`, as vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        n = literal_of(lanes)
        vectors = _vectors(context, builder, signature.args[0], arguments[0], literal_of(part) * n, n)
        scale = _spread(context, builder, arguments[2], signature.args[0].dtype, n)
        others = _vectors(context, builder, signature.args[3], arguments[3], 0, n)
        for (place, vector), (_, other) in zip(vectors, others, strict=True):
            builder.store(builder.fadd(vector, builder.fmul(scale, other, FLAGS), FLAGS), place, align=place.align)
        return context.get_dummy_value()

    literals = [types.IntegerLiteral(literal_of(one)) for one in (part, lanes)]
    return types.void(total, literals[0], total.dtype, row, literals[1]), generate


@intrinsic  # type: ignore[untyped-decorator]
def fill(typing_context: Any, total: Any, part: Any, value: Any, lanes: Any) -> Any:
    """Write `value` to the lanes of `total` that follow `part * lanes`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row_type, first, n = signature.args[0], literal_of(part) * literal_of(lanes), literal_of(lanes)
        value = _spread(context, builder, arguments[2], row_type.dtype, n)
        for place in _places(context, builder, row_type, arguments[0], first, n):
            builder.store(value, place, align=place.align)
        return context.get_dummy_value()

    literals = [types.IntegerLiteral(literal_of(one)) for one in (part, lanes)]
    return types.void(total, literals[0], total.dtype, literals[1]), generate


@intrinsic  # type: ignore[untyped-decorator]
def copy_row(typing_context: Any, total: Any, row: Any, lanes: Any) -> Any:
    """Copy `row` to the first lanes of `total`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = _places(context, builder, signature.args[0], arguments[0], 0, literal_of(lanes))
        for place, (_, vector) in zip(
            places, _vectors(context, builder, signature.args[1], arguments[1], 0, literal_of(lanes)), strict=True
        ):
            builder.store(vector, place, align=place.align)
        return context.get_dummy_value()

    return types.void(total, row, types.IntegerLiteral(literal_of(lanes))), generate


@intrinsic  # type: ignore[untyped-decorator]
def fold(typing_context: Any, row: Any, total: Any, parts: Any, offset: Any, lanes: Any) -> Any:
    """Write the sum of all parts of `total`, less `offset`, to `row`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = _places(context, builder, signature.args[0], arguments[0], 0, literal_of(lanes))
        less = _spread(context, builder, arguments[3], signature.args[0].dtype, literal_of(lanes))
        vectors = [
            [vector for _, vector in _vectors(context, builder, signature.args[1], arguments[1], first, literal_of(lanes))]
            for first in range(0, literal_of(parts) * literal_of(lanes), literal_of(lanes))
        ]
        for k, place in enumerate(places):
            sums = [part[k] for part in vectors]
            while len(sums) > 1:
                sums = [builder.fadd(a, b, FLAGS) for a, b in zip(sums[::2], sums[1::2], strict=True)]
            builder.store(builder.fsub(sums[0], less, FLAGS), place, align=place.align)
        return context.get_dummy_value()

    literals = [types.IntegerLiteral(literal_of(one)) for one in (parts, lanes)]
    return types.void(row, total, literals[0], row.dtype, literals[1]), generate


@intrinsic  # type: ignore[untyped-decorator]
def dot(typing_context: Any, one: Any, other: Any, lanes: Any) -> Any:
    """Return the sum of products of two rows, summed as vectors first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pairs = [_vectors(context, builder, signature.args[k], arguments[k], 0, literal_of(lanes)) for k in (0, 1)]
        total = None
        for (_, a), (_, b) in zip(*pairs, strict=True):
            product = builder.fmul(a, b, FLAGS)
            total = product if total is None else builder.fadd(total, product, FLAGS)
        return _sum(builder, total)

    return one.dtype(one, other, types.IntegerLiteral(literal_of(lanes))), generate


@intrinsic  # type: ignore[untyped-decorator]
def sum_both(typing_context: Any, one: Any, other: Any, lanes: Any) -> Any:
    """Return the sums of two rows, reduced together: halves of both are one vector after the first step."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def total_of(k: int) -> Any:
            vectors = [vector for _, vector in _vectors(context, builder, signature.args[k], arguments[k], 0, literal_of(lanes))]
            return reduce(lambda a, b: builder.fadd(a, b, FLAGS), vectors)

        a, b = total_of(0), total_of(1)
        width, half = a.type.count, a.type.count // 2
        first, second = ([*range(k, k + half), *range(width + k, width + k + half)] for k in (0, half))
        both, apart = builder.fadd(_taken(builder, a, b, first), _taken(builder, a, b, second), FLAGS), half
        while apart > 1:
            apart //= 2
            turned = [side + (k + apart) % half for side in (0, half) for k in range(half)]
            both = builder.fadd(both, _taken(builder, both, both, turned), FLAGS)
        sums = [builder.extract_element(both, ir.Constant(ir.IntType(32), side)) for side in (0, half)]
        return context.make_tuple(builder, signature.return_type, sums)

    return types.containers.UniTuple(one.dtype, 2)(one, other, types.IntegerLiteral(literal_of(lanes))), generate


FLAGS = ("reassoc", "contract", "nsz")

CACHE_LINE = 64
"""Rows begin there; see `memory.aligned_zeros`."""


def _places(context: Any, builder: Any, row_type: Any, row: Any, first: int, lanes: int) -> list[Any]:
    """Return where the vectors are that make up lanes of a row; in an aligned one each begins at a multiple of its length."""
    data = context.make_array(row_type)(context, builder, row).data
    real, width = context.get_data_type(row_type.dtype), min(VECTOR, lanes)
    found = []
    for lane in range(first, first + lanes, width):
        begin = builder.gep(data, [context.get_constant(types.intp, lane)], inbounds=True)
        place = builder.bitcast(begin, ir.VectorType(real, width).as_pointer())
        place.align = min(CACHE_LINE, width * context.get_abi_sizeof(real)) if row_type.aligned else context.get_abi_sizeof(real)
        found.append(place)
    return found


def _vectors(context: Any, builder: Any, row_type: Any, row: Any, first: int, lanes: int) -> list[tuple[Any, Any]]:
    """Return these places and what is there."""
    places = _places(context, builder, row_type, row, first, lanes)
    return [(place, builder.load(place, align=place.align)) for place in places]


def _spread(context: Any, builder: Any, scalar: Any, dtype: Any, lanes: int) -> Any:
    """Return a vector for so many lanes whose numbers are all `scalar`."""
    width = min(VECTOR, lanes)
    vector = ir.VectorType(context.get_data_type(dtype), width)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width))


def _sum(builder: Any, vector: Any) -> Any:
    """Return the sum of a vector's numbers: its halves are added until one is left."""
    width = vector.type.count
    while width > 1:
        width //= 2
        halves = [_taken(builder, vector, vector, list(range(k * width, (k + 1) * width))) for k in (0, 1)]
        vector = builder.fadd(*halves, FLAGS)
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


def _taken(builder: Any, one: Any, other: Any, which: list[int]) -> Any:
    """Return a vector of these numbers of two vectors, counted through both."""
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(which)), which))


def literal_of(lanes: Any) -> int:
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

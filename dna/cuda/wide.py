"""Wide accesses: neighbouring elements of an array in one load or store of up to 16 bytes, at a place that is not checked.

Numba's own indexing takes one element, asks whether the index is negative, and computes with 64 bits. In the innermost loops that
is most of the work. These functions take an array of any shape by the place of the element in memory, which must be a multiple of
the number of elements. Rows of potentials qualify: they begin at multiples of 32 elements, and arrays at multiples of 256 bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from dna.cuda.device import SIMULATED, intrinsic, jit, types

WIDEST = 16
"""Bytes of the widest access, and of the alignment of arrays in shared memory; more is taken in several accesses."""


@cache
def loader(n: int) -> Callable[..., Any]:
    """Build the device function `load(array, at) -> tuple of n elements`; `n` is a power of 2."""
    if SIMULATED:
        return lambda array, at: tuple(_flat(array)[at : at + n])

    @intrinsic  # type: ignore[untyped-decorator]
    def load(_typing: Any, array: Any, at: Any) -> Any:
        result = types.UniTuple(array.dtype, n)

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place, _, width = _place(context, builder, signature, arguments, n)
            found = builder.load(place, align=width)
            parts = [builder.extract_element(found, _number(i)) for i in range(n)]
            return context.make_tuple(builder, signature.return_type, parts)

        return result(array, types.int64), code

    return load  # type: ignore[no-any-return]


@cache
def storer(n: int) -> Callable[..., Any]:
    """Build the device function `store(array, at, values)` of a tuple of n elements; `n` is a power of 2."""
    if SIMULATED:
        return lambda array, at, values: _flat(array).__setitem__(slice(at, at + n), values)

    @intrinsic  # type: ignore[untyped-decorator]
    def store(_typing: Any, array: Any, at: Any, values: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place, vector, width = _place(context, builder, signature, arguments, n)
            packed = ir.Constant(vector, ir.Undefined)
            for i in range(n):
                packed = builder.insert_element(packed, builder.extract_value(arguments[2], i), _number(i))
            builder.store(packed, place, align=width)
            return context.get_dummy_value()

        return types.void(array, types.int64, types.UniTuple(array.dtype, n)), code

    return store  # type: ignore[no-any-return]


@cache
def bits_of(real: type) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Build the device functions `hide(integer) -> real` and `show(real) -> int32`: an integer in the bits of a real.

    So a record of reals can hold one. It must only be moved, as most of these reals are no numbers to compute with.
    """
    word = np.int32 if np.dtype(real).itemsize == 4 else np.int64
    if SIMULATED:
        return lambda integer: word(integer).view(real), lambda number: np.int32(real(number).view(word))
    integer_type, real_type = (getattr(types, np.dtype(each).name) for each in (word, real))

    @intrinsic  # type: ignore[untyped-decorator]
    def hide(_typing: Any, integer: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

        return real_type(integer_type), code

    @intrinsic  # type: ignore[untyped-decorator]
    def show(_typing: Any, number: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            bits = builder.bitcast(arguments[0], context.get_value_type(integer_type))
            return bits if bits.type.width == 32 else builder.trunc(bits, ir.IntType(32))

        return types.int32(real_type), code

    return hide, show


@cache
def row_packer(n: int) -> Callable[..., Any]:
    """Build the device function `pack(rows, j) -> tuple` of the n elements of row j of a local array, for `store`."""
    packers = {
        1: lambda rows, j: (rows[j, 0],),
        2: lambda rows, j: (rows[j, 0], rows[j, 1]),
        4: lambda rows, j: (rows[j, 0], rows[j, 1], rows[j, 2], rows[j, 3]),
    }
    return jit(packers[n])


def _place(context: Any, builder: Any, signature: Any, arguments: Any, n: int) -> tuple[Any, Any, int]:
    """Return the pointer to a vector of n elements of the array, the vector's type, and the alignment that is certain."""
    kind = signature.args[0]
    data = context.make_array(kind)(context, builder, arguments[0]).data
    vector = ir.VectorType(context.get_data_type(kind.dtype), n)
    place = builder.bitcast(builder.gep(data, [arguments[1]]), vector.as_pointer())
    return place, vector, min(n * kind.dtype.bitwidth // 8, WIDEST)


def _number(value: int) -> Any:
    return ir.Constant(ir.IntType(32), value)


def _flat(array: Any) -> np.ndarray:
    """Return the elements of a contiguous array in the simulator, as a view."""
    return np.asarray(getattr(array, "_ary", array)).reshape(-1)

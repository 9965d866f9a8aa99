"""Atomics on the CPU, which Numba does not offer there: LLVM's own instructions."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def atomic_add(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Add `value` to `array[index]` of a 1-D array at once, and return what was there before."""
    if not (isinstance(array, types.Array) and array.ndim == 1 and isinstance(index, types.Integer)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type = signature.args[0]
        pointer, amount = _place_and_value(context, builder, signature, arguments)
        if isinstance(array_type.dtype, types.Float):
            return _add_float(builder, pointer, amount, array_type.dtype.bitwidth)
        return builder.atomic_rmw("add", pointer, amount, "seq_cst")

    return array.dtype(array, index, value), generate


@intrinsic  # type: ignore[untyped-decorator]
def atomic_exchange(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Write `value` to `array[index]` of a 1-D array of integers, and return what was there before."""
    if not (isinstance(array, types.Array) and array.ndim == 1 and isinstance(array.dtype, types.Integer)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, new = _place_and_value(context, builder, signature, arguments)
        return builder.atomic_rmw("xchg", pointer, new, "seq_cst")

    return array.dtype(array, index, value), generate


def _place_and_value(context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, Any]:
    """Return the pointer to `array[index]`, and the value as the array's type."""
    array_type, index_type, value_type = signature.args
    view = context.make_array(array_type)(context, builder, arguments[0])
    place = context.cast(builder, arguments[1], index_type, types.intp)
    pointer = cgutils.get_item_pointer(context, builder, array_type, view, [place], wraparound=False, boundscheck=False)
    return pointer, context.cast(builder, arguments[2], value_type, array_type.dtype)


def _add_float(builder: Any, pointer: Any, amount: Any, bits: int) -> Any:
    """Compare and swap the bits until no other thread came between (llvmlite has no atomic `fadd`)."""
    word = ir.IntType(bits)
    place = builder.bitcast(pointer, word.as_pointer())
    start = builder.block
    loop = builder.append_basic_block("atomic.add")
    done = builder.append_basic_block("atomic.added")
    first = builder.load_atomic(place, "monotonic", align=bits // 8)
    builder.branch(loop)
    builder.position_at_end(loop)
    expected = builder.phi(word)
    expected.add_incoming(first, start)
    old = builder.bitcast(expected, amount.type)
    new = builder.bitcast(builder.fadd(old, amount), word)
    result = builder.cmpxchg(place, expected, new, "monotonic", "monotonic")
    expected.add_incoming(builder.extract_value(result, 0), loop)
    builder.cbranch(builder.extract_value(result, 1), done, loop)
    builder.position_at_end(done)
    return builder.bitcast(expected, amount.type)

"""Atomics on the CPU, which Numba does not offer there: LLVM's own instructions."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from dna.cpu.compiler import jit
from dna.cpu.lanes import features_of_machine


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
    if not _holds_integers(array):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, new = _place_and_value(context, builder, signature, arguments)
        return builder.atomic_rmw("xchg", pointer, new, "seq_cst")

    return array.dtype(array, index, value), generate


@intrinsic  # type: ignore[untyped-decorator]
def claim(typing_context: Any, array: Any, index: Any, turn: Any) -> Any:
    """Make `array[index]` one more than `turn` if it is `turn`, at once; return whether it was, as one thread only is told."""
    if not _holds_integers(array):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, number = _place_and_value(context, builder, signature, arguments)
        after = builder.add(number, ir.Constant(number.type, 1))
        return builder.extract_value(builder.cmpxchg(pointer, number, after, "acq_rel", "monotonic"), 1)

    return types.boolean(array, index, turn), generate


@intrinsic  # type: ignore[untyped-decorator]
def read_at_once(typing_context: Any, array: Any, index: Any) -> Any:
    """Return `array[index]`; what its writer wrote before by `write_at_once` is there from now on."""
    if not _holds_integers(array):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_place(context, builder, signature, arguments), "acquire", align=array.dtype.bitwidth // 8)

    return array.dtype(array, index), generate


@intrinsic  # type: ignore[untyped-decorator]
def write_at_once(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Write `value` to `array[index]`, after all that this thread wrote before."""
    if not _holds_integers(array):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, number = _place_and_value(context, builder, signature, arguments)
        builder.store_atomic(number, pointer, "release", align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, index, value), generate


@intrinsic  # type: ignore[untyped-decorator]
def _pause(typing_context: Any) -> Any:
    """Let a core know that it waits, where there is a word for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if "sse2" in features_of_machine():
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


@jit
def wait_for_other(array: Any, index: Any, value: Any) -> Any:
    """Return `array[index]` as soon as it is another than `value`. For waits of microseconds: the core does nothing else."""
    now = read_at_once(array, index)
    while now == value:
        _pause()
        now = read_at_once(array, index)
    return now


def _holds_integers(array: Any) -> bool:
    return isinstance(array, types.Array) and array.ndim == 1 and isinstance(array.dtype, types.Integer)


def _place_and_value(context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, Any]:
    """Return the pointer to `array[index]`, and the value as the array's type."""
    value = context.cast(builder, arguments[2], signature.args[2], signature.args[0].dtype)
    return _place(context, builder, signature, arguments), value


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Return the pointer to `array[index]`."""
    array_type, index_type = signature.args[:2]
    view = context.make_array(array_type)(context, builder, arguments[0])
    place = context.cast(builder, arguments[1], index_type, types.intp)
    return cgutils.get_item_pointer(context, builder, array_type, view, [place], wraparound=False, boundscheck=False)


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

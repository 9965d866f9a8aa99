"""Bits: words of answers, a bit a cell, and which of them are set."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from dna.cpu.compiler import jit

WORD = 64
"""Cells that answer a question side by side."""


PLACES = np.array([sum(k << 8 * i for i, k in enumerate(k for k in range(8) if byte >> k & 1)) for byte in range(256)], np.uint64)
"""Of each byte the places of the bits that are set, a byte each, and then zeros."""


@jit
def list_bits(word: Any, first: Any, slots: Any, n: Any) -> Any:
    """Write `first` + the places of the bits that are set to `slots[n:]`, and return where they end.

    What follows, up to `slots[n + WORD]`, is written over, and nothing is checked. There is no branch, as none could be foreseen.
    """
    for _ in range(WORD // 8):
        byte = word & np.uint64(255)
        write_places(slots, n, np.int32(first), PLACES[byte])
        n += count_bits(byte)
        word >>= np.uint64(8)
        first += 8
    return n


@intrinsic  # type: ignore[untyped-decorator]
def write_places(typing_context: Any, slots: Any, n: Any, first: Any, places: Any) -> Any:
    """Write `first` + each of the eight bytes of `places` to `slots[n : n + 8]`; nothing is checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        kind = ir.VectorType(ir.IntType(32), 8)
        added = builder.zext(builder.bitcast(arguments[3], ir.VectorType(ir.IntType(8), 8)), kind)
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), arguments[2], ir.Constant(ir.IntType(32), 0))
        found = builder.add(builder.shuffle_vector(one, one, ir.Constant(kind, [0] * 8)), added)
        builder.store(found, builder.bitcast(builder.gep(data, [arguments[1]]), kind.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(slots, types.uint64, types.int32, types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def count_bits(typing_context: Any, word: Any) -> Any:
    """Return how many bits of a uint64 are set, as a uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def word_of(typing_context: Any, answers: Any) -> Any:
    """Return a uint64 whose bits say which of the first 64 bytes of an array are not zero; so many must be there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        kind = ir.VectorType(ir.IntType(8), WORD)
        flags = builder.load(builder.bitcast(array.data, kind.as_pointer()), align=1)
        return builder.bitcast(builder.icmp_unsigned("!=", flags, ir.Constant(kind, None)), ir.IntType(WORD))

    return types.uint64(answers), generate

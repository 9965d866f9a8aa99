"""Bits: words of answers, a bit a cell, and which of them are set."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import intrinsic

from dna.cpu.compiler import jit

WORD = 64
"""Cells that answer a question side by side."""


@jit
def first_bit(word: Any) -> Any:
    """Return the place of the lowest bit of a uint64 that is set; one must be."""
    return np.uint64(trailing_zeros(word))


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

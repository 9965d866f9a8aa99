"""Asking for memory ahead of its use, which compiled Python has no word for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LOCALITY = 3  # keep it in all caches


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Ask for the cache line of `matrix[row, column]`, to be read; nothing is checked, and nothing waits.

    A row of shuffled data lies on a page of its own, where the machine's own prefetcher begins anew.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        at = [context.cast(builder, arguments[i], signature.args[i], types.intp) for i in (1, 2)]
        first = builder.mul(at[0], builder.extract_value(array.shape, 1))
        address = builder.gep(array.data, [builder.add(first, at[1])])
        word, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        instruction = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        builder.call(instruction, [builder.bitcast(address, pointer), word(0), word(LOCALITY), word(1)])
        return context.get_dummy_value()

    return types.void(matrix, row, column), generate

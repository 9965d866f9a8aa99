"""Asking for memory ahead of its use, which compiled Python has no word for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from dna.cpu.lanes import CACHE_LINE, literal_of

LOCALITY = 3  # keep it in all caches

CELLS_AHEAD = 32
"""Cells between asking for a weight and its use: longer than memory takes, and few enough to stay in the nearest cache."""

ROWS_AHEAD = 8
"""Cells between asking for the row at a cell's other end and its use."""

LARGE = 1 << 20
"""Cells of a pool whose columns are too large for caches."""


def asks_ahead(n_cells: int, affine: bool) -> bool:
    """Whether weights and biases are to be asked for ahead of their use.

    Cells lie in the order of their birth and are visited in the order of a plan. A cell of an affine kind is done so fast that
    its next ones are met in time, unless memory is far; any other keeps the core too busy to look ahead by itself.
    """
    return not affine or n_cells > LARGE


def asks_for_rows(near: bool, affine: bool) -> bool:
    """Whether backward is to ask for the rows at cells' other ends, unless those of a tile stay in the nearest cache.

    A cell of an affine kind is done sooner than its row comes from the second cache; any other takes longer than that.
    """
    return affine and not near


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Ask for the cache line of `matrix[row, column]`, to be read; nothing is checked, and nothing waits.

    A row of shuffled data lies on a page of its own, where the machine's own prefetcher begins anew.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        at = [context.cast(builder, arguments[i], signature.args[i], types.intp) for i in (1, 2)]
        first = builder.mul(at[0], builder.extract_value(array.shape, 1))
        ask_for_line(builder, builder.gep(array.data, [builder.add(first, at[1])]))
        return context.get_dummy_value()

    return types.void(matrix, row, column), generate


@intrinsic  # type: ignore[untyped-decorator]
def prefetch_slot(typing_context: Any, column: Any, slot: Any) -> Any:
    """Ask for the cache line of `column[slot]` of a pool, to be read; nothing is checked, and nothing waits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        at = context.cast(builder, arguments[1], signature.args[1], types.intp)
        ask_for_line(builder, builder.gep(array.data, [at]))
        return context.get_dummy_value()

    return types.void(column, slot), generate


@intrinsic  # type: ignore[untyped-decorator]
def prefetch_row(typing_context: Any, row: Any, lanes: Any) -> Any:
    """Ask for the cache lines of a row of `lanes` numbers that begins at one; nothing is checked, and nothing waits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        size = literal_of(lanes) * context.get_abi_sizeof(context.get_data_type(row.dtype))
        first = builder.bitcast(data, ir.IntType(8).as_pointer())
        for offset in range(0, size, CACHE_LINE):
            ask_for_line(builder, builder.gep(first, [context.get_constant(types.intp, offset)]))
        return context.get_dummy_value()

    return types.void(row, types.IntegerLiteral(literal_of(lanes))), generate


def ask_for_line(builder: Any, address: Any) -> None:
    word, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
    instruction = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
    builder.call(instruction, [builder.bitcast(address, pointer), word(0), word(LOCALITY), word(1)])

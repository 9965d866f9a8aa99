"""Squares of eight by eight numbers, transposed in registers: the explicit vector code of this package, by LLVM's own shuffles.

Compiled Python moves one number at a time here. The shuffles are those of any machine's vector unit, at any width.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

SIDE = 8

PAIRS = (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)
FOURS = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
HALVES = (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)
"""What the three steps take of two rows: single numbers, then pairs, then halves."""


@intrinsic  # type: ignore[untyped-decorator]
def transpose_square(
    typing_context: Any, source: Any, source_rows: Any, row: Any, column: Any,
    target: Any, target_rows: Any, place: Any, lane: Any,
) -> Any:  # fmt: skip
    """Write `target[target_rows[place + m], lane + k] = source[source_rows[row + k], column + m]` for k, m < `SIDE`.

    Both are C-contiguous matrices, and their rows are named by arrays of integers; nothing is checked.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        real = context.get_data_type(kinds[0].dtype)

        def pointers(matrix: int, rows: int, first: int, column: int) -> list[Any]:
            array = context.make_array(kinds[matrix])(context, builder, arguments[matrix])
            names = context.make_array(kinds[rows])(context, builder, arguments[rows])
            width = builder.extract_value(array.shape, 1)
            start, offset = (context.cast(builder, arguments[i], kinds[i], types.intp) for i in (first, column))
            found = []
            for k in range(SIDE):
                at = builder.add(start, context.get_constant(types.intp, k))
                name = builder.load(builder.gep(names.data, [at]))
                name = context.cast(builder, name, kinds[rows].dtype, types.intp)
                begin = builder.gep(array.data, [builder.add(builder.mul(name, width), offset)])
                found.append(builder.bitcast(begin, ir.VectorType(real, SIDE).as_pointer()))
            return found

        size = context.get_abi_sizeof(real)
        square = [builder.load(pointer, align=size) for pointer in pointers(0, 1, 2, 3)]
        for pointer, vector in zip(pointers(4, 5, 6, 7), _transposed(builder, square), strict=True):
            builder.store(vector, pointer, align=size)
        return context.get_dummy_value()

    return types.void(source, source_rows, row, column, target, target_rows, place, lane), generate


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    def take(a: Any, b: Any, which: tuple[int, ...]) -> Any:
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(cgutils.int32_t, SIDE), list(which)))

    singles = [take(rows[k], rows[k + 1], which) for k in (0, 2, 4, 6) for which in PAIRS]
    pairs = [take(singles[k + h], singles[k + h + 2], which) for k in (0, 4) for h in (0, 1) for which in FOURS]
    return [take(pairs[k], pairs[k + 4], which) for which in HALVES for k in range(4)]

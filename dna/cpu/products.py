"""Products of a few rows with a few others, a whole loop at a time, as vector code: what a training step of a matrix is made of.

All sums of a loop stay in registers, which the compiler does not manage for so many when it finds the vectors by itself. Their
order is the one that is written here, in any kernel and for any number of threads.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from dna.cpu.lanes import features_of_machine, literal_of
from dna.cpu.prefetch import ask_for_line

SAMPLES = 4
"""Samples that a loop takes."""

FLAGS = ("contract",)
WORD = ir.IntType(32)


@cache
def outputs_at_a_time() -> int:
    """Return how many outputs a loop takes beside its samples: with 32 registers twenty sums stay in them, with 16 eight."""
    return 5 if features_of_machine() & {"avx512f", "neon"} else 2


@cache
def vector_of(real: type) -> int:
    """Return the numbers of a vector; rows must have as many at least."""
    features = features_of_machine()
    bits = 512 if "avx512f" in features else 256 if "avx" in features else 128
    return max(SAMPLES, bits // (8 * np.dtype(real).itemsize))


@intrinsic  # type: ignore[untyped-decorator]
def put_products(
    typing_context: Any, out: Any, k: Any, data: Any, samples: Any, weight: Any, offset: Any, j: Any, some: Any, ahead: Any
) -> Any:
    """Write `weight[j + q] . data[samples[p]] - offset[j + q]` to `out[j + q, k + p]`, and ask for `data[ahead]`.

    For four samples and `some` outputs; their rows have one length, at least `vector_of` it. Nothing is checked, and no view
    of an array is made, whose owners threads would have to count.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        at = _Arguments(context, builder, signature, arguments)
        first, lane, count = at.number(6), at.number(1), literal_of(some)
        rows = _Rows(at, at.rows(2, at.numbers(3)), at.some_rows(4, first, count), at.rows(2, [at.number(8)]))
        target, less = at.array(0), at.array(5)

        def body(at: Any, sums: list[Any], mask: Any) -> list[Any]:
            vectors = [rows.load(row, at, mask) for row in rows.samples]
            factors = [rows.load(row, at) for row in rows.outputs]
            return [rows.fma(v, factors[q], sums[q * SAMPLES + p]) for q in range(count) for p, v in enumerate(vectors)]

        sums = rows.loop(body, [rows.zero] * (count * SAMPLES))
        width = builder.extract_value(target.shape, 1)
        for q in range(count):
            row = builder.add(first, rows.number(q))
            four = _four_sums(builder, sums[q * SAMPLES : (q + 1) * SAMPLES])
            four = builder.fsub(four, rows.spread(builder.load(builder.gep(less.data, [row])), SAMPLES), FLAGS)
            place = builder.gep(target.data, [builder.add(builder.mul(row, width), lane)])
            builder.store(four, builder.bitcast(place, four.type.as_pointer()), align=rows.size)
        return context.get_dummy_value()

    return types.void(out, k, data, samples, weight, offset, j, types.IntegerLiteral(literal_of(some)), ahead), generate


@intrinsic  # type: ignore[untyped-decorator]
def add_products(
    typing_context: Any, gradient: Any, k: Any, data: Any, samples: Any, sums: Any, j: Any, some: Any, ahead: Any
) -> Any:
    """Add `gradient[j + q, k + p] * data[samples[p]]`, over all p, to `sums[j + q]`; ask for `data[ahead]` likewise."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        at = _Arguments(context, builder, signature, arguments)
        first, lane, count = at.number(5), at.number(1), literal_of(some)
        rows = _Rows(at, at.rows(2, at.numbers(3)), at.some_rows(4, first, count), at.rows(2, [at.number(7)]))
        source = at.array(0)
        width = builder.extract_value(source.shape, 1)
        factors = []
        for q in range(count):
            begin = builder.add(builder.mul(builder.add(first, rows.number(q)), width), lane)
            places = [builder.gep(source.data, [builder.add(begin, rows.number(p))]) for p in range(SAMPLES)]
            factors.append([rows.spread(builder.load(place), rows.lanes) for place in places])

        def body(at: Any, nothing: list[Any], mask: Any) -> list[Any]:
            totals = [rows.load(row, at) for row in rows.outputs]
            for p, row in enumerate(rows.samples):
                v = rows.load(row, at, mask)
                totals = [rows.fma(factors[q][p], v, total) for q, total in enumerate(totals)]
            for row, total in zip(rows.outputs, totals, strict=True):
                builder.store(total, rows.place(row, at), align=rows.size)
            return nothing

        rows.loop(body, [])
        return context.get_dummy_value()

    return types.void(gradient, k, data, samples, sums, j, types.IntegerLiteral(literal_of(some)), ahead), generate


class _Arguments:
    """The arguments of a call while its code is made."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        self.context, self.builder, self.kinds, self._values = context, builder, signature.args, values

    def array(self, i: int) -> Any:
        return self.context.make_array(self.kinds[i])(self.context, self.builder, self._values[i])

    def number(self, i: int) -> Any:
        return self.context.cast(self.builder, self._values[i], self.kinds[i], types.intp)

    def numbers(self, i: int) -> list[Any]:
        """Return those of a tuple."""
        parts = [self.builder.extract_value(self._values[i], p) for p in range(len(self.kinds[i]))]
        return [self.context.cast(self.builder, part, kind, types.intp) for part, kind in zip(parts, self.kinds[i], strict=True)]

    def rows(self, i: int, which: list[Any]) -> list[Any]:
        """Return where these rows of a matrix begin."""
        matrix = self.array(i)
        width = self.builder.extract_value(matrix.shape, 1)
        return [self.builder.gep(matrix.data, [self.builder.mul(row, width)]) for row in which]

    def some_rows(self, i: int, first: Any, count: int) -> list[Any]:
        """Return where `count` rows that follow one another begin."""
        constants = [self.context.get_constant(types.intp, q) for q in range(count)]
        return self.rows(i, [self.builder.add(first, q) for q in constants])


class _Rows:
    """Rows of one length while code is made: of samples, of outputs, and one to ask for; the matrix is argument 2."""

    def __init__(self, at: _Arguments, samples: list[Any], outputs: list[Any], ahead: list[Any]) -> None:
        self._context, self._builder = context, builder = at.context, at.builder
        self.samples, self.outputs, self._ahead = samples, outputs, ahead[0]
        self._length = builder.extract_value(at.array(2).shape, 1)
        real = context.get_data_type(at.kinds[2].dtype)
        self.size = context.get_abi_sizeof(real)
        self.lanes = vector_of(np.float32 if self.size == 4 else np.float64)
        self.vector = ir.VectorType(real, self.lanes)
        self.zero = ir.Constant(self.vector, [ir.Constant(real, 0.0)] * self.lanes)
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fmuladd.v{self.lanes}f{8 * self.size}"
        self._fma = cgutils.get_or_insert_function(builder.module, kind, name)

    def number(self, value: int) -> Any:
        return self._context.get_constant(types.intp, value)

    def place(self, row: Any, at: Any) -> Any:
        return self._builder.bitcast(self._builder.gep(row, [at]), self.vector.as_pointer())

    def load(self, row: Any, at: Any, mask: Any = None) -> Any:
        """Return the vector of a row from `at` on, with zeros where a mask is false."""
        vector = self._builder.load(self.place(row, at), align=self.size)
        return vector if mask is None else self._builder.select(mask, vector, self.zero)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self._builder.call(self._fma, [a, b, c])

    def spread(self, scalar: Any, lanes: int) -> Any:
        vector = ir.VectorType(scalar.type, lanes)
        one = self._builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, WORD(0))
        return _shuffled(self._builder, one, one, [0] * lanes)

    def loop(self, body: Any, start: list[Any]) -> list[Any]:
        """Run `body(at, values, mask) -> values` over all vectors of the rows; the last one overlaps, and is masked."""
        builder, step = self._builder, self.number(self.lanes)
        before, loop, tail, end = builder.block, *(builder.append_basic_block(name) for name in ("vectors", "tail", "end"))
        builder.branch(loop)
        builder.position_at_end(loop)
        at = builder.phi(step.type)
        values = [builder.phi(value.type) for value in start]
        ask_for_line(builder, builder.gep(self._ahead, [at]))
        after, following = body(at, values, None), builder.add(at, step)
        for phi, first, new in zip([at, *values], [self.number(0), *start], [following, *after], strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(new, loop)
        fits = builder.icmp_signed("<=", builder.add(following, step), self._length)
        leave = builder.append_basic_block("leave")
        builder.cbranch(fits, loop, leave)
        builder.position_at_end(leave)
        builder.cbranch(builder.icmp_signed("<", following, self._length), tail, end)
        builder.position_at_end(tail)
        last = builder.sub(self._length, step)
        done = builder.trunc(builder.sub(following, last), WORD)
        numbers = ir.Constant(ir.VectorType(WORD, self.lanes), list(range(self.lanes)))
        masked = body(last, after, builder.icmp_signed(">=", numbers, self.spread(done, self.lanes)))
        builder.branch(end)
        builder.position_at_end(end)
        ends = [builder.phi(value.type) for value in start]
        for phi, whole, more in zip(ends, after, masked, strict=True):
            phi.add_incoming(whole, leave)
            phi.add_incoming(more, tail)
        return ends


def _four_sums(builder: Any, vectors: list[Any]) -> Any:
    """Return the sums of four vectors as one: pairs are added crosswise until every lane holds a part of its own."""
    one, other = _crossed(builder, vectors[0], vectors[1], 1), _crossed(builder, vectors[2], vectors[3], 1)
    total = _crossed(builder, one, other, 2)
    lanes = total.type.count
    while lanes > SAMPLES:
        lanes //= 2
        halves = [_shuffled(builder, total, total, list(range(k * lanes, (k + 1) * lanes))) for k in (0, 1)]
        total = builder.fadd(*halves, FLAGS)
    return total


def _crossed(builder: Any, a: Any, b: Any, block: int) -> Any:
    """Return the sums of neighbouring blocks of lanes of two vectors, those of `a` and of `b` in turn."""
    lanes: int = a.type.count
    low: list[int] = []
    high: list[int] = []
    for begin in range(0, lanes, 2 * block):
        for vector in (0, lanes):
            low += range(vector + begin, vector + begin + block)
            high += range(vector + begin + block, vector + begin + 2 * block)
    return builder.fadd(_shuffled(builder, a, b, low), _shuffled(builder, a, b, high), FLAGS)


def _shuffled(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(WORD, len(lanes)), lanes))

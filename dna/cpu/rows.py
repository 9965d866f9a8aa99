"""Products of rows on the CPU: samples as they lie, times the rows of a matrix. SIMD runs along the rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cells import Activation
from dna.cpu.compiler import jit, kernel, pasted
from dna.cpu.lanes import VECTOR, add_scaled, copy_row, fill, new_row, part_of_row
from dna.cpu.prefetch import prefetch

SAMPLES = 8
"""Samples that a thread takes at a time: their rows and two of the matrix fit into the nearest cache, and lie in one tile."""

OUTPUTS = 64
"""Outputs that a thread takes at a time, where there are more."""

COLUMNS = 128
"""Inputs that a thread takes at a time: so many columns of a matrix of a thousand outputs stay in the second cache."""

FOUR, ACROSS = 4, 64
"""Samples and inputs of a tile of sums that stay in registers."""

LINE = 64


@jit
def _keep_row(row: Any, own: Any) -> Any:
    """Copy a row; return whether it holds NaN or Inf."""
    wrong = 0
    for i in range(len(row)):
        own[i] = row[i]
        wrong |= row[i] - row[i] != 0
    return wrong


@jit
def _ask_for(data: Any, rows: Any, first: Any, end: Any) -> None:
    """Ask for the rows of samples that come soon."""
    for s in range(first, min(end, len(rows))):
        for i in range(0, data.shape[1], LINE // data.itemsize):
            prefetch(data, rows[s], i)


@cache
def rows_forward(activation: Activation, real: type, alone: bool) -> Callable[..., Any]:
    """Build `forward(data, rows, kept, weight, offset, outputs, potentials, out) -> finite`: potentials of the outputs.

    They go as rows to `out` too, unless that is empty. Unless `kept` is empty, the data are looked at and copied there first, as
    their owner may change them before they go back; where they are not finite nothing else happens. A sum belongs to one thread.
    """
    block = block_multiplier(activation, real)

    @kernel(activation.build(real).value, real, activation.name == "identity", parallel=not alone)
    def forward(
        data: Any, rows: Any, kept: Any, weight: Any, offset: Any, outputs: Any, potentials: Any, out: Any
    ) -> Any:
        n, width = len(rows), len(offset)
        wrong = 0
        for s in numba.prange(len(kept)):
            wrong += _keep_row(data[s], kept[s])
        if wrong > 0:
            return False
        across = (width + OUTPUTS - 1) // OUTPUTS
        for job in numba.prange((n + SAMPLES - 1) // SAMPLES * across):
            first, low = job // across * SAMPLES, job % across * OUTPUTS
            end, high = min(n, first + SAMPLES), min(width, low + OUTPUTS)
            block(first, end, low, high, data, rows, weight, offset, outputs, potentials, out)
        return True

    return forward


@cache
def block_multiplier(activation: Activation, real: type) -> Callable[..., Any]:
    """Build `block(first, end, low, high, data, rows, weight, offset, outputs, potentials, out)`, for kernels.

    Samples `first` to `end` at outputs `low` to `high`. Two samples and five outputs at a time: seven rows are read for ten
    products.
    """
    value, identity = jit(activation.build(real).value), activation.name == "identity"
    zero = real(0)

    @jit
    def one_by_one(a: Any, v: Any) -> Any:
        total = zero
        for i in range(len(v)):
            total += a[i] * v[i]
        return total

    @jit
    def two_by_five(a: Any, b: Any, q: Any, r: Any, u: Any, v: Any, w: Any) -> Any:
        aq, ar, au, av, aw, bq, br, bu, bv, bw = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
        for i in range(len(a)):
            aq += a[i] * q[i]
            ar += a[i] * r[i]
            au += a[i] * u[i]
            av += a[i] * v[i]
            aw += a[i] * w[i]
            bq += b[i] * q[i]
            br += b[i] * r[i]
            bu += b[i] * u[i]
            bv += b[i] * v[i]
            bw += b[i] * w[i]
        return (aq, ar, au, av, aw), (bq, br, bu, bv, bw)

    @jit
    def put(total: Any, s: Any, t: Any, k: Any, j: Any, offset: Any, outputs: Any, potentials: Any, out: Any) -> None:
        v = total - offset[j]
        if not identity:
            v = value(v)
        potentials[t, np.uint64(outputs[j]), k] = v
        if len(out) > 0:
            out[s, j] = v

    @jit
    def block(
        first: Any, end: Any, low: Any, high: Any, data: Any, rows: Any, weight: Any, offset: Any, outputs: Any, potentials: Any,
        out: Any,
    ) -> None:  # fmt: skip
        fives, twos, t = low + (high - low) // 5 * 5, first + (end - first) // 2 * 2, first // potentials.shape[2]
        before = np.uint64(t * potentials.shape[2])
        for s in range(np.uint64(first), np.uint64(twos), 2):
            a, b = data[rows[s]], data[rows[s + np.uint64(1)]]
            _ask_for(data, rows, s + np.uint64(2), s + np.uint64(4))
            for j in range(np.uint64(low), np.uint64(fives), 5):
                of_a, of_b = two_by_five(a, b, weight[j], weight[j + 1], weight[j + 2], weight[j + 3], weight[j + 4])
                for k in range(5):
                    put(of_a[k], s, t, s - before, j + np.uint64(k), offset, outputs, potentials, out)
                    put(of_b[k], s + 1, t, s + 1 - before, j + np.uint64(k), offset, outputs, potentials, out)
        for s in range(np.uint64(first), np.uint64(end)):
            for j in range(np.uint64(fives if s < twos else low), np.uint64(high)):
                put(one_by_one(data[rows[s]], weight[j]), s, t, s - before, j, offset, outputs, potentials, out)

    blocks: Callable[..., Any] = block
    return blocks


@cache
def rows_backward(real: type, alone: bool) -> Callable[..., Any]:
    """Build `backward(data, rows, gradient, outputs, totals, by_weight, parts)`: the gradient of the matrix, and sums by output.

    `parts` is room for the gradients of all parts of the batch but the first, which is gathered in `by_weight`. A part belongs to
    one thread, and parts are summed in order.
    """
    zero = real(0)

    @jit
    def four_by_two(a: Any, b: Any, c: Any, d: Any, g: Any, h: Any, by_v: Any, by_w: Any) -> None:
        for i in range(len(by_v)):
            by_v[i] += g[0] * a[i] + g[1] * b[i] + g[2] * c[i] + g[3] * d[i]
            by_w[i] += h[0] * a[i] + h[1] * b[i] + h[2] * c[i] + h[3] * d[i]

    @jit
    def one_by_one(a: Any, g: Any, by_v: Any) -> None:
        for i in range(len(by_v)):
            by_v[i] += g * a[i]

    @jit
    def block(
        first: Any, end: Any, low: Any, high: Any, data: Any, rows: Any, gradient: Any, outputs: Any, by_weight: Any
    ) -> None:
        tile = gradient.shape[2]
        pairs, fours = low + (high - low) // 2 * 2, first + (end - first) // 4 * 4
        for s in range(first, fours, 4):
            a, b, c, d = data[rows[s]], data[rows[s + 1]], data[rows[s + 2]], data[rows[s + 3]]
            t, k = s // tile, s % tile
            for j in range(low, pairs, 2):
                g, h = gradient[t, outputs[j], k : k + 4], gradient[t, outputs[j + 1], k : k + 4]
                of_v, of_w = (g[0], g[1], g[2], g[3]), (h[0], h[1], h[2], h[3])
                four_by_two(a, b, c, d, of_v, of_w, by_weight[j], by_weight[j + 1])
            for j in range(pairs, high):
                for q in range(4):
                    one_by_one(data[rows[s + q]], gradient[t, outputs[j], k + q], by_weight[j])
        for s in range(fours, end):
            for j in range(low, high):
                one_by_one(data[rows[s]], gradient[s // tile, outputs[j], s % tile], by_weight[j])

    @kernel("dense backward", real, parallel=not alone)
    def backward(data: Any, rows: Any, gradient: Any, outputs: Any, totals: Any, by_weight: Any, parts: Any) -> None:
        n, width, n_parts = len(rows), len(outputs), len(parts) + 1
        across = (width + OUTPUTS - 1) // OUTPUTS
        for job in numba.prange(n_parts * across):
            part, low = job // across, job % across * OUTPUTS
            high, first, end = min(width, low + OUTPUTS), part * n // n_parts // 4 * 4, (part + 1) * n // n_parts // 4 * 4
            if part == n_parts - 1:
                end = n
            own = by_weight if part == 0 else parts[part - 1]
            for j in range(low, high):
                own[j] = zero
            block(first, end, low, high, data, rows, gradient, outputs, own)
        for j in numba.prange(width):
            own = by_weight[j]
            for part in range(n_parts - 1):
                more = parts[part, j]
                for i in range(len(own)):
                    own[i] += more[i]
            total = zero
            for t in range(gradient.shape[0]):
                lanes = gradient[t, outputs[j]]
                for k in range(len(lanes)):
                    total += lanes[k]
            totals[j] = total

    return backward


@cache
def inputs_backward(real: type, alone: bool) -> Callable[..., Any]:
    """Build `backward(gradient, outputs, weight, out)`: dL/dV of the inputs as rows in `out`, (batch, n_in).

    Four samples and `ACROSS` inputs at a time: their sums stay in sixteen registers while all outputs pass by.
    """
    zero = real(0)

    def tiler(lanes: int) -> Callable[..., Any]:
        @pasted
        def tile(s: Any, end: Any, t: Any, k: Any, i: Any, gradient: Any, outputs: Any, weight: Any, out: Any) -> None:
            a, b, c, d = new_row(out, lanes), new_row(out, lanes), new_row(out, lanes), new_row(out, lanes)
            fill(a, 0, zero, lanes)
            fill(b, 0, zero, lanes)
            fill(c, 0, zero, lanes)
            fill(d, 0, zero, lanes)
            for j in range(np.uint64(len(outputs))):
                row, g = part_of_row(weight, j, i, lanes), gradient[t, np.uint64(outputs[j])]
                add_scaled(a, 0, g[k], row, lanes)
                add_scaled(b, 0, g[k + np.uint64(1)], row, lanes)
                add_scaled(c, 0, g[k + np.uint64(2)], row, lanes)
                add_scaled(d, 0, g[k + np.uint64(3)], row, lanes)
            copy_row(part_of_row(out, s, i, lanes), a, lanes)
            if s + np.uint64(1) < end:
                copy_row(part_of_row(out, s + np.uint64(1), i, lanes), b, lanes)
            if s + np.uint64(2) < end:
                copy_row(part_of_row(out, s + np.uint64(2), i, lanes), c, lanes)
            if s + np.uint64(3) < end:
                copy_row(part_of_row(out, s + np.uint64(3), i, lanes), d, lanes)

        return tile

    wide_tile, tile = tiler(ACROSS), tiler(VECTOR)

    @jit
    def block(first: Any, end: Any, t: Any, low: Any, high: Any, gradient: Any, outputs: Any, weight: Any, out: Any) -> None:
        before, wide = t * gradient.shape[2], low + (high - low) // ACROSS * ACROSS
        end_of_tiles = high if high - low >= VECTOR else low
        for s in range(np.uint64(first), np.uint64(end), FOUR):  # lanes past the end of the batch are zeros
            k = s - np.uint64(before)
            for i in range(np.uint64(low), np.uint64(wide), ACROSS):
                wide_tile(s, np.uint64(end), np.uint64(t), k, i, gradient, outputs, weight, out)
            for i in range(np.uint64(wide), np.uint64(end_of_tiles), VECTOR):  # the last one may begin within the one before
                column = min(i, np.uint64(end_of_tiles - VECTOR))
                tile(s, np.uint64(end), np.uint64(t), k, column, gradient, outputs, weight, out)
        for s in range(np.uint64(first), np.uint64(end)):
            for i in range(np.uint64(end_of_tiles), np.uint64(high)):
                total = zero
                for j in range(np.uint64(len(outputs))):
                    total += gradient[t, np.uint64(outputs[j]), s - np.uint64(before)] * weight[j, i]
                out[s, i] = total

    @kernel("inputs backward", real, parallel=not alone)
    def backward(gradient: Any, outputs: Any, weight: Any, out: Any) -> None:
        n, width = out.shape
        tile = gradient.shape[2]
        across, blocks = (width + COLUMNS - 1) // COLUMNS, (n + SAMPLES - 1) // SAMPLES
        for job in numba.prange(blocks * across):
            first, low = job % blocks * SAMPLES, job // blocks * COLUMNS
            block(first, min(n, first + SAMPLES), first // tile, low, min(width, low + COLUMNS), gradient, outputs, weight, out)

    return backward

"""Forward on the GPU: potentials of one level from those below it. Neighbouring threads hold neighbouring samples of a tile."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.backend import Maths
from dna.cells import Activation, CellKind
from dna.cuda.device import FULL, WARP, bounded_kernel, cuda, jit, kernel, launch, launch_over
from dna.cuda.memory import Scratch, launch_over_rows
from dna.cuda.plan import Side
from dna.cuda.stages import RECORD, THREADS, WARPS, blocks_at_once, rows_of
from dna.cuda.staging import PASS, bound_in_pass, cell_stager, row_copier
from dna.cuda.wide import bits_of, loader, row_packer, storer
from dna.types import Array, Cells, Nodes


def gather(maths: Maths, level: int, side: Side, cells: Cells, potentials: Array, scratch: Scratch) -> None:
    """Compute the potentials of one level by the gather plan."""
    stage, activation, real = side.stages[level], maths.activations[level], maths.real
    tiles, _, tile = potentials.shape
    jobs = stage.panels * tiles
    splits = stage.splits(jobs)
    n_sums = splits * tiles * len(stage.nodes) * tile if splits > 1 else 1
    sums = scratch.array("sums of parts", n_sums, maths.dtype)
    run = gatherer(maths.kind, activation, real, tile // WARP, stage.layout.each, stage.layout.shared)
    where = stage.first, stage.low, stage.layout.shelves, splits
    launch(run, jobs * splits, THREADS, stage.nodes, cells.weight, cells.bias, side.order, where, potentials, sums)
    if splits > 1:
        launch_over_rows(adder(activation, real), stage.nodes, potentials, sums, splits)


def scatter(maths: Maths, level: int, nodes: Nodes, cells: Cells, bump: int, potentials: Array) -> None:
    """Compute the potentials of one level straight over the pool."""
    members, tiles = nodes.by_level[level], potentials.shape[0]
    launch_over_rows(clearer(maths.real), members, potentials)
    launch_over(scatterer(maths.kind, maths.real), bump * tiles * WARP, level, cells, bump, nodes.level, potentials)
    launch_over_rows(activator(maths.activations[level], maths.real), members, potentials)


@cache
def gatherer(kind: CellKind, activation: Activation, real: type, lanes: int, each: int, shared: bool) -> Callable[..., Any]:
    """Build `gather_level(nodes, weight, bias, order, where, potentials, sums)`, where `order` is cells by target.

    A block is a panel and a tile, and a share of the shelves; a warp has `each` nodes of the panel, a lane `lanes` samples of the
    tile. It sums a node's cells in the order of the plan. The blocks that share a panel leave parts in `sums`, for `adder`.

    Bytes a cell-sample: one `real` from shared memory; from beyond it one `real` over the uses of a row in a panel, and a cell's
    plan and numbers (16 bytes of float32) over the samples of a tile. Without `shared`, one `real` from beyond. Operations: the
    current and one addition (2 instructions for a linear cell, 3 for ReLU), and for each cell, divided by `lanes`, one load of
    the row and seven instructions to find it. Floor on an H200: 8.4 T cell-samples/s, by shared memory.
    """
    current, value = jit(kind.build(real).current), jit(activation.build(real).value)
    load, store, pack, load_record, (_, show) = loader(lanes), storer(lanes), row_packer(lanes), loader(RECORD), bits_of(real)
    load_one, copy, stage, bound_of = loader(1), row_copier(lanes), cell_stager(real), bound_in_pass()
    zero, dtype, rows, tile, width = real(0), np.dtype(real), rows_of(real), lanes * WARP, each * WARPS
    shelf_size, records_size = rows * tile if shared else 1, WARPS * PASS * RECORD

    @bounded_kernel(THREADS, blocks_at_once(real))
    def gather_level(
        nodes: Any, weight: Any, bias: Any, order: Any, where: Any, potentials: Any, sums: Any
    ) -> None:  # fmt: skip
        shelf = cuda.shared.array(shelf_size, dtype, 16)
        records = cuda.shared.array(records_size, dtype, 16)
        totals = cuda.local.array((each, lanes), dtype)
        for j in range(each):
            for q in range(lanes):
                totals[j, q] = zero
        first_key, low, shelves, splits = where
        lane, warp = np.int32(cuda.threadIdx.x % WARP), np.int32(cuda.threadIdx.x // WARP)
        mine = np.int32(lane * lanes)
        tiles, n_nodes, n = potentials.shape[0], potentials.shape[1], nodes.shape[0]
        t, rest = cuda.blockIdx.x % tiles, cuda.blockIdx.x // tiles
        panel, split = rest // splits, rest % splits
        for f in range(np.int32(split * shelves // splits), np.int32((split + 1) * shelves // splits)):
            key = np.int32(first_key + (panel * shelves + f) * width)
            if load_one(order.start, key)[0] == load_one(order.start, key + width)[0]:
                continue
            first = np.int32(low + f * rows if shared else 0)
            origin = (t * n_nodes + first) * tile
            if shared:
                copy(potentials, origin, shelf, min(rows, n_nodes - first) * tile)
            bounds = load_one(order.start, key + warp * each + (lane if lane < each else each))[0]
            stop = cuda.shfl_sync(FULL, bounds, each)
            for at in range(cuda.shfl_sync(FULL, bounds, 0), stop, np.int32(PASS)):
                stage(order, weight, bias, at, stop, first, tile if shared else 1, records, warp * PASS + lane)
                c = np.int32(warp * PASS)
                for j in range(each):
                    end = np.int32(bound_of(bounds, j + 1, at) + warp * PASS)
                    while c < end:
                        w, b, place, _ = load_record(records, RECORD * c)
                        c = np.int32(c + 1)
                        if shared:
                            v = load(shelf, show(place) + mine)
                        else:
                            v = load(potentials, origin + np.int64(show(place)) * tile + mine)
                        for q in range(lanes):
                            totals[j, q] += current(w, v[q], b)
        for j in range(each):
            i = panel * width + warp * each + j
            if i < n and splits > 1:
                store(sums, ((split * tiles + t) * n + i) * tile + mine, pack(totals, j))
            elif i < n:
                for q in range(lanes):
                    totals[j, q] = value(totals[j, q])
                store(potentials, (t * n_nodes + nodes[i]) * tile + mine, pack(totals, j))

    return gather_level  # type: ignore[no-any-return]


@cache
def adder(activation: Activation, real: type) -> Callable[..., Any]:
    """Build `add_parts(nodes, potentials, sums, splits)`: sums of parts, added in the order of the parts, become potentials.

    Bytes a node and sample: one `real` read a part, one written.
    """
    value, zero = jit(activation.build(real).value), real(0)

    @kernel
    def add_parts(nodes: Any, potentials: Any, sums: Any, splits: Any) -> None:
        lane, n, tile = cuda.threadIdx.x % WARP, nodes.shape[0], potentials.shape[2]
        rows = potentials.shape[0] * n
        for row in range(cuda.grid(1) // WARP, rows, cuda.gridsize(1) // WARP):
            t, node = row // n, nodes[row % n]
            for k in range(lane, tile, WARP):
                total = zero
                for part in range(splits):
                    total += sums[(part * rows + row) * tile + k]
                potentials[t, node, k] = value(total)

    return add_parts


@cache
def clearer(real: type) -> Callable[..., Any]:
    """Build `clear(nodes, potentials)`: zeros, for the scatter plan to add to. Bytes a node and sample: one `real` written."""
    zero = real(0)

    @kernel
    def clear(nodes: Any, potentials: Any) -> None:
        lane, n = cuda.threadIdx.x % WARP, nodes.shape[0]
        for row in range(cuda.grid(1) // WARP, potentials.shape[0] * n, cuda.gridsize(1) // WARP):
            t, node = row // n, nodes[row % n]
            for k in range(lane, potentials.shape[2], WARP):
                potentials[t, node, k] = zero

    return clear


@cache
def scatterer(kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `scatter_level(level, cells, bump, node_level, potentials)`, straight over the pool: a warp a cell and tile.

    Currents are added atomically, in an order that depends on timing. Bytes a cell-sample: one `real` read, one atomic addition,
    and for each warp the cell's 16 bytes and two `real`; operations: the current and the addition.
    """
    current = jit(kind.build(real).current)

    @kernel
    def scatter_level(level: Any, cells: Any, bump: Any, node_level: Any, potentials: Any) -> None:
        lane, tiles = cuda.threadIdx.x % WARP, potentials.shape[0]
        for job in range(cuda.grid(1) // WARP, bump * tiles, cuda.gridsize(1) // WARP):
            s, t = job // tiles, job % tiles
            if cells.id[s] >= 0 and node_level[cells.target[s]] == level:
                source, target, w, b = cells.source[s], cells.target[s], cells.weight[s], cells.bias[s]
                for k in range(lane, potentials.shape[2], WARP):
                    cuda.atomic.add(potentials, (t, target, k), current(w, potentials[t, source, k], b))

    return scatter_level


@cache
def activator(activation: Activation, real: type) -> Callable[..., Any]:
    """Build `activate_level(nodes, potentials)`: sums of currents become potentials.

    Bytes a node and sample: one `real` read, one written.
    """
    value = jit(activation.build(real).value)

    @kernel
    def activate_level(nodes: Any, potentials: Any) -> None:
        lane, n = cuda.threadIdx.x % WARP, nodes.shape[0]
        for row in range(cuda.grid(1) // WARP, potentials.shape[0] * n, cuda.gridsize(1) // WARP):
            t, node = row // n, nodes[row % n]
            for k in range(lane, potentials.shape[2], WARP):
                potentials[t, node, k] = value(potentials[t, node, k])

    return activate_level

"""Backward on the GPU: gradients of one level's nodes and of all cells that leave them. Lanes of a warp hold samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.backend import Maths, Update
from dna.cells import Activation, CellKind
from dna.cells.pull import puller
from dna.cuda.apply import finisher
from dna.cuda.device import FULL, WARP, bounded_kernel, cuda, jit, kernel, launch, launch_over
from dna.cuda.forward import clearer
from dna.cuda.memory import Scratch, launch_over_rows
from dna.cuda.plan import Side
from dna.cuda.stages import RECORD, THREADS, WARPS, blocks_at_once, rows_of
from dna.cuda.staging import PASS, bound_in_pass, cell_stager, row_copier
from dna.cuda.warp import pair_sum, warp_sum
from dna.cuda.wide import bits_of, loader, row_packer, storer
from dna.types import Array, Cells, Nodes


def gather(
    maths: Maths, level: int, side: Side, cells: Cells, potentials: Array, gradient: Array, pass_on: bool, scratch: Scratch,
    update: Update | None = None,
) -> None:  # fmt: skip
    """Compute the gradients of one level's nodes, and of the cells that leave them, by the gather plan.

    With `update` these cells are updated, and their gradients are not kept.
    """
    stage, activation, real = side.stages[level], maths.activations[level], maths.real
    tiles, _, tile = potentials.shape
    splits = stage.splits(stage.panels)
    n_sums = splits * tiles * len(stage.nodes) * tile if splits > 1 and pass_on else 1
    sums = scratch.array("sums of parts", n_sums, maths.dtype)
    finish, more = finisher(cells, update, real)
    run = gatherer(maths.kind, activation, real, tile // WARP, stage.layout.each, stage.layout.shared, pass_on, finish)
    where = stage.first, stage.low, stage.layout.shelves, splits
    own = cells.weight, cells.bias, cells.weight_grad, cells.bias_grad, *more
    launch(run, stage.panels * splits, THREADS, stage.nodes, own, side.order, where, potentials, gradient, sums)
    if splits > 1 and pass_on:
        launch_over_rows(adder(activation, real), stage.nodes, potentials, sums, splits, gradient)


def scatter(
    maths: Maths, level: int, nodes: Nodes, cells: Cells, bump: int, potentials: Array, gradient: Array, pass_on: bool
) -> None:
    """Compute the same straight over the pool."""
    real, members = maths.real, nodes.by_level[level]
    if pass_on:
        launch_over_rows(clearer(real), members, gradient)
    run = scatterer(maths.kind, real)
    launch_over(run, bump * WARP, level, cells, bump, nodes.level, potentials, gradient, pass_on)
    through_activation(maths, level, nodes, potentials, gradient)


def through_activation(maths: Maths, level: int, nodes: Nodes, potentials: Array, gradient: Array) -> None:
    """Turn dL/dV of one level into dL/d(sum of currents), in place."""
    activation, members = maths.activations[level], nodes.by_level[level]
    if activation.name != "identity":
        launch_over_rows(slope_multiplier(activation, maths.real), members, potentials, gradient)


@cache
def gatherer(
    kind: CellKind, activation: Activation, real: type, lanes: int, each: int, shared: bool, pass_on: bool,
    finish: Callable[..., Any],
) -> Callable[..., Any]:  # fmt: skip
    """Build `gather_level(nodes, own, order, where, potentials, gradient, sums)`.

    `own` are columns of the cells: weight, bias, their gradients, and what `finish` needs beside them. That one does something
    with a cell's gradients: it keeps them, or updates the cell (see `dna.cuda.apply`).

    Source-stationary; `order` is cells by source. A block is a panel and a share of the shelves; a warp has `each` nodes of the
    panel, a lane `lanes` samples of a tile. The nodes' potentials and the gradient that gathers there stay in registers, while
    each cell takes the gradient of its target from the shelf. No atomics, and the same order of sums on every run: a cell
    belongs to one warp for all tiles. `pass_on` says whether dL/d(sum of currents) of the nodes is wanted; it is written to
    `gradient`, or its parts to `sums`, for `adder`.

    Bytes a cell-sample: one `real` from shared memory; from beyond it one `real` over the uses of a row in a panel, and a cell's
    plan, numbers and gradients (32 bytes of float32) over the samples of a tile. Without `shared`, one `real` from beyond.
    Operations: the current, its slope, two multiply-adds and an addition (3 instructions for a linear cell, 6 for
    ReLU), and for each cell, divided by `lanes`, one load of the row, eleven instructions to sum over the warp and ten to find
    it and keep its gradients. Floor on an H200: about 5 T cell-samples/s, by instructions.
    """
    maths = kind.build(real)
    current, pull, slope = jit(maths.current), puller(maths, jit), jit(activation.build(real).slope)
    load, store, pack, load_record, (_, show) = loader(lanes), storer(lanes), row_packer(lanes), loader(RECORD), bits_of(real)
    store_one, load_one = storer(1), loader(1)
    copy, stage, bound_of, sum_pair = row_copier(lanes), cell_stager(real), bound_in_pass(), pair_sum()
    zero, dtype, rows, tile, width = real(0), np.dtype(real), rows_of(real), lanes * WARP, each * WARPS
    shelf_size, records_size = rows * tile if shared else 1, WARPS * PASS * RECORD

    @bounded_kernel(THREADS, blocks_at_once(real))
    def gather_level(
        nodes: Any, own: Any, order: Any, where: Any, potentials: Any, gradient: Any, sums: Any
    ) -> None:  # fmt: skip
        shelf = cuda.shared.array(shelf_size, dtype, 16)
        records = cuda.shared.array(records_size, dtype, 16)
        v = cuda.local.array((each, lanes), dtype)
        dv = cuda.local.array((each, lanes), dtype)
        first_key, low, shelves, splits = where
        lane, warp = np.int32(cuda.threadIdx.x % WARP), np.int32(cuda.threadIdx.x // WARP)
        mine, record = np.int32(lane * lanes), np.int32(warp * PASS + lane)
        part = np.int32(lane // 16 * 2 + lane % 2 if lane % 16 < 2 else -1)
        tiles, n_nodes, n = potentials.shape[0], potentials.shape[1], nodes.shape[0]
        panel, split = cuda.blockIdx.x // splits, cuda.blockIdx.x % splits
        start = np.int32(panel * width + warp * each)
        for t in range(np.int32(tiles)):
            for j in range(each):
                if start + j < n:
                    row = load(potentials, (t * n_nodes + nodes[start + j]) * tile + mine)
                    for q in range(lanes):
                        v[j, q] = row[q]
                for q in range(lanes):
                    dv[j, q] = zero
            for f in range(np.int32(split * shelves // splits), np.int32((split + 1) * shelves // splits)):
                key = np.int32(first_key + (panel * shelves + f) * width)
                if load_one(order.start, key)[0] == load_one(order.start, key + width)[0]:
                    continue
                first = np.int32(low + f * rows if shared else 0)
                origin = (t * n_nodes + first) * tile
                if shared:
                    copy(gradient, origin, shelf, min(rows, n_nodes - first) * tile)
                bounds = load_one(order.start, key + warp * each + (lane if lane < each else each))[0]
                stop = cuda.shfl_sync(FULL, bounds, each)
                for at in range(cuda.shfl_sync(FULL, bounds, 0), stop, np.int32(PASS)):
                    slot = stage(order, own[0], own[1], at, stop, first, tile if shared else 1, records, record)
                    c = np.int32(warp * PASS)
                    for j in range(each):
                        end = np.int32(bound_of(bounds, j + 1, at) + warp * PASS)
                        while c < end:
                            w, b, place, _ = load_record(records, RECORD * c)
                            if shared:
                                g = load(shelf, show(place) + mine)
                            else:
                                g = load(gradient, origin + np.int64(show(place)) * tile + mine)
                            dw, db = zero, zero
                            for q in range(lanes):
                                by_w, by_v, by_b = pull(w, v[j, q], b, current(w, v[j, q], b), g[q])
                                dw += by_w
                                db += by_b
                                if pass_on:
                                    dv[j, q] += by_v
                            sums_part = sum_pair(dw, db)
                            cuda.syncwarp()  # all lanes have read the record, which takes the parts of the sums
                            if part >= 0:
                                store_one(records, RECORD * c + part, (sums_part,))
                            c = np.int32(c + 1)
                    cuda.syncwarp()
                    if slot >= 0:
                        dw, more_dw, db, more_db = load_record(records, RECORD * record)
                        dw += more_dw
                        db += more_db
                        if t > 0:
                            dw += load_one(own[2], slot)[0]
                            db += load_one(own[3], slot)[0]
                        finish(own, slot, dw, db, t == tiles - 1)
            for j in range(each):
                if pass_on and start + j < n:
                    if splits > 1:
                        store(sums, ((split * tiles + t) * n + start + j) * tile + mine, pack(dv, j))
                    else:
                        for q in range(lanes):
                            dv[j, q] *= slope(v[j, q])
                        store(gradient, (t * n_nodes + nodes[start + j]) * tile + mine, pack(dv, j))

    return gather_level  # type: ignore[no-any-return]


@cache
def adder(activation: Activation, real: type) -> Callable[..., Any]:
    """Build `add_parts(nodes, potentials, sums, splits, gradient)`: parts of dL/dV, added in their order, times the slope.

    Bytes a node and sample: one `real` read a part, one of potential read, one written.
    """
    slope, zero = jit(activation.build(real).slope), real(0)

    @kernel
    def add_parts(nodes: Any, potentials: Any, sums: Any, splits: Any, gradient: Any) -> None:
        lane, n, tile = cuda.threadIdx.x % WARP, nodes.shape[0], potentials.shape[2]
        rows = potentials.shape[0] * n
        for row in range(cuda.grid(1) // WARP, rows, cuda.gridsize(1) // WARP):
            t, node = row // n, nodes[row % n]
            for k in range(lane, tile, WARP):
                total = zero
                for part in range(splits):
                    total += sums[(part * rows + row) * tile + k]
                gradient[t, node, k] = total * slope(potentials[t, node, k])

    return add_parts


@cache
def scatterer(kind: CellKind, real: type) -> Callable[..., Any]:
    """Build `scatter_level(level, cells, bump, node_level, potentials, gradient, pass_on)`, straight over the pool.

    A warp a cell. Only the gradients of nodes are added to atomically; a cell's own belong to its warp. Bytes a cell-sample: two
    `real` read and, with `pass_on`, one atomic addition; operations: the slopes and 3 multiply-adds.
    """
    maths = kind.build(real)
    current, pull, sum_over_warp = jit(maths.current), puller(maths, jit), warp_sum()
    zero = real(0)

    @kernel
    def scatter_level(level: Any, cells: Any, bump: Any, node_level: Any, potentials: Any, gradient: Any, pass_on: Any) -> None:
        lane = cuda.threadIdx.x % WARP
        for s in range(cuda.grid(1) // WARP, bump, cuda.gridsize(1) // WARP):
            if cells.id[s] >= 0 and node_level[cells.source[s]] == level:
                source, target = cells.source[s], cells.target[s]
                w, b = cells.weight[s], cells.bias[s]
                dw, db = zero, zero
                for t in range(potentials.shape[0]):
                    for k in range(lane, potentials.shape[2], WARP):
                        v = potentials[t, source, k]
                        by_w, by_v, by_b = pull(w, v, b, current(w, v, b), gradient[t, target, k])
                        dw += by_w
                        db += by_b
                        if pass_on:
                            cuda.atomic.add(gradient, (t, source, k), by_v)
                dw, db = sum_over_warp(dw), sum_over_warp(db)
                if lane == 0:
                    cells.weight_grad[s], cells.bias_grad[s] = dw, db

    return scatter_level


@cache
def slope_multiplier(activation: Activation, real: type) -> Callable[..., Any]:
    """Build `through(nodes, potentials, gradient)`: dL/dV times the slopes of the activation.

    Bytes a node and sample: two `real` read, one written.
    """
    slope = jit(activation.build(real).slope)

    @kernel
    def through(nodes: Any, potentials: Any, gradient: Any) -> None:
        lane, n = cuda.threadIdx.x % WARP, nodes.shape[0]
        for row in range(cuda.grid(1) // WARP, potentials.shape[0] * n, cuda.gridsize(1) // WARP):
            t, node = row // n, nodes[row % n]
            for k in range(lane, potentials.shape[2], WARP):
                gradient[t, node, k] *= slope(potentials[t, node, k])

    return through

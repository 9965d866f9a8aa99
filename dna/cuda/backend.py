"""The CUDA backend: each phase of `dna.backend.Backend`, by the kernels of this folder."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import numpy as np

from dna.backend import Batch, LossMaths, Maths, Plan, Turnover, Update
from dna.cuda import (
    apply,
    backward,
    compact,
    exemption,
    forward,
    graph,
    loss,
    memory,
    passthrough,
    plan,
    pool,
    regrowth,
    select,
    split,
    statistics,
)
from dna.cuda.device import BLOCK, Device, blocks_for, cuda, launch, launch_over
from dna.rules import Passthrough, Statistic
from dna.rules.pairs import Pairs, half_bits, table_size
from dna.types import FATE, FREE, ID, SLOT, SUM, Array, Cells, Heap, Nodes

Class = TypeVar("Class", bound=type)


def _on_own_device(cls: Class) -> Class:
    """Make every public method run on its object's GPU: Numba's current device belongs to the thread, and may be another one."""

    def here(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def run(self: Any, *arguments: Any, **options: Any) -> Any:
            with cuda.gpus[self._number]:
                return method(self, *arguments, **options)

        return run

    for name, member in list(vars(cls).items()):
        if callable(member) and not name.startswith("_"):
            setattr(cls, name, here(member))
    return cls


@_on_own_device
class CudaBackend:
    """All phases on one GPU; arrays are Numba's device arrays, and launches run in order on its default stream."""

    runs_ahead = True
    dense = few = laid = None

    def __init__(self, maths: Maths, device: Device) -> None:
        self.device, self.maths = device.name, maths
        self._number = device.number
        self._scratch, self._repeater = memory.Scratch(), graph.Repeater()

    # memory

    def empty(self, shape: int | tuple[int, ...], dtype: np.dtype) -> Array:
        return memory.empty(shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: np.dtype) -> Array:
        return memory.full(shape, 0, np.dtype(dtype))

    def upload(self, array: np.ndarray) -> Array:
        return memory.upload(array)

    def download(self, array: Array) -> np.ndarray:
        return memory.download(array)

    def write(self, array: Array, values: np.ndarray) -> None:
        memory.write(array, values)

    def synchronize(self) -> None:
        cuda.synchronize()

    def tile(self, batch: int) -> int:
        return memory.tile_of(batch)

    def fill(self, array: Array, value: float) -> None:
        memory.fill(array, value)

    def all_finite(self, data: Array) -> bool:
        return memory.all_finite(data)

    def load_rows(self, potentials: Array, nodes: Array, data: Array, rows: Array) -> None:
        memory.load_rows(potentials, nodes, data, rows)

    def store_rows(self, potentials: Array, nodes: Array, batch: int) -> np.ndarray:
        out = memory.empty((batch, nodes.shape[0]), potentials.dtype)
        memory.store_rows(potentials, nodes, out)
        return memory.download(out)

    # plan, forward, backward

    def make_plan(
        self, name: str, cells: Cells, bump: int, n_cells: int, nodes: Nodes, older: tuple[Plan, Turnover] | None = None
    ) -> Plan:
        return plan.make_gather(cells, bump, n_cells, nodes) if name == "gather" else None

    def forward(self, name: str, plan_: Plan, cells: Cells, bump: int, nodes: Nodes, potentials: Array) -> None:
        for level in range(1, len(nodes.by_level)):
            if name == "gather":
                forward.gather(self.maths, level, plan_.into, cells, potentials, self._scratch)
            else:
                forward.scatter(self.maths, level, nodes, cells, bump, potentials)

    def backward(
        self, name: str, plan_: Plan, cells: Cells, bump: int, nodes: Nodes, potentials: Array, gradient: Array, inputs_too: bool,
        update: Update | None = None,
    ) -> bool:  # fmt: skip
        last, fused = len(nodes.by_level) - 1, update if name == "gather" and apply.fuses(update, bump) else None
        backward.through_activation(self.maths, last, nodes, potentials, gradient)
        for level in range(last - 1, -1, -1):
            pass_on = level > 0 or inputs_too
            if name == "gather":
                backward.gather(self.maths, level, plan_.out_of, cells, potentials, gradient, pass_on, self._scratch, fused)
            else:
                backward.scatter(self.maths, level, nodes, cells, bump, potentials, gradient, pass_on)
        if update is not None and fused is None:
            self.apply(update, cells, bump)
        return fused is None

    # loss, apply

    def loss(
        self, loss_maths: LossMaths, potentials: Array, gradient: Array, outputs: Array, targets: Array, rows: Array,
        scale: float, sums: Array, place: Array,
    ) -> None:  # fmt: skip
        real, scratch = self.maths.real, self._scratch
        values, done = scratch.array("values", 2 * rows.shape[0], SUM), scratch.counter("blocks done")
        run, samples = loss.loss_kernel(loss_maths, real), memory.samples_of(potentials)
        launch_over(run, samples, potentials, gradient, outputs, targets, rows, real(scale), values, sums, place, done)

    def apply(self, update: Update, cells: Cells, bump: int) -> None:
        run = apply.apply_kernel(type(update.optimizer), update.optimizer.moments, self.maths.real)
        own = cells.weight, cells.bias, cells.weight_grad, cells.bias_grad, cells.state
        launch_over(run, bump, *own, bump, update.coefficients)

    def begin_step(self, order: Array, place: Array, size: int, rates: Array, rows: Array, coefficients: Array) -> None:
        launch_over(memory.turner(), rows.shape[0], order, place, size, rates, rows, coefficients)

    def repeat(self, key: tuple[Any, ...], work: Callable[[], None]) -> None:
        self._repeater.run(key, work)

    # statistics

    def gather_step(self, statistic: Statistic, cells: Cells, bump: int, table: Array) -> None:
        gather = statistics.step_gatherer(statistic, self.maths.real)
        launch_over(gather, bump, cells.weight, cells.weight_grad, bump, table)

    def gather_samples(
        self, statistic: Statistic, cells: Cells, bump: int, potentials: Array, samples: int, before: int, table: Array
    ) -> None:
        gather = statistics.sample_gatherer(statistic, self.maths.kind, self.maths.real)
        launch_over(gather, bump, cells, bump, potentials, samples, self.maths.real(before), table)

    # pool

    def new_pool(self, capacity: int, rows: int) -> tuple[Cells, Heap]:
        return pool.new_pool(capacity, rows, self.maths.dtype)

    def grow(self, cells: Cells, heap: Heap, capacity: int) -> tuple[Cells, Heap]:
        return pool.grow(cells, heap, capacity)

    def claim(self, heap: Heap, count: int) -> Array:
        slots = memory.empty(count, SLOT)
        pool.bulk_claim(heap, slots)
        return slots

    def release(self, cells: Cells, heap: Heap, slots: Array, again: int = 0) -> None:
        pool.bulk_release(cells, heap, slots)

    def settle(self, heap: Heap) -> np.ndarray:
        pool.settle(heap)
        return memory.download(heap.counters)

    # extinction

    def new_fates(self, cells: Cells, bump: int, n_cells: int) -> Array:
        return self.zeros(bump, FATE)

    def score(
        self, measure: Passthrough, cells: Cells, bump: int, seed: int, event: int, gathered: tuple[Array, int] | None = None,
        full: bool = False,
    ) -> tuple[Array, int]:  # fmt: skip
        scores = memory.empty(bump, self.maths.dtype)
        table, count = gathered or (memory.empty((0, 1), self.maths.dtype), 0)
        passthrough.score(measure, self.maths.real, cells, seed, event, table, count, scores)
        return scores, passthrough.first_nan(self.maths.real, scores)

    def select_counts(
        self, scores: Array, cells: Cells, bump: int, nodes: Nodes, scope: int, n_split: int, n_delete: int, keep_outputs: bool,
        fates: Array,
    ) -> tuple[int, int]:  # fmt: skip
        return select.by_counts(scores, self.maths.real, cells, nodes, scope, n_split, n_delete, keep_outputs, fates)

    def select_thresholds(
        self, scores: Array, cells: Cells, bump: int, nodes: Nodes, above: float, below: float, keep_outputs: bool, fates: Array
    ) -> tuple[int, int]:
        return select.by_thresholds(scores, self.maths.real, cells, nodes, above, below, keep_outputs, fates)

    def protect(self, cells: Cells, born_after: int, fates: Array) -> None:
        exemption.protect(cells, born_after, fates)

    def count_levels(self, cells: Cells, bump: int, nodes: Nodes) -> np.ndarray:
        return select.count_levels(cells, bump, nodes, len(nodes.by_level))

    def compact(self, fates: Array, fate: int, count: int) -> Array:
        slots = memory.empty(count, SLOT)
        compact.compact(fates, fate, slots)
        return slots

    def take(self, column: Array, slots: Array) -> Array:
        return compact.take(column, slots)

    def take_cells(self, cells: Cells, *wanted: tuple[Array, Collection[str]]) -> tuple[dict[str, Array], ...]:
        return tuple({name: self.take(getattr(cells, name), slots) for name in names} for slots, names in wanted)

    def put(self, column: Array, slots: Array, values: Array) -> None:
        compact.put(column, slots, values)

    def write_children(
        self, rule: str, jitter: float, cells: Cells, parents: Array, children: Array, first_id: int, version: int, seed: int
    ) -> None:
        write = split.children_writer(rule, self.maths.kind, self.maths.real)
        blocks = max(1, blocks_for(len(parents)))
        numbers = first_id, np.int32(version), np.uint64(seed), self.maths.real(jitter)
        launch(write, blocks, BLOCK, cells, parents, children, *numbers)

    # regrowth

    def mark_pairs(self, cells: Cells, bump: int, fates: Array, n_nodes: int, n_cells: int) -> Array:
        table = memory.full(table_size(n_cells), FREE, ID)
        launch_over(regrowth.pair_marker(), bump, cells, bump, fates, n_nodes, table)
        return table

    def draw_pairs(
        self, kept: tuple[Cells, Array], pairs: Pairs, first: int, total: int, seed: int, event: int, table: Array,
        found: tuple[Cells, Array],
    ) -> None:  # fmt: skip
        numbers = first, total, half_bits(total)
        draw = regrowth.pair_drawer()
        launch_over(draw, found[1].shape[0], *kept, pairs, numbers, np.uint64(seed), np.uint64(event), table, *found)

    def rate_pairs(
        self, by: str, size: float, found: tuple[Cells, Array], first: int, batch: Batch | None, seed: int, event: int
    ) -> None:
        rate = regrowth.pair_rater(by, self.maths.kind, self.maths.real, size)
        nothing = memory.empty((1, 1, 1), self.maths.dtype)
        seen = (nothing, nothing, 0) if batch is None else batch[:3]
        launch_over(rate, found[1].shape[0] - first, *found, first, *seen, np.uint64(seed), np.uint64(event))

    def write_newborns(self, cells: Cells, slots: Array, chosen: Cells, first_id: int, version: int) -> None:
        write = regrowth.newborn_writer()
        launch(write, max(1, blocks_for(slots.shape[0])), BLOCK, cells, slots, chosen, first_id, np.int32(version))

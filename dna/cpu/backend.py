"""The CPU backend: each phase of `dna.backend.Backend`, by the kernels of this folder."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from dna.backend import Batch, LossMaths, Maths, Plan, Turnover, Update
from dna.cpu import (
    apply,
    backward,
    forward,
    lanes,
    loss,
    memory,
    merge,
    passthrough,
    plan,
    pool,
    rank,
    regrowth,
    select,
    split,
    statistics,
)
from dna.cpu.bits import WORD
from dna.cpu.compiler import use_safe_threads
from dna.cpu.dense import Dense
from dna.cpu.few import Few
from dna.cpu.laid import Laid
from dna.cpu.levels import backward_of_step, forward_of_step
from dna.cpu.threads import JUDGE, LOOK, UPDATE, is_little, is_little_step, moves_alone
from dna.rules import Passthrough, Statistic
from dna.rules.keys import KEY_OF
from dna.rules.pairs import Pairs, half_bits, table_size
from dna.types import FATE, FREE, ID, KEEP, SLOT, Array, Cells, Heap, Nodes


class CpuBackend:
    """All phases on the CPU; arrays are NumPy arrays."""

    device = "cpu"
    runs_ahead = False

    def __init__(self, maths: Maths) -> None:
        use_safe_threads()
        self.maths, self.dense, self.few, self.laid = maths, Dense(self), Few(self), Laid(self)
        self._fates, self._scores, self._bump = memory.Scratch(), memory.Scratch(), 1

    # memory

    def empty(self, shape: int | tuple[int, ...], dtype: np.dtype) -> Array:
        return np.empty(shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: np.dtype) -> Array:
        return memory.aligned_zeros(shape, dtype)

    def upload(self, array: np.ndarray) -> Array:
        return np.ascontiguousarray(array)

    def download(self, array: Array) -> np.ndarray:
        return np.array(array)

    def write(self, array: Array, values: np.ndarray) -> None:
        array[...] = values

    def synchronize(self) -> None:
        """Nothing to wait for: kernels on the CPU return when they are done."""

    def tile(self, batch: int) -> int:
        return lanes.lanes_of(batch, self.maths.real, self.maths.kind.affine)

    def fill(self, array: Array, value: float) -> None:
        array[...] = value

    def all_finite(self, data: Array) -> bool:
        return bool(memory.finite_checker(is_little(LOOK * data.size))(data))

    def load_rows(self, potentials: Array, nodes: Array, data: Array, rows: Array) -> None:
        memory.rows_loader(self._moves_alone(potentials, len(rows) * len(nodes)))(potentials, nodes, data, rows)

    def store_rows(self, potentials: Array, nodes: Array, batch: int) -> np.ndarray:
        out = np.empty((batch, len(nodes)), potentials.dtype)
        memory.rows_storer(self._moves_alone(potentials, out.size))(potentials, nodes, out, np.arange(batch))
        return out

    def _moves_alone(self, potentials: Array, numbers: int) -> bool:
        return is_little_step(self._bump, potentials.shape) or moves_alone(numbers, self._bump * potentials[:, 0].size)

    # plan, forward, backward

    def make_plan(
        self, name: str, cells: Cells, bump: int, n_cells: int, nodes: Nodes, older: tuple[Plan, Turnover] | None = None
    ) -> Plan:
        if name in ("dense", "few"):
            return (self.dense if name == "dense" else self.few).make_plan(cells, bump, n_cells, nodes)
        if name == "scatter":
            return plan.make_scatter()
        merged = None if older is None else merge.merge(*older, cells, bump, n_cells, nodes)
        return plan.make_gather(cells, bump, n_cells, nodes) if merged is None else merged

    def forward(self, name: str, plan: Plan, cells: Cells, bump: int, nodes: Nodes, potentials: Array) -> None:
        maths, self._bump = self.maths, bump
        if name == "gather":
            for phase in forward_of_step(maths, plan, potentials.shape):
                phase(plan.into, cells, potentials)
            return
        for level in range(1, len(nodes.by_level)):
            scatter = forward.scatter(maths.kind, maths.activations[level], maths.real)
            scatter(level, nodes.by_level[level], cells, bump, nodes.level, potentials)

    def backward(
        self, name: str, plan: Plan, cells: Cells, bump: int, nodes: Nodes, potentials: Array, gradient: Array, inputs_too: bool,
        update: Update | None = None,
    ) -> bool:  # fmt: skip
        if name == "gather":
            self._gather_back(plan, cells, potentials, gradient, inputs_too)
        else:
            self._scatter_back(cells, bump, nodes, potentials, gradient, inputs_too)
        if update is not None:
            self.apply(update, cells, bump)
        return True

    def _gather_back(self, plan: Plan, cells: Cells, potentials: Array, gradient: Array, inputs_too: bool) -> None:
        totals = np.empty(potentials.shape[1], self.maths.dtype)
        for phase in backward_of_step(self.maths, plan, potentials.shape, inputs_too):
            phase(plan.out_of, cells, potentials, gradient, totals)

    def _scatter_back(
        self, cells: Cells, bump: int, nodes: Nodes, potentials: Array, gradient: Array, inputs_too: bool
    ) -> None:
        maths, last = self.maths, len(nodes.by_level) - 1
        cells.weight_grad[:bump] = 0
        cells.bias_grad[:bump] = 0
        for level in range(last, -1, -1):
            members = nodes.by_level[level]
            if level < last:
                scatter = backward.scatter(maths.kind, maths.real)
                scatter(level, members, cells, bump, nodes.level, potentials, gradient, level > 0 or inputs_too)
            if level > 0 and maths.activations[level].name != "identity":
                backward.through_activation(maths.activations[level], maths.real)(members, potentials, gradient)

    # loss, apply

    def loss(
        self, loss_maths: LossMaths, potentials: Array, gradient: Array, outputs: Array, targets: Array, rows: Array,
        scale: float, sums: Array, place: Array,
    ) -> None:  # fmt: skip
        real, lanes, alone = self.maths.real, potentials.shape[2], is_little(JUDGE * len(outputs) * len(rows))
        judge = loss.loss_kernel(loss_maths, real, lanes, alone)
        sums[place[0]] = judge(potentials, gradient, outputs, targets, rows, real(scale))
        place[0] = (place[0] + 1) % len(sums)

    def apply(self, update: Update, cells: Cells, bump: int) -> None:
        kind, moments, alone = type(update.optimizer), update.optimizer.moments, is_little(UPDATE * bump)
        apply.apply_kernel(kind, moments, self.maths.real, alone)(cells, bump, update.coefficients)

    def begin_step(self, order: Array, place: Array, size: int, rates: Array, rows: Array, coefficients: Array) -> None:
        first = place[0] * size
        rows[:], coefficients[:] = order[first : first + len(rows)], rates[place[0]]

    def repeat(self, key: tuple[Any, ...], work: Callable[[], None]) -> None:
        work()

    # statistics

    def gather_step(self, statistic: Statistic, cells: Cells, bump: int, table: Array) -> None:
        statistics.step_gatherer(statistic, self.maths.real)(cells, bump, table)

    def gather_samples(
        self, statistic: Statistic, cells: Cells, bump: int, potentials: Array, samples: int, before: int, table: Array
    ) -> None:
        gather = statistics.sample_gatherer(statistic, self.maths.kind, self.maths.real)
        gather(cells, bump, potentials, samples, self.maths.real(before), table)

    # pool

    def new_pool(self, capacity: int, rows: int) -> tuple[Cells, Heap]:
        return pool.new_pool(capacity, rows, self.maths.dtype)

    def grow(self, cells: Cells, heap: Heap, capacity: int) -> tuple[Cells, Heap]:
        return pool.grow(cells, heap, capacity)

    def claim(self, heap: Heap, count: int) -> Array:
        slots = np.empty(count, SLOT)
        pool.bulk_claim()(heap, slots)
        return slots

    def release(self, cells: Cells, heap: Heap, slots: Array, again: int = 0) -> None:
        pool.bulk_release()(cells, heap, slots, again)

    def settle(self, heap: Heap) -> np.ndarray:
        pool.settlement()(heap)
        return np.array(heap.counters)

    # extinction

    def new_fates(self, cells: Cells, bump: int, n_cells: int) -> Array:
        fates = self._fates.empty(bump, FATE)
        select.clear_fates(cells.id, n_cells, fates)
        return fates

    def score(
        self, measure: Passthrough, cells: Cells, bump: int, seed: int, event: int, gathered: tuple[Array, int] | None = None,
        full: bool = False,
    ) -> tuple[Array, int]:  # fmt: skip
        real = self.maths.real
        scores = self._scores.empty(bump, self.maths.dtype)
        table, count = gathered or (np.empty((0, 1), self.maths.dtype), 0)
        given, bits = (np.uint64(seed), np.uint64(event), table, real(count)), scores.view(KEY_OF[self.maths.dtype])
        bad = passthrough.score_kernel(measure, real)(cells, bump, full, *given, scores, bits)
        return scores, int(passthrough.nan_finder(real)(bits)) if bad else -1

    def select_counts(
        self, scores: Array, cells: Cells, bump: int, nodes: Nodes, scope: int, n_split: int, n_delete: int, keep_outputs: bool,
        fates: Array,
    ) -> tuple[int, int]:  # fmt: skip
        died = branched = 0
        if n_delete > 0:
            died = rank.choose_dying(scores, cells, nodes, scope, n_delete, keep_outputs, fates)
        if n_split > 0:
            branched = rank.choose_splitting(scores, cells, nodes, scope, n_split, fates)
        return branched, died

    def select_thresholds(
        self, scores: Array, cells: Cells, bump: int, nodes: Nodes, above: float, below: float, keep_outputs: bool, fates: Array
    ) -> tuple[int, int]:
        real = self.maths.real
        if keep_outputs:
            bits = scores.view(KEY_OF[self.maths.dtype])
            select.exemption(real)(bits, cells, nodes.outputs, len(nodes.level), fates)
        n_split, n_delete = select.divider(real)(scores, cells, real(above), real(below), fates)
        select.finisher()(fates, KEEP)
        return int(n_split), int(n_delete)

    def protect(self, cells: Cells, born_after: int, fates: Array) -> None:
        select.protector()(cells, born_after, fates)

    def count_levels(self, cells: Cells, bump: int, nodes: Nodes) -> np.ndarray:
        counts = np.zeros(len(nodes.by_level), np.int64)
        select.level_counter()(cells, bump, nodes.level, counts)
        return counts

    def compact(self, fates: Array, fate: int, count: int) -> Array:
        slots = np.empty(count + WORD, SLOT)
        select.compactor()(fates, fate, slots)
        return slots[:count]

    def take(self, column: Array, slots: Array) -> Array:
        values = np.empty((*column.shape[:-1], len(slots)), column.dtype)
        for row, found in zip(np.atleast_2d(column), np.atleast_2d(values), strict=True):
            pool.taker()(row, slots, found)
        return values

    def take_cells(self, cells: Cells, *wanted: tuple[Array, Collection[str]]) -> tuple[dict[str, Array], ...]:
        return pool.take_cells(cells, *wanted)

    def put(self, column: Array, slots: Array, values: Array) -> None:
        column[slots] = values

    def write_children(
        self, rule: str, jitter: float, cells: Cells, parents: Array, children: Array, first_id: int, version: int, seed: int
    ) -> None:
        write = split.children_writer(rule, self.maths.kind, self.maths.real)
        write(cells, parents, children, first_id, np.int32(version), np.uint64(seed), self.maths.real(jitter))

    # regrowth

    def mark_pairs(self, cells: Cells, bump: int, fates: Array, n_nodes: int, n_cells: int) -> Array:
        table = np.full(table_size(n_cells), FREE, ID)
        regrowth.pair_marker()(cells, bump, fates, n_nodes, table)
        return table

    def draw_pairs(
        self, kept: tuple[Cells, Array], pairs: Pairs, first: int, total: int, seed: int, event: int, table: Array,
        found: tuple[Cells, Array],
    ) -> None:  # fmt: skip
        draw, numbers = regrowth.pair_drawer(self.maths.real), (first, total, half_bits(total))
        draw(*kept, pairs, *numbers, np.uint64(seed), np.uint64(event), table, *found)

    def rate_pairs(
        self, by: str, size: float, found: tuple[Cells, Array], first: int, batch: Batch | None, seed: int, event: int
    ) -> None:
        rate = regrowth.pair_rater(by, self.maths.kind, self.maths.real, size)
        nothing = np.empty((0, 1, 1), self.maths.dtype)
        seen = (nothing, nothing, 0) if batch is None else batch[:3]
        rate(*found, first, *seen, np.uint64(seed), np.uint64(event))

    def write_newborns(self, cells: Cells, slots: Array, chosen: Cells, first_id: int, version: int) -> None:
        regrowth.newborn_writer(self.maths.real)(cells, slots, chosen, first_id, np.int32(version))

"""The engine: potentials, plan and pool of one network, and the order in which the phases run."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import NamedTuple

import numpy as np

from dna.backend import Backend, LossMaths, OptimizerMaths
from dna.errors import NumericsError, OptionError, ShapeError
from dna.graph.topology import CellTable
from dna.pool import Pool
from dna.rules import TWINS, Extinction, find_passthrough
from dna.types import DELETE, SPLIT, Array, Nodes, Plan

EXPLAIN_PLAN = {
    "gather": "cells sorted by target and by source: no atomics, deterministic",
    "scatter": "straight over the pool: no plan to make, but sums in the order of arrival",
}


class Change(NamedTuple):
    """What an extinction did, as the fossil record wants it; ids are on the device."""

    cells_before: int
    cells_after: int
    first_id: int
    n_born: int
    n_died: int
    parents: Array
    died: Array
    seconds: float


class Engine:
    """Runs the phases of one network on its backend.

    Data flows one way round: load -> forward -> loss -> backward -> apply, and now and then an extinction, which moves `version`
    and so makes the next forward ask for a new plan.
    """

    def __init__(self, backend: Backend, pool: Pool, nodes: Nodes, *, version: int, seed: int) -> None:
        self.backend, self.pool, self.nodes = backend, pool, nodes
        self.version, self.seed = version, seed
        self.plan_name = "gather"
        self._plan: Plan | None = None
        self._plan_version = -1
        self._potentials: Array | None = None
        self._gradient: Array | None = None
        self._batch = 0

    @property
    def n_nodes(self) -> int:
        return int(self.nodes.level.shape[0])

    def cell_table(self) -> CellTable:
        """Return all living cells in id order, on the host."""
        columns, _ = self.pool.columns()
        living = np.flatnonzero(columns["id"] >= 0)
        slots = living[np.argsort(columns["id"][living])]
        return CellTable(**{field.name: columns[field.name][slots] for field in fields(CellTable)})

    def settle(self) -> int:
        """Take note of what kernels claimed and released by themselves, which is a new version; return the number of cells."""
        self.pool.settle()
        self.version += 1
        self.forget()
        return len(self.pool)

    # plan

    def compile(self, name: str) -> None:
        """Choose a plan and make it for the present version."""
        if name != self.plan_name:
            self.plan_name, self._plan = name, None
        self.ready_plan()

    def ready_plan(self) -> Plan:
        """Return the plan of the present version, made anew if the topology moved on."""
        if self._plan is None or self._plan_version != self.version:
            pool = self.pool
            self._plan = self.backend.make_plan(self.plan_name, pool.cells, pool.bump, len(pool), self.n_nodes)
            self._plan_version = self.version
        return self._plan

    # forward, backward

    def load(self, data: Array, rows: Array) -> None:
        """Lay rows of the data, which must be finite, out as input potentials."""
        self._batch = 0
        self._fit_buffers(int(rows.shape[0]))
        self.backend.load_rows(self._potentials, self.nodes.inputs, data, rows)
        self._batch = int(rows.shape[0])

    def forward(self) -> None:
        """Compute all potentials from those of the inputs."""
        pool = self.pool
        self.backend.forward(self.plan_name, self.ready_plan(), pool.cells, pool.bump, self.nodes, self._potentials)

    def forget(self) -> None:
        """Refuse a backward until the next forward: the potentials are none that a user asked for, or cells have changed."""
        self._batch = 0

    def outputs(self) -> np.ndarray:
        """Return the output potentials, (batch, n_out)."""
        return self.backend.store_rows(self._potentials, self.nodes.outputs, self._batch)

    def load_gradient(self, gy: Array, rows: Array) -> None:
        """Lay out dL/dV of the outputs, which must be finite.

        Raises
        ------
        OptionError
            No forward came before, or cells changed since.
        ShapeError
            It was a forward of another number of samples.
        """
        if self._batch == 0:
            raise OptionError("backward: expected a forward before it, got none since the cells last changed")
        if int(rows.shape[0]) != self._batch:
            raise ShapeError(f"gy: expected a gradient for the {self._batch} samples of the last forward, got {len(rows)}")
        self.backend.load_rows(self._gradient, self.nodes.outputs, gy, rows)

    def loss(self, loss: LossMaths, targets: Array, rows: Array, scale: float) -> tuple[float, float]:
        """Return the sums of losses and hits over the batch, and write the gradient at the outputs, times `scale`."""
        return self.backend.loss(loss, self._potentials, self._gradient, self.nodes.outputs, targets, rows, scale)

    def backward(self, *, inputs_too: bool) -> None:
        """Fill the gradients of all cells, and with `inputs_too` those of the input potentials."""
        pool, plan = self.pool, self.ready_plan()
        self.backend.backward(
            self.plan_name, plan, pool.cells, pool.bump, self.nodes, self._potentials, self._gradient, inputs_too
        )

    def input_gradient(self) -> np.ndarray:
        """Return dL/dV of the inputs, (batch, n_in)."""
        return self.backend.store_rows(self._gradient, self.nodes.inputs, self._batch)

    def apply(self, optimizer: OptimizerMaths, coefficients: np.ndarray) -> None:
        """Update all weights and biases by their gradients."""
        self.forget()
        self.backend.apply(optimizer, self.pool.cells, self.pool.bump, coefficients)

    def _fit_buffers(self, batch: int) -> None:
        tile = self.backend.tile(batch)
        shape = (-(-batch // tile), self.n_nodes, tile)
        for name in ("_potentials", "_gradient"):
            buffer = getattr(self, name)
            if buffer is None or tuple(buffer.shape) != shape:
                setattr(self, name, self.backend.zeros(shape, self.backend.maths.dtype))

    # extinction

    def extinction(self, rule: Extinction, event: int) -> Change:
        """Rank, choose, reserve; then release, claim and write. All that can fail comes before the first write."""
        start = time.perf_counter()
        before = len(self.pool)
        fates, n_split, n_delete = self._choose_fates(rule, event)
        self.pool.reserve(max(0, n_split - n_delete))
        dead = self.backend.compact(fates, DELETE, n_delete)
        parents = self.backend.compact(fates, SPLIT, n_split)
        died = self.backend.take(self.pool.cells.id, dead)
        parent_ids = self.backend.take(self.pool.cells.id, parents)

        self._write_children(rule, parents[:0], parents[:0], 0)  # compiles, which can fail for a split of the user's

        self.pool.release(dead)
        children, first_id = self.pool.claim(n_split)
        self._write_children(rule, parents, children, first_id)
        self.version += 1
        self.forget()
        seconds = time.perf_counter() - start
        return Change(before, len(self.pool), first_id, n_split, n_delete, parent_ids, died, seconds)

    def _write_children(self, rule: Extinction, parents: Array, children: Array, first_id: int) -> None:
        cells, version, seed = self.pool.cells, self.version + 1, self.seed ^ TWINS
        self.backend.write_children(rule.rule, rule.jitter, cells, parents, children, first_id, version, seed)

    def _choose_fates(self, rule: Extinction, event: int) -> tuple[Array, int, int]:
        """Return the fates of all slots, and how many split and die."""
        scores = self._score(rule, event)
        fates = self.backend.zeros(self.pool.bump, np.dtype(np.uint8))
        by_threshold = self._choose_by_thresholds(rule, scores, fates)
        by_share = self._choose_by_shares(rule, scores, fates)
        return fates, by_threshold[0] + by_share[0], by_threshold[1] + by_share[1]

    def _choose_by_shares(self, rule: Extinction, scores: Array, fates: Array) -> tuple[int, int]:
        if rule.split == rule.delete == 0:
            return 0, 0
        cells, bump = self.pool.cells, self.pool.bump
        scopes = {-1: len(self.pool)}
        if rule.scope == "layer":
            living = self.backend.count_levels(cells, bump, self.nodes)
            scopes = {level: int(n) for level, n in enumerate(living) if n}
        n_split, n_delete = 0, 0
        for scope, n in scopes.items():
            split, delete = rule.counts(n)
            chosen = self.backend.select_counts(scores, cells, bump, self.nodes, scope, split, delete, rule.keep_outputs, fates)
            n_split, n_delete = n_split + chosen[0], n_delete + chosen[1]
        return n_split, n_delete

    def _choose_by_thresholds(self, rule: Extinction, scores: Array, fates: Array) -> tuple[int, int]:
        if rule.split_above is None and rule.delete_below is None:
            return 0, 0
        above = np.inf if rule.split_above is None else rule.split_above
        below = -np.inf if rule.delete_below is None else rule.delete_below
        cells, bump = self.pool.cells, self.pool.bump
        return self.backend.select_thresholds(scores, cells, bump, self.nodes, above, below, rule.keep_outputs, fates)

    def _score(self, rule: Extinction, event: int) -> Array:
        measure = find_passthrough(rule.passthrough)
        scores, bad = self.backend.score(measure, self.pool.cells, self.pool.bump, self.seed, event)
        if bad >= 0:
            slot = self.backend.upload(np.array([bad], np.int32))
            cell = int(self.backend.download(self.backend.take(self.pool.cells.id, slot))[0])
            raise NumericsError(f"passthrough {measure.name!r}: expected numbers, got NaN for cell {cell}")
        return scores



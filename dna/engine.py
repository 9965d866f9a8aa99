"""The engine: potentials, plan and pool of one network, and the order in which the phases run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from copy import copy
from typing import NamedTuple

import numpy as np

from dna.backend import Backend, Batch, LossMaths, Maths, OptimizerMaths, Plan
from dna.errors import InUseError, OptionError, ShapeError
from dna.fossils import DEAD_COLUMNS, SPLIT_COLUMNS, ExtinctionEvent, Remains, rewind
from dna.graph.topology import CellTable
from dna.nodes import NodesBorn, lay_out_nodes, nodes_before
from dna.pool import Pool, Rollback
from dna.rules import UNTRAINED, Clock, Extinction
from dna.selection import Selection
from dna.statistics import Statistics
from dna.types import DELETE, SPLIT, SUM, Array, Nodes

EXPLAIN_PLAN = {
    "gather": "cells sorted by target and by source: no atomics, deterministic",
    "scatter": "straight over the pool: no plan to make, but sums in the order of arrival",
}


class Change(NamedTuple):
    """What an extinction did to the pool, by the fields of `dna.fossils.ExtinctionEvent`."""

    cells_before: int
    cells_after: int
    first_id: int
    n_born: int
    n_died: int
    seconds: float
    bytes: int
    capacity: int
    fragmentation: float
    capacity_before: int
    free_before: int
    births: Remains
    split: Remains
    dead: Remains
    first_node: int
    nodes: NodesBorn


class Engine:
    """Runs the phases of one network on its backend.

    Data flows one way round: load -> forward -> loss -> backward -> apply, and now and then an extinction, which moves `version`
    and so makes the next forward ask for a new plan. `moves` counts all changes of the topology; unlike `version` it never goes
    back, so what was made for one topology is not taken for that of another.
    """

    def __init__(self, backend: Backend, pool: Pool, nodes: Nodes, *, version: int, seed: int) -> None:
        self.backend, self.pool, self.nodes = backend, pool, nodes
        self.version, self.seed = version, seed
        self.statistics = Statistics(backend)
        self.plan_name = "gather"
        self._plan: Plan | None = None
        self._plan_moves = -1
        self.moves = 0
        self._potentials: Array | None = None
        self._gradient: Array | None = None
        self._batch, self._thread = 0, 0
        self._seen: Batch | None = None
        self._sums = backend.zeros((1, 2), SUM)

    @property
    def n_nodes(self) -> int:
        return int(self.nodes.level.shape[0])

    def cell_table(self) -> CellTable:
        """Return all living cells in id order, on the host."""
        return CellTable.of(self.pool.columns()[0])

    def settle(self) -> int:
        """Take note of what kernels claimed and released by themselves, which is a new version; return the number of cells."""
        self.pool.settle()
        self._move_to(self.version + 1)
        self.statistics.restart(self.pool.bump)
        return len(self.pool)

    def _move_to(self, version: int) -> None:
        self.version, self.moves, self._seen = version, self.moves + 1, None
        self.forget()

    # plan

    def compile(self, name: str) -> None:
        """Choose a plan and make it for the present version."""
        if name != self.plan_name:
            self.plan_name, self._plan = name, None
        self.ready_plan()

    def ready_plan(self) -> Plan:
        """Return the plan of the present version, made anew if the topology moved on."""
        if self._plan is None or self._plan_moves != self.moves:
            pool = self.pool
            self._plan = self.backend.make_plan(self.plan_name, pool.cells, pool.bump, len(pool), self.nodes)
            self._plan_moves = self.moves
        return self._plan

    # forward, backward

    def load(self, data: Array, rows: Array, batch_size: int | None = None) -> None:
        """Lay rows of the data, which must be finite, out as input potentials.

        Tiles have the size for batches of `batch_size`, so that a smaller last batch runs in the kernels of all others.
        """
        self._batch, self._seen = 0, None
        self._fit_buffers(int(rows.shape[0]), self.backend.tile(batch_size or int(rows.shape[0])))
        self.backend.load_rows(self._potentials, self.nodes.inputs, data, rows)
        self._batch, self._thread = int(rows.shape[0]), threading.get_ident()

    def forward(self) -> None:
        """Compute all potentials from those of the inputs."""
        pool = self.pool
        self.backend.forward(self.plan_name, self.ready_plan(), pool.cells, pool.bump, self.nodes, self._potentials)
        self._seen = Batch(self._potentials, self._gradient, self._batch, went_back=False)

    def forget(self) -> None:
        """Refuse a backward until the next forward: the potentials are none that a user asked for, or cells have changed."""
        self._batch = 0

    def outputs(self) -> np.ndarray:
        """Return the output potentials, (batch, n_out)."""
        return self.backend.store_rows(self._potentials, self.nodes.outputs, self._batch)

    def potentials(self) -> np.ndarray:
        """Return the potentials of all nodes, (n_nodes, batch), on the host."""
        tiles = self.backend.download(self._potentials)
        return np.concatenate(list(tiles), axis=1)[:, : self._batch]

    def load_gradient(self, gy: Array, rows: Array) -> None:
        """Lay out dL/dV of the outputs, which must be finite.

        Raises
        ------
        OptionError
            No forward came before, or cells changed since.
        InUseError
            It was a forward of another thread.
        ShapeError
            It was a forward of another number of samples.
        """
        if self._batch == 0:
            raise OptionError("backward: expected a forward before it, got none since the cells last changed")
        if self._thread != threading.get_ident():
            raise InUseError("backward: expected a forward of this thread before it, got one of another thread since")
        if int(rows.shape[0]) != self._batch:
            raise ShapeError(f"gy: expected a gradient for the {self._batch} samples of the last forward, got {len(rows)}")
        self.backend.load_rows(self._gradient, self.nodes.outputs, gy, rows)

    def loss(self, loss: LossMaths, targets: Array, rows: Array, scale: float, sums: Array | None = None, place: int = 0) -> None:
        """Write the gradient at the outputs, times `scale`, and to `sums[place]` the batch's sums of losses and hits."""
        sums = self._sums if sums is None else sums
        self.backend.loss(loss, self._potentials, self._gradient, self.nodes.outputs, targets, rows, scale, sums, place)

    def backward(self, *, inputs_too: bool) -> None:
        """Fill the gradients of all cells, and with `inputs_too` those of the input potentials."""
        pool, plan = self.pool, self.ready_plan()
        self.backend.backward(
            self.plan_name, plan, pool.cells, pool.bump, self.nodes, self._potentials, self._gradient, inputs_too
        )
        self._seen = Batch(self._potentials, self._gradient, self._batch, went_back=True)

    def input_gradient(self) -> np.ndarray:
        """Return dL/dV of the inputs, (batch, n_in)."""
        return self.backend.store_rows(self._gradient, self.nodes.inputs, self._batch)

    def apply(self, optimizer: OptimizerMaths, coefficients: np.ndarray) -> None:
        """Update all weights and biases by their gradients, after the statistics that somebody watches took note of them."""
        self.statistics.observe(self.pool, self._potentials, self._batch)
        self.forget()
        self.backend.apply(optimizer, self.pool.cells, self.pool.bump, coefficients)

    def _fit_buffers(self, batch: int, tile: int) -> None:
        shape = (-(-batch // tile), self.n_nodes, tile)
        for name in ("_potentials", "_gradient"):
            buffer = getattr(self, name)
            if buffer is None or tuple(buffer.shape) != shape:
                setattr(self, name, self.backend.zeros(shape, self.backend.maths.dtype))

    # extinction

    def extinction(
        self, rule: Extinction, event: int, clock: Clock = UNTRAINED, record: Callable[[Change], None] = lambda change: None
    ) -> None:
        """Choose the dying, then those to be born; carry it out and `record` it. Where any step fails, all is as it was."""
        rollback, version, statistics = Rollback(self.pool), self.version, copy(self.statistics)
        nodes, maths = self.nodes, self.backend.maths
        try:
            change = self._carry_out(rule, event, clock, rollback)
            self.statistics.restart(self.pool.bump)
            record(change)
        except BaseException:
            rollback.run()
            self.nodes, self.backend.maths = nodes, maths
            self._move_to(version)
            self.statistics = statistics
            raise

    def _carry_out(self, rule: Extinction, event: int, clock: Clock, rollback: Rollback) -> Change:
        """Choose; reserve; release, claim and write. What can be foreseen to fail comes before that."""
        start, pool = time.perf_counter(), self.pool
        before = {"cells_before": len(pool), "capacity_before": pool.capacity, "free_before": pool.free}
        before["first_node"] = self.n_nodes
        numbers = {"seed": self.seed, "event": event, "version": self.version + 1}
        selection = Selection(self.backend, pool, self.nodes, self.statistics, **numbers, clock=clock, batch=self._seen)
        for death in rule.deaths:
            death.mark(selection)
        broods = [birth.prepare(selection) for birth in rule.births]
        n_born, n_died = sum(len(brood.parents) for brood in broods), selection.n_died
        nodes, maths = selection.grown()
        pool.reserve(max(0, n_born - n_died))
        dying, splitting = selection.slots(DELETE), selection.slots(SPLIT)
        dead, split = self._take(dying, DEAD_COLUMNS), self._take(splitting, SPLIT_COLUMNS)
        for brood in broods:
            brood.write(pool.cells, dying[:0], 0)  # compiles, which can fail for a function of the user's

        rollback.keep(dying, dead)
        rollback.keep(splitting, split)
        first_id = pool.next_id
        pool.release(dying)
        for brood in broods:
            brood.write(pool.cells, *pool.claim(len(brood.parents)))
        self.nodes, self.backend.maths = nodes, maths
        self._move_to(self.version + 1)
        return Change(
            **before,
            cells_after=len(pool),
            first_id=first_id,
            n_born=n_born,
            n_died=n_died,
            seconds=time.perf_counter() - start,
            bytes=pool.nbytes,
            capacity=pool.capacity,
            fragmentation=pool.fragmentation,
            births=Remains({"parent": tuple(brood.parents for brood in broods)}, self.backend.download),
            split=Remains(split, self.backend.download),
            dead=Remains({"slot": dying} | dead, self.backend.download),
            nodes=selection.nodes_born,
        )

    def undo(self, event: ExtinctionEvent, optimizer: str | None) -> None:
        """Bring pool and version back to just before the last event; `optimizer` names the one whose state the pool holds."""
        columns, free = rewind(*self.pool.columns(), event, optimizer)
        nodes, maths = self._nodes_before(event.nodes)
        self.pool.restore(columns, free, event.first_id, event.capacity_before)
        self.nodes, self.backend.maths = nodes, maths
        self._move_to(event.version - 1)
        self.statistics.restart(self.pool.bump)

    def _nodes_before(self, born: NodesBorn) -> tuple[Nodes, Maths]:
        nodes, maths, download = self.nodes, self.backend.maths, self.backend.download
        if len(born.level) == 0:
            return nodes, maths
        level, activations = nodes_before(download(nodes.level), maths.activations, born)
        fewer = lay_out_nodes(self.backend, level, download(nodes.inputs), download(nodes.outputs))
        return fewer, maths._replace(activations=activations)

    def _take(self, slots: Array, names: Iterable[str]) -> dict[str, Array]:
        """Return copies of columns at some slots; they stay on the device."""
        columns, take = self.pool.cells._asdict(), self.backend.take
        return {name: take(columns[name], slots) for name in names if name != "slot"}

"""The gather plan on the CPU for calls from outside: a kernel looks at numbers, lays them out, runs all levels and reads back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from dna.backend import Backend, Inputs, Maths
from dna.cpu import tilewise
from dna.cpu.compiler import kernel
from dna.cpu.levels import backward_phases, forward_phases, in_sequence, ways_of
from dna.cpu.memory import finite_checker, rows_loader, rows_storer
from dna.cpu.plan import GatherPlan, Phase
from dna.cpu.prefetch import asks_ahead, asks_for_rows
from dna.cpu.threads import LOOK, is_little, moves_alone
from dna.types import Array, Cells, Nodes


class Laid:
    """The phases of the gather plan; see `dna.backend.Form`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._last: _Call | None = None

    def suits(self, nodes: Nodes, batch: int) -> bool:
        """Networks of one level: each form of a network is a kernel of its own, and takes seconds to compile."""
        return len(nodes.by_level) == 2

    def tile(self, batch: int, nodes: Nodes, n_cells: int) -> int:
        affine = self._backend.maths.kind.affine
        return tilewise.halved(self._backend.tile(batch), batch, len(nodes.level), n_cells, affine)

    def make_plan(self, cells: Cells, bump: int, n_cells: int, nodes: Nodes) -> Any:
        return self._backend.make_plan("gather", cells, bump, n_cells, nodes)

    def answer(
        self, plan: GatherPlan, cells: Cells, moment: int, nodes: Nodes, data: Array, potentials: Array, out: Array
    ) -> Inputs | None:
        call = self._call(plan, len(data), potentials.shape)
        columns, rows = Columns.of(cells), call.inputs.rows
        finite = call.answer(data, nodes.inputs, rows, call.into, columns, potentials, nodes.outputs, out)
        return call.inputs if finite else None

    def return_gradient(
        self, plan: GatherPlan, cells: Cells, moment: int, nodes: Nodes, inputs: Inputs, potentials: Array, gradient: Array,
        gy: Array, out: Array,
    ) -> bool:  # fmt: skip
        call = self._call(plan, len(gy), potentials.shape)
        run, ends = call.return_gradient or call.build_return(), (potentials, gradient, call.sums)
        columns, rows = Columns.of(cells), call.inputs.rows
        return bool(run(gy, nodes.outputs, rows, call.out_of, columns, *ends, nodes.inputs, out))

    def _call(self, plan: GatherPlan, batch: int, shape: tuple[int, ...]) -> _Call:
        """Return what the last call had, if this one is of the same plan and size."""
        last = self._last
        if last is None or last.plan is not plan or len(last.inputs.rows) != batch or last.shape != shape:
            self._last = last = _Call(self._backend.maths, plan, batch, shape)
        return last


class Columns(NamedTuple):
    """What calls read and write of `dna.types.Cells`: each array takes time to be handed to a kernel."""

    weight: Array
    bias: Array
    weight_grad: Array
    bias_grad: Array

    @classmethod
    def of(cls, cells: Cells) -> Columns:
        return cls(cells.weight, cells.bias, cells.weight_grad, cells.bias_grad)


class Sums(NamedTuple):
    """Room for sums over samples."""

    totals: Array  # (n_nodes,) real: gradients of nodes
    by_cell: Array  # (1 or 2, parts * n_cells) real: those of weights, and where cells are not affine of biases, part by part


class _Call:
    """The kernels for calls of one plan and size, and what they need beside a network's own arrays."""

    def __init__(self, maths: Maths, plan: GatherPlan, batch: int, shape: tuple[int, ...]) -> None:
        self.plan, self.shape, self._maths = plan, shape, maths
        self.inputs = Inputs(np.empty((0, 0), maths.dtype), np.arange(batch))
        self._n_cells = plan.into[-1].n_cells
        self._ends = len(plan.into[0].nodes), len(plan.into[-1].nodes)
        self._ahead = asks_ahead(self._n_cells, maths.kind.affine)
        self._by_tiles = tilewise.suits(shape[0], self._n_cells)
        levels: tuple[Any, Any] = (plan.into[1], plan.out_of[0]) if self._by_tiles else (plan.into, plan.out_of)
        self.into, self.out_of = levels
        self.answer = self._build_answer()
        self.return_gradient: Callable[..., Any] | None = None

    def _build_answer(self) -> Callable[..., Any]:
        maths, lanes = self._maths, self.shape[2]
        if self._by_tiles:
            choices = maths.kind, maths.activations[1], maths.real, lanes
            return tilewise.answerer(*choices, self._works_alone(), self._ahead)
        ways = ways_of(self.plan.into, self.shape, maths.kind.affine)
        phases = forward_phases(maths.kind, maths.activations, maths.real, lanes, ways, self._ahead)
        return answerer(phases, *self._alone(*self._ends))

    def build_return(self) -> Callable[..., Any]:
        dtype, columns = self._maths.dtype, 1 if self._maths.kind.affine else 2
        parts = tilewise.parts_of(self.shape[0]) if self._by_tiles else 0
        self.sums = Sums(np.zeros(self.shape[1], dtype), np.empty((columns, parts * self._n_cells), dtype))
        self.return_gradient = self._build_by_tiles(parts) if self._by_tiles else self._build_by_phases()
        return self.return_gradient

    def _build_by_tiles(self, parts: int) -> Callable[..., Any]:
        maths, (tiles, _, lanes) = self._maths, self.shape
        choices = maths.kind, maths.activations[1], maths.real, lanes
        ahead = self._ahead, asks_for_rows(self.out_of.near, maths.kind.affine)
        return tilewise.gradient_returner(*choices, self._works_alone(), *ahead, tiles == parts)

    def _build_by_phases(self) -> Callable[..., Any]:
        maths, (tiles, _, lanes) = self._maths, self.shape
        ways = ways_of(self.plan.out_of, self.shape, maths.kind.affine)
        phases = backward_phases(maths.kind, maths.activations, maths.real, lanes, True, tiles == 1, ways, self._ahead)
        return gradient_returner(phases, *self._alone(*self._ends[::-1]))

    def _looks_alone(self, n_from: int) -> bool:
        return is_little(LOOK * n_from * len(self.inputs.rows))

    def _works_alone(self) -> bool:
        return tilewise.works_alone(len(self.inputs.rows), self.shape[1], self._n_cells)

    def _alone(self, n_from: int, n_to: int) -> tuple[bool, bool, bool]:
        """Whether one thread looks at the numbers, lays them out, and reads the results back."""
        batch, cell_samples = len(self.inputs.rows), self._n_cells * self.shape[0] * self.shape[2]
        loads, stores = (moves_alone(n * batch, cell_samples) for n in (n_from, n_to))
        return self._looks_alone(n_from), loads, stores


@cache
def answerer(phases: tuple[Phase, ...], looks: bool, loads: bool, stores: bool) -> Callable[..., Any]:
    """Build `answer(data, inputs, rows, stages, cells, potentials, outputs, out) -> finite`; nothing is written where not."""
    finite, load, store, run = finite_checker(looks), rows_loader(loads), rows_storer(stores), in_sequence(phases)

    @kernel("answer", finite, load, store, run)
    def answer(data: Any, inputs: Any, rows: Any, stages: Any, cells: Any, potentials: Any, outputs: Any, out: Any) -> Any:
        if not finite(data):
            return False
        load(potentials, inputs, data, rows)
        run(stages, cells, potentials)
        store(potentials, outputs, out, rows)
        return True

    return answer


@cache
def gradient_returner(phases: tuple[Phase, ...], looks: bool, loads: bool, stores: bool) -> Callable[..., Any]:
    """Build `back(gy, outputs, rows, stages, cells, potentials, gradient, sums, inputs, out) -> finite`, likewise."""
    finite, load, store, run = finite_checker(looks), rows_loader(loads), rows_storer(stores), in_sequence(phases)

    @kernel("return gradient", finite, load, store, run)
    def back(
        gy: Any, outputs: Any, rows: Any, stages: Any, cells: Any, potentials: Any, gradient: Any, sums: Any, inputs: Any,
        out: Any,
    ) -> Any:  # fmt: skip
        if not finite(gy):
            return False
        load(gradient, outputs, gy, rows)
        run(stages, cells, potentials, gradient, sums.totals)
        store(gradient, inputs, out, rows)
        return True

    return back

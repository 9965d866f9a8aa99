"""The dense plan on the CPU: the affine cells between inputs and outputs as a matrix, and samples read where they lie.

A linear cell is one multiply-add a sample, less than it takes to lay the sample out; so where outputs are few, or samples, rows
of the data are multiplied by rows of the matrix as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dna.backend import Backend, Inputs, Maths, Steps
from dna.cpu.backward import through_activation
from dna.cpu.choice import FEW, Sizes, Work, of_batch, of_few, of_steps, step_is_little
from dna.cpu.matrix import Matrix
from dna.cpu.memory import aligned_zeros
from dna.cpu.outer import few_rows_backward
from dna.cpu.products import vector_of
from dna.cpu.room import FEWEST, PARTS, make_room
from dna.cpu.rows import inputs_backward, rows_backward, rows_forward
from dna.cpu.step import steps_kernel
from dna.cpu.threads import is_little
from dna.types import Array, Cells, Nodes

NARROW, WIDER = 1 << 14, 1 << 16
"""The plan suits matrices of up to so many places, for a few samples of up to so many, and larger ones that are the pool's
columns."""

MANY = 1 << 16
"""Cells up to which whole steps are taken: one thread gives them their gradients, and sums them to the matrix."""

RETURN = 4
"""Multiply-adds that take as long as one place of a matrix backward, for a few samples: three rows go by in memory."""

LARGEST = 2**31 - 1
"""Places of a matrix that can be numbered."""


class Dense:
    """The phases of the dense plan; see `dna.backend.Dense`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def maths(self) -> Maths:
        return self._backend.maths

    def refusal(self, nodes: Nodes) -> str | None:
        if not self.maths.kind.affine:
            return f"expected cells of an affine kind, got {self.maths.kind.name}"
        sizes = tuple(len(members) for members in nodes.by_level)
        if sizes != (len(nodes.inputs), len(nodes.outputs)):
            return f"expected inputs and outputs and no other nodes, got levels of {', '.join(map(str, sizes))}"
        if sizes[0] * sizes[1] > LARGEST:
            return f"expected at most {LARGEST} pairs of nodes, got {sizes[0] * sizes[1]}"
        return None

    def suits(self, nodes: Nodes, n_cells: int, in_order: bool, batch: int, outside: bool) -> bool:
        if self.refusal(nodes) is not None or not self._is_at_hand(nodes, n_cells, in_order, batch):
            return False
        work = self._work(nodes, n_cells, batch, outside)
        return work is None or work.by_rows <= work.by_tiles

    def reason(self, nodes: Nodes, n_cells: int, in_order: bool, batch: int, outside: bool) -> str:
        if not self._is_at_hand(nodes, n_cells, in_order, batch):
            return f"a matrix would have {len(nodes.inputs) * len(nodes.outputs)} places, and not the pool's own"
        work, what = self._work(nodes, n_cells, batch, outside), "call" if outside else "step"
        if work is None:
            return "steps of few samples take least by rows"
        rows, tiles = (f"{each / 1e6:.2g}" for each in work)
        return f"a {what} with a batch of {batch} is {rows} million multiply-adds of work by rows, {tiles} by tiles"

    def _is_at_hand(self, nodes: Nodes, n_cells: int, in_order: bool, batch: int) -> bool:
        """Whether the matrix is the pool itself, or small."""
        places = len(nodes.inputs) * len(nodes.outputs)
        return places <= (WIDER if batch <= FEW else NARROW) or (in_order and n_cells == places)

    def _work(self, nodes: Nodes, n_cells: int, batch: int, outside: bool) -> Work | None:
        """Return the work by rows and by tiles, or None where rows take less in any case."""
        sizes = Sizes(len(nodes.inputs), len(nodes.outputs), n_cells, batch, self._backend.tile(batch))
        if not outside and self._steps_are_whole(*sizes[:3]):
            return of_steps(sizes)
        if batch <= FEW:
            return of_few(sizes) if outside else None
        return of_batch(sizes, outside)

    def tile(self, batch: int, nodes: Nodes, n_cells: int) -> int:
        return self._backend.tile(batch)

    def make_plan(self, cells: Cells, bump: int, n_cells: int, nodes: Nodes) -> Matrix:
        return Matrix(cells, bump, nodes)

    def answer(
        self, plan: Matrix, cells: Cells, moment: int, nodes: Nodes, data: Array, potentials: Array, out: Array
    ) -> Inputs | None:
        plan.sum_up(cells, moment)
        if plan.kept[0].data.shape[0] != len(data):
            numbers = np.arange(len(data))
            plan.run = self._forward_of(plan, len(data))
            plan.kept = [Inputs(aligned_zeros(data.shape, data.dtype), numbers) for _ in range(2)]
        kept = plan.kept[0]
        if not plan.run(data, kept.rows, kept.data, plan.weight, plan.offset, nodes.outputs, potentials, out):
            return None
        plan.kept.reverse()
        return kept

    def forward(self, plan: Matrix, cells: Cells, moment: int, nodes: Nodes, inputs: Inputs, potentials: Array) -> None:
        plan.sum_up(cells, moment)
        nothing = potentials[0, :0]
        run = self._forward_of(plan, len(inputs.rows))
        run(*inputs, nothing, plan.weight, plan.offset, nodes.outputs, potentials, nothing)

    def _forward_of(self, plan: Matrix, n: int) -> Callable[..., Any]:
        return rows_forward(self.maths.activations[1], self.maths.real, is_little(n * plan.weight.size))

    def return_gradient(
        self, plan: Matrix, cells: Cells, moment: int, nodes: Nodes, inputs: Inputs, potentials: Array, gradient: Array,
        gy: Array, out: Array,
    ) -> bool:  # fmt: skip
        if len(gy) > FEW:
            if not self._backend.all_finite(gy):
                return False
            self._backend.load_rows(gradient, nodes.outputs, gy, inputs.rows)
            self.backward(plan, cells, moment, nodes, inputs, potentials, gradient, out)
            return True
        plan.sum_up(cells, moment)
        if plan.room.shape[1] != len(gy):
            alone = is_little(RETURN * len(gy) * plan.weight.size)
            plan.run_back = few_rows_backward(self.maths.activations[1], self.maths.real, alone)
            plan.room = aligned_zeros((1 if alone else PARTS, len(gy), plan.weight.shape[1]), self.maths.dtype)
        bias_grad = cells.bias_grad[: plan.weight.size if plan.regular else 0]
        run, room = plan.run_back, plan.room
        matrix = plan.weight, plan.by_weight, plan.totals, bias_grad
        if not run(gy, inputs.data, nodes.outputs, potentials, gradient, *matrix, room, out):
            return False
        if not plan.regular:
            plan.spread(cells)
        return True

    def backward(
        self, plan: Matrix, cells: Cells, moment: int, nodes: Nodes, inputs: Inputs, potentials: Array, gradient: Array,
        out: Array,
    ) -> None:  # fmt: skip
        plan.sum_up(cells, moment)
        n, activation, real = len(inputs.rows), self.maths.activations[1], self.maths.real
        if activation.name != "identity":
            through_activation(activation, real)(nodes.by_level[1], potentials, gradient)
        alone, parts = is_little(n * plan.weight.size), min(PARTS, n // FEWEST) - 1
        if parts > 0 and (plan.parts is None or len(plan.parts) != parts):
            plan.parts = aligned_zeros((parts, *plan.weight.shape), self.maths.dtype)
        room = plan.parts if parts > 0 else plan.by_weight[np.newaxis][:0]
        rows_backward(real, alone)(*inputs, gradient, nodes.outputs, plan.totals, plan.by_weight, room)
        plan.spread(cells)
        if len(out):
            inputs_backward(real, alone)(gradient, nodes.outputs, plan.weight, out)

    def takes_steps(self, plan: Matrix, nodes: Nodes) -> bool:
        return self._steps_are_whole(len(nodes.inputs), len(nodes.outputs), len(plan.place))

    def _steps_are_whole(self, n_in: int, n_out: int, n_cells: int) -> bool:
        """Whether a matrix and its gradient stay in the caches of a core, its rows are vectors and its cells not too many."""
        return n_in * n_out <= NARROW and n_in >= vector_of(self.maths.real) and n_cells <= MANY

    def take_steps(
        self, plan: Matrix, cells: Cells, nodes: Nodes, steps: Steps, potentials: Array, gradient: Array, go: bool = True,
        learn: bool = True,
    ) -> int:  # fmt: skip
        maths, n_in, n_out = self.maths, len(nodes.inputs), len(nodes.outputs)
        size = min(steps.size, len(steps.order))
        if plan.steps_room_for != size:
            plan.steps_room, plan.steps_room_for = make_room(n_in, n_out, size, maths.dtype), size
        optimizer, alone = steps.optimizer, step_is_little(n_in, n_out, size)
        take = steps_kernel(steps.loss, type(optimizer), optimizer.moments, maths.activations[1], maths.real, alone)
        plan.look_at(cells)
        samples, span = (steps.data, steps.targets, steps.order, steps.size), (steps.first, steps.n, go, learn)
        matrix = plan.weight, plan.by_weight, plan.totals, plan.place, plan.row, plan.regular
        ends = potentials, gradient
        taken: int = take(samples, cells, matrix, nodes.outputs, ends, plan.steps_room, span, steps.rates, steps.sums)
        return taken

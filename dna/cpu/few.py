"""The gather plan on the CPU for one sample, or for a few of affine cells, as they come by a call from outside.

What a cell costs is then to be found, and not to be computed. So cells are packed by target for forward, and taken in the order
of their slots for backward; potentials are rows of 1 to 8 lanes, which stay in the nearest cache in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dna.backend import Backend, Inputs
from dna.cpu.memory import aligned_zeros
from dna.cpu.packed import Packed
from dna.cpu.short import level_backward, level_forward, output_gradient
from dna.cpu.threads import is_little
from dna.types import Array, Cells, Nodes

MOST, MOST_OF_ANY = 8, 1
"""Samples that are few, of affine cells and of any kind, whose loops over fewer than 64 lanes are no vector code."""

MOST_LEVELS = 4
"""Levels of a network that suits: backward looks at all cells once a level."""

FIND, RETURN = 16, 32
"""Multiply-adds that take as long as a cell forward and backward, for a few samples."""

PARTS, CELLS_A_NODE = 8, 8
"""Backward cuts the pool into at most so many parts, each of that many cells a node, whose sums by node are added."""


class FewPlan:
    """Packed cells, and for each number of lanes the kernels, and room for sums by node."""

    def __init__(self, packed: Packed, real: type) -> None:
        self.packed = packed
        self.nothing: Array = np.empty((0, 0), real)
        self.totals: Array = np.empty(len(packed.offset), real)
        self.forward: dict[int, list[Callable[..., Any]]] = {}
        self.backward: dict[int, tuple[list[Callable[..., Any]], Array]] = {}
        self.inputs = Inputs(self.nothing, np.arange(0))


class Few:
    """The phases for a few samples; see `dna.backend.Form`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def suits(self, nodes: Nodes, batch: int) -> bool:
        return batch <= (MOST if self._backend.maths.kind.affine else MOST_OF_ANY) and len(nodes.by_level) <= MOST_LEVELS

    def tile(self, batch: int, nodes: Nodes, n_cells: int) -> int:
        return 1 << (batch - 1).bit_length()

    def make_plan(self, cells: Cells, bump: int, n_cells: int, nodes: Nodes) -> FewPlan:
        maths = self._backend.maths
        return FewPlan(Packed(cells, bump, n_cells, len(nodes.level), maths.kind.affine), maths.real)

    def answer(
        self, plan: FewPlan, cells: Cells, moment: int, nodes: Nodes, data: Array, potentials: Array, out: Array
    ) -> Inputs | None:
        packed, nothing, lanes = plan.packed, plan.nothing, potentials.shape[2]
        packed.renew(cells, moment)
        kernels = plan.forward.get(lanes) or self._build_forward(plan, lanes)
        last = len(kernels)
        for level, run in enumerate(kernels, start=1):
            if not run(
                data if level == 1 else nothing, nodes.inputs, nodes.by_level[level], nodes.outputs, packed.start, packed.other,
                packed.weight, packed.bias, packed.offset, potentials, out if level == last else nothing,
            ):  # fmt: skip
                return None
        if len(plan.inputs.rows) != len(data):
            plan.inputs = Inputs(nothing, np.arange(len(data)))
        return plan.inputs

    def return_gradient(
        self, plan: FewPlan, cells: Cells, moment: int, nodes: Nodes, inputs: Inputs, potentials: Array, gradient: Array,
        gy: Array, out: Array,
    ) -> bool:  # fmt: skip
        kernels, room = plan.backward.get(potentials.shape[2]) or self._build_backward(plan, potentials)
        if not kernels[0](gy, nodes.outputs, potentials, gradient, plan.totals):
            return False
        for level, run in zip(range(len(kernels) - 2, -1, -1), kernels[1:], strict=True):
            run(
                nodes.by_level[level] if level else nodes.inputs, level, nodes.level, plan.packed.start, cells, plan.packed.bump,
                cells.weight_grad, cells.bias_grad, potentials, gradient, plan.totals, room, plan.nothing if level else out,
            )  # fmt: skip
        return True

    def _build_forward(self, plan: FewPlan, lanes: int) -> list[Callable[..., Any]]:
        maths, alone = self._backend.maths, is_little(FIND * len(plan.packed.slot))
        levels = [level_forward(maths.kind, activation, maths.real, lanes, alone) for activation in maths.activations[1:]]
        plan.forward[lanes] = levels
        return levels

    def _build_backward(self, plan: FewPlan, potentials: Array) -> tuple[list[Callable[..., Any]], Array]:
        maths, (_, n_nodes, lanes) = self._backend.maths, potentials.shape
        bump, regular = plan.packed.bump, plan.packed.regular
        alone, below = is_little(RETURN * bump), maths.activations[-2::-1]
        parts = 1 if alone else max(2, min(PARTS, bump // (CELLS_A_NODE * n_nodes)))
        sizes = lanes, len(below) == 1, regular, alone
        levels = [level_backward(maths.kind, activation, maths.real, *sizes) for activation in below]
        kernels = [output_gradient(maths.activations[-1], maths.real), *levels]
        plan.backward[lanes] = kernels, aligned_zeros((parts, n_nodes, lanes), maths.dtype)
        return plan.backward[lanes]

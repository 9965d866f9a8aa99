"""Newborns that were laid out on the host: the cells that births of nodes bring, and what they make of their parents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dna.types import FREE, ID, NODE, SLOT, Array, Cells

if TYPE_CHECKING:
    from dna.backend import Backend
    from dna.selection import Selection


class CellPlan(NamedTuple):
    """Cells that are to be born, on the host, in the order of birth."""

    source: np.ndarray  # (n,) nodes
    target: np.ndarray  # (n,)
    weight: np.ndarray  # (n,)
    bias: np.ndarray  # (n,)
    parent: np.ndarray  # (n,) ids of living or dying cells, or -1
    heir: np.ndarray  # (n,) slots whose optimizer state a newborn takes over, or -1 for zeros


class Parents(NamedTuple):
    """Cells that go on with another weight and bias; all have the fate SPLIT."""

    slots: Array
    weight: Array
    bias: Array


class PlannedBrood(NamedTuple):
    """A plan on the device, ready to be written."""

    backend: Backend
    version: int
    cells: Cells
    changed: Parents

    @property
    def parents(self) -> Array:
        """(n,) int64 on the device: the id of each cell's parent, or -1."""
        return self.cells.parent

    def write(self, cells: Cells, children: Array, first_id: int) -> None:
        """Write the newborns in the order of the plan, and give their parents the weights and biases that are left to them."""
        self.backend.write_newborns(cells, children, self.cells, first_id, self.version)
        if len(children) > 0:
            self.backend.put(cells.weight, self.changed.slots, self.changed.weight)
            self.backend.put(cells.bias, self.changed.slots, self.changed.bias)


def no_cells() -> CellPlan:
    """Return a plan of nobody."""
    nothing = np.empty(0, np.int64)
    return CellPlan(nothing, nothing, np.empty(0), np.empty(0), nothing, nothing)


def plan_cells(parts: Sequence[CellPlan]) -> CellPlan:
    """Return several plans as one."""
    return CellPlan(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def lay_out(
    selection: Selection,
    plan: CellPlan,
    slots: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
) -> PlannedBrood:
    """Bring a plan to the device, with what becomes of the parents in `slots`."""
    backend, real = selection.backend, selection.backend.maths.dtype
    upload = backend.upload

    def column(values: np.ndarray | None, dtype: np.dtype) -> Array:
        return upload(np.empty(0, dtype) if values is None else np.ascontiguousarray(values, dtype))

    weights, ids = column(plan.weight, real), column(plan.parent, ID)
    ends = column(plan.source, NODE), column(plan.target, NODE)
    cells = Cells(
        *ends, weights, column(plan.bias, real), weights, weights, upload(_states(selection, plan.heir)), ids, ids, ends[0]
    )
    return PlannedBrood(backend, selection.version, cells, Parents(column(slots, SLOT), column(weight, real), column(bias, real)))


def _states(selection: Selection, heir: np.ndarray) -> np.ndarray:
    """Return the optimizer state of the newborns, (rows, n)."""
    state = selection.columns()["state"]
    kept = state[:, np.maximum(heir, 0)] if len(heir) else state[:, :0]
    return np.ascontiguousarray(np.where(heir != FREE, kept, 0).astype(state.dtype))

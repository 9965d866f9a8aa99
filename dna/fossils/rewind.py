"""Rewind: the pool as it was before an extinction, from the pool as it is and what the record kept."""

from __future__ import annotations

import numpy as np

from dna.fossils.event import ExtinctionEvent
from dna.types import FREE

Columns = dict[str, np.ndarray]


def rewind(columns: Columns, free: np.ndarray, event: ExtinctionEvent, optimizer: str | None) -> tuple[Columns, np.ndarray]:
    """Return the pool's columns and its stack of free slots just before the last event.

    Parameters
    ----------
    columns, free
        As `Pool.columns` gives them; they are left as they are.
    event : ExtinctionEvent
        The last one: nobody was born or died since.
    optimizer : str or None
        The optimizer whose state the pool holds now. Where it is not that of the event, all state began anew since, and the dead
        come back with zeros.
    """
    bump = event.cells_before + event.free_before
    children, parents = _slots_of(event.born, columns["id"]), _slots_of(event.split.id, columns["id"])
    before = {name: column.copy() for name, column in columns.items()}
    _clear(before, children)
    _put(before, event.dead.slot, {name: getattr(event.dead, name) for name in event.dead.names if name != "slot"})
    _put(before, parents, {"weight": event.split.weight, "bias": event.split.bias})
    rows = len(before["state"])
    if rows == event.dead.rows and optimizer == event.optimizer:
        before["state"][:, event.dead.slot] = event.dead.state
        before["state"][:, parents] = event.split.state
    return {name: column[..., :bump] for name, column in before.items()}, _stack_before(free, children, event)


def _slots_of(cells: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return the slots of living cells."""
    order = np.argsort(ids)
    return order[np.searchsorted(ids, cells, sorter=order)]


def _clear(columns: Columns, slots: np.ndarray) -> None:
    for name, column in columns.items():
        column[..., slots] = FREE if name in ("id", "parent") else 0


def _put(columns: Columns, slots: np.ndarray, values: Columns) -> None:
    for name, column in values.items():
        if name != "state":
            columns[name][slots] = column


def _stack_before(free: np.ndarray, children: np.ndarray, event: ExtinctionEvent) -> np.ndarray:
    """Return the stack of free slots before: the dead lay on top of it, and children came from the top, then by bump.

    Children past the number of the dead took slots that were free before, the uppermost first.
    """
    from_stack = children[event.n_died : event.n_died + event.free_before]
    kept = free[: event.free_before - len(from_stack)]
    return np.concatenate([kept, from_stack[::-1].astype(free.dtype)])

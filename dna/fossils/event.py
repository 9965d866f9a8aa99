"""One extinction, as the fossil record holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dna.errors import UndoError
from dna.fossils.remains import Remains
from dna.nodes import NodesBorn
from dna.rules import ScheduleState
from dna.types import ID, NODE


@dataclass
class Losses:
    """The watched loss around an extinction; each becomes known in its time, and stays None where nothing was watched."""

    before: float | None = None
    after: float | None = None
    next: float | None = None


@dataclass(frozen=True, eq=False, repr=False)
class ExtinctionEvent:
    """One extinction, whole.

    Attributes
    ----------
    number : int
        0 for the network's first.
    epoch : int
        Epochs trained before it.
    trigger : str
        What fired it: "schedule" or "hand".
    signals : mapping of str to float
        What the schedule saw when it fired: values of growth signals by name. Empty where it asked for none.
    options : mapping
        The rule and its parameters (see `dna.Extinction`).
    optimizer : str or None
        Name of the optimizer whose state the remains hold.
    version : int
        Topology version that it made, one more than that before.
    cells_before, cells_after : int
    first_id, n_born, n_died : int
        The id of the first child, and how many were born and died.
    seconds : float
        What the extinction itself took, without the losses and the next plan.
    bytes, capacity : int
        What the pool's arrays take afterwards, and its slots.
    fragmentation : float
        In [0, 1), afterwards: free slots below the bump pointer as a share of all slots below it.
    capacity_before, free_before : int
        Slots of the pool, and slots on the stack of free ones, just before.
    schedule_before : ScheduleState
        Where the schedule stood; an extinction begins it anew.
    births : Remains
        Of the children, in the order of birth: the parent. See `born` and `parents`.
    split : Remains
        The cells that split, by ascending slot, as they were just before: id, weight, bias, optimizer state.
    dead : Remains
        The cells that died, by ascending slot, in their last state: slot and all columns of the pool.
    first_node : int
        Nodes before it, and so the number of the first node that it added.
    nodes : NodesBorn
        The nodes and levels that it added. See `nodes_born`, `node_parents` and `levels_born`.
    losses : Losses
        See `loss_before`, `loss_after`, `loss_next`.
    """

    number: int
    epoch: int
    trigger: str
    signals: Mapping[str, float]
    options: Mapping[str, Any]
    optimizer: str | None
    version: int
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
    schedule_before: ScheduleState
    births: Remains
    split: Remains
    dead: Remains
    first_node: int
    nodes: NodesBorn
    losses: Losses
    _undo: Callable[[ExtinctionEvent], None] | None = None

    @property
    def born(self) -> np.ndarray:
        """Ids of the children in the order of birth, (n_born,) int64."""
        return np.arange(self.first_id, self.first_id + self.n_born, dtype=ID)

    @property
    def parents(self) -> np.ndarray:
        """The id of the cell that each child split from, or -1, (n_born,) int64."""
        return self.births.parent

    @property
    def died(self) -> np.ndarray:
        """Ids of the dead by ascending slot, (n_died,) int64."""
        return self.dead.id

    @property
    def nodes_born(self) -> np.ndarray:
        """Numbers of the nodes that it added, (n,) int32."""
        return np.arange(self.first_node, self.first_node + len(self.nodes.level), dtype=NODE)

    @property
    def node_parents(self) -> np.ndarray:
        """The node that each was split or copied from, or -1, (n,) int32."""
        return self.nodes.parent

    @property
    def levels_born(self) -> tuple[tuple[int, str], ...]:
        """The levels that it added, one by one: the place of each as it came in, and its activation."""
        return self.nodes.levels

    @property
    def loss_before(self) -> float | None:
        """The watched loss just before, where there was data to watch."""
        return self.losses.before

    @property
    def loss_after(self) -> float | None:
        """The watched loss just after, likewise."""
        return self.losses.after

    @property
    def loss_next(self) -> float | None:
        """The watched loss at the end of the next epoch that `fit` trained; None until then."""
        return self.losses.next

    @property
    def record_bytes(self) -> int:
        """What the record keeps of the cells that were born, split and died, and of the nodes that were born."""
        nodes = self.nodes.level.nbytes + self.nodes.parent.nbytes
        return self.births.nbytes + self.split.nbytes + self.dead.nbytes + nodes

    def undo(self) -> None:
        """Take the extinction back, as if it had never happened; the event leaves the record.

        Nodes, levels, pool, stack of free slots, ids, version, capacity and schedule are bit by bit what they were just before
        it, and so are weight, bias and optimizer state of the cells that split or died. Whatever was learned since by cells that
        neither split nor died stays, as do the counts of epochs and steps: undo takes back the extinction, and no training.

        Raises
        ------
        UndoError
            A later event stands, a user's own kernel changed the topology since, the event is not in the record any more, or
            its network is gone. Nothing changed.
        """
        if self._undo is None:
            raise UndoError(f"extinction {self.number} belongs to no network")
        self._undo(self)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_undo": None}  # without the way back to its network, which a pickle would drag along

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        losses = ""
        if self.loss_before is not None and self.loss_after is not None:
            losses = f", loss {self.loss_before:.4f} -> {self.loss_after:.4f}"
        nodes = f", {len(self.nodes.level)} nodes born" if len(self.nodes.level) else ""
        return (
            f"extinction {self.number} after epoch {self.epoch}: {self.cells_before} -> {self.cells_after} cells, "
            f"{self.n_born} born, {self.n_died} died{nodes}{losses}"
        )


class Change(NamedTuple):
    """What an extinction did to the pool, by the fields of `ExtinctionEvent`."""

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

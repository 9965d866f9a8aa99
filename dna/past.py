"""The past of a network: an extinction taken back, and the topology of an earlier version."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from dna import check
from dna.errors import FossilError, UndoError
from dna.fossils import ExtinctionEvent
from dna.graph.topology import CellTable, Topology
from dna.interrupt import Uninterrupted
from dna.nodes import nodes_before
from dna.saved import topology
from dna.turn import in_turn

if TYPE_CHECKING:
    from dna.model import Model

Columns = dict[str, np.ndarray]


def undoer(network: Model) -> Callable[[ExtinctionEvent], None]:
    """Return what takes an event of this network back. It does not keep the network alive."""
    kept = weakref.ref(network)

    def undo_here(event: ExtinctionEvent) -> None:
        found = kept()
        if found is None:
            raise UndoError(f"extinction {event.number}: its network is gone")
        undo(found, event)

    return undo_here


@in_turn
def undo(network: Model, event: ExtinctionEvent) -> None:
    """Take the last extinction back; see `ExtinctionEvent.undo`."""
    _require_last(network, event)
    optimizer = None if network.optimizer is None else network.optimizer.name
    with Uninterrupted():
        network.engine.undo(event, optimizer)
        network.events.pop()
        network.schedule = event.schedule_before
        network.last_options = dict(network.events[-1].options) if network.events else None


def _require_last(network: Model, event: ExtinctionEvent) -> None:
    if not any(event is one for one in network.events):
        raise UndoError(f"extinction {event.number} is not in the record: it was taken back, or its network was loaded anew")
    last = network.events[-1]
    if event is not last:
        raise UndoError(f"extinction {event.number}: expected the last event, but extinction {last.number} stands after it")
    if event.version != network.version:
        raise UndoError(
            f"extinction {event.number} made version {event.version}, but the topology is at {network.version}: "
            "kernels claimed or released cells since"
        )


@in_turn
def topology_at(network: Model, version: int) -> Topology:
    """Return a past version, or the present one; see `dna.Network.at`."""
    version, present = check.count("version", version, 0), topology(network)
    if version > present.version:
        raise FossilError(f"version: expected at most the present one, {present.version}, got {version}")
    if version == present.version:
        return present
    events = {event.version: event for event in network.events}
    cells = {field.name: getattr(present.cells, field.name) for field in fields(CellTable)}
    level, activations = present.level, present.activations
    for later in range(present.version, version, -1):
        if later not in events:
            raise FossilError(f"version {version} is not known: version {later} was made by kernels, and not by an extinction")
        cells = _cells_before(cells, events[later])
        level, activations = nodes_before(level, activations, events[later].nodes)
    names = None if present.names is None else present.names[: len(level)]
    table = CellTable(**cells)
    return replace(present, version=version, cells=table, level=level, activations=activations, names=names)


def _cells_before(cells: Columns, event: ExtinctionEvent) -> Columns:
    """Return the cells, in id order, that lived just before an event: without those born, with the dead."""
    older = cells["id"] < event.first_id
    joined = {name: np.concatenate([column[older], getattr(event.dead, name)]) for name, column in cells.items()}
    order = np.argsort(joined["id"])
    before = {name: column[order] for name, column in joined.items()}
    split = np.searchsorted(before["id"], event.split.id)
    before["weight"][split], before["bias"][split] = event.split.weight, event.split.bias
    return before

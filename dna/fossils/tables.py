"""The record as plain values and a few long arrays, for files: an array an event would cost more than what it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dna.fossils.event import ExtinctionEvent, Losses
from dna.fossils.remains import BORN_COLUMNS, DEAD_COLUMNS, SPLIT_COLUMNS, Remains
from dna.nodes import NodesBorn
from dna.rules import ScheduleState
from dna.types import NODE

KINDS = {"births": BORN_COLUMNS, "split": SPLIT_COLUMNS, "dead": DEAD_COLUMNS}

SCALARS = (
    "number",
    "epoch",
    "trigger",
    "optimizer",
    "version",
    "cells_before",
    "cells_after",
    "first_id",
    "n_born",
    "n_died",
    "seconds",
    "bytes",
    "capacity",
    "fragmentation",
    "capacity_before",
    "free_before",
    "first_node",
)
"""Fields of an event that are JSON values as they stand."""


def pack(events: Sequence[ExtinctionEvent], real: np.dtype) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return the values of each event, and the remains of all in a row, as arrays `births.*`, `split.*`, `dead.*`, `nodes.*`."""
    arrays = {}
    for kind, columns in KINDS.items():
        for name, dtype in columns.items():
            parts = [getattr(getattr(event, kind), name).ravel() for event in events]
            arrays[f"{kind}.{name}"] = np.concatenate([np.empty(0, real if dtype is None else dtype), *parts])
    nothing = np.empty(0, NODE)
    arrays["nodes.born_level"] = np.concatenate([nothing, *(event.nodes.level for event in events)])
    arrays["nodes.born_parent"] = np.concatenate([nothing, *(event.nodes.parent for event in events)])
    return [_values(event) for event in events], arrays


def _values(event: ExtinctionEvent) -> dict[str, Any]:
    losses = {"loss_before": event.loss_before, "loss_after": event.loss_after, "loss_next": event.loss_next}
    kept: dict[str, Any] = {"n_split": len(event.split), "state_rows": event.dead.rows, "n_nodes_born": len(event.nodes.level)}
    kept["levels_born"] = [list(level) for level in event.nodes.levels]
    rule = {"signals": dict(event.signals), "options": dict(event.options), "schedule_before": event.schedule_before._asdict()}
    return {name: getattr(event, name) for name in SCALARS} | losses | kept | rule


def unpack(
    values: Sequence[dict[str, Any]], arrays: dict[str, np.ndarray], undo: Callable[[ExtinctionEvent], None]
) -> list[ExtinctionEvent]:
    """Return the events that were packed; `undo` is what takes one back."""
    events, start = [], dict.fromkeys(arrays, 0)
    for fields in values:
        counts = {"births": fields["n_born"], "split": fields["n_split"], "dead": fields["n_died"]}
        remains = {kind: _remains(kind, arrays, start, count, fields["state_rows"]) for kind, count in counts.items()}
        events.append(
            ExtinctionEvent(
                **{name: fields[name] for name in SCALARS},
                signals=fields["signals"],
                options=fields["options"],
                schedule_before=ScheduleState(**fields["schedule_before"]),
                births=remains["births"],
                split=remains["split"],
                dead=remains["dead"],
                nodes=_nodes(fields, arrays, start),
                losses=Losses(fields["loss_before"], fields["loss_after"], fields["loss_next"]),
                _undo=undo,
            )
        )
    return events


def _nodes(fields: dict[str, Any], arrays: dict[str, np.ndarray], start: dict[str, int]) -> NodesBorn:
    """Return the next nodes that were born, and move `start` past them."""
    first, n = start["nodes.born_level"], fields["n_nodes_born"]
    start["nodes.born_level"] = first + n
    level, parent = (arrays[f"nodes.{name}"][first : first + n] for name in ("born_level", "born_parent"))
    return NodesBorn(level, parent, tuple((place, name) for place, name in fields["levels_born"]))


def _remains(kind: str, arrays: dict[str, np.ndarray], start: dict[str, int], count: int, rows: int) -> Remains:
    """Return the next `count` cells of a kind, and move `start` past them."""
    columns = {}
    for name in KINDS[kind]:
        n = count * rows if name == "state" else count
        first = start[f"{kind}.{name}"]
        part = arrays[f"{kind}.{name}"][first : first + n]
        columns[name] = part.reshape(rows, count) if name == "state" else part
        start[f"{kind}.{name}"] = first + n
    return Remains(columns)

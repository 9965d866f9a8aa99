"""What the page is told: nodes, cells, the past, as JSON with packed columns."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from dna.graph.attributes import pixels
from dna.graph.layout import lay_out
from dna.graph.lives import ALIVE, COLUMNS, Chronicle, Known, Lives, lives
from dna.graph.topology import Topology

MOST = 200_000
"""Cells that the page holds, the dead included; of more, the strongest."""


def payload(topology: Topology, chronicle: Chronicle) -> str:
    """Return the JSON text of a page, in which no markup can begin."""
    past = lives(topology, chronicle.fossils)
    shown = _strongest(past, MOST)
    text = json.dumps(
        {
            "kind": topology.kind,
            "first": past.first,
            "last": past.last,
            "oldest": int(shown.born.min(initial=past.last)),
            "note": _note(topology, chronicle, len(past)),
            "scale": _scale(topology.cells.weight),
            **_nodes(topology),
            "cells": _cells(shown),
            "known": _packed(shown.known._asdict()),
            "events": [_event(event) for event in chronicle.fossils],
            "losses": [list(loss) for loss in chronicle.losses],
        },
        allow_nan=False,
    )
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _strongest(past: Lives, most: int) -> Lives:
    """Return the lives of the largest |weight|, all if they are no more than `most`; of equals, the older."""
    if len(past) <= most:
        return past
    size = np.nan_to_num(np.abs(past.weight), nan=-1.0, posinf=np.inf)
    rows = np.sort(np.argsort(-size, kind="stable")[:most])
    place = np.full(len(past), -1)
    place[rows] = np.arange(most)
    kept = place[past.known.row] >= 0
    known = Known(place[past.known.row[kept]], *(column[kept] for column in past.known[1:]))
    columns = {name: getattr(past, name)[rows] for name in COLUMNS}
    return Lives(**columns, known=known, first=past.first, last=past.last)


def _note(topology: Topology, chronicle: Chronicle, cells: int) -> str:
    notes = []
    if topology.whole is not None:
        notes.append(f"This is a part of the topology: {len(topology.cells):,} of {len(topology.whole.cells):,} cells.")
    if cells > MOST:
        notes.append(f"Of {cells:,} cells, the dead included, the page holds the {MOST:,} strongest.")
    if not chronicle.fossils:
        notes.append("There is no fossil record: no extinction has happened, so only the present version can be shown.")
    return " ".join(notes)


def _scale(weight: np.ndarray) -> float:
    """Return the |weight| at which colours end: the 99.5th percentile of the living."""
    size = np.abs(weight[np.isfinite(weight)])
    return (float(np.percentile(size, 99.5)) if len(size) else 0.0) or 1.0


def _nodes(topology: Topology) -> dict[str, Any]:
    layout, pixel = lay_out(topology), pixels(topology)
    names = None if topology.names is None else list(topology.names)
    columns = {
        "level": topology.level,
        "x": layout.place[:, 0].astype(np.float32),
        "y": layout.place[:, 1].astype(np.float32),
        "spacing": layout.spacing.astype(np.float32),
        "column": pixel[:, 0].astype(np.int32),
        "row": pixel[:, 1].astype(np.int32),
    }
    levels = []
    for level, activation in enumerate(topology.activations):
        members = np.flatnonzero(topology.level == level)
        image = level == 0 and topology.input_shape is not None
        levels.append({"activation": activation, "nodes": len(members), "members": members.tolist(), "pixels": image})
    tall = float(np.ptp(layout.place[:, 1])) + 1.0
    return {"nodes": _packed(columns), "names": names, "levels": levels, "outputs": topology.outputs.tolist(), "tall": tall}


def _cells(past: Lives) -> dict[str, Any]:
    # Ids are packed as float64, which is exact up to 2**53; JavaScript's typed arrays of int64 hold no plain numbers.
    return _packed(
        {
            "id": past.id.astype(np.float64),
            "parent": past.parent.astype(np.float64),
            "source": past.source,
            "target": past.target,
            "born": past.born,
            "died": np.where(past.died == ALIVE, -1, past.died).astype(np.int32),
            "weight": past.weight.astype(np.float32),
            "bias": past.bias.astype(np.float32),
        }
    )


def _packed(columns: dict[str, np.ndarray]) -> dict[str, dict[str, str]]:
    """Return columns as base64 of their little-endian bytes; integers become int32 and reals float32, float64 stays."""
    packed = {}
    for name, column in columns.items():
        kind = "<i4" if column.dtype.kind == "i" else "<f8" if name in ("id", "parent") else "<f4"
        data = base64.b64encode(column.astype(kind).tobytes()).decode()
        packed[name] = {"type": kind[1] + kind[2], "data": data}
    return packed


def _event(event: Any) -> dict[str, Any]:
    return {
        "version": event.version,
        "epoch": event.epoch,
        "born": event.n_born,
        "died": event.n_died,
        "loss_before": event.loss_before,
        "loss_after": event.loss_after,
    }

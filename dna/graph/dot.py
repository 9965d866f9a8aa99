"""DOT, the language of Graphviz, one node or cell a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dna.graph.attributes import Columns, cell_columns, graph_attributes, node_columns
from dna.graph.layout import lay_out
from dna.graph.markup import legal
from dna.graph.topology import Topology

_POINTS = 18  # between neighbouring nodes of the layout


def dot(topology: Topology) -> Iterator[str]:
    """Yield the lines of a DOT document.

    Graphviz gives some names a meaning of its own, so four things are called otherwise: a cell's weight is `cell_weight` (an
    edge's `weight` is how short the layout makes it, and may not be negative), its id is the `key`, a node's name is its
    `label`, and its pixel is `pixel_x`, `pixel_y`. Every node has a place by level, `pos`, which `neato -n2` keeps and `dot`
    finds anew.
    """
    place = (lay_out(topology).place * _POINTS).round(2)
    columns = node_columns(topology)
    columns["label"] = columns.pop("name", topology.shown.tolist())
    for axis in ("x", "y"):
        if axis in columns:
            columns[f"pixel_{axis}"] = columns.pop(axis)
    columns["pos"] = [f"{x},{-y}" for x, y in place[topology.shown].tolist()]
    yield "digraph {\n"
    yield f"graph [{_attributes(graph_attributes(topology))}]\nnode [shape=point]\nedge [arrowhead=none]\n"
    for node, attributes in zip(topology.shown.tolist(), _rows(columns), strict=True):
        yield f"{node} [{attributes}]\n"
    cells = topology.cells
    columns = cell_columns(cells, topology.level) | {"key": cells.id.tolist()}
    columns["cell_weight"] = columns.pop("weight")
    for source, target, attributes in zip(cells.source.tolist(), cells.target.tolist(), _rows(columns), strict=True):
        yield f"{source} -> {target} [{attributes}]\n"
    yield "}\n"


def _rows(columns: Columns) -> Iterator[str]:
    names = tuple(columns)
    for row in zip(*columns.values(), strict=True):
        yield _attributes({name: value for name, value in zip(names, row, strict=True) if value is not None})


def _attributes(values: dict[str, Any]) -> str:
    return ", ".join([f"{name}={_quoted(value)}" for name, value in values.items()])


def _quoted(value: object) -> str:
    r"""Return a value as DOT takes it: a plain number, or a text in quotes where a backslash stands for itself."""
    if type(value) is int:
        return str(value)
    if isinstance(value, bool | float):
        return f'"{str(value).lower()}"'
    escaped = legal(str(value)).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'

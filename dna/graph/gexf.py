"""GEXF 1.2, the format of Gephi, one node or cell a line. `networkx.read_gexf(path, node_type=int)` reads it back whole."""

from __future__ import annotations

from collections.abc import Iterator

from dna.graph.attributes import cell_columns, graph_attributes, node_columns
from dna.graph.markup import TextColumn, text, text_columns
from dna.graph.topology import Topology

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<gexf xmlns="http://www.gexf.net/1.2draft" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.gexf.net/1.2draft http://www.gexf.net/1.2draft/gexf.xsd" version="1.2">
<meta><creator>dna</creator></meta>
<graph defaultedgetype="directed" mode="static">
"""


def gexf(topology: Topology) -> Iterator[str]:
    """Yield the lines of a GEXF document.

    GEXF has reserved words and no attributes of a graph, so three things have their own place:

    - `weight` is the weight of an edge itself, and the cell id its `id`. As networkx reads an edge's id as text, `networkx_key`
      gives it the key as a number. Without parallel cells networkx reads a graph without keys; `id` stays.
    - `version` and `kind` are defaults of all edges (networkx: `graph.graph["edge_default"]`).
    - The label of a node is its name, or else its number.
    """
    nodes, cells = text_columns(node_columns(topology)), text_columns(_cell_attributes(topology))
    yield _HEAD
    yield from _declarations("node", nodes, [])
    yield from _declarations("edge", cells, text_columns({name: [value] for name, value in graph_attributes(topology).items()}))
    yield "<nodes>\n"
    for node, values in zip(topology.shown.tolist(), _attvalues(nodes), strict=True):
        label = node if topology.names is None else text(topology.names[node])
        yield f'<node id="{node}" label="{label}">{values}</node>\n'
    yield "</nodes>\n<edges>\n"
    yield from _edges(topology, cells)
    yield "</edges>\n</graph>\n</gexf>\n"


def _cell_attributes(topology: Topology) -> dict[str, list[object]]:
    return cell_columns(topology) | {"networkx_key": topology.cells.id.tolist()}


def _edges(topology: Topology, cells: list[TextColumn]) -> Iterator[str]:
    table = topology.cells
    weights = next(column.values for column in cells if column.name == "weight")
    ends = zip(table.id.tolist(), table.source.tolist(), table.target.tolist(), weights, strict=True)
    others = [column for column in cells if column.name != "weight"]
    for (cell, source, target, weight), values in zip(ends, _attvalues(others), strict=True):
        yield f'<edge id="{cell}" source="{source}" target="{target}" weight="{weight}">{values}</edge>\n'


def _declarations(scope: str, columns: list[TextColumn], defaults: list[TextColumn]) -> Iterator[str]:
    yield f'<attributes class="{scope}" mode="static">\n'
    for column in columns:
        if (scope, column.name) != ("edge", "weight"):
            yield f'<attribute id="{column.name}" title="{column.name}" type="{column.type}"/>\n'
    for column in defaults:
        yield f'<attribute id="{column.name}" title="{column.name}" type="{column.type}">'
        yield f"<default>{column.values[0]}</default></attribute>\n"
    yield "</attributes>\n"


def _attvalues(columns: list[TextColumn]) -> Iterator[str]:
    """Yield the values of each node or cell; an attribute that it lacks has none."""
    openings = [f'<attvalue for="{column.name}" value="' for column in columns]
    for row in zip(*(column.values for column in columns), strict=True):
        values = "".join([f'{opening}{value}"/>' for opening, value in zip(openings, row, strict=True) if value is not None])
        yield f"<attvalues>{values}</attvalues>"

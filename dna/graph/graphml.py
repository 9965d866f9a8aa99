"""GraphML, one node or cell a line. `networkx.read_graphml(path, node_type=int, force_multigraph=True)` reads it back whole."""

from __future__ import annotations

from collections.abc import Iterator

from dna.graph.attributes import cell_columns, graph_attributes, node_columns
from dna.graph.markup import TextColumn, text_columns
from dna.graph.topology import Topology

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
"""


def graphml(topology: Topology) -> Iterator[str]:
    """Yield the lines of a GraphML document. The id of an edge is its cell's id, which networkx takes for the key."""
    graph = text_columns({name: [value] for name, value in graph_attributes(topology).items()})
    nodes, cells = text_columns(node_columns(topology)), text_columns(cell_columns(topology.cells, topology.level))
    yield _HEAD
    yield from _keys("graph", graph)
    yield from _keys("node", nodes)
    yield from _keys("edge", cells)
    yield '<graph edgedefault="directed">\n'
    for data in _data("graph", graph):
        yield f"{data}\n"
    for node, data in zip(topology.shown.tolist(), _data("node", nodes), strict=True):
        yield f'<node id="{node}">{data}</node>\n'
    table = topology.cells
    ends = zip(table.id.tolist(), table.source.tolist(), table.target.tolist(), strict=True)
    for (cell, source, target), data in zip(ends, _data("edge", cells), strict=True):
        yield f'<edge id="{cell}" source="{source}" target="{target}">{data}</edge>\n'
    yield "</graph>\n</graphml>\n"


def _keys(scope: str, columns: list[TextColumn]) -> Iterator[str]:
    for column in columns:
        yield f'<key id="{scope}.{column.name}" for="{scope}" attr.name="{column.name}" attr.type="{column.type}"/>\n'


def _data(scope: str, columns: list[TextColumn]) -> Iterator[str]:
    """Yield the data elements of each node or cell; an attribute that it lacks has none."""
    openings = [f'<data key="{scope}.{column.name}">' for column in columns]
    for row in zip(*(column.values for column in columns), strict=True):
        yield "".join([f"{opening}{value}</data>" for opening, value in zip(openings, row, strict=True) if value is not None])

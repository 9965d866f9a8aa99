"""Node-link JSON as `networkx.node_link_data(graph, edges="edges")` lays it out, one node or cell a line."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dna.graph.attributes import Columns, cell_columns, graph_attributes, node_columns
from dna.graph.topology import Topology


def node_link(topology: Topology) -> Iterator[str]:
    """Yield the lines of a JSON document that `networkx.node_link_graph(json.load(file), edges="edges")` reads back whole.

    A weight that is not finite is written as `NaN` or `Infinity`, as Python reads it and JSON in the strict sense does not.
    """
    cells = topology.cells
    ends = {"source": cells.source.tolist(), "target": cells.target.tolist(), "key": cells.id.tolist()}
    edges = cell_columns(cells, topology.level) | ends
    yield f'{{"directed": true, "multigraph": true, "graph": {json.dumps(graph_attributes(topology))},\n"nodes": [\n'
    yield from _objects(node_columns(topology) | {"id": topology.shown.tolist()})
    yield '],\n"edges": [\n'
    yield from _objects(edges)
    yield "]}\n"


def _objects(columns: Columns) -> Iterator[str]:
    encode = json.JSONEncoder().encode
    names, comma = tuple(columns), ""
    for row in zip(*columns.values(), strict=True):
        yield comma + encode({name: value for name, value in zip(names, row, strict=True) if value is not None})
        comma = ",\n"
    yield "\n"

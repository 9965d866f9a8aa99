"""GEXF 1.2, the format of Gephi, one node or cell a line, with the time of every cell where there is a fossil record."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dna.graph.attributes import cell_columns, graph_attributes, node_columns
from dna.graph.lives import ALIVE, Chronicle, Lives, lives
from dna.graph.markup import TextColumn, text, text_columns
from dna.graph.topology import Topology

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<gexf xmlns="http://www.gexf.net/1.2draft" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.gexf.net/1.2draft http://www.gexf.net/1.2draft/gexf.xsd" version="1.2">
<meta><creator>dna</creator></meta>
"""


def gexf(topology: Topology, chronicle: Chronicle) -> Iterator[str]:
    """Yield the lines of a GEXF document.

    GEXF has reserved words and no attributes of a graph, so three things have their own place:

    - `weight` is the weight of an edge itself, and the cell id its `id`. As networkx reads an edge's id as text, `networkx_key`
      gives it the key as a number. Without parallel cells networkx reads a graph without keys; `id` stays.
    - `version` and `kind` are defaults of all edges (networkx: `graph.graph["edge_default"]`).
    - The label of a node is its name, or else its number.

    With a fossil record the document is dynamic. Time is the version of the topology, and the dead are there too: each cell has a
    spell from the version of its birth to the last one in which it lived. The attribute `Weight` holds its weight over time, as
    far as it is known: just before each of its splits, before its death, and now.
    """
    moving = len(chronicle.fossils) > 0
    past = lives(topology, chronicle.fossils)
    nodes, cells = text_columns(node_columns(topology)), text_columns(_cell_attributes(topology, past))
    yield _HEAD
    yield _opening(past) if moving else '<graph defaultedgetype="directed" mode="static">\n'
    yield from _declarations("node", nodes, [])
    yield from _declarations("edge", cells, text_columns({name: [value] for name, value in graph_attributes(topology).items()}))
    if moving:
        yield '<attributes class="edge" mode="dynamic">\n<attribute id="weight" title="Weight" type="double"/>\n</attributes>\n'
    yield "<nodes>\n"
    for node, values in zip(topology.shown.tolist(), _attvalues(nodes), strict=True):
        label = node if topology.names is None else text(topology.names[node])
        yield f'<node id="{node}" label="{label}"><attvalues>{values}</attvalues></node>\n'
    yield "</nodes>\n<edges>\n"
    yield from _edges(past, cells, moving)
    yield "</edges>\n</graph>\n</gexf>\n"


def _opening(past: Lives) -> str:
    return f'<graph defaultedgetype="directed" mode="dynamic" timeformat="integer" start="{past.first}" end="{past.last}">\n'


def _cell_attributes(topology: Topology, past: Lives) -> dict[str, list[object]]:
    return cell_columns(past, topology.level) | {"networkx_key": past.id.tolist()}


def _edges(past: Lives, cells: list[TextColumn], moving: bool) -> Iterator[str]:
    weights = next(column.values for column in cells if column.name == "weight")
    others = [column for column in cells if column.name != "weight"]
    times = _times(past, weights) if moving else (("", "") for _ in range(len(past)))
    ends = zip(past.id.tolist(), past.source.tolist(), past.target.tolist(), weights, strict=True)
    for (cell, source, target, weight), values, (course, spells) in zip(ends, _attvalues(others), times, strict=True):
        opening = f'<edge id="{cell}" source="{source}" target="{target}" weight="{weight}">'
        yield f"{opening}<attvalues>{values}{course}</attvalues>{spells}</edge>\n"


def _times(past: Lives, weights: list[str | None]) -> Iterator[tuple[str, str]]:
    """Yield for each cell its weight over time and the spell of its life. Both ends of a span of time are in it."""
    last = np.where(past.died == ALIVE, past.last, past.died - 1).tolist()
    until = [column.tolist() for column in (past.known.version, past.known.weight)]
    starts = np.searchsorted(past.known.row, np.arange(len(past) + 1)).tolist()
    for row, (born, end, weight) in enumerate(zip(past.born.tolist(), last, weights, strict=True)):
        course, begin = [], born
        for k in range(starts[row], starts[row + 1]):
            course.append(_span(repr(until[1][k]), begin, until[0][k]))
            begin = until[0][k] + 1
        course.append(_span(str(weight), begin, end))
        yield "".join(course), f'<spells><spell start="{born}" end="{end}"/></spells>'


def _span(weight: str, start: int, end: int) -> str:
    return f'<attvalue for="weight" value="{weight}" start="{start}" end="{end}"/>'


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
        yield "".join([f'{opening}{value}"/>' for opening, value in zip(openings, row, strict=True) if value is not None])

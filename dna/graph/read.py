"""Reading graphs from files: what `export` wrote, or what others did. A file that is none is refused, whatever is in it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from xml.parsers import expat

from dna import check
from dna.errors import GraphError, OptionError
from dna.registry import Registry

if TYPE_CHECKING:
    import networkx as nx


class Reader(NamedTuple):
    """A format, and what makes a graph of the content of a file."""

    format: str
    read: Callable[[bytes], nx.DiGraph]


READERS: Registry[Reader] = Registry("graph format")
"""Readers by suffix, without its dot."""


def read_graph(path: str | os.PathLike[str]) -> nx.DiGraph:
    """Return the directed graph that a file holds, for `Network.from_networkx`.

    Parameters
    ----------
    path : path
        Ends in `.gexf`, `.graphml` or `.json` (node-link), in any case of letters. Of a GEXF with time, the edges are read
        that last to its end: the living cells.

    Returns
    -------
    networkx.DiGraph or networkx.MultiDiGraph

    Raises
    ------
    GraphError
        The file cannot be read, is not of the format that its suffix names, or holds no directed graph.
    UnknownNameError
        The suffix names no format.

    Notes
    -----
    Nothing that stands in a file is executed, fetched or expanded: XML with a document type, where entities would be declared,
    is refused.
    """
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise OptionError(f"path: expected a str or a path, got {type(path).__name__}")
    path = Path(path)
    reader = READERS[path.suffix.lower().removeprefix(".")]
    try:
        return parse(_content(path), reader)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from error.__cause__


def parse(content: bytes, reader: Reader) -> nx.DiGraph:
    """Return the graph that `reader` makes of a file's content, or raise GraphError."""
    try:
        graph = reader.read(content)
    except GraphError:
        raise
    except Exception as error:  # networkx's readers meet hostile files with errors of any kind
        detail = str(error).strip() or "no detail"
        raise GraphError(
            f"content: expected {reader.format}, got something else: {type(error).__name__}: {detail[:200]}"
        ) from error
    if not isinstance(graph.graph, dict):
        raise GraphError(f"graph: expected an object of attributes, got {type(graph.graph).__name__}")
    if not graph.is_directed():
        raise GraphError("content: expected a directed graph, got an undirected one")
    return graph


def _content(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for its writer
            raise GraphError(f"expected a file, got {'a folder' if path.is_dir() else 'something else'}")
        check.require_room(path.stat().st_size, GraphError)
        return path.read_bytes()
    except GraphError:
        raise
    except (OSError, MemoryError, ValueError) as error:  # ValueError: a path that holds a null byte
        raise GraphError(f"cannot be read: {error}") from error


def _gexf(content: bytes) -> nx.DiGraph:
    import networkx as nx

    _require_no_doctype(content)
    graph = nx.read_gexf(BytesIO(content))
    if graph.graph.get("mode") == "dynamic" and "end" in graph.graph:
        _keep_living(graph, float(graph.graph["end"]))
    return graph


def _keep_living(graph: nx.DiGraph, end: float) -> None:
    """Remove the edges of a graph with time whose last spell is over before its end."""
    edges = graph.edges(keys=True, data="spells") if graph.is_multigraph() else graph.edges(data="spells")
    graph.remove_edges_from([edge[:-1] for edge in edges if edge[-1] and max(stop for _, stop in edge[-1]) < end])


def _graphml(content: bytes) -> nx.DiGraph:
    import networkx as nx

    _require_no_doctype(content)
    return nx.read_graphml(BytesIO(content), force_multigraph=True)


def _node_link(content: bytes) -> nx.DiGraph:
    import networkx as nx

    return nx.node_link_graph(json.loads(content), edges="edges")


def _require_no_doctype(content: bytes) -> None:
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.Parse(content, True)


def _refuse_doctype(*declaration: Any) -> NoReturn:
    raise GraphError("content: expected XML without a document type, got one")


READERS.add("gexf", Reader("GEXF", _gexf))
READERS.add("graphml", Reader("GraphML", _graphml))
READERS.add("json", Reader("node-link JSON", _node_link))

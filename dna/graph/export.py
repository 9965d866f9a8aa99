"""Exports of a topology, by the suffix of the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from dna.errors import OptionError
from dna.files import replace_file
from dna.graph.gexf import gexf
from dna.graph.graphml import graphml
from dna.graph.node_link import node_link
from dna.graph.topology import Topology
from dna.registry import Registry

Exporter = Callable[[Topology], Iterator[bytes]]
"""Makes of a topology the content of a file, piece by piece."""

EXPORTERS: Registry[Exporter] = Registry("export format")
"""Exporters by suffix, without its dot."""


def _in_utf8(lines: Callable[[Topology], Iterator[str]]) -> Exporter:
    return lambda topology: (line.encode() for line in lines(topology))


EXPORTERS.add("gexf", _in_utf8(gexf))
EXPORTERS.add("graphml", _in_utf8(graphml))
EXPORTERS.add("json", _in_utf8(node_link))


def export(topology: Topology, path: str | os.PathLike[str]) -> Path:
    """Write a topology to a file in the format that its suffix names, and return its path.

    Nodes carry level, role, name and pixel, cells carry id, layer, weight, bias, parent and birth; version and kind are kept
    with the graph. Floats are written with all their digits. networkx reads each format back whole, parallel cells included.

    Parameters
    ----------
    topology : Topology
        The version to write.
    path : str or path-like
        Ends in `.gexf`, `.graphml` or `.json`, in any case of letters. An existing file is replaced whole or not at all.

    Raises
    ------
    UnknownNameError
        The suffix names no known format.
    FileError
        The folder is missing or read-only, the disk is full, or `path` is a folder.
    """
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise OptionError(f"path: expected a str or a path, got {type(path).__name__}")
    path = Path(path)
    exporter = EXPORTERS[path.suffix.lower().removeprefix(".")]
    replace_file(path, exporter(topology))
    return path

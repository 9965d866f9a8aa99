"""Exports of a topology, by the suffix of the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from dna.errors import OptionError
from dna.files import replace_file
from dna.graph.dot import dot
from dna.graph.gexf import gexf
from dna.graph.graphml import graphml
from dna.graph.lives import Chronicle
from dna.graph.node_link import node_link
from dna.graph.page import page
from dna.graph.plots.drawing import png_drawing, svg_drawing
from dna.graph.tables import csv_table, parquet_table
from dna.graph.topology import Topology
from dna.registry import Registry

Exporter = Callable[[Topology, Chronicle], Iterator[bytes]]
"""Makes of a topology and its past the content of a file, piece by piece."""


class Format(NamedTuple):
    """A format: what writes it, and how many cells its readers take."""

    write: Exporter
    most: int | None = None  # None where a file may be of any size


FORMATS: Registry[Format] = Registry("export format")
"""Formats by suffix, without its dot."""


def _of_now(content: Callable[[Topology], Iterator[str]]) -> Exporter:
    return lambda topology, _: (piece.encode() for piece in content(topology))


def _bytes_of_now(content: Callable[[Topology], Iterator[bytes]]) -> Exporter:
    return lambda topology, _: content(topology)


FORMATS.add("gexf", Format(lambda topology, past: (line.encode() for line in gexf(topology, past)), 2_000_000))
FORMATS.add("html", Format(lambda topology, past: (piece.encode() for piece in page(topology, past))))
FORMATS.add("graphml", Format(_of_now(graphml), 2_000_000))
FORMATS.add("json", Format(_of_now(node_link), 2_000_000))
FORMATS.add("dot", Format(_of_now(dot), 200_000))
FORMATS.add("csv", Format(_of_now(csv_table)))
FORMATS.add("parquet", Format(_bytes_of_now(parquet_table)))
FORMATS.add("svg", Format(_bytes_of_now(svg_drawing)))
FORMATS.add("png", Format(_bytes_of_now(png_drawing)))


def export(topology: Topology, path: str | os.PathLike[str], chronicle: Chronicle | None = None) -> Path:
    """Write a topology to a file in the format that its suffix names, and return its path.

    Parameters
    ----------
    topology : Topology
        The version to write, or a part of one.
    path : str or path-like
        Ends in the name of one of `FORMATS`, in any case of letters. An existing file is replaced whole or not at all.
    chronicle : Chronicle, optional
        The past, for formats that have time.

    Raises
    ------
    UnknownNameError
        The suffix names no known format.
    OptionError
        The topology has more cells than readers of the format take.
    MissingExtraError
        The format needs a library that is not installed.
    FileError
        The folder is missing or read-only, the disk is full, or `path` is a folder.
    """
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise OptionError(f"path: expected a str or a path, got {type(path).__name__}")
    path = Path(path)
    suffix = path.suffix.lower().removeprefix(".")
    chosen = FORMATS[suffix]
    if chosen.most is not None and len(topology.cells) > chosen.most:
        raise OptionError(
            f"{path}: expected at most {chosen.most:,} cells, as readers of .{suffix} take no more, got {len(topology.cells):,}; "
            f"write .parquet or .csv, or the strongest alone: dna.export(network, path, strongest={chosen.most})"
        )
    replace_file(path, chosen.write(topology, Chronicle() if chronicle is None else chronicle))
    return path

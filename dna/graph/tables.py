"""Plain tables of cells, one row a cell, for millions of them: CSV and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from dna.errors import MissingExtraError
from dna.graph.attributes import graph_attributes
from dna.graph.markup import legal
from dna.graph.topology import Topology

_ROWS = 65_536  # a piece of a CSV file


def csv_table(topology: Topology) -> Iterator[str]:
    """Yield a CSV table in pieces: a header, and a row for each cell. Numbers keep all their digits."""
    columns = _columns(topology)
    yield _written([tuple(columns)])
    for start in range(0, len(topology.cells), _ROWS):
        piece = [_plain(column[start : start + _ROWS]) for column in columns.values()]
        yield _written(zip(*piece, strict=True))


def parquet_table(topology: Topology) -> Iterator[bytes]:
    """Yield a Parquet file with the columns of `csv_table`, typed as the arrays are; version and kind are its metadata.

    Raises
    ------
    MissingExtraError
        pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("Parquet needs pyarrow: pip install hebbian-dna[parquet]") from error
    table = pa.table({name: pa.array(column) for name, column in _columns(topology).items()})
    attributes = {name: str(value) for name, value in graph_attributes(topology).items()}
    file = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata(attributes), file)
    yield file.getvalue()


def _columns(topology: Topology) -> dict[str, Any]:
    cells = topology.cells
    columns: dict[str, Any] = {name: getattr(cells, name) for name in ("id", "source", "target", "weight", "bias")}
    columns["layer"] = topology.level[cells.target]
    columns |= {"parent": cells.parent, "born": cells.born}
    if topology.names is not None:
        names = [legal(str(name)) for name in topology.names]
        for end in ("source", "target"):
            columns[f"{end}_name"] = [names[node] for node in columns[end].tolist()]
    return columns


def _plain(column: Any) -> list[Any]:
    return column if isinstance(column, list) else column.tolist()


def _written(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()

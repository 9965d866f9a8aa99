"""dna: living network topologies. Every edge of a graph is a neural cell that splits and dies while the network trains."""

from __future__ import annotations

import os as _os
from pathlib import Path as _Path
from typing import TYPE_CHECKING
from typing import Unpack as _Unpack

from dna.cells import CellKind, CellMaths, register_cell
from dna.checkpoint import State as _State
from dna.errors import (
    CheckpointError,
    CycleError,
    DataError,
    DeterminismError,
    DeviceError,
    DeviceLost,
    DeviceOutOfMemory,
    DNAError,
    FileError,
    FossilError,
    GraphError,
    InUseError,
    MissingExtraError,
    NumericsError,
    OptionError,
    PoolExhausted,
    ShapeError,
    StaleViewError,
    UndoError,
    UnknownNameError,
)
from dna.fossils import ExtinctionEvent, FossilRecord
from dna.graph.filters import Filters as _Filters
from dna.network import Network
from dna.rules import (
    Cosine,
    Cubic,
    Delete,
    DeleteNodes,
    DeleteStranded,
    Every,
    Extinction,
    GrowNodes,
    InsertLevel,
    InsertNodes,
    Passthrough,
    Plateau,
    Regrow,
    Schedule,
    Signal,
    Split,
    SplitNodes,
    depth_first,
    hybrid,
    width_first,
)
from dna.training import SGD, Adam, AdamW, Callback, History, Loss, Optimizer, SampleMaths
from dna.version import __version__

if TYPE_CHECKING:
    import networkx as nx


def load(path: str | _os.PathLike[str] | _State, device: str = "auto") -> Network:
    """Return the network that `Network.save` wrote to `path`, or that a snapshot holds, on any device; see `Network.load`.

    Raises
    ------
    CheckpointError
        There is no such file, it is not ours, torn, or lies, or names a cell kind of your own that is not registered.
    DeviceError
        The device is not there or does not work.
    """
    return Network.load(path, device=device)


def export(network: Network, path: str | _os.PathLike[str], **filters: _Unpack[_Filters]) -> _Path:
    """Write the topology of a network, or a part of it, in the format that the suffix names, and return the path.

    Parameters
    ----------
    network : Network
    path : str or path-like
        Ends in `.gexf`, `.graphml`, `.json`, `.dot`, `.csv`, `.parquet`, `.html`, `.svg` or `.png`, in any case of letters. An
        existing file is replaced whole or not at all.
    **filters
        The part to write: see `dna.graph.filters.Filters`.

    Raises
    ------
    UnknownNameError
        The suffix names no known format.
    OptionError
        A filter names what is not there, or there are more cells than readers of the format take.
    ImportError
        The format needs a library that is not installed; the message names the extra.
    OSError
        The folder is missing or read-only, the disk is full, or `path` is a folder.
    """
    if not isinstance(network, Network):
        raise OptionError(f"network: expected a dna.Network, then a path, got {type(network).__name__}")
    from dna.graph.export import export as export_topology
    from dna.graph.filters import part
    from dna.graph.lives import chronicle_of

    return export_topology(part(network.topology(), filters), path, chronicle_of(network))


def read_graph(path: str | _os.PathLike[str]) -> nx.DiGraph:
    """Return the directed graph that a GEXF, GraphML or JSON file holds; see `dna.graph.read.read_graph`.

    Raises
    ------
    GraphError
        The file cannot be read, is not of the format that its suffix names, or holds no directed graph.
    UnknownNameError
        The suffix names no format.
    """
    from dna.graph.read import read_graph as read

    return read(path)


__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Callback",
    "CellKind",
    "CellMaths",
    "CheckpointError",
    "Cosine",
    "Cubic",
    "CycleError",
    "DNAError",
    "DataError",
    "Delete",
    "DeleteNodes",
    "DeleteStranded",
    "DeterminismError",
    "DeviceError",
    "DeviceLost",
    "DeviceOutOfMemory",
    "Every",
    "Extinction",
    "ExtinctionEvent",
    "FileError",
    "FossilError",
    "FossilRecord",
    "GraphError",
    "GrowNodes",
    "History",
    "InUseError",
    "InsertLevel",
    "InsertNodes",
    "Loss",
    "MissingExtraError",
    "Network",
    "NumericsError",
    "Optimizer",
    "OptionError",
    "Passthrough",
    "Plateau",
    "PoolExhausted",
    "Regrow",
    "SampleMaths",
    "Schedule",
    "ShapeError",
    "Signal",
    "Split",
    "SplitNodes",
    "StaleViewError",
    "UndoError",
    "UnknownNameError",
    "__version__",
    "depth_first",
    "export",
    "hybrid",
    "load",
    "read_graph",
    "register_cell",
    "width_first",
]

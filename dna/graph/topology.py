"""One version of a network as the host sees it. Views, exports and plots work on this, and know nothing of `Network`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dna.errors import GraphError, ShapeError
from dna.types import ID, NODE

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Reals = NDArray[np.floating]

_DTYPES: dict[str, np.dtype[Any]] = {"id": ID, "parent": ID, "source": NODE, "target": NODE, "born": NODE}


@dataclass(frozen=True, eq=False, repr=False)
class CellTable:
    """All living cells in id order, as read-only NumPy arrays of one length.

    Attributes
    ----------
    id : (n,) int64
        What a cell is called for life; ascending, which is the order of birth.
    source, target : (n,) int32
        Its end nodes.
    weight, bias : (n,) real
    weight_grad, bias_grad : (n,) real
        dL/dw and dL/db of the last backward.
    parent : (n,) int64
        The id of the cell it split from, or -1.
    born : (n,) int32
        The version in which it first lived.

    Raises
    ------
    ShapeError
        The columns are not one-dimensional, or not of one length.
    """

    id: Longs
    source: Ints
    target: Ints
    weight: Reals
    bias: Reals
    weight_grad: Reals
    bias_grad: Reals
    parent: Longs
    born: Ints

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _read_only(getattr(self, field.name), _DTYPES.get(field.name)))
        shapes = {field.name: getattr(self, field.name).shape for field in fields(self)}
        if any(len(shape) != 1 or shape != self.id.shape for shape in shapes.values()):
            raise ShapeError(f"cells: expected columns of one dimension and one length, got {shapes}")

    @classmethod
    def of(cls, columns: dict[str, np.ndarray]) -> CellTable:
        """Return the living cells of a pool's columns, as `Pool.columns` gives them."""
        living = np.flatnonzero(columns["id"] >= 0)
        slots = living[np.argsort(columns["id"][living])]
        return cls(**{field.name: columns[field.name][slots] for field in fields(cls)})

    def __len__(self) -> int:
        return len(self.id)

    def __repr__(self) -> str:
        return f"<CellTable of {len(self)} cells: {', '.join(field.name for field in fields(self))}>"


@dataclass(frozen=True, eq=False, repr=False)
class Topology:
    """One version of a network.

    Attributes
    ----------
    version : int
        It moves whenever cells are born or die.
    cells : CellTable
    level : (n_nodes,) int32
        The level of each node, 0 for inputs; a cell always runs to a higher level.
    inputs, outputs : int32
        The node of each column of x, and of y.
    activations : tuple of str
        One a level, the first `identity`.
    kind : str
        The cell kind.
    names : tuple of str or int, optional
        What the user calls each node.
    input_shape : (height, width), optional
        Set where the inputs are the pixels of an image, row by row from the top left.
    nodes : int32, optional
        Of a part (see `dna.graph.filters`), the nodes that it shows, ascending.
    whole : Topology, optional
        Of a part, the topology that it was taken from.

    Raises
    ------
    GraphError
        Activations, names or pixels are not as many as levels, nodes or inputs.
    """

    version: int
    cells: CellTable
    level: Ints
    inputs: Ints
    outputs: Ints
    activations: tuple[str, ...]
    kind: str
    names: tuple[str | int, ...] | None = None
    input_shape: tuple[int, int] | None = None
    nodes: Ints | None = None
    whole: Topology | None = None

    def __post_init__(self) -> None:
        for name in ("level", "inputs", "outputs"):
            object.__setattr__(self, name, _read_only(getattr(self, name), NODE))
        if len(self.activations) != self.n_levels:
            raise GraphError(f"activations: expected one a level, {self.n_levels}, got {len(self.activations)}")
        if self.names is not None and len(self.names) != self.n_nodes:
            raise GraphError(f"names: expected one a node, {self.n_nodes}, got {len(self.names)}")
        if self.input_shape is not None and self.input_shape[0] * self.input_shape[1] != len(self.inputs):
            raise GraphError(f"input_shape: expected {len(self.inputs)} pixels, one an input, got {self.input_shape}")

    @property
    def n_nodes(self) -> int:
        return len(self.level)

    @property
    def n_levels(self) -> int:
        return int(self.level.max()) + 1 if self.n_nodes else 0

    @property
    def shown(self) -> Ints:
        """The nodes that views and exports show, ascending: all of them, or those of a part."""
        return np.arange(self.n_nodes, dtype=NODE) if self.nodes is None else self.nodes

    @cached_property
    def degrees(self) -> tuple[Longs, Longs]:
        """How many cells lead into each node and out of it, two arrays (n_nodes,); of a part, those of the whole."""
        if self.whole is not None:
            return self.whole.degrees
        cells, n = self.cells, self.n_nodes
        return np.bincount(cells.target, minlength=n), np.bincount(cells.source, minlength=n)

    def __repr__(self) -> str:
        sizes = "-".join(str(size) for size in np.bincount(self.level))
        part = "" if self.whole is None else f" of {len(self.whole.cells)}"
        return f"<Topology {sizes}, version {self.version}, {len(self.cells)}{part} {self.kind} cells>"


def _read_only(values: NDArray[Any], dtype: np.dtype[Any] | None) -> NDArray[Any]:
    """Return a view that cannot be written through; the caller's own array stays as writable as it was."""
    array = np.asarray(values, dtype=dtype).view()
    array.flags.writeable = False
    return array

"""Levels as matrices: the structure that matrices of weights describe, and the matrix that a level is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dna import check
from dna.errors import GraphError, OptionError, ShapeError
from dna.graph.structure import Structure
from dna.graph.topology import Topology
from dna.types import NODE

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Layer(NamedTuple):
    """The cells from one level into another, as a layer `weight @ x + bias`."""

    weight: csr_array  # (nodes above, nodes below): the sum of w over the cells of each pair of nodes, for pairs that have cells
    bias: np.ndarray  # (nodes above,): minus the sum of b over those cells


def from_matrices(weights: Sequence[Any], biases: Sequence[Any] | None = None) -> Structure:
    """Return levels whose cells are the entries of matrices.

    Parameters
    ----------
    weights : sequence of matrices
        One a level above the inputs, each (nodes, nodes of the level below). Of a SciPy sparse matrix every entry that is stored
        is a cell, of any other array every entry that is not 0.
    biases : sequence, optional
        One a level above the inputs: (nodes,), or None. What a node adds to its sum is shared out equally among its cells, whose
        b are thresholds and have the other sign. Without it b = 0.

    Raises
    ------
    OptionError, ShapeError, DataError
        There is none, one has another shape than the level below asks for, or holds what is no finite number.
    GraphError
        A node without cells has a bias.
    """
    if not isinstance(weights, list | tuple) or not weights:
        raise OptionError(f"weights: expected a list of matrices, one a level above the inputs, got {type(weights).__name__}")
    given = [None] * len(weights) if biases is None else list(biases)
    if len(given) != len(weights):
        raise OptionError(f"biases: expected {len(weights)}, one a matrix, got {len(given)}")
    sizes: list[int] = []
    parts: list[tuple[np.ndarray, ...]] = []
    for k, (matrix, bias) in enumerate(zip(weights, given, strict=True)):
        rows, columns, values, shape = _entries(f"weights[{k}]", matrix)
        if not sizes:
            sizes.append(shape[1])
        if shape[1] != sizes[-1] or 0 in shape:
            raise ShapeError(f"weights[{k}]: expected shape (nodes, {sizes[-1] or 'nodes'}), got {shape}")
        start = sum(sizes)
        sizes.append(shape[0])
        shares = _shares(f"biases[{k}]", bias, rows, shape[0])
        parts.append((columns + (start - shape[1]), rows + start, values, shares))
    level = np.repeat(np.arange(len(sizes), dtype=NODE), sizes)
    source, target, weight, threshold = (np.concatenate(column) for column in zip(*parts, strict=True))
    nodes = np.arange(len(level), dtype=NODE)
    return Structure(
        level, nodes[: sizes[0]], nodes[-sizes[-1] :], source.astype(NODE), target.astype(NODE), weight=weight, bias=threshold
    )


def layer_of(topology: Topology, level: int, below: int | None = None) -> Layer:
    """Return the cells into a level of a topology from one below it, as a layer; see `dna.Network.layer`."""
    from scipy.sparse import csr_array

    level = check.count("level", level, 1)
    if level >= topology.n_levels:
        raise OptionError(f"level: expected 1 to {topology.n_levels - 1}, got {level}")
    below = level - 1 if below is None else check.count("below", below, 0)
    if below >= level:
        raise OptionError(f"below: expected a level under {level}, got {below}")
    cells, place = topology.cells, np.full(topology.n_nodes, -1, np.int64)
    ends = [_nodes(topology, one) for one in (below, level)]
    into, out = (np.flatnonzero(topology.level[nodes] == one) for nodes, one in ((cells.target, level), (cells.source, below)))
    chosen = np.intersect1d(into, out, assume_unique=True)
    for nodes in ends:
        place[nodes] = np.arange(len(nodes))
    rows, columns = place[cells.target[chosen]], place[cells.source[chosen]]
    shape = len(ends[1]), len(ends[0])
    weight = csr_array((cells.weight[chosen], (rows, columns)), shape=shape)
    weight.sum_duplicates()
    bias = -np.bincount(rows, weights=cells.bias[chosen], minlength=shape[0]).astype(cells.bias.dtype)
    return Layer(weight, bias)


def _entries(name: str, matrix: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return rows, columns and values of the cells, by row and then by column, and the shape."""
    if hasattr(matrix, "tocoo"):
        found = matrix.tocsr().tocoo()
        rows, columns, values = (np.asarray(part) for part in (*found.coords, found.data))
        order = np.lexsort((columns, rows))
        rows, columns, values, shape = rows[order], columns[order], values[order], tuple(found.shape)
        check.real_array(name, values)
    else:
        dense = check.real_array(name, matrix)
        shape = dense.shape
        if dense.ndim != 2:
            raise ShapeError(f"{name}: expected a matrix of two dimensions, got shape {shape}")
        rows, columns = np.nonzero(dense)
        values = dense[rows, columns]
    check.require_finite(name, values)
    return rows.astype(np.int64), columns.astype(np.int64), values.astype(np.float64), shape


def _shares(name: str, bias: Any, rows: np.ndarray, nodes: int) -> np.ndarray:
    """Return the threshold of each cell, so that those of a node sum up to minus its bias."""
    if bias is None:
        return np.zeros(len(rows))
    values = check.real_array(name, bias).astype(np.float64)
    if values.shape != (nodes,):
        raise ShapeError(f"{name}: expected shape ({nodes},), got {values.shape}")
    check.require_finite(name, values)
    cells = np.bincount(rows, minlength=nodes)
    bare = np.flatnonzero((cells == 0) & (values != 0))
    if len(bare):
        first = bare[0]
        raise GraphError(f"{name}: expected no bias where no cell carries it, got {values[first]} at node {first} of the level")
    shares: np.ndarray = -(values / np.maximum(cells, 1))[rows]
    return shares


def _nodes(topology: Topology, level: int) -> np.ndarray:
    """Return the nodes of a level: inputs and outputs in the order of the columns of x and y, others by number."""
    ends = {0: topology.inputs, topology.n_levels - 1: topology.outputs}
    return ends[level] if level in ends else np.flatnonzero(topology.level == level)

"""Whether a state can be a network: every name, size, range and relation that kernels will rely on."""

from __future__ import annotations

import numpy as np

from dna import rules
from dna.checkpoint.expect import check_each, check_range, expect
from dna.checkpoint.fossils import check_fossils
from dna.checkpoint.meta import check_meta, optimizer_rows
from dna.checkpoint.nodes import check_nodes_born
from dna.checkpoint.state import CELLS, FOSSILS, NODES_BORN, OPTIONAL, STATISTICS, TOPOLOGY, Column, State
from dna.errors import CheckpointError
from dna.types import FREE


def validate_state(state: State) -> None:
    """Check a state before anything is built of it.

    Parameters
    ----------
    state : State

    Raises
    ------
    CheckpointError
        The message names the region, what was expected there and what came.
    """
    check_meta(state.meta)
    _check_columns(state)
    _check_sizes(state)
    _check_nodes(state)
    _check_free_slots(state)
    _check_cells(state)
    _check_numbers(state)
    _check_statistics(state)
    check_fossils(state)
    check_nodes_born(state)


def _check_columns(state: State) -> None:
    """Every array that must be there is, nothing else is, and each has its dtype and number of dimensions."""
    columns = CELLS | TOPOLOGY | FOSSILS | NODES_BORN | STATISTICS
    for name in state.arrays:
        expect(name in columns, name, "no array of this name", "one")
    for name, column in columns.items():
        if name in state.arrays or name not in OPTIONAL:
            expect(name in state.arrays, name, f"an array ({column.meaning})", "none")
            _check_column(name, column, state.arrays[name], state.meta["dtype"])


def _check_column(name: str, column: Column, array: np.ndarray, real: str) -> None:
    dtype = np.dtype(real if column.dtype == "real" else column.dtype)
    expect(isinstance(array, np.ndarray), name, "a NumPy array", array)
    expect(array.dtype == dtype, name, f"dtype {dtype}", str(array.dtype))
    expect(array.ndim == column.ndim, name, f"{column.ndim} dimension(s)", f"shape {array.shape}")


def _check_sizes(state: State) -> None:
    arrays, meta = state.arrays, state.meta
    slots = len(arrays["cells.id"])
    for name in CELLS.keys() & arrays.keys():
        expect(arrays[name].shape[-1] == slots, name, f"{slots} slots, as many as cells.id has", f"shape {arrays[name].shape}")
    expect(meta["capacity"] >= slots, "meta.capacity", f"at least the {slots} used slots", meta["capacity"])
    rows = len(arrays["cells.state"]) if "cells.state" in arrays else 0
    wanted = optimizer_rows(meta["optimizer"])
    expect(rows == wanted, "cells.state", f"{wanted} rows, as the optimizer keeps (no array for none)", f"{rows} rows")
    nodes = len(arrays["nodes.level"])
    names = meta["node_names"]
    pixels, inputs = meta["input_shape"], len(arrays["nodes.inputs"])
    fits = pixels is None or pixels[0] * pixels[1] == inputs
    expect(fits, "meta.input_shape", f"null or the shape of {inputs} pixels", pixels)
    expect(names is None or len(names) == nodes, "meta.node_names", f"null or {nodes} names", f"{len(names or ())} names")


def _check_nodes(state: State) -> None:
    level = state.arrays["nodes.level"]
    depth = len(state.meta["activations"])
    present = np.unique(level)
    if not np.array_equal(present, np.arange(depth)):
        raise CheckpointError(f"nodes.level: expected the levels 0 to {depth - 1}, as meta.activations has, got {present[:10]}")
    _check_ends("nodes.inputs", state.arrays["nodes.inputs"], level, 0)
    _check_ends("nodes.outputs", state.arrays["nodes.outputs"], level, depth - 1)
    outputs, last = len(state.arrays["nodes.outputs"]), int((level == depth - 1).sum())
    expect(outputs == last, "nodes.outputs", f"all {last} nodes of the last level", f"{outputs} nodes")


def _check_ends(name: str, nodes: np.ndarray, level: np.ndarray, home: int) -> None:
    expect(len(nodes) > 0, name, "at least one node", "none")
    check_range(name, nodes, 0, len(level))
    expect(len(np.unique(nodes)) == len(nodes), name, "different nodes", "one twice")
    stray = np.flatnonzero(level[nodes] != home)
    if len(stray):
        node = nodes[stray[0]]
        raise CheckpointError(f"{name}: expected nodes of level {home}, got node {node} of level {level[node]}")


def _check_free_slots(state: State) -> None:
    """The stack of free slots holds each slot without a cell, once; kernels walk over such slots, so these must be inert."""
    ids, free = state.arrays["cells.id"], state.arrays["heap.free"]
    check_range("heap.free", free, 0, len(ids))
    empty = np.flatnonzero(ids == FREE)
    if not np.array_equal(np.sort(free), empty):
        raise CheckpointError(
            f"heap.free: expected each of the {len(empty)} slots without a cell once, and no other, "
            f"got {len(free)} slots ({len(np.unique(free))} different)"
        )
    for name in (CELLS.keys() & state.arrays.keys()) - {"cells.id"}:
        blank = FREE if name == "cells.parent" else 0
        expect(bool(np.all(state.arrays[name][..., empty] == blank)), name, f"{blank} in free slots", "something else")


def _check_cells(state: State) -> None:
    arrays, next_id = state.arrays, state.meta["next_id"]
    living = np.flatnonzero(arrays["cells.id"] != FREE)
    ids, parents = arrays["cells.id"][living], arrays["cells.parent"][living]
    source, target = arrays["cells.source"][living], arrays["cells.target"][living]
    level = arrays["nodes.level"]

    check_range("cells.id", ids, 0, next_id)
    expect(len(np.unique(ids)) == len(ids), "cells.id", "different ids", "one twice")
    check_range("cells.parent", parents, FREE, next_id)
    check_each("cells.parent", parents < ids, ids, "parents that are older than their children")
    check_range("cells.born", arrays["cells.born"][living], 0, state.meta["version"] + 1)
    check_range("cells.source", source, 0, len(level))
    check_range("cells.target", target, 0, len(level))
    # Outputs lie at the last level, so this also says that no cell leaves an output.
    check_each("cells.target", level[source] < level[target], ids, "targets at a higher level than their sources")


def _check_numbers(state: State) -> None:
    ids = state.arrays["cells.id"]
    for name in ("cells.weight", "cells.bias", "cells.state"):
        if name in state.arrays:
            finite = np.isfinite(state.arrays[name])
            check_each(name, finite if finite.ndim == 1 else finite.all(axis=0), ids, "finite numbers")


def _check_statistics(state: State) -> None:
    arrays, counts = state.arrays, state.meta["statistics"]["counts"]
    ids = arrays["cells.id"]
    for name in STATISTICS:
        short = name.removeprefix("statistics.")
        expect(
            (name in arrays) == (short in counts), name, "an array for each statistic that is counted, and no other", "otherwise"
        )
        if name in arrays:
            shape = (rules.STATISTICS[short].rows, len(ids))
            expect(arrays[name].shape == shape, name, f"shape {shape}", f"shape {arrays[name].shape}")
            check_each(name, np.isfinite(arrays[name]).all(axis=0), ids, "finite numbers")

"""Assembly: backend, pool, nodes and engine from a structure or from a saved state."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, TypedDict

import numpy as np

from dna import check
from dna.backend import Backend, Maths
from dna.cells import ACTIVATIONS, KINDS, Activation, CellKind, find_kind
from dna.checkpoint import State
from dna.devices import open_backend
from dna.engine import Engine
from dna.errors import CheckpointError, GraphError, OptionError, PoolExhausted, UnknownNameError, explain_driver
from dna.graph.init import INITS, draw
from dna.graph.structure import Structure
from dna.nodes import lay_out_nodes
from dna.pool import LARGEST, Pool
from dna.types import FREE, ID, REALS, SLOT

P = ParamSpec("P")


class Options(TypedDict, total=False):
    """The arguments that all ways to build a network share; see `dna.Network`."""

    cell: str | CellKind
    activation: str | Sequence[str] | None
    init: str | None
    device: str
    dtype: str
    seed: int
    capacity: int | None


class Assembly(NamedTuple):
    """The parts of a network."""

    engine: Engine
    rng: np.random.Generator
    names: tuple[Any, ...] | None
    device_reason: str


def _typed(build: Callable[P, Assembly]) -> Callable[P, Assembly]:
    """Decorate what builds a network: errors of its device's driver come out typed."""

    @functools.wraps(build)
    def building(*args: P.args, **kwargs: P.kwargs) -> Assembly:
        try:
            return build(*args, **kwargs)
        except Exception as error:
            if (told := explain_driver(error, None)) is not None:
                raise told from error
            raise

    return building


@_typed
def assemble(
    structure: Structure,
    rng: np.random.Generator,
    *,
    cell: str | CellKind = "linear",
    activation: str | Sequence[str] | None = None,
    init: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    seed: int = 0,
    capacity: int | None = None,
) -> Assembly:
    """Build a new network. Everything is checked before a device is touched."""
    kind = find_kind(cell)
    maths = Maths(kind, choose_activations(activation, structure.n_levels, kind), _find_real(dtype))
    start = _default_init(structure, kind) if init is None else init
    if not isinstance(start, str) or start not in INITS:
        raise UnknownNameError("init", start, INITS)
    n = len(structure.source)
    if capacity is not None:
        check.count("capacity", capacity, 1, LARGEST)
        if n > capacity:
            raise PoolExhausted(n, capacity)
    backend, reason = open_backend(device, maths)
    weight, bias = draw(start, structure, kind, rng)
    pool = Pool(backend, max(n, 1) if capacity is None else capacity, fixed=capacity is not None)
    pool.fill(_first_cells(structure, weight, bias, maths.dtype), np.empty(0, SLOT), n)
    nodes = lay_out_nodes(backend, structure.level, structure.inputs, structure.outputs)
    return Assembly(Engine(backend, pool, nodes, version=0, seed=seed), rng, structure.names, reason)


@_typed
def assemble_saved(state: State, device: str) -> Assembly:
    """Build a network as it was saved; the state has been validated.

    Raises
    ------
    CheckpointError
        The machine has no memory for so many slots as the pool is said to have; a small file can say so.
    """
    meta, arrays = state.meta, state.arrays
    activations = tuple(ACTIVATIONS[name] for name in meta["activations"])
    maths = Maths(KINDS[meta["kind"]], activations, REALS[meta["dtype"]])
    backend, reason = open_backend(device, maths)
    columns = {name.removeprefix("cells."): array for name, array in arrays.items() if name.startswith("cells.")}
    columns.setdefault("state", np.zeros((0, len(columns["id"])), maths.dtype))
    pool = _refill_pool(backend, columns, arrays["heap.free"], meta)
    nodes = lay_out_nodes(backend, arrays["nodes.level"], arrays["nodes.inputs"], arrays["nodes.outputs"])
    rng = np.random.Generator(np.random.PCG64())
    rng.bit_generator.state = meta["rng"]
    names = None if meta["node_names"] is None else tuple(meta["node_names"])
    return Assembly(Engine(backend, pool, nodes, version=meta["version"], seed=meta["seed"]), rng, names, reason)


def _refill_pool(backend: Backend, columns: dict[str, np.ndarray], free: np.ndarray, meta: dict[str, Any]) -> Pool:
    """Return a pool as it was saved, where there is memory for it."""
    slot = SLOT.itemsize + sum(column.itemsize * (len(column) if column.ndim == 2 else 1) for column in columns.values())
    needed, there = meta["capacity"] * slot, check.memory()
    refusal = f"meta.capacity: expected slots that fit into memory, got {meta['capacity']} of {slot} bytes"
    if needed > there:
        raise CheckpointError(f"{refusal}; this machine has {there} bytes")
    try:
        pool = Pool(backend, meta["capacity"], fixed=meta["fixed"])
        pool.fill(columns, free, meta["next_id"])
    except MemoryError as error:
        raise CheckpointError(f"{refusal}: {error}") from error
    return pool


def choose_activations(activation: str | Sequence[str] | None, n_levels: int, kind: CellKind) -> tuple[Activation, ...]:
    """Return one activation a level; that of the inputs is the identity."""
    if activation is None:
        activation = "relu" if kind.affine else "identity"
    if not isinstance(activation, str | list | tuple):
        raise OptionError(f"activation: expected a name, or one a level above the inputs, got {activation!r}")
    if isinstance(activation, str):
        names = ["identity", *[activation] * (n_levels - 2), "identity"]
    else:
        names = ["identity", *activation]
    if len(names) != n_levels:
        raise OptionError(f"activation: expected one name, or {n_levels - 1}, one a level above the inputs, got {len(names) - 1}")
    return tuple(ACTIVATIONS[name] for name in names)


def _first_cells(structure: Structure, weight: np.ndarray, bias: np.ndarray, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    n = len(structure.source)
    return {
        "source": structure.source,
        "target": structure.target,
        "weight": _narrow("weight", weight, dtype),
        "bias": _narrow("bias", bias, dtype),
        "weight_grad": np.zeros(n, dtype),
        "bias_grad": np.zeros(n, dtype),
        "state": np.zeros((0, n), dtype),
        "id": np.arange(n, dtype=ID),
        "parent": np.full(n, FREE, ID),
        "born": np.zeros(n, np.int32),
    }


def _narrow(name: str, values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return values as `dtype`, or raise GraphError where a user's graph has one that `dtype` cannot hold."""
    with np.errstate(over="ignore"):
        narrowed = values.astype(dtype)
    wide = values[~np.isfinite(narrowed)]
    if wide.size:
        raise GraphError(f"{name}: expected numbers within the range of {dtype}, got {wide[0]}")
    return narrowed


def _default_init(structure: Structure, kind: CellKind) -> str:
    """The article's ones where there are no hidden nodes; elsewhere they would keep hidden nodes equal forever."""
    if structure.n_levels == 2:
        return "ones"
    return "he" if kind.affine else "spread"


def _find_real(dtype: str) -> np.dtype[Any]:
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", dtype)
    if not isinstance(name, str) or name not in REALS:
        raise UnknownNameError("dtype", name, REALS)
    return REALS[name]

"""Between networks and the oracle: the same networks for all tests, their copies in plain Python, and comparisons."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import naive
import networkx as nx
import numpy as np
import pytest

import dna
from dna.saved import to_state

CELL_KINDS = ("linear", "relu", "tanh")
PLANS = ("gather", "scatter")
ALL_ACTIVATIONS = ("relu", "tanh", "sigmoid", "identity")  # of the levels 1 to 4 of `dag`

SIMULATING = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
ODD_BATCHES = (1, 33, 130)
"""Sizes that do not fill a tile: of one tile, and of two."""

TOLERANCE = {"float32": {"rtol": 2e-5, "atol": 2e-5}, "float64": {"rtol": 1e-12, "atol": 1e-12}}
"""Sums in another order: a few units in the last place of the largest term."""


def dag(seed: int = 0) -> nx.MultiDiGraph:
    """Three inputs, five levels, two outputs; cells that skip levels, parallel cells, inputs that lead straight to an output."""
    pairs = ["ah", "bh", "bh", "ch", "ai", "ci", "hj", "ij", "aj", "jk", "hk", "bk", "jy", "ky", "ky", "kz", "az", "hz", "iz"]
    rng = np.random.default_rng(seed)
    graph = nx.MultiDiGraph()
    graph.add_nodes_from("abchijkyz")
    for u, v in pairs:
        graph.add_edge(u, v, weight=float(rng.normal()), bias=float(0.5 * rng.normal()))
    return graph


def dag_network(device: str, **options: Any) -> dna.Network:
    standard = {"activation": ALL_ACTIVATIONS, "init": "he", "dtype": "float64", "device": device}
    return dna.Network.from_networkx(dag(), **standard | options)


def batch(n: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, n, width]).normal(size=(n, width))


def give_cells(net: dna.Network, **columns: Any) -> None:
    """Write columns of the pool, each from slot 0 on; `state` brings its own number of rows."""
    pool, real = net.engine.pool, net.backend.maths.dtype
    for name, values in columns.items():
        column = np.zeros((*np.shape(values)[:-1], pool.capacity), real)
        column[..., : np.shape(values)[-1]] = values
        pool.cells = pool.cells._replace(**{name: net.backend.upload(column)})


def naive_copy(net: dna.Network) -> naive.Net:
    """Return the oracle's copy of a network, cell by cell and slot by slot."""
    state = to_state(net)
    arrays, meta = state.arrays, state.meta
    columns = {name.removeprefix("cells."): array for name, array in arrays.items() if name.startswith("cells.")}
    moments = columns.pop("state", np.zeros((0, len(columns["id"]))))
    slots: list[naive.Cell | None] = []
    for slot in range(len(columns["id"])):
        fields = {name: column[slot].item() for name, column in columns.items()}
        slots.append(naive.Cell(**fields, state=moments[:, slot].tolist()) if fields["id"] >= 0 else None)
    return naive.Net(
        level=arrays["nodes.level"].tolist(),
        inputs=arrays["nodes.inputs"].tolist(),
        outputs=arrays["nodes.outputs"].tolist(),
        kind=meta["kind"],
        activations=meta["activations"],
        slots=slots,
        free=arrays["heap.free"].tolist(),
        **{name: meta[name] for name in ("next_id", "capacity", "fixed", "version", "seed")},
    )


def assert_same(net: dna.Network, model: naive.Net, **tolerance: float) -> None:
    """Compare a network with the oracle: slots, ids and ends exactly, reals within a tolerance."""
    real = naive_copy(net)
    assert real.free == model.free
    for name in ("next_id", "capacity", "version"):
        assert getattr(real, name) == getattr(model, name), name
    for name in ("id", "source", "target", "parent", "born"):
        seen, expected = ([cell and getattr(cell, name) for cell in one.slots] for one in (real, model))
        assert seen == expected, name
    for name in ("weight", "bias", "weight_grad", "bias_grad", "state"):
        seen, expected = ([getattr(cell, name) for cell in one.cells()] for one in (real, model))
        np.testing.assert_allclose(seen, expected, err_msg=name, **tolerance)


def gradients(model: naive.Net) -> tuple[list[float], list[float]]:
    """Return the gradients of weights and biases in id order."""
    ordered = sorted(model.cells(), key=lambda cell: cell.id)
    return [cell.weight_grad for cell in ordered], [cell.bias_grad for cell in ordered]


def snapshot(net: dna.Network) -> dict[str, Any]:
    """Return all that a network is, bit by bit; two are equal where `==` says so."""
    state = to_state(net)
    arrays = {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in state.arrays.items()}
    fossils = [{name: value for name, value in event.items() if name != "seconds"} for event in state.meta["fossils"]]
    return {"arrays": arrays, "meta": state.meta | {"fossils": fossils}, "history": list(net.history.epochs)}


def step_by_step(net: dna.Network, patch: pytest.MonkeyPatch) -> None:
    """Let each step call all phases of the backend; on a GPU a step may be one launch, and its update a part of backward."""
    if net.device != "cpu":
        patch.setattr(net.backend, "repeat", lambda key, work: work())
        patch.setattr("dna.cuda.apply.FUSED_STATE", -1)


@contextmanager
def unchanged(net: dna.Network) -> Iterator[None]:
    """Expect that the block leaves a network as it was, and able to run."""
    before = snapshot(net)
    yield
    assert snapshot(net) == before
    net.forward(np.zeros((1, net.n_in)))

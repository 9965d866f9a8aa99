"""Each phase of the CUDA backend beside the CPU's, on the same small arrays: integers are equal, reals agree within rounding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dna.backend import Maths, Update
from dna.cells import ACTIVATIONS, KINDS
from dna.cpu.backend import CpuBackend
from dna.training.losses import LOSSES
from dna.training.optimizers import SGD, Adam
from dna.types import FREE, Cells, Nodes

pytestmark = pytest.mark.cudasim

LEVELS = np.array([0, 0, 0, 1, 1, 2, 2, 1, 0], np.int32)  # a node's number says nothing about its level
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


@pytest.fixture(scope="module")
def open_cuda() -> Any:
    from dna.cuda.backend import CudaBackend
    from dna.cuda.device import find_device

    return lambda maths: CudaBackend(maths, find_device("cudasim"))


def maths_of(kind: str = "tanh", dtype: str = "float32", activation: str = "sigmoid") -> Maths:
    return Maths(KINDS[kind], tuple(ACTIVATIONS[name] for name in ("identity", activation, "identity")), np.dtype(dtype))


def nodes_on(backend: Any, level: np.ndarray = LEVELS) -> Nodes:
    upload = backend.upload
    by_level = [np.flatnonzero(level == each).astype(np.int32) for each in range(level.max() + 1)]
    return Nodes(upload(level), upload(by_level[0]), upload(by_level[-1]), tuple(upload(members) for members in by_level))


def random_cells(
    maths: Maths, level: np.ndarray = LEVELS, bump: int = 25, capacity: int = 30, rows: int = 4, seed: int = 0
) -> Cells:
    """Return cells between any two levels, some in parallel, with free slots among them."""
    random = np.random.default_rng(seed)
    pairs = [(i, j) for i in range(len(level)) for j in range(len(level)) if level[i] < level[j]]
    living = random.random(bump) < 0.8
    chosen = np.array(pairs, np.int32)[random.integers(0, len(pairs), bump)]

    def column(values: np.ndarray, empty: int, dtype: Any) -> np.ndarray:
        full = np.full(capacity, empty, dtype)
        full[:bump][living] = values[living]
        return full

    def reals() -> np.ndarray:
        return column(random.normal(size=bump), 0, maths.dtype)

    return Cells(
        source=column(chosen[:, 0], 0, np.int32), target=column(chosen[:, 1], 0, np.int32), weight=reals(), bias=reals(),
        weight_grad=reals(), bias_grad=reals(), state=np.array([abs(reals()) for _ in range(rows)]).reshape(rows, capacity),
        id=column(random.permutation(bump), FREE, np.int64), parent=column(np.arange(bump), FREE, np.int64),
        born=column(np.ones(bump), 0, np.int32),
    )  # fmt: skip


def on(backend: Any, cells: Cells) -> Cells:
    return Cells(*(backend.upload(column.copy()) for column in cells))


def samples_of(backend: Any, tiles: Any, batch: int) -> np.ndarray:
    """Return (nodes, batch) from (tiles, nodes, tile)."""
    host = backend.download(tiles)
    return np.moveaxis(host, 1, 0).reshape(host.shape[1], -1)[:, :batch]


def tiles_on(backend: Any, n_nodes: int, batch: int) -> Any:
    tile = backend.tile(batch)
    return backend.zeros((-(-batch // tile), n_nodes, tile), backend.maths.dtype)


LAYOUTS = {
    "shelves": {"USES": 4.0, "FEWEST_USES": 0.0},
    "most nodes a warp": {"USES": math.inf, "FEWEST_USES": 0.0},
    "direct": {"USES": math.inf, "FEWEST_USES": math.inf},
}
"""Ways to cut levels, which else depend on how dense they are."""


@pytest.fixture(params=list(LAYOUTS))
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    from dna.cuda import stages

    for name, value in LAYOUTS[request.param].items():
        monkeypatch.setattr(stages, name, value)
    return str(request.param)


@pytest.mark.parametrize(
    ("bump", "n_levels", "n_nodes", "dtype"),
    [(0, 2, 3, "float32"), (1, 2, 2, "float32"), (150, 3, 40, "float64"), (700, 4, 90, "float32")],
)
def test_a_side_of_the_gather_plan_holds_each_cell_where_its_key_says(
    open_cuda: Any, layout: str, bump: int, n_levels: int, n_nodes: int, dtype: str
) -> None:
    maths, random = maths_of(dtype=dtype), np.random.default_rng(bump)
    level = random.permutation(np.arange(n_nodes) % n_levels).astype(np.int32)
    cells = random_cells(maths, bump=0, capacity=bump + 1, rows=0)
    cells.id[:bump] = np.where(random.random(bump) < 0.9, np.arange(bump), FREE)
    ends = random.integers(0, n_nodes, (2, 20 * bump))
    ends = ends[:, level[ends[0]] < level[ends[1]]][:, :bump]
    cells.source[:bump], cells.target[:bump] = ends
    living = np.flatnonzero(cells.id >= 0)

    cuda = open_cuda(maths)
    made = cuda.make_plan("gather", on(cuda, cells), bump, len(living), nodes_on(cuda, level))

    for side, mine, other in ((made.into, cells.target, cells.source), (made.out_of, cells.source, cells.target)):
        expected = expected_keys(cuda, side, level, living, mine, other)
        order = np.argsort(expected, kind="stable")
        slots, others, start = (cuda.download(column) for column in side.order)
        np.testing.assert_array_equal(slots, living[order])
        np.testing.assert_array_equal(others, other[living[order]])
        np.testing.assert_array_equal(start, np.searchsorted(expected[order], np.arange(len(start))))
        assert {stage.layout.shared for stage in side.stages} == {layout != "direct"}


def expected_keys(
    cuda: Any, side: Any, level: np.ndarray, living: np.ndarray, mine: np.ndarray, other: np.ndarray
) -> np.ndarray:
    """Return the key of each living cell, as `dna.cuda.stages.Stage` defines it."""
    from dna.cuda.stages import rows_of

    keys = []
    for s in living:
        stage = side.stages[level[mine[s]]]
        panel, rank = divmod(list(cuda.download(stage.nodes)).index(mine[s]), stage.width)
        shelf = (other[s] - stage.low) // rows_of(cuda.maths.real) if stage.layout.shared else 0
        assert 0 <= shelf < stage.layout.shelves
        keys.append(stage.first + (panel * stage.layout.shelves + shelf) * stage.width + rank)
    return np.array(keys, np.int64)


def run_forward_and_backward(
    backend: Any, plan_name: str, cells: Cells, bump: int, batch: int, inputs_too: bool
) -> tuple[Any, ...]:
    """Return potentials, gradient of the nodes, and the gradients of the cells."""
    real, nodes = backend.maths.dtype, nodes_on(backend)
    random = np.random.default_rng(1)
    x, gy = random.normal(size=(batch, 4)).astype(real), random.normal(size=(batch, 2)).astype(real)
    rows = backend.upload(np.arange(batch))
    potentials, gradient = tiles_on(backend, len(LEVELS), batch), tiles_on(backend, len(LEVELS), batch)
    cells = on(backend, cells)
    plan = backend.make_plan(plan_name, cells, bump, int((backend.download(cells.id) >= 0).sum()), nodes)

    backend.load_rows(potentials, nodes.inputs, backend.upload(x), rows)
    backend.forward(plan_name, plan, cells, bump, nodes, potentials)
    backend.load_rows(gradient, nodes.outputs, backend.upload(gy), rows)
    backend.backward(plan_name, plan, cells, bump, nodes, potentials, gradient, inputs_too)
    return (
        samples_of(backend, potentials, batch),
        samples_of(backend, gradient, batch),
        backend.download(cells.weight_grad),
        backend.download(cells.bias_grad),
        backend.store_rows(gradient, nodes.inputs, batch),
    )


CASES = pytest.mark.parametrize(
    ("kind", "activation", "dtype", "batch", "inputs_too"),
    [
        ("linear", "identity", "float64", 5, True),
        ("relu", "tanh", "float32", 40, True),
        ("tanh", "sigmoid", "float32", 130, False),
        ("tanh", "relu", "float64", 33, True),
        ("relu", "relu", "float32", 1, True),
    ],
)


@CASES
def test_gather_agrees_with_the_cpu(
    open_cuda: Any, layout: str, kind: str, activation: str, dtype: str, batch: int, inputs_too: bool
) -> None:
    assert_same_forward_and_backward(open_cuda, "gather", maths_of(kind, dtype, activation), batch, inputs_too)


@CASES
def test_scatter_agrees_with_the_cpu(
    open_cuda: Any, kind: str, activation: str, dtype: str, batch: int, inputs_too: bool
) -> None:
    assert_same_forward_and_backward(open_cuda, "scatter", maths_of(kind, dtype, activation), batch, inputs_too)


def test_a_panel_is_shared_by_blocks_where_there_are_few_panels(open_cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dna.cuda import stages

    monkeypatch.setattr(stages, "FEWEST_USES", 0.0)
    monkeypatch.setattr(stages, "BLOCKS_WANTED", 10)
    assert_same_forward_and_backward(open_cuda, "gather", maths_of("relu", "float32", "tanh"), 40, inputs_too=True)


def assert_same_forward_and_backward(open_cuda: Any, plan: str, maths: Maths, batch: int, inputs_too: bool) -> None:
    cells = random_cells(maths)
    expected = run_forward_and_backward(CpuBackend(maths), plan, cells, 25, batch, inputs_too)
    got = run_forward_and_backward(open_cuda(maths), plan, cells, 25, batch, inputs_too)

    names = ("potentials", "gradient", "weight_grad", "bias_grad", "input gradient")
    for name, want, have in zip(names, expected, got, strict=True):
        assert have.dtype == maths.dtype and have.shape == want.shape, name
        scale = np.abs(want).max() + 1
        np.testing.assert_allclose(have / scale, want / scale, rtol=0, atol=TOLERANCE[maths.dtype.name], err_msg=name)
    assert np.abs(expected[2]).max() > 0
    assert (np.abs(got[4]).max() > 0) == inputs_too


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "mse"])
def test_losses_agree_with_the_cpu(open_cuda: Any, name: str) -> None:
    maths, loss, batch, n_out = maths_of(), LOSSES[name], 70, 3
    random = np.random.default_rng(2)
    outputs = random.normal(size=(batch, n_out)).astype(np.float32)
    if loss.labels:
        targets: np.ndarray = random.integers(0, n_out, (90, 1))
    else:
        targets = random.random((90, n_out)).astype(np.float32)
    rows = random.permutation(90)[:batch]

    def run(backend: Any) -> tuple[tuple[float, float], np.ndarray]:
        places = backend.upload(np.array([4, 0, 2], np.int32))
        potentials, gradient = (
            tiles_on(backend, 5, batch),
            backend.upload(np.full(tiles_on(backend, 5, batch).shape, 9, np.float32)),
        )
        backend.load_rows(potentials, places, backend.upload(outputs), backend.upload(np.arange(batch)))
        sums, place = backend.upload(np.full((3, 2), 5.0)), backend.upload(np.array([1]))
        backend.loss(loss, potentials, gradient, places, backend.upload(targets), backend.upload(rows), 0.5, sums, place)
        host = np.moveaxis(backend.download(gradient), 1, 0).reshape(5, -1)[[4, 0, 2]]
        assert (host[:, batch:] == 0).all()
        before, (value, hits), after = backend.download(sums).tolist()
        assert before == after == [5, 5] and backend.download(place) == [2]
        return (value, hits), host[:, :batch]

    (value, hits), gradient = run(CpuBackend(maths))
    (cuda_value, cuda_hits), cuda_gradient = run(open_cuda(maths))

    assert cuda_value == pytest.approx(value, rel=1e-6)
    assert cuda_hits == pytest.approx(hits, rel=1e-6)
    np.testing.assert_allclose(cuda_gradient, gradient, atol=1e-6)
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize(
    "optimizer", [SGD(0.1), SGD(0.1, momentum=0.9, weight_decay=0.01), Adam(0.01, weight_decay=0.1)], ids=str
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_updates_agree_with_the_cpu(open_cuda: Any, optimizer: Any, dtype: str) -> None:
    maths = maths_of(dtype=dtype)
    cells = random_cells(maths, bump=80, capacity=90, rows=2 * optimizer.moments)

    def run(backend: Any) -> list[np.ndarray]:
        mine = on(backend, cells)
        for step in (1, 2):
            backend.apply(Update(optimizer, backend.upload(optimizer.table(step, 1, maths.dtype)[0])), mine, 80)
        return [backend.download(column) for column in mine]

    expected, got = run(CpuBackend(maths)), run(open_cuda(maths))
    for name, want, have in zip(Cells._fields, expected, got, strict=True):
        np.testing.assert_allclose(have, want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype], err_msg=name)
    assert not np.allclose(got[2], cells.weight)


@pytest.mark.parametrize("shared", [True, False], ids=["shelves", "direct"])
@pytest.mark.parametrize(
    ("kind", "dtype", "batch", "optimizer"),
    [
        ("relu", "float32", 40, SGD(0.1, weight_decay=0.1)),
        ("linear", "float32", 130, SGD(0.1, momentum=0.9, bias_lr=0.5)),
        ("tanh", "float64", 130, Adam(0.01, weight_decay=0.1)),
    ],
)
def test_an_update_within_backward_gives_the_same_bits(
    open_cuda: Any, monkeypatch: pytest.MonkeyPatch, shared: bool, kind: str, dtype: str, batch: int, optimizer: Any
) -> None:
    monkeypatch.setattr("dna.cuda.stages.FEWEST_USES", 0.0 if shared else np.inf)
    maths = maths_of(kind, dtype)
    backend, cells = open_cuda(maths), random_cells(maths, rows=2 * optimizer.moments)
    real, nodes, random = backend.maths.dtype, nodes_on(backend), np.random.default_rng(1)
    x, gy = (backend.upload(random.normal(size=(batch, width)).astype(real)) for width in (4, 2))
    rows = backend.upload(np.arange(batch))
    update = Update(optimizer, backend.upload(optimizer.table(3, 1, real, 0.25)[0]))

    def learn(fused: bool) -> dict[str, bytes]:
        mine = on(backend, cells)
        potentials, gradient = tiles_on(backend, len(LEVELS), batch), tiles_on(backend, len(LEVELS), batch)
        plan = backend.make_plan("gather", mine, 25, int((cells.id >= 0).sum()), nodes)
        backend.load_rows(potentials, nodes.inputs, x, rows)
        backend.forward("gather", plan, mine, 25, nodes, potentials)
        backend.load_rows(gradient, nodes.outputs, gy, rows)
        arguments = "gather", plan, mine, 25, nodes, potentials, gradient, False
        if fused:
            assert not backend.backward(*arguments, update), "it says that there are no gradients"
        else:
            assert backend.backward(*arguments)
            backend.apply(update, mine, 25)
        changed = {"gradient": gradient, "weight": mine.weight, "bias": mine.bias, "state": mine.state}
        return {name: backend.download(array).tobytes() for name, array in changed.items()}

    apart, together = learn(fused=False), learn(fused=True)
    assert apart == together
    assert apart["weight"] != cells.weight.tobytes() and apart["bias"] != cells.bias.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 32, 70, 129])
def test_rows_are_laid_out_in_tiles_and_read_back(open_cuda: Any, dtype: str, batch: int) -> None:
    backend, random = open_cuda(maths_of(dtype=dtype)), np.random.default_rng(batch)
    data, rows = random.normal(size=(150, 35)).astype(dtype), random.permutation(150)[:batch]
    nodes = random.permutation(50)[:35].astype(np.int32)
    tile = backend.tile(batch)
    assert tile % 32 == 0
    potentials = backend.upload(np.full((-(-batch // tile), 50, tile), 7, dtype))

    backend.load_rows(potentials, backend.upload(nodes), backend.upload(data), backend.upload(rows))

    host = backend.download(potentials)
    np.testing.assert_array_equal(samples_of(backend, potentials, batch)[nodes], data[rows].T)
    beyond = np.moveaxis(host, 1, 0).reshape(50, -1)[:, batch:]
    assert (beyond[nodes] == 0).all()
    assert (host[:, np.setdiff1d(np.arange(50), nodes)] == 7).all()
    np.testing.assert_array_equal(backend.store_rows(potentials, backend.upload(nodes), batch), data[rows])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_found_each_time_anew(open_cuda: Any, value: float) -> None:
    backend, data = open_cuda(maths_of()), np.full((41, 3), 3e38, np.float32)
    assert backend.all_finite(backend.upload(data))
    for place in ((0, 0), (20, 1), (40, 2)):
        spoiled = data.copy()
        spoiled[place] = value
        assert not backend.all_finite(backend.upload(spoiled))
    assert backend.all_finite(backend.upload(data))


@pytest.mark.parametrize("n", [0, 1, 63, 64, 513, 1100])
def test_prefix_sums(open_cuda: Any, n: int) -> None:
    from dna.cuda.scan import exclusive_scan

    backend = open_cuda(maths_of())
    values = np.random.default_rng(n).integers(0, 9, n).astype(np.int32)
    scanned = backend.upload(values)
    exclusive_scan(scanned)
    np.testing.assert_array_equal(backend.download(scanned), np.cumsum(values) - values)


@pytest.mark.parametrize(("n", "last"), [(0, 5), (1, 1), (300, 70_000), (513, 300), (200, 1)])
def test_sorted_keys_keep_the_order_of_equal_ones(open_cuda: Any, n: int, last: int) -> None:
    from dna.cuda.sort import sort_pairs

    backend, random = open_cuda(maths_of()), np.random.default_rng(n)
    keys = random.integers(0, last + 1, n).astype(np.int32)
    keys[: n // 3] = last
    found = sort_pairs(backend.upload(keys), backend.upload(np.arange(n, dtype=np.int32)), last)
    order = np.argsort(keys, kind="stable")
    np.testing.assert_array_equal(backend.download(found[0]), keys[order])
    np.testing.assert_array_equal(backend.download(found[1]), order)

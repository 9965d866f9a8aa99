"""Passthrough, selection, compaction and split on CUDA give what the CPU gives, bit for bit, on the same arrays."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from dna.backend import Backend, Maths
from dna.cells import ACTIVATIONS, KINDS
from dna.cpu.backend import CpuBackend
from dna.cuda.backend import CudaBackend
from dna.cuda.device import find_device
from dna.rules import PASSTHROUGHS, Passthrough
from dna.types import DELETE, FREE, KEEP, SPLIT, Cells, Nodes

pytestmark = pytest.mark.cudasim

LEVELS = (0, 0, 0, 1, 1, 2, 2, 2)
"""Three inputs, two hidden nodes, three outputs."""


class World(NamedTuple):
    """The same cells and nodes on a backend."""

    backend: Backend
    cells: Cells
    nodes: Nodes


def worlds(columns: dict[str, np.ndarray], levels: tuple[int, ...] = LEVELS, kind: str = "linear") -> tuple[World, World]:
    """Return the cells on the CPU and in the simulator."""
    dtype, level = columns["weight"].dtype, np.array(levels, np.int32)
    by_level = tuple(np.flatnonzero(level == at).astype(np.int32) for at in range(max(levels) + 1))
    identity = (ACTIVATIONS["identity"],) * len(by_level)
    maths = Maths(KINDS[kind], identity, dtype)
    made = []
    for backend in (CpuBackend(maths), CudaBackend(maths, find_device("cudasim"))):
        put = backend.upload
        cells = Cells(**{name: put(column.copy()) for name, column in columns.items()})
        nodes = Nodes(put(level), put(by_level[0]), put(by_level[-1]), tuple(put(members) for members in by_level))
        made.append(World(backend, cells, nodes))
    return made[0], made[1]


def random_columns(
    seed: int, bump: int, dtype: Any = np.float32, levels: tuple[int, ...] = LEVELS, alive: float = 0.8
) -> dict[str, np.ndarray]:
    """Return a pool's columns: some slots free, ids in no order and beyond 32 bits, cells into hidden nodes and outputs."""
    rng = np.random.default_rng(seed)
    living = rng.random(bump) < alive
    ids = rng.choice(2**40, bump, replace=False) >> rng.integers(0, 36, bump)
    ids = np.where(living, ids * bump + rng.permutation(bump), FREE)
    targets = np.flatnonzero(np.array(levels) > 0)
    reals = {
        name: np.where(living, rng.normal(size=bump), 0).astype(dtype) for name in ("weight", "bias", "weight_grad", "bias_grad")
    }
    return {
        "source": np.where(living, rng.integers(0, 3, bump), 0).astype(np.int32),
        "target": np.where(living, rng.choice(targets, bump), 0).astype(np.int32),
        **reals,
        "state": np.where(living, rng.normal(size=(2, bump)), 0).astype(dtype),
        "id": ids,
        "parent": np.full(bump, FREE, np.int64),
        "born": np.zeros(bump, np.int32),
    }


def scores_of(style: str, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return scores of all slots, zero for free ones."""
    rng = np.random.default_rng(7)
    n, dtype = len(columns["id"]), columns["weight"].dtype
    largest, smallest = float(np.finfo(dtype).max), float(np.finfo(dtype).smallest_subnormal)
    scores = {
        "distinct": rng.normal(size=n),
        "ties": rng.choice([-2.5, -1.0, 0.5, 3.0], n),
        "zeros of both signs": rng.choice([-0.0, 0.0, -smallest, smallest], n),
        "extremes": rng.choice([-math.inf, math.inf, -largest, largest, smallest], n),
        "all equal": np.full(n, 1.0),
    }[style].astype(dtype)
    return np.where(columns["id"] >= 0, scores, dtype.type(0))


def choose(world: World, scores: np.ndarray, fates: np.ndarray, *options: Any) -> tuple[tuple[int, int], np.ndarray]:
    """Select by counts; return (split, died) and the fates."""
    backend, cells, nodes = world
    living = backend.download(cells.id)[: len(scores)] >= 0
    fresh = backend.download(backend.new_fates(cells, len(scores), int(np.count_nonzero(living))))
    on_device = backend.upload(np.where(fates != KEEP, fates, fresh))
    counts = backend.select_counts(backend.upload(scores.copy()), cells, len(scores), nodes, *options, fates=on_device)
    return counts, np.where(living, backend.download(on_device), KEEP)


def assert_same_choice(
    columns: dict[str, np.ndarray], scores: np.ndarray, *options: Any, fates: np.ndarray | None = None
) -> np.ndarray:
    """Select on both backends, compare, check the counts against the fates, and return the fates."""
    given = np.zeros(len(scores), np.uint8) if fates is None else fates
    cpu, gpu = worlds(columns)
    expected_counts, expected = choose(cpu, scores, given, *options)
    counts, found = choose(gpu, scores, given, *options)
    np.testing.assert_array_equal(found, expected)
    assert counts == expected_counts
    assert counts == (np.sum(found == SPLIT) - np.sum(given == SPLIT), np.sum(found == DELETE) - np.sum(given == DELETE))
    return found


# counts


STYLES = ("distinct", "ties", "zeros of both signs", "extremes", "all equal")


@pytest.mark.parametrize(
    ("dtype", "style"), [*((np.float32, style) for style in STYLES), (np.float64, "ties"), (np.float64, "extremes")]
)
def test_the_weakest_die_and_the_strongest_split(style: str, dtype: Any) -> None:
    columns = random_columns(1, 150, dtype)
    fates = assert_same_choice(columns, scores_of(style, columns), -1, 13, 31, False)
    assert np.sum(fates == DELETE) == 31
    assert np.sum(fates == SPLIT) == 13


def test_ties_are_settled_by_id_and_not_by_slot() -> None:
    columns = random_columns(2, 90, alive=1.0)
    columns["id"] = np.random.default_rng(3).permutation(90).astype(np.int64)
    fates = assert_same_choice(columns, np.full(90, 0.25, np.float32), -1, 7, 5, False)
    assert sorted(columns["id"][fates == DELETE]) == [0, 1, 2, 3, 4]
    assert sorted(columns["id"][fates == SPLIT]) == [5, 6, 7, 8, 9, 10, 11]


def test_negative_zero_ties_with_zero() -> None:
    columns = random_columns(2, 40, alive=1.0)
    columns["id"] = np.arange(40)[::-1].astype(np.int64)
    scores = np.where(np.arange(40) % 2 == 0, np.float32(-0.0), np.float32(0.0))
    fates = assert_same_choice(columns, scores, -1, 0, 4, False)
    np.testing.assert_array_equal(np.flatnonzero(fates == DELETE), [36, 37, 38, 39])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_count_that_ends_with_the_last_of_equal_keys(dtype: Any) -> None:
    columns = random_columns(3, 60, dtype, alive=1.0)
    first = dtype(1)
    second = np.nextafter(first, dtype(2))  # its key differs in the last digit alone
    scores = np.where(np.arange(60) % 3 == 0, first, second)
    fates = assert_same_choice(columns, scores, -1, 0, 20, False)
    np.testing.assert_array_equal(fates == DELETE, scores == first)


@pytest.mark.parametrize("scope", [1, 2])
@pytest.mark.parametrize("style", ["distinct", "ties"])
def test_a_scope_is_the_level_of_the_target(scope: int, style: str) -> None:
    columns = random_columns(4, 150)
    fates = assert_same_choice(columns, scores_of(style, columns), scope, 9, 14, False)
    assert set(np.array(LEVELS)[columns["target"][fates > 0]]) == {scope}


def test_one_scope_after_another_adds_to_the_fates() -> None:
    columns = random_columns(4, 150)
    scores = scores_of("ties", columns)
    fates = assert_same_choice(columns, scores, 2, 20, 6, True)
    again = assert_same_choice(columns, scores, -1, 5, 6, True, fates=fates)
    np.testing.assert_array_equal(again[fates > 0], fates[fates > 0])


@pytest.mark.parametrize(("n_split", "n_delete"), [(0, 0), (0, 8), (1, 1), (1000, 20), (20, 1000)])
def test_any_counts_even_more_than_there_are_candidates(n_split: int, n_delete: int) -> None:
    columns = random_columns(5, 100)
    living = int(np.sum(columns["id"] >= 0))
    fates = assert_same_choice(columns, scores_of("ties", columns), -1, n_split, n_delete, False)
    assert np.sum(fates == DELETE) == min(n_delete, living)
    assert np.sum(fates == SPLIT) == min(n_split, living - min(n_delete, living))


def test_no_candidates_at_all() -> None:
    columns = random_columns(6, 70, alive=0.0)
    fates = assert_same_choice(columns, np.zeros(70, np.float32), -1, 3, 3, True)
    assert not fates.any()


@pytest.mark.parametrize(("dtype", "style"), [(np.float32, "ties"), (np.float32, "all equal"), (np.float64, "distinct")])
def test_no_output_loses_its_last_cell(style: str, dtype: Any) -> None:
    columns = random_columns(8, 60, dtype)
    scores = scores_of(style, columns)
    fates = assert_same_choice(columns, scores, -1, 3, 1000, True)
    living, outputs = columns["id"] >= 0, np.flatnonzero(np.array(LEVELS) == 2)
    for node in outputs:
        own = np.flatnonzero(living & (columns["target"] == node))
        kept = own[fates[own] != DELETE]
        strongest = max(own, key=lambda slot: (scores[slot], columns["id"][slot]))
        assert kept.tolist() == [strongest]


def test_an_exempt_cell_may_split() -> None:
    columns = random_columns(9, 60)
    scores = scores_of("distinct", columns)
    fates = assert_same_choice(columns, scores, -1, 1, 0, True)
    strongest = np.argmax(np.where(columns["id"] >= 0, scores, -np.inf))
    assert np.flatnonzero(fates == SPLIT).tolist() == [strongest]


# thresholds


@pytest.mark.parametrize("keep_outputs", [False, True])
@pytest.mark.parametrize(("above", "below"), [(0.5, -0.3), (math.inf, 10.0), (-10.0, -math.inf), (0.0, 0.0)])
def test_thresholds(keep_outputs: bool, above: float, below: float) -> None:
    columns = random_columns(10, 120)
    scores = scores_of("distinct", columns)
    found = []
    for world in worlds(columns):
        backend, fates = world.backend, world.backend.zeros(120, np.dtype(np.uint8))
        counts = backend.select_thresholds(
            backend.upload(scores), world.cells, 120, world.nodes, above, below, keep_outputs, fates
        )
        found.append((counts, backend.download(fates)))
    (expected_counts, expected), (counts, fates) = found
    np.testing.assert_array_equal(fates, expected)
    assert counts == expected_counts == (np.sum(fates == SPLIT), np.sum(fates == DELETE))


# levels, compaction, take


def test_living_cells_are_counted_by_level() -> None:
    columns = random_columns(11, 100)
    cpu, gpu = (world.backend.count_levels(world.cells, 100, world.nodes) for world in worlds(columns))
    np.testing.assert_array_equal(gpu, cpu)
    assert gpu.sum() == np.sum(columns["id"] >= 0)


def test_more_levels_than_one_pass_counts() -> None:
    levels = (0, 0, 0, *range(1, 600))
    columns = random_columns(12, 300, levels=levels)
    cpu, gpu = (world.backend.count_levels(world.cells, 300, world.nodes) for world in worlds(columns, levels))
    np.testing.assert_array_equal(gpu, cpu)


@pytest.mark.parametrize("n", [1, 63, 64, 200, 1025, 2300])
def test_slots_of_a_fate_come_in_ascending_order(n: int) -> None:
    fates = np.random.default_rng(n).integers(0, 3, n).astype(np.uint8)
    fates[-1] = DELETE
    for world in worlds(random_columns(13, 1)):
        on_device = world.backend.upload(fates.copy())
        slots = world.backend.compact(on_device, DELETE, int(np.sum(fates == DELETE)))
        np.testing.assert_array_equal(world.backend.download(slots), np.flatnonzero(fates == DELETE))
        assert world.backend.download(world.backend.compact(on_device, 7, 0)).size == 0


def test_take_gathers_a_column() -> None:
    columns = random_columns(14, 80)
    slots = np.array([79, 3, 3, 0], np.int32)
    _, gpu = worlds(columns)
    for name in ("id", "weight", "born"):
        taken = gpu.backend.take(getattr(gpu.cells, name), gpu.backend.upload(slots))
        np.testing.assert_array_equal(gpu.backend.download(taken), columns[name][slots])


# passthrough


def _ratio(w: Any, b: Any) -> Any:
    return w / b


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["weight", "weight_bias", "random"])
def test_scores_are_those_of_the_cpu(name: str, dtype: Any) -> None:
    columns = random_columns(15, 130, dtype)
    scores = []
    for backend, cells, _ in worlds(columns):
        found, bad = backend.score(PASSTHROUGHS[name], cells, 130, 2**40 + 5, 3)
        assert bad == -1
        scores.append(backend.download(found))
    np.testing.assert_array_equal(scores[1], scores[0])
    assert not scores[1][columns["id"] < 0].any()
    assert len(set(scores[1][columns["id"] >= 0])) > 50


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # the simulator divides 0 by 0 in NumPy
def test_the_first_nan_is_that_of_the_lowest_slot() -> None:
    columns = random_columns(16, 130, alive=1.0)
    for slot in (97, 41, 64):
        columns["weight"][slot] = columns["bias"][slot] = 0
    columns["weight"][20], columns["bias"][21] = math.inf, math.inf
    measure = Passthrough("ratio", lambda real: _ratio)
    assert [backend.score(measure, cells, 130, 1, 1)[1] for backend, cells, _ in worlds(columns)] == [41, 41]


# split


@pytest.mark.parametrize(
    ("kind", "rule"), [("linear", "preserve"), ("relu", "preserve"), ("tanh", "preserve"), ("relu", "article")]
)
@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_children_are_those_of_the_cpu(kind: str, rule: str, jitter: float) -> None:
    columns = random_columns(17, 90)
    living, free = np.flatnonzero(columns["id"] >= 0), np.flatnonzero(columns["id"] < 0)
    parents, children = living[5 : 5 + len(free)].astype(np.int32), free[::-1].astype(np.int32)
    after = []
    for backend, cells, _ in worlds(columns, kind=kind):
        backend.write_children(rule, jitter, cells, backend.upload(parents), backend.upload(children), 2**50, 4, 2**33 + 1)
        after.append({name: backend.download(column) for name, column in cells._asdict().items()})
    cpu, gpu = after
    for name in Cells._fields:
        np.testing.assert_allclose(gpu[name], cpu[name], rtol=1e-6 if gpu[name].dtype.kind == "f" else 0, err_msg=name)
    np.testing.assert_array_equal(gpu["id"][children], 2**50 + np.arange(len(children)))
    np.testing.assert_array_equal(gpu["parent"][children], columns["id"][parents])
    if kind == "linear":
        np.testing.assert_allclose(gpu["weight"][parents] + gpu["weight"][children], columns["weight"][parents], rtol=1e-6)

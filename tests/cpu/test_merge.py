"""A plan merged from an older one is, array by array, the plan that is made anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import dna
from dna.backend import Turnover
from dna.cpu import merge as merging
from dna.cpu.merge import merge
from dna.cpu.plan import GatherPlan, make_gather


def assert_same(found: GatherPlan, wanted: GatherPlan) -> None:
    for mine, theirs in ((found.into, wanted.into), (found.out_of, wanted.out_of)):
        for stage, expected in zip(mine, theirs, strict=True):
            for name, value in expected._asdict().items():
                np.testing.assert_array_equal(getattr(stage, name), value, err_msg=name)
                assert np.asarray(getattr(stage, name)).dtype == np.asarray(value).dtype
    for side, expected_side in zip(found.sides, wanted.sides, strict=True):
        for part, expected_part in ((side.tiling, expected_side.tiling), (side.layout, expected_side.layout)):
            for field, value in zip(part, expected_part, strict=True):
                np.testing.assert_array_equal(field, value)


class Grown:
    """A network whose cells come and go, slot by slot, and its plan before."""

    def __init__(self, sizes: list[int], density: float, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.engine = dna.Network(sizes, device="cpu", density=density, seed=seed, init="he").engine
        self.plan = self.made_anew()

    def made_anew(self) -> GatherPlan:
        pool = self.engine.pool
        return make_gather(pool.cells, pool.bump, len(pool), self.engine.nodes)

    def turn_over(self, n_died: int, n_born: int, *, anywhere: bool, parts: int) -> Turnover:
        """Let cells die and others be born between the nodes of living ones, or of any two that may be joined."""
        pool, random = self.engine.pool, self.random
        living = np.flatnonzero(pool.cells.id[: pool.bump] >= 0).astype(np.int32)
        died = np.sort(random.permutation(living)[:n_died])
        level = self.engine.nodes.level
        source, target = (random.choice(column[living], n_born) for column in (pool.cells.source, pool.cells.target))
        if not anywhere or n_born == 0:
            copied = random.choice(living, n_born)
            source, target = pool.cells.source[copied], pool.cells.target[copied]
        legal = level[source] < level[target]
        source, target = source[legal], target[legal]
        pool.reserve(max(0, len(source) - n_died))
        turnover = died, pool.cells.source[died], pool.cells.target[died]
        pool.release(died)
        born = []
        for part in np.array_split(np.arange(len(source)), parts):
            slots, first_id = pool.claim(len(part))
            pool.cells.source[slots], pool.cells.target[slots] = source[part], target[part]
            pool.cells.id[slots] = first_id + np.arange(len(part))
            born.append(slots)
        return Turnover(*turnover, tuple(born))

    def lose(self, died: np.ndarray) -> Turnover:
        """Let some cells die."""
        pool = self.engine.pool
        turnover = Turnover(died, pool.cells.source[died], pool.cells.target[died], ())
        pool.release(died)
        return turnover

    def gain(self, source: int, target: int) -> Turnover:
        """Let a cell be born between two nodes."""
        pool = self.engine.pool
        pool.reserve(1)
        slots, first_id = pool.claim(1)
        pool.cells.source[slots], pool.cells.target[slots], pool.cells.id[slots] = source, target, first_id
        nobody = np.empty(0, np.int32)
        return Turnover(nobody, nobody, nobody, (slots,))

    def merged(self, turnover: Turnover) -> GatherPlan | None:
        pool = self.engine.pool
        return merge(self.plan, turnover, pool.cells, pool.bump, len(pool), self.engine.nodes)


SHAPES = st.sampled_from(
    [([3, 2], 1.0), ([130, 40], 1.0), ([200, 70, 9], 0.8), ([300, 300], 0.01), ([65, 1, 33, 2], 1.0), ([90, 700], 0.5)]
)


@settings(max_examples=60, deadline=None, phases=[Phase.generate])
@given(SHAPES, st.integers(0, 10**6), st.lists(st.tuples(st.floats(0, 0.3), st.floats(0, 0.3), st.booleans(), st.integers(1, 3))))
def test_a_merged_plan_is_that_which_is_made_anew(shape: tuple[list[int], float], seed: int, events: list[Any]) -> None:
    net = Grown(*shape, seed)
    for dies, comes, anywhere, parts in events[:5]:
        n = len(net.engine.pool)
        turnover = net.turn_over(int(dies * n), int(comes * n), anywhere=anywhere, parts=parts)
        merged, anew = net.merged(turnover), net.made_anew()
        if merged is not None:
            assert_same(merged, anew)
        net.plan = anew if merged is None else merged


@pytest.mark.parametrize("shape", [([784, 100], 1.0), ([300, 400, 50], 0.5)])
def test_a_tenth_that_splits_and_dies_is_merged(shape: tuple[list[int], float]) -> None:
    """Event after event; nothing falls back on sorting."""
    net = Grown(*shape, 0)
    for _ in range(4):
        n = len(net.engine.pool) // 10
        merged = net.merged(net.turn_over(n, n, anywhere=False, parts=1))
        assert merged is not None
        assert_same(merged, net.made_anew())
        net.plan = merged


def test_other_tiles_and_large_changes_are_sorted_anew() -> None:
    net = Grown([300, 300], 0.5, 0)
    assert net.plan.into[1].tiles > 1
    assert net.merged(net.lose(cells_at(net, source=0))) is None  # all tiles begin a node later

    net = Grown([300, 300], 0.5, 0)
    n = int(len(net.engine.pool) * merging.LARGEST_SHARE) // 2 + 1
    assert net.merged(net.turn_over(n, n, anywhere=False, parts=1)) is None


def cells_at(net: Grown, **end: int) -> np.ndarray:
    """Return the slots of the living cells at a node, which is their source or their target."""
    pool, (name, node) = net.engine.pool, *end.items()
    return np.flatnonzero((getattr(pool.cells, name) == node) & (pool.cells.id >= 0)).astype(np.int32)


@pytest.mark.parametrize("end", [{"source": 0}, {"source": 299}, {"target": 300}, {"target": 599}])
def test_the_first_and_the_last_node_come_and_go(end: dict[str, int]) -> None:
    """The range of other ends becomes smaller and larger again: a plan that is merged then would have other tiles."""
    net = Grown([300, 300], 0.5, 0)
    assert net.merged(net.lose(cells_at(net, **end))) is None
    net.plan = net.made_anew()
    inner = {"source": 100, "target": 400}
    merged = net.merged(net.gain(**inner))
    assert merged is not None
    assert_same(merged, net.made_anew())
    net.plan = merged
    assert net.merged(net.gain(**(inner | end))) is None


def test_fewer_cells_are_cut_into_larger_tiles() -> None:
    """Though the first and the last node have cells as before."""
    net = Grown([300, 300], 1.0, 0)
    merged, events = net.plan, 0
    while merged is not None:
        assert_same(merged, net.made_anew())
        net.plan, events = merged, events + 1
        merged = net.merged(net.turn_over(len(net.engine.pool) // 4, 0, anywhere=False, parts=1))
    assert events > 1
    assert net.made_anew().into[1].tiles < net.plan.into[1].tiles


def break_off_after(work: Callable[..., Any]) -> Callable[..., Any]:
    def working(*rest: Any) -> None:
        work(*rest)
        raise MemoryError

    return working


def test_extinctions_of_a_network_merge_and_run_as_if_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the public calls: the plan after an extinction, and no older plan once somebody undoes, settles or compiles."""
    used = []

    def note(plan: GatherPlan, *rest: Any) -> GatherPlan | None:
        used.append(merge(plan, *rest))
        return used[-1]

    monkeypatch.setattr(merging, "merge", note)
    net, x = dna.Network([140, 60], device="cpu", init="he", seed=1), np.ones((200, 140), np.float32)
    net.compile("gather")

    def plan_is_right() -> bool:
        net.forward(x)
        pool = net.engine.pool
        assert_same(net.engine.plans.ready(), make_gather(pool.cells, pool.bump, len(pool), net.engine.nodes))
        return bool(used) and used.pop() is not None

    for _ in range(3):
        net.extinction(dna.Extinction(split=0.1, delete=0.12, jitter=0.1))
        assert plan_is_right()
    net.extinction()
    net.extinction()  # two in a row, and no plan between them
    assert not plan_is_right()
    net.extinction()
    net.fossils[-1].undo()
    assert not plan_is_right()
    net.extinction()
    with monkeypatch.context() as patch:
        patch.setattr(net.backend, "make_plan", break_off_after(net.backend.make_plan))
        with pytest.raises(MemoryError):
            net.forward(x)
    assert used.pop() is not None
    assert not plan_is_right(), "the older plan was used up"
    net.extinction(dna.Extinction(deaths=dna.Delete(share=0.2), births=dna.Regrow(share=0.2, by="random")))
    plan_is_right()
    net.extinction()
    net.settle()
    assert not plan_is_right()
    net.extinction()
    net.compile("gather")
    assert not plan_is_right()

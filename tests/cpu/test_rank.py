"""Ranks of large pools, where a sample of the keys brackets the last of the chosen, against a plain sort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dna.backend import Maths
from dna.cells import ACTIVATIONS, KINDS
from dna.cpu import rank
from dna.cpu.backend import CpuBackend
from dna.cpu.select import EXEMPT
from dna.types import DELETE, KEEP, SPLIT, Cells, Nodes

N = 4 * rank.SAMPLE + 4321
LEVELS = np.array([0, 0, 1, 1, 2, 2], np.int32)
OUTPUTS = np.array([4, 5], np.int32)


def case(scores: np.ndarray, seed: int = 0) -> tuple[CpuBackend, Cells, Nodes, np.ndarray]:
    """Return a pool with free slots whose cells end in two levels, and fates, some of which are given."""
    random = np.random.default_rng(seed)
    by_level = tuple(np.flatnonzero(k == LEVELS).astype(np.int32) for k in range(3))
    nodes = Nodes(LEVELS, by_level[0], OUTPUTS, by_level)
    backend = CpuBackend(Maths(KINDS["linear"], (ACTIVATIONS["identity"],) * 3, scores.dtype))
    cells, _ = backend.new_pool(len(scores), 0)
    cells.id[:] = random.permutation(2 * len(scores))[: len(scores)]
    cells.target[:] = random.integers(2, 6, len(scores))
    free = random.random(len(scores)) < 0.1
    cells.id[free], cells.target[free] = -1, 0
    fates = backend.new_fates(cells, len(scores), int(np.count_nonzero(~free)))
    fates[(random.random(len(scores)) < 0.1) & ~free] = SPLIT
    fates[(random.random(len(scores)) < 0.1) & ~free] = EXEMPT
    return backend, cells, nodes, fates


def expected(
    scores: np.ndarray, cells: Cells, scope: int, n_split: int, n_delete: int, keep_outputs: bool, fates: np.ndarray
) -> tuple[np.ndarray, tuple[int, int]]:
    """Sort all candidates of each fate, and take the first."""
    fates, given = fates.copy(), []
    living = (cells.id >= 0) & ((scope < 0) | (LEVELS[cells.target] == scope))
    for o in OUTPUTS if keep_outputs else ():
        own = np.flatnonzero((cells.id >= 0) & (cells.target == o) & (fates != DELETE))
        if len(own) > 0:
            last = own[np.lexsort((cells.id[own], scores[own]))[-1]]
            fates[last] = EXEMPT if fates[last] == KEEP else fates[last]
    for fate, count, sign in ((DELETE, n_delete, 1), (SPLIT, n_split, -1)):
        may = np.flatnonzero(living & ((fates == KEEP) | ((fates == EXEMPT) & (fate == SPLIT))))
        chosen = may[np.lexsort((cells.id[may], sign * scores[may]))][:count]
        fates[chosen] = fate
        given.append(len(chosen))
    fates[fates == EXEMPT] = KEEP
    return fates, (given[1], given[0])


def scores_of(kind: str, n: int, dtype: type) -> np.ndarray:
    random = np.random.default_rng(1)
    made: dict[str, Any] = {
        "normal": random.normal(size=n),
        "all the same": np.ones(n),
        "few values": random.integers(-3, 3, n),
        "zeros of both signs": np.where(random.random(n) < 0.5, -0.0, 0.0),
        "ascending": np.arange(n) / n,
        "one far off": np.where(np.arange(n) == n // 2, np.inf, 1e-30 * np.arange(n)),
    }
    return made[kind].astype(dtype)


KINDS_OF_SCORES = ("normal", "all the same", "few values", "zeros of both signs", "ascending", "one far off")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS_OF_SCORES)
@pytest.mark.parametrize("scope", [-1, 1])
def test_the_first_of_a_large_pool_are_chosen(kind: str, scope: int, dtype: type) -> None:
    scores = scores_of(kind, N, dtype)
    for n_split, n_delete in ((N // 10, N // 10), (1, 3), (N, N // 3), (0, N)):
        backend, cells, nodes, fates = case(scores)
        wanted, counts = expected(scores, cells, scope, n_split, n_delete, True, fates)
        assert backend.select_counts(scores, cells, N, nodes, scope, n_split, n_delete, True, fates) == counts
        np.testing.assert_array_equal(fates, wanted)


def test_a_sample_that_misleads_costs_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bracket does not hold the last of the chosen; all candidates are listed then."""
    scores = scores_of("normal", N, np.float32)
    for ends in ((np.uint32(0x10), np.uint32(0x20)), (np.uint32(0xFFFFFF00), np.uint32(0xFFFFFFF0))):
        monkeypatch.setattr(rank, "_bracket", lambda *_, ends=ends: ends)
        backend, cells, nodes, fates = case(scores)
        wanted, counts = expected(scores, cells, -1, 700, 900, True, fates)
        assert backend.select_counts(scores, cells, N, nodes, -1, 700, 900, True, fates) == counts
        np.testing.assert_array_equal(fates, wanted)


def test_the_sample_brackets_a_tenth_within_a_few_in_a_hundred() -> None:
    """It would be slow, not wrong, otherwise."""
    scores = scores_of("normal", N, np.float32)
    *_, fates = case(scores)
    order = rank.Order(scores.view(np.uint32), fates, np.uint8(KEEP), np.uint32(0))
    n, below, slots, _ = rank._shortlist(order, N // 10, np.float32, fates)
    assert n == N // 10
    assert 0 < below < n <= below + len(slots)
    assert len(slots) < 0.05 * N


def test_outputs_whose_cells_are_all_weak_keep_their_strongest() -> None:
    backend, cells, nodes, fates = case(scores_of("normal", N, np.float32))
    scores = np.where(cells.target == 4, np.float32(0.5), np.float32(1.0)) + cells.id.astype(np.float32) / np.float32(8 * N)
    weak = int(np.count_nonzero((cells.target == 4) & (cells.id >= 0) & (fates == KEEP)))
    fates[(cells.target == 4) & (fates != KEEP)] = DELETE  # died before
    for count in (weak - 1, weak, weak + 5):
        own = fates.copy()
        wanted, counts = expected(scores, cells, -1, 0, count, True, own)
        assert backend.select_counts(scores, cells, N, nodes, -1, 0, count, True, own) == counts
        np.testing.assert_array_equal(own, wanted)
        assert np.any((own != DELETE) & (cells.target == 4))

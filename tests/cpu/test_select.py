"""Fates on the CPU, word by word: which slots have one, which are free, which outputs are about to lose all their cells."""

from __future__ import annotations

import numpy as np
import pytest

from dna.cpu import passthrough, select
from dna.cpu.bits import WORD
from dna.cpu.pool import new_pool
from dna.rules.keys import KEY_OF
from dna.types import DELETE, FREE, KEEP, SPLIT

SIZES = (1, 63, 64, 65, 32 * 64 - 1, 32 * 64, 32 * 64 + 1, 5000)
PATTERNS = {
    "none": lambda n: np.zeros(n, bool),
    "all": lambda n: np.ones(n, bool),
    "every other": lambda n: np.arange(n) % 2 == 1,
    "the first of each word": lambda n: np.arange(n) % 64 == 0,
    "the last of each word": lambda n: np.arange(n) % 64 == 63,
    "the last": lambda n: np.arange(n) == n - 1,
    "some": lambda n: np.random.default_rng(n).random(n) < 0.1,
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_slots_of_a_fate_are_listed_in_order(pattern: str) -> None:
    for n in SIZES:
        chosen = PATTERNS[pattern](n)
        fates = np.where(chosen, DELETE, np.where(np.arange(n) % 3 == 0, SPLIT, KEEP)).astype(np.uint8)
        slots = np.full(int(chosen.sum()) + WORD, -7, np.int32)
        select.compactor()(fates, DELETE, slots)
        np.testing.assert_array_equal(slots[:-WORD], np.flatnonzero(chosen))


def test_free_slots_have_no_fate() -> None:
    """Where none is free they are not looked for."""
    ids = np.arange(1000)
    ids[::7] = FREE
    fates = np.full(990, SPLIT, np.uint8)
    select.clear_fates(ids, 990 - int(np.count_nonzero(ids[:990] == FREE)), fates)
    np.testing.assert_array_equal(fates, np.where(ids[:990] == FREE, select.NOBODY, KEEP))
    select.clear_fates(ids, 990, fates)
    assert (fates == KEEP).all()


def test_what_was_exempt_is_kept_and_those_chosen_get_the_fate() -> None:
    chosen_though_exempt = select.EXEMPT | select.CHOSEN
    fates = np.array([KEEP, SPLIT, DELETE, select.EXEMPT, select.CHOSEN, chosen_though_exempt, select.NOBODY] * 50, np.uint8)
    taken_back = fates.copy()
    select.finisher()(fates, SPLIT)
    assert fates[:7].tolist() == [KEEP, SPLIT, DELETE, KEEP, SPLIT, SPLIT, select.NOBODY]
    assert (fates.reshape(50, 7) == fates[:7]).all()
    select.reviver()(taken_back)
    assert taken_back[:7].tolist() == [KEEP, SPLIT, DELETE, select.EXEMPT, KEEP, select.EXEMPT, select.NOBODY]


def test_the_last_cell_of_an_output_is_found_in_any_part_of_the_pool() -> None:
    cells, _ = new_pool(select.PARTS, 0, np.dtype(np.float32))
    cells.id[:] = np.arange(select.PARTS)
    for strongest in range(select.PARTS):  # a cell a part
        scores = np.full(select.PARTS, 1, np.float32)
        scores[strongest] = 2
        fates = np.zeros(select.PARTS, np.uint8)
        select.exemption(np.float32)(scores.view(KEY_OF[scores.dtype]), cells, np.zeros(1, np.int32), 1, fates)
        assert np.flatnonzero(fates == select.EXEMPT).tolist() == [strongest]


def test_an_output_is_in_danger_when_all_its_candidates_are_chosen() -> None:
    target = np.tile(np.arange(3, 8, dtype=np.int32), 400)
    outputs = np.array([5, 6], np.int32)

    def in_danger(fates: np.ndarray, step: int = 1) -> bool:
        return bool(select.danger_finder()(target, outputs, 8, fates, step))

    fates = np.where(target == 4, select.CHOSEN, KEEP).astype(np.uint8)  # no output
    assert not in_danger(fates)
    assert not in_danger(fates, 3)
    fates[target == 6] = select.CHOSEN
    assert in_danger(fates)
    fates[1998] = KEEP  # the last cell of node 6
    assert not in_danger(fates)
    assert in_danger(fates, 121), "a glance does not see that cell"
    fates[target == 6] = DELETE  # all died before, and none is chosen now
    assert not in_danger(fates)


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_the_first_nan_is_found(real: type) -> None:
    """Of either sign, and no infinity."""
    scores = np.array([0, np.inf, -np.inf, 1, -np.nan, np.nan, 2] * 3, real)
    bits = scores.view(KEY_OF[np.dtype(real)])
    find = passthrough.nan_finder(real)
    assert [find(bits), find(bits[5:]), find(bits[6:11]), find(bits[:4])] == [4, 0, -1, -1]

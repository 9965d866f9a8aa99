"""Selection on the CPU: exemptions, fates by threshold, and the slots of a fate; exact ranks are in `rank.py`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dna.cpu.bits import WORD, list_bits, word_of
from dna.cpu.compiler import jit, kernel
from dna.cpu.lanes import new_row
from dna.cpu.threads import zeros
from dna.rules.keys import build_key
from dna.types import DELETE, KEEP, SPLIT, Array

PARTS = 32
"""Parts of the pool that are looked at side by side."""

LOOKING = 8
"""Parts that are looked at side by side where each has a table of all nodes."""

RUN = 16
"""Cells that are looked at in a row: the targets on one cache line."""

NO_OUTPUT, NONE_YET = -2, -1
"""In place of the slot of a node's last cell: the node is no output; none has been seen yet."""

EXEMPT, CHOSEN, NOBODY = 4, 8, 16
"""Fates that only selection knows. The cell may not die, but may split, and becomes KEEP in the end. The cell is one of those
chosen, a bit beside what it was before. There is no cell in this slot."""


def clear_fates(ids: Array, n_cells: int, fates: Array) -> None:
    """Give KEEP to all living cells, and NOBODY to free slots."""
    if n_cells < len(fates):
        vacancy_marker()(ids, fates)
    else:
        fates.fill(KEEP)


@cache
def vacancy_marker() -> Callable[..., Any]:
    """Build `mark(ids, fates)`: NOBODY where a slot is free, KEEP where not."""

    @kernel("vacancies", PARTS, parallel=True)
    def mark(ids: Any, fates: Any) -> None:
        for part in numba.prange(PARTS):
            first, end = part * len(fates) // PARTS, (part + 1) * len(fates) // PARTS
            own, those = fates[first:end], ids[first:end]
            for s in range(len(own)):
                own[s] = KEEP if those[s] >= 0 else NOBODY

    return mark


@cache
def exemption(real: type) -> Callable[..., Any]:
    """Build `exempt(bits, cells, outputs, n_nodes, fates)`; bits are those of the scores.

    Of the cells of each output node that do not die already, the last in the order of the weakest, (key up, id up), is exempt
    from deletion: it would be the last to go, so no output loses all its cells, and nothing changes elsewhere.
    """
    key_of = jit(build_key(np.dtype(real)))

    @jit
    def is_later(bits: Any, ids: Any, s: Any, rival: Any) -> Any:
        key, other = key_of(bits[s]), key_of(bits[rival])
        return key > other or (key == other and ids[s] > ids[rival])

    @jit
    def find_last(first: Any, end: Any, bits: Any, cells: Any, fates: Any, best: Any) -> None:
        for s in range(np.uint64(first), np.uint64(end)):
            if cells.id[s] >= 0 and fates[s] != DELETE:
                node = np.uint64(cells.target[s])
                rival = best[node]
                if rival == NONE_YET or (rival >= 0 and is_later(bits, cells.id, s, rival)):
                    best[node] = s

    @kernel("exempt", real, PARTS, parallel=True)
    def exempt(bits: Any, cells: Any, outputs: Any, n_nodes: Any, fates: Any) -> None:
        best = np.empty((PARTS, n_nodes), np.int64)
        for part in numba.prange(PARTS):
            for node in range(n_nodes):
                best[part, node] = NO_OUTPUT
            for o in outputs:
                best[part, o] = NONE_YET
            find_last(part * len(bits) // PARTS, (part + 1) * len(bits) // PARTS, bits, cells, fates, best[part])
        for o in outputs:
            last = best[0, o]
            for part in range(1, PARTS):
                s = best[part, o]
                if s >= 0 and (last < 0 or is_later(bits, cells.id, s, last)):
                    last = s
            if last >= 0 and fates[last] == KEEP:
                fates[last] = EXEMPT

    return exempt


@cache
def danger_finder() -> Callable[..., Any]:
    """Build `find(target, outputs, n_nodes, fates, step) -> bool`: whether all candidates of some output are chosen.

    With a step above 1 only one run of cells in so many is looked at, and the answer is whether some output was not seen to live
    on. A table tells of each node whether it has cells that were not chosen, in its second row, and such that were, in its third.
    """

    @jit
    def note_run(first: Any, end: Any, target: Any, fates: Any, n_nodes: Any, rows: Any) -> None:
        for s in range(np.uint64(first), np.uint64(end)):
            row = np.uint8(fates[s] == KEEP) + np.uint8(fates[s] == CHOSEN) * np.uint8(2)
            rows[np.uint64(row) * np.uint64(n_nodes) + np.uint64(target[s])] = 1

    @kernel("danger", LOOKING, RUN, parallel=True)
    def find(target: Any, outputs: Any, n_nodes: Any, fates: Any, step: Any) -> Any:
        total, table = len(fates), zeros((LOOKING, 3 * n_nodes), np.uint8)
        for part in numba.prange(LOOKING):
            first, end = part * total // LOOKING, (part + 1) * total // LOOKING
            for run in range(first, end, step * RUN):
                note_run(run, min(run + RUN, end), target, fates, n_nodes, table[part])
        for o in outputs:
            lives, dies = np.uint8(0), np.uint8(0)
            for part in range(LOOKING):
                lives |= table[part, n_nodes + o]
                dies |= table[part, 2 * n_nodes + o]
            if lives == 0 and (dies != 0 or step > 1):
                return True
        return False

    return find


@cache
def reviver() -> Callable[..., Any]:
    """Build `revive(fates)`: those chosen are what they were before."""

    @kernel("revive")
    def revive(fates: Any) -> None:
        for s in range(len(fates)):
            fates[s] &= np.uint8(255 - CHOSEN)

    return revive


@cache
def protector() -> Callable[..., Any]:
    """Build `protect(cells, born_after, fates)`: the cells that came later than a version are exempt from deletion."""

    @kernel("protect")
    def protect(cells: Any, born_after: Any, fates: Any) -> None:
        for s in range(len(fates)):
            if cells.id[s] >= 0 and cells.born[s] > born_after and fates[s] == KEEP:
                fates[s] = EXEMPT

    return protect


@cache
def divider(real: type) -> Callable[..., Any]:
    """Build `divide(scores, cells, above, below, fates) -> (n_split, n_delete)`: fates by thresholds."""

    @kernel("divide", real)
    def divide(scores: Any, cells: Any, above: Any, below: Any, fates: Any) -> Any:
        n_split, n_delete = 0, 0
        for s in range(len(scores)):
            if cells.id[s] >= 0:
                if scores[s] < below and fates[s] == KEEP:
                    fates[s] = DELETE
                    n_delete += 1
                elif scores[s] > above and (fates[s] == KEEP or fates[s] == EXEMPT):
                    fates[s] = SPLIT
                    n_split += 1
        return n_split, n_delete

    return divide


@cache
def finisher() -> Callable[..., Any]:
    """Build `finish(fates, fate)`: those chosen get the fate, and what was exempt besides is kept."""

    @kernel("finish")
    def finish(fates: Any, fate: Any) -> None:
        given = np.uint8(fate)
        for s in range(len(fates)):
            value = fates[s]
            value = np.uint8(KEEP) if value == EXEMPT else value
            fates[s] = given if value & np.uint8(CHOSEN) else value

    return finish


@cache
def level_counter() -> Callable[..., Any]:
    """Build `count(cells, bump, node_level, counts)`: living cells by the level of their target."""

    @kernel("count_levels")
    def count(cells: Any, bump: Any, node_level: Any, counts: Any) -> None:
        for s in range(bump):
            if cells.id[s] >= 0:
                counts[node_level[cells.target[s]]] += 1

    return count


@cache
def compactor() -> Callable[..., Any]:
    """Build `compact(fates, fate, slots)`: the slots of a fate, ascending; there must be room for `WORD` more.

    One thread is done before another one is awake, unless there are tens of millions of cells.
    """

    @jit
    def compact_words(fates: Any, fate: Any, slots: Any) -> Any:
        n = np.uint64(0)
        for first in range(0, len(fates) // WORD * WORD, WORD):
            cells, answers = fates[first : first + WORD], new_row(fates, WORD)
            for i in range(WORD):
                answers[i] = cells[i] == fate
            n = list_bits(word_of(answers), first, slots, n)
        return n

    @kernel("compact", WORD)
    def compact(fates: Any, fate: Any, slots: Any) -> None:
        n = compact_words(fates, np.uint8(fate), slots)
        for s in range(len(fates) // WORD * WORD, len(fates)):
            if fates[s] == fate:
                slots[n] = s
                n += np.uint64(1)

    return compact

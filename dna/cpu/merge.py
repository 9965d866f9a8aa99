"""The gather plan after an extinction: the plan before it without the dead, and with the newborn in their places.

Cells of a row, that is of a node and a tile, lie by slot. So each row is a merge of two sorted lists, and what is moved is the
old plan and the new one, each once and in order. Where levels are cut into other tiles afterwards, or too much has changed, there
is no such short way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np

from dna.backend import Turnover
from dna.cpu.compiler import jit, kernel
from dna.cpu.plan import GatherPlan, Side, plan_of, tile_shift
from dna.cpu.pool import take_cells
from dna.types import NODE, SLOT, Array, Cells, Nodes

PARTS = 32
"""Parts of a plan that are merged side by side."""

BLOCK = 4096
"""Cells whose rows are looked up by one thread at a time."""

LARGEST_SHARE = 0.5
"""Of all cells. Where more came or went, sorting all of them takes less."""

LAST_SLOT = 2**31 - 1


class Rows(NamedTuple):
    """Cells of one side by rows: all of them, or the newborn."""

    start: Array  # (n_rows + 1,) int64: where those of a row begin
    slot: Array  # (n,) int32: by (row, slot)
    other: Array  # (n,) int32: the nodes at their other ends


class Places(NamedTuple):
    """The rows of the dead and of the newborn on one side."""

    dead: Array  # (n_died,) int32
    born: Array  # (n_born,) int32: by ascending slot
    other: Array  # (n_born,) int32: the nodes at the other ends of the newborn


def merge(
    plan: GatherPlan, turnover: Turnover, cells: Cells, bump: int, n_cells: int, nodes: Nodes
) -> GatherPlan | None:
    """Return the plan that `make_gather` makes of the living cells, from an older one, or None where that is not to be had.

    The older one is used up: each side is written where the last one was read from, as memory that is fresh costs more than all
    the rest. So a plan that was merged keeps room for one side.
    """
    died, born = turnover.died, _ascending(turnover.born)
    if len(died) + len(born) > LARGEST_SHARE * n_cells:
        return None
    ends, _ = take_cells(cells, (born, ("source", "target")), (born[:0], ()))
    places = _find_places(plan, (turnover.source, turnover.target), (ends["source"], ends["target"]), nodes)
    if places is None:
        return None
    (first, second), spare = _merge_sides(plan, places, died, born, (bump, n_cells))
    sizes = np.array([len(members) for members in nodes.by_level])
    if not (tiling_checker()(first, sizes) and tiling_checker()(second, sizes)):
        return None
    return plan_of(first, second, nodes)._replace(spare=spare)


def _ascending(parts: tuple[Array, ...]) -> Array:
    """Return slots in one array, ascending; those from a stack often descend."""
    slots = np.concatenate([np.empty(0, SLOT), *(part[::-1] for part in parts)])
    return slots if bool((slots[1:] > slots[:-1]).all()) else np.sort(slots)


def _find_places(
    plan: GatherPlan, dead: tuple[Array, Array], born: tuple[Array, Array], nodes: Nodes
) -> tuple[Places, Places] | None:
    """Return rows by (source, target) on both sides, or None where a newborn ends farther out than any cell of its level did."""
    into, out_of = (Places(np.empty(len(dead[0]), NODE), np.empty(len(born[0]), NODE), other) for other in born)
    into_blocks, out_of_blocks = ((side.layout, side.tiling.ends) for side in plan.sides)
    outside = 0
    for ends, rows in ((dead, (into.dead, out_of.dead)), (born, (into.born, out_of.born))):
        outside += locator()(*ends, nodes.level, *into_blocks, rows[0], *out_of_blocks, rows[1])
    return (into, out_of) if outside == 0 else None


def _merge_sides(
    plan: GatherPlan, places: tuple[Places, Places], died: Array, born: Array, sizes: tuple[int, int]
) -> tuple[list[Side], tuple[Array, ...]]:
    bump, n_cells = sizes
    gone = np.zeros((bump + 63) // 64, np.uint64)
    eraser()(died, gone)
    starts = [(np.empty_like(side.start), np.empty_like(side.start)) for side in plan.sides]
    come = [Rows(first, np.empty_like(born), np.empty(len(born), NODE)) for _, first in starts]
    into, out_of = zip(places, (side.start for side in plan.sides), (first for first, _ in starts), come, strict=True)
    counter()(born, *into, *out_of)
    merged, room = [], plan.spare
    for side, (start, _), newborn in zip(plan.sides, starts, come, strict=True):
        if len(room) == 0 or len(room[0]) < n_cells:
            room = tuple(np.empty((2, n_cells), SLOT))
        old, new = Rows(side.start, side.slot, side.other), Rows(start, *(array[:n_cells] for array in room))
        cuts = np.searchsorted(old.start, np.arange(1, PARTS) * len(old.slot) // PARTS)
        merger()(np.concatenate([[0], cuts, [len(old.start) - 1]]), old, new, newborn, gone)
        merged.append(side._replace(**new._asdict()))
        room = old.slot, old.other
    return merged, room


# Indices below are unsigned, as Numba asks of a signed one whether it counts from the end.


@cache
def locator() -> Callable[..., Any]:
    """Build `locate(source, target, level, layout, ranges, rows, layout_2, ranges_2, rows_2) -> n`: the rows of cells.

    First on the side of targets, then on that of sources; n is how often a cell lies outside of the range of its level.
    """

    @jit
    def locate_block(node: Any, other: Any, level: Any, layout: Any, ranges: Any, rows: Any) -> Any:
        outside = 0
        for i in range(len(node)):
            j, far = np.uint64(node[i]), other[i]
            k = np.uint64(level[j])
            if far < ranges[k, 0] or far > ranges[k, 1]:
                outside += 1
                far = layout.low[j]
            tile = (far - layout.low[j]) >> layout.shift[j]
            rows[i] = layout.row[np.uint64(layout.block_of[j] + tile)] + layout.rank[j]
        return outside

    @kernel("locate", BLOCK, parallel=True)
    def locate(
        source: Any, target: Any, level: Any, layout: Any, ranges: Any, rows: Any, layout_2: Any, ranges_2: Any, rows_2: Any
    ) -> Any:
        outside = 0
        for block in numba.prange((len(source) + BLOCK - 1) // BLOCK):
            first, end = block * BLOCK, min(block * BLOCK + BLOCK, len(source))
            near, far = source[first:end], target[first:end]
            before = locate_block(far, near, level, layout, ranges, rows[first:end])
            outside += before + locate_block(near, far, level, layout_2, ranges_2, rows_2[first:end])
        return outside

    return locate


@cache
def counter() -> Callable[..., Any]:
    """Build `count(born, places, old, new, come, ...)`, the last four for each side: where rows begin now; the newborn by row.

    `old` and `new` are of starts alone.
    """

    @jit
    def count_side(born: Any, places: Any, old: Any, new: Any, come: Any) -> None:
        change, place = np.zeros(len(new), np.int32), np.zeros(len(new), np.int32)
        for row in places.dead:
            change[np.uint64(row)] -= 1
        for row in places.born:
            place[np.uint64(row)] += 1
        n_born, moved = 0, 0
        for row in range(np.uint64(len(place))):
            count = place[row]
            new[row] = old[row] + moved
            moved += change[row] + count
            place[row] = come.start[row] = n_born
            n_born += count
        for i in range(np.uint64(len(born))):
            row = np.uint64(places.born[i])
            to = np.uint64(place[row])
            come.slot[to], come.other[to] = born[i], places.other[i]
            place[row] += 1

    @kernel("count", parallel=True)
    def count(
        born: Any, places: Any, old: Any, new: Any, come: Any, places_2: Any, old_2: Any, new_2: Any, come_2: Any
    ) -> None:
        for side in numba.prange(2):
            if side == 0:
                count_side(born, places, old, new, come)
            else:
                count_side(born, places_2, old_2, new_2, come_2)

    return count


@cache
def eraser() -> Callable[..., Any]:
    """Build `erase(died, gone)`: set the bits of the dead."""

    @kernel("erase")
    def erase(died: Any, gone: Any) -> None:
        for slot in died:
            gone[np.uint64(slot) >> np.uint64(6)] |= np.uint64(1) << (np.uint64(slot) & np.uint64(63))

    return erase


@cache
def merger() -> Callable[..., Any]:
    """Build `merge(cuts, old, new, come, gone)`: the rows of a plan from those of the old one, part by part.

    A cell of the old plan is written before it is known to live on, and overwritten if it does not; so none is asked for before.
    """

    @jit
    def merge_rows(first: Any, end: Any, old: Any, new: Any, come: Any, gone: Any) -> None:
        to, last = np.uint64(new.start[first]), np.uint64(new.start[end])
        i, b = np.uint64(old.start[first]), np.uint64(come.start[first])
        for row in range(first, end):
            stop, stop_born = np.uint64(old.start[row + np.uint64(1)]), np.uint64(come.start[row + np.uint64(1)])
            while True:
                until = come.slot[b] if b < stop_born else np.int32(LAST_SLOT)
                while i < stop and old.slot[i] < until:
                    slot = np.uint64(old.slot[i])
                    if to < last:
                        new.slot[to], new.other[to] = old.slot[i], old.other[i]
                    to += ~(gone[slot >> np.uint64(6)] >> (slot & np.uint64(63))) & np.uint64(1)
                    i += np.uint64(1)
                if b == stop_born:
                    break
                new.slot[to], new.other[to] = until, come.other[b]
                to += np.uint64(1)
                b += np.uint64(1)

    @kernel("merge", PARTS, parallel=True)
    def merge_all(cuts: Any, old: Any, new: Any, come: Any, gone: Any) -> None:
        for part in numba.prange(PARTS):
            if cuts[part] < cuts[part + 1]:
                merge_rows(np.uint64(cuts[part]), np.uint64(cuts[part + 1]), old, new, come, gone)

    return merge_all


@cache
def tiling_checker() -> Callable[..., Any]:
    """Build `check(side, sizes) -> bool`: whether cells are cut into the same tiles as before, for levels of so many nodes.

    That is so where the range of other ends is what it was, though the number of cells may be another. None of the newborn lies
    outside of it, so each level must have cells at both ends. Cells are by tiles: the first is near the front, the last near the
    back.
    """
    shift_of = jit(tile_shift)

    @kernel("tiling")
    def check(side: Any, sizes: Any) -> Any:
        row = 0
        for level in range(len(sizes)):
            first, last = side.tiling.ends[level, 0], side.tiling.ends[level, 1]
            front, row = side.start[row], row + sizes[level] * side.tiling.tiles[level]
            back = side.start[row]
            if last >= 0:
                if shift_of(back - front, sizes[level], last - first) != side.tiling.shift[level]:
                    return False
                while front < back and side.other[np.uint64(front)] != first:
                    front += 1
                while front < back and side.other[np.uint64(back - 1)] != last:
                    back -= 1
                if front == back:
                    return False
        return True

    return check

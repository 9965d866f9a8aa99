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
from dna.cpu.plan import GatherPlan, Side, Stage, tile_shift
from dna.types import SLOT, Array, Cells, Nodes

PARTS = 32
"""Parts of a plan that are merged side by side."""

LARGEST_SHARE = 0.5
"""Of all cells. Where more came or went, sorting all of them takes less."""

LAST_SLOT = 2**31 - 1


class Rows(NamedTuple):
    """Cells of one side by rows: all of them, or the newborn."""

    start: Array  # (n_rows + 1,) int64: where those of a row begin
    slot: Array  # (n,) int32: by (row, slot)
    other: Array  # (n,) int32: the nodes at their other ends


class Ends(NamedTuple):
    """Where the dead ran, and where the cells of the pool run, as one side sees it."""

    dead_node: Array  # (n_died,) int32: the nodes of this side
    dead_other: Array  # (n_died,) int32: those at the other ends
    node: Array  # (capacity,) int32
    other: Array  # (capacity,) int32


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
    ends = (
        Ends(turnover.target, turnover.source, cells.target, cells.source),
        Ends(turnover.source, turnover.target, cells.source, cells.target),
    )
    starts = [np.empty_like(side.start) for side in plan.sides]
    come = [Rows(np.empty_like(side.start), np.empty_like(born), np.empty_like(born)) for side in plan.sides]
    into, out_of = zip((side.layout for side in plan.sides), (side.tiling.ends for side in plan.sides), ends,
                       (side.start for side in plan.sides), starts, come, strict=True)  # fmt: skip
    if counter()(born, nodes.level, *into, *out_of) > 0:
        return None
    gone = np.zeros((bump + 63) // 64, np.uint64)
    eraser()(died, gone)
    sides, spare = _merge_sides(plan, starts, come, gone, n_cells)
    if not tiling_checker()(*sides, np.array([len(members) for members in nodes.by_level])):
        return None
    return GatherPlan(_cut(plan.into, sides[0]), _cut(plan.out_of, sides[1]), sides, spare)


def _ascending(parts: tuple[Array, ...]) -> Array:
    """Return slots in one array, ascending; those from a stack often descend."""
    slots = np.concatenate([np.empty(0, SLOT), *(part[::-1] for part in parts)])
    return slots if bool((slots[1:] > slots[:-1]).all()) else np.sort(slots)


def _merge_sides(
    plan: GatherPlan, starts: list[Array], come: list[Rows], gone: Array, n_cells: int
) -> tuple[tuple[Side, ...], tuple[Array, ...]]:
    merged, room = [], plan.spare
    for side, start, newborn in zip(plan.sides, starts, come, strict=True):
        if len(room) == 0 or len(room[0]) < n_cells:
            room = tuple(np.empty((2, n_cells), SLOT))
        old, new = Rows(side.start, side.slot, side.other), Rows(start, *(array[:n_cells] for array in room))
        merger()(old, new, newborn, gone)
        merged.append(side._replace(start=start, slot=new.slot, other=new.other))
        room = old.slot, old.other
    return tuple(merged), room


def _cut(stages: tuple[Stage, ...], side: Side) -> tuple[Stage, ...]:
    """Return the stages of a side that was merged; they are of the same rows as before."""
    cut, first = [], 0
    for stage in stages:
        last = first + len(stage.start) - 1
        n_cells = int(side.start[last]) - int(side.start[first])
        cut.append(stage._replace(slot=side.slot, other=side.other, start=side.start[first : last + 1], n_cells=n_cells))
        first = last
    return tuple(cut)


# Indices below are unsigned, as Numba asks of a signed one whether it counts from the end.


@cache
def counter() -> Callable[..., Any]:
    """Build `count(born, level, layout, ranges, ends, old, new, come, ...) -> n`, the last six for each side.

    It finds where rows begin now, and the newborn by row; `old` and `new` are starts alone. n is how many newborn end farther out
    than any cell of their level did, `ranges`: then what it found is of no use.
    """

    @jit
    def row_of(layout: Any, j: Any, far: Any) -> Any:
        tile = (far - layout.low[j]) >> layout.shift[j]
        return np.uint64(layout.row[np.uint64(layout.block_of[j] + tile)] + layout.rank[j])

    @jit
    def count_dead(layout: Any, ends: Any, change: Any) -> None:
        for i in range(len(ends.dead_node)):
            change[row_of(layout, np.uint64(ends.dead_node[i]), ends.dead_other[i])] -= 1

    @jit
    def count_born(born: Any, level: Any, layout: Any, ranges: Any, ends: Any, other: Any, rows: Any, place: Any) -> Any:
        outside = 0
        for i in range(len(born)):
            slot = np.uint64(born[i])
            j, far = np.uint64(ends.node[slot]), ends.other[slot]
            k = np.uint64(level[j])
            other[i] = far
            if far < ranges[k, 0] or far > ranges[k, 1]:
                outside += 1
                far = layout.low[j]
            row = row_of(layout, j, far)
            rows[i] = row
            place[row] += 1
        return outside

    @jit
    def count_side(
        born: Any, level: Any, layout: Any, ranges: Any, ends: Any, old: Any, new: Any, come: Any
    ) -> Any:
        change, place = np.zeros(len(new), np.int32), np.zeros(len(new), np.int32)
        rows, other = np.empty(len(born), np.uint32), np.empty(len(born), np.int32)
        count_dead(layout, ends, change)
        outside = count_born(born, level, layout, ranges, ends, other, rows, place)
        n_born, moved = 0, 0
        for row in range(np.uint64(len(place))):
            count = place[row]
            new[row] = old[row] + moved
            moved += change[row] + count
            place[row] = come.start[row] = n_born
            n_born += count
        for i in range(np.uint64(len(born))):
            own = np.uint64(rows[i])
            to = np.uint64(place[own])
            come.slot[to], come.other[to] = born[i], other[i]
            place[own] += 1
        return outside

    @kernel("count", parallel=True)
    def count(
        born: Any, level: Any, layout: Any, ranges: Any, ends: Any, old: Any, new: Any, come: Any,
        layout_2: Any, ranges_2: Any, ends_2: Any, old_2: Any, new_2: Any, come_2: Any,
    ) -> Any:  # fmt: skip
        outside = np.empty(2, np.int64)
        for side in numba.prange(2):
            if side == 0:
                outside[side] = count_side(born, level, layout, ranges, ends, old, new, come)
            else:
                outside[side] = count_side(born, level, layout_2, ranges_2, ends_2, old_2, new_2, come_2)
        return outside[0] + outside[1]

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
    """Build `merge(old, new, come, gone)`: the rows of a plan from those of the old one, part by part.

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

    @jit
    def cut(start: Any) -> Any:
        """Return the rows at which parts of about as many cells begin, and the last one's end."""
        cuts = np.searchsorted(start, np.arange(PARTS + 1) * start[-1] // PARTS)
        cuts[PARTS] = len(start) - 1
        return cuts

    @kernel("merge", PARTS, parallel=True)
    def merge_all(old: Any, new: Any, come: Any, gone: Any) -> None:
        cuts = cut(old.start)
        for part in numba.prange(PARTS):
            if cuts[part] < cuts[part + 1]:
                merge_rows(np.uint64(cuts[part]), np.uint64(cuts[part + 1]), old, new, come, gone)

    return merge_all


@cache
def tiling_checker() -> Callable[..., Any]:
    """Build `check(into, out_of, sizes) -> bool`: whether cells are cut into the same tiles as before, for levels of such sizes.

    That is so where the range of other ends is what it was, though the number of cells may be another. None of the newborn lies
    outside of it, so each level must have cells at both ends. Cells are by tiles: the first is near the front, the last near the
    back.
    """
    shift_of = jit(tile_shift)

    @jit
    def check_side(side: Any, sizes: Any) -> Any:
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

    @kernel("tiling")
    def check(into: Any, out_of: Any, sizes: Any) -> Any:
        return check_side(into, sizes) and check_side(out_of, sizes)

    return check

"""The pool: all cells of a network in a structure of arrays on the device, behind a bump and free-list allocator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from dna.backend import Backend
from dna.errors import OptionError, PoolExhausted
from dna.types import BUMP, FREE, FREE_COUNT, ID, NEXT_ID, SLOT, Array, Heap

LARGEST = 2**31 - 1
"""Slots are int32."""

BLANK = 1 << 12
"""Slots that a rollback blanks at a time: memory for it is taken by every change, and hardly ever used."""


class Log(Protocol):
    """What takes note of claims and releases."""

    def note(self, kind: str, slots: np.ndarray) -> None: ...


class Pool:
    """Columns, allocator, and their growth.

    Parameters
    ----------
    backend : Backend
        Where the arrays live.
    capacity : int
        Slots to begin with, at least 1.
    fixed : bool
        Whether the capacity stays as it is. Otherwise the pool grows by doubling.

    Attributes
    ----------
    cells : Cells
    heap : Heap
        Replaced by larger ones when the pool grows: hold on to the pool, not to them.
    log : Log or None
        Where claims and releases in bulk are noted, if somebody wants to know; see `dna.pool_log`.
    """

    def __init__(self, backend: Backend, capacity: int, *, fixed: bool) -> None:
        if not 1 <= capacity <= LARGEST:
            raise OptionError(f"capacity: expected 1 to {LARGEST} slots, got {capacity}")
        self.backend, self.fixed = backend, fixed
        self.cells, self.heap = backend.new_pool(capacity, rows=0)
        self._counters = np.zeros(5, np.int64)
        self.log: Log | None = None

    @property
    def capacity(self) -> int:
        return int(self.heap.free.shape[0])

    @property
    def bump(self) -> int:
        """Slots ever used: every living cell lies below."""
        return int(self._counters[BUMP])

    @property
    def free(self) -> int:
        """Slots on the stack of free ones."""
        return int(self._counters[FREE_COUNT])

    @property
    def next_id(self) -> int:
        return int(self._counters[NEXT_ID])

    @property
    def fragmentation(self) -> float:
        """Free slots below the bump pointer as a share of all slots below it, in [0, 1]: passes run over them in vain."""
        return self.free / self.bump if self.bump else 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of all columns and of the heap."""
        return sum(math.prod(array.shape) * array.dtype.itemsize for array in (*self.cells, *self.heap))

    def __len__(self) -> int:
        """Return the number of living cells."""
        return self.bump - self.free

    def reserve(self, count: int) -> None:
        """Make sure that `count` slots can be claimed.

        Raises
        ------
        PoolExhausted
            The capacity is fixed, or the largest, and does not suffice; nothing changed.
        """
        free = self.capacity - len(self)
        if count <= free:
            return
        needed = len(self) + count
        if self.fixed or needed > LARGEST:
            raise PoolExhausted(count, free)
        self.cells, self.heap = self.backend.grow(self.cells, self.heap, min(max(2 * self.capacity, needed), LARGEST))

    def claim(self, count: int) -> tuple[Array, int]:
        """Take `count` slots: from the top of the free list first, then by bump.

        Returns
        -------
        slots : (count,) int32
        first_id : int
            The k-th slot is meant for the cell with the id `first_id + k`.

        Raises
        ------
        PoolExhausted
            As `reserve` does.
        """
        self.reserve(count)
        slots, first_id = self.backend.claim(self.heap, count), self.next_id
        from_stack = min(count, self.free)
        self._counters[FREE_COUNT] -= from_stack
        self._counters[BUMP] += count - from_stack
        self._counters[NEXT_ID] += count
        if self.log is not None:
            self.log.note("claim", self.backend.download(slots))
        return slots, first_id

    def release(self, slots: Array, again: int = 0) -> None:
        """Give back slots of living cells, distinct; the last one given is the first to be claimed again.

        The last so many, `again`, must be claimed and written at once: what they hold until then is left open.
        """
        self.backend.release(self.cells, self.heap, slots, again)
        self._counters[FREE_COUNT] += int(slots.shape[0])
        if self.log is not None:
            self.log.note("release", self.backend.download(slots))

    def settle(self) -> int:
        """Take note of the slots that kernels claimed and released by themselves; return the number of living cells.

        To be called between a launch that claims and one that releases, and before anything else is done with the network.
        """
        self._counters = np.asarray(self.backend.settle(self.heap), np.int64)
        return len(self)

    def keep_state(self, rows: int) -> None:
        """Replace the optimizer state by `rows` rows of zeros."""
        self.cells = self.cells._replace(state=self.backend.zeros((rows, self.capacity), self.backend.maths.dtype))

    def fill(self, columns: dict[str, np.ndarray], free: np.ndarray, next_id: int) -> None:
        """Lay down the first slots of an empty pool as they were saved or built.

        Parameters
        ----------
        columns : dict
            An array (n,) for each column of `Cells`, but (rows, n) for `state`; n is the bump pointer.
        free : (f,) int32
            The stack of free slots, bottom first.
        next_id : int
        """
        n = len(columns["id"])
        self.reserve(n)
        self.keep_state(len(columns["state"]))
        for name, column in columns.items():
            own = getattr(self.cells, name)
            rows = [(own, column)] if name != "state" else [(own[row], column[row]) for row in range(len(column))]
            for row, values in rows:
                self.backend.write(row[:n], values)
        stack = np.zeros(self.capacity, SLOT)
        stack[: len(free)] = free
        counters = np.zeros(5, np.int64)
        counters[[FREE_COUNT, BUMP, NEXT_ID]] = len(free), n, next_id
        self.heap = Heap(self.backend.upload(stack), self.backend.upload(counters))
        self._counters = counters.copy()

    def restore(self, columns: dict[str, np.ndarray], free: np.ndarray, next_id: int, capacity: int) -> None:
        """Lay everything down anew in `capacity` slots, as `fill` does; where that fails nothing has changed."""
        fresh = Pool(self.backend, capacity, fixed=self.fixed)
        fresh.fill(columns, free, next_id)
        self.cells, self.heap, self._counters = fresh.cells, fresh.heap, fresh._counters

    def columns(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return host copies of the used part of every column, and of the stack of free slots: what `fill` takes."""
        columns = {name: self.backend.download(column)[..., : self.bump] for name, column in self.cells._asdict().items()}
        return columns, self.backend.download(self.heap.free)[: self.free]


class Rollback:
    """Brings a pool back to where it stands now, from the middle of a change that failed: growth, releases, claims, writes.

    Parameters
    ----------
    pool : Pool

    Notes
    -----
    What failed may be memory that is not there, so all that `run` needs is taken by `prepare`, before the first write. Growth
    leaves the old arrays as they are, so they only need to be put back. In arrays that did not grow, releases and claims write to
    the slots of the released, which are kept, and to free ones, which are blank; they leave the lower part of the stack as it is.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._before = pool.cells, pool.heap, pool._counters.copy()
        self._claimed: list[Array] = []
        self._kept: list[tuple[Array, Mapping[str, Array]]] = []
        self._blank: dict[str, Array] = {}

    def prepare(self, *kept: tuple[Array, Mapping[str, Array]], largest: int) -> None:
        """Take note of slots that the change will write to with copies of their columns, and of the most slots of one claim."""
        pool, backend, largest = self._pool, self._pool.backend, min(largest, BLANK)
        free, zero = (backend.zeros(largest, dtype) for dtype in (ID, pool.cells.source.dtype))
        backend.fill(free, FREE)
        blank = {free.dtype: free, zero.dtype: zero, backend.maths.dtype: backend.zeros(largest, backend.maths.dtype)}
        self._places, self._counters = backend.upload(np.arange(5, dtype=SLOT)), backend.upload(self._before[2])
        self._blank = {name: blank[np.dtype(column.dtype)] for name, column in pool.cells._asdict().items()}
        self._kept = list(kept)
        for slots, columns in kept:
            self._write(slots[:1], columns)  # compiles

    def claim(self, count: int) -> tuple[Array, int]:
        """Claim slots of the pool, as `Pool.claim` does; they will be given back."""
        slots, first_id = self._pool.claim(count)
        self._claimed.append(slots)
        return slots, first_id

    def run(self) -> None:
        """Bring the pool back, bit by bit; nothing is allocated on the device."""
        pool = self._pool
        grown = pool.heap is not self._before[1]
        pool.cells, pool.heap, pool._counters = self._before
        if self._blank and not grown:
            for slots in self._claimed:
                for first in range(0, slots.shape[0], BLANK):
                    self._write(slots[first : first + BLANK], self._blank)
            for slots, columns in self._kept:
                self._write(slots, columns)
            pool.backend.put(pool.heap.counters, self._places, self._counters)

    def _write(self, slots: Array, columns: Mapping[str, Array]) -> None:
        n, put = slots.shape[0], self._pool.backend.put
        for name, values in columns.items():
            column = getattr(self._pool.cells, name)
            for row in range(column.shape[0]) if name == "state" else ():
                put(column[row], slots, (values if len(values.shape) == 1 else values[row])[:n])
            if name != "state":
                put(column, slots, values[:n])

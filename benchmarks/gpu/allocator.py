"""The allocator under full load: millions of threads claim until nothing is left, release, refill, and do both at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dna.backend import Maths
from dna.cells import ACTIVATIONS, KINDS
from dna.cuda.device import launch_over
from dna.cuda.memory import upload
from dna.devices import open_backend
from dna.pool import Pool
from dna.types import SLOT, Array
from gpu.claims import DRAWS, REFUSED, claiming, claiming_by_block, count_seen, mixing, new_results, releasing, take_census
from gpu.session import Session

LOOP = 3  # claims of a thread, one after another, where it claims in a loop
TURNS = 3  # threads that release one slot


class Stress:
    """One pool under load, by one way of drawing tickets."""

    def __init__(self, session: Session, draw: str, capacity: int) -> None:
        identity = ACTIVATIONS["identity"]
        maths = Maths(KINDS["linear"], (identity, identity), np.dtype(np.float32))
        self.session, self.draw, self.capacity = session, draw, capacity
        self.backend, _ = open_backend(session.device, maths)
        self.pool = Pool(self.backend, capacity, fixed=True)

    def claim(self, what: str, threads: int, each: int) -> None:
        """Claim more than there is; every free slot must be given out once, every id once, and the rest be refused."""
        pool, room, first_id = self.pool, self.capacity - len(self.pool), self.pool.next_id
        slots, ids = new_results(self.backend, threads * each)
        free_before = self._free_slots()
        launch_over(claiming(self.draw), threads, pool.cells, pool.heap, slots, ids, each)
        pool.settle()
        granted = min(room, threads * each)
        self._expect_claims(what, slots, ids, granted, first_id, free_before)

    def release(self, what: str, victims: np.ndarray) -> None:
        """Release each slot from several threads; one of them must succeed, and the slot lie on the stack once."""
        pool, before = self.pool, len(self.pool)
        slots, done = upload(victims.astype(SLOT)), upload(np.zeros(len(victims), np.int32))
        launch_over(releasing(self.draw), len(victims) * TURNS, pool.cells, pool.heap, slots, TURNS, done)
        living = pool.settle()
        self._check(f"{what}: one release of {TURNS} succeeds", bool((self.backend.download(done) == 1).all()))
        self._check(f"{what}: living cells", living == before - len(victims), living=living)
        self._expect_sound(what)

    def mix(self, what: str, victims: np.ndarray) -> None:
        """Release these slots while twice as many threads claim; what is released now may be given out only later."""
        pool, before, first_id = self.pool, len(self.pool), self.pool.next_id
        threads = 3 * len(victims)
        room, free_before = self.capacity - before, self._free_slots()
        slots, ids = new_results(self.backend, threads)
        old, done = upload(victims.astype(SLOT)), upload(np.zeros(len(victims), np.int32))
        launch_over(mixing(self.draw), threads, pool.cells, pool.heap, old, slots, ids, done)
        living = pool.settle()
        granted = min(room, threads - len(victims))
        self._check(f"{what}: every release succeeds", bool((self.backend.download(done) == 1).all()))
        self._check(f"{what}: living cells", living == before - len(victims) + granted, living=living)
        self._expect_claims(what, slots, ids, granted, first_id, free_before)

    def some_living(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return living slots, drawn at random."""
        ids = self.backend.download(self.pool.cells.id)[: self.pool.bump]
        return rng.permutation(np.flatnonzero(ids >= 0))[:count]

    def _free_slots(self) -> np.ndarray:
        """Return a mask of the slots that may be given out."""
        return np.asarray(self.backend.download(self.pool.cells.id) < 0)

    def _expect_claims(self, what: str, slots: Array, ids: Array, granted: int, first_id: int, free_before: np.ndarray) -> None:
        seen = count_seen(self.backend, slots, 0, self.capacity)
        self._check(f"{what}: no slot twice, none lost", (seen["once"], seen["more"], seen["outside"]) == (granted, 0, 0), **seen)
        seen = count_seen(self.backend, ids, first_id, granted)
        self._check(f"{what}: ids in a row", (seen["never"], seen["more"], seen["outside"]) == (0, 0, 0), **seen)
        host = self.backend.download(slots)
        self._check(f"{what}: every slot was free", bool(free_before[host[host >= 0]].all()))
        asked = int((host >= 0).sum() + (host == REFUSED).sum())
        self._check(f"{what}: the rest is refused", int((host >= 0).sum()) == granted, granted=granted, answered=asked)
        self._expect_sound(what)

    def _expect_sound(self, what: str) -> None:
        census = take_census(self.backend, self.pool.cells, self.pool.heap, self.pool.bump)
        sound = census.stacked_wrongly == census.not_blank == 0 and census.free == census.on_stack
        self._check(f"{what}: the pool is sound", sound and census.living == len(self.pool), **census._asdict())

    def _check(self, what: str, ok: bool, **details: int) -> None:
        self.session.check(f"{self.draw}, {what}", ok, **details)


def check(session: Session) -> None:
    """Drive a pool through its phases, with both ways of drawing tickets."""
    capacity = session.pick(16_000_000, 3_000_000, 150)
    for draw in DRAWS:
        rng = session.rng(len(draw))
        stress = Stress(session, draw, capacity)
        stress.claim("first fill", capacity // 2, 1)
        stress.claim("fill in loops until exhausted", capacity // 4, LOOP)
        stress.release("release of a half", stress.some_living(capacity // 2, rng))
        stress.claim("refill until exhausted", capacity, 1)
        for turn in range(session.pick(6, 3, 1)):
            if not session.in_time(f"{draw}: turn {turn}"):
                break
            stress.release(f"turn {turn}, release", stress.some_living(capacity // 5 + turn, rng))
            stress.mix(f"turn {turn}, claims and releases at once", stress.some_living(capacity // 4, rng))
        stress.claim("last refill", capacity, 1)
        session.check(f"{draw}, the pool is full in the end", len(stress.pool) == capacity)


def measure(session: Session) -> None:
    """Time claims and releases from kernels, a cell a thread."""
    n = session.pick(20_000_000, 4_000_000, 100)
    for draw in DRAWS:
        _measure_claims(session, draw, claiming(draw), n)
        _measure_releases(session, draw, n)
    _measure_claims(session, "by block", claiming_by_block(), n)


def _measure_claims(session: Session, how: str, kernel: Callable[..., Any], n: int) -> None:
    pool, slots, ids, reset = _emptied_pool(session, n)
    timing = session.clock.cold(lambda: launch_over(kernel, n, pool.cells, pool.heap, slots, ids, 1), reset)
    # Slot and id to the caller; weight, parent and id into the pool.
    rate = {"claims_per_s": 1e3 * n / timing.ms}
    session.timing(f"claims {how}, {n} threads", timing, session.floor(32 * n), **rate)


def _measure_releases(session: Session, how: str, n: int) -> None:
    pool, slots, ids, reset = _emptied_pool(session, n)
    done = pool.backend.zeros(n, np.dtype(np.int32))

    def refill() -> None:
        reset()
        launch_over(claiming(how), n, pool.cells, pool.heap, slots, ids, 1)
        reset()

    timing = session.clock.cold(lambda: launch_over(releasing(how), n, pool.cells, pool.heap, slots, 1, done), refill)
    # The id is read; every column, the stack and a count are written.
    rate = {"releases_per_s": 1e3 * n / timing.ms}
    session.timing(f"releases {how}, {n} threads", timing, session.floor(68 * n), **rate)


def _emptied_pool(session: Session, n: int) -> tuple[Pool, Array, Array, Callable[[], None]]:
    """Return a pool of `n` slots, where `n` threads put slots and ids, and what makes the pool as it was at first."""
    pool = Stress(session, "by warp", n).pool
    slots, ids = new_results(pool.backend, n)
    zeros = pool.backend.zeros(5, np.dtype(np.int64))
    return pool, slots, ids, lambda: pool.heap.counters.copy_to_device(zeros)

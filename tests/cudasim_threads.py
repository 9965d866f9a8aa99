"""The threads of a simulated launch: greenlets that meet at barriers, within warps and at atomics, in an order drawn from a seed.

Blocks run side by side. Threads that wait for others that never come are an error, not a hang.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet
from numba.cuda.simulator.kernelapi import Dim3

WARP = 32
INTERRUPTED = 0.02  # of all accesses to arrays, and of all atomic operations
CLOSED = 0.1  # with this chance a lane at `activemask` waits for nobody else

_random = Random(0)
chance = _random.random


def seed(what: str) -> None:
    """Begin the draws anew: the same text, the same races."""
    _random.seed(what)


def interrupt() -> None:
    """Now and then, let others run before the thread that calls."""
    if chance() < INTERRUPTED:
        thread = getcurrent()
        if type(thread) is Thread:
            thread.give_way()


class Thread(greenlet):
    """A simulated thread. It runs until it waits for others, loses its turn, or ends."""

    def __init__(self, block: Block, number: int, place: tuple[int, int, int]) -> None:
        super().__init__(block.work)
        self.block, self.thread_id = block, number
        self.warp, self.lane = divmod(number, WARP)
        self.threadIdx, self.blockIdx = Dim3(*place), block.place
        self.answer: Any = None

    def wait(self) -> Any:
        """Let others run until one of them wakes this thread; return the answer."""
        self.parent.switch()
        return self.answer

    def give_way(self) -> None:
        self.block.ready.append(self)
        self.parent.switch()


class Block:
    """The threads of a block, and where they wait for each other."""

    def __init__(self, place: tuple[int, ...], size: tuple[int, ...], work: Callable[[], None]) -> None:
        self.place, self.work = Dim3(*place), work
        places = [(x, y, z) for z in range(size[2]) for y in range(size[1]) for x in range(size[0])]
        self.threads = [Thread(self, number, each) for number, each in enumerate(places)]
        self.running = len(self.threads)
        self.ready: list[Thread] = []  # the scheduler's
        self.votes: dict[Thread, Any] = {}  # of those at the barrier
        self.meetings: dict[tuple[int, int], dict[Thread, Any]] = {}
        self.groups: dict[int, list[Thread]] = {}
        self.shared: dict[tuple[str, int], Any] = {}

    def lanes_of(self, warp: int) -> int:
        """Return the mask of the lanes that a warp has; the last one of a block may have fewer than 32."""
        return (1 << min(WARP, len(self.threads) - warp * WARP)) - 1

    def wake(self, threads: list[Thread], answer: Any) -> None:
        for thread in threads:
            thread.answer = answer
        self.ready += threads

    def end(self) -> None:
        """Take note that a thread has ended; the others wait for it no longer."""
        self.running -= 1
        self.open_barrier()

    def barrier(self, thread: Thread, vote: Any) -> list[Any]:
        """Wait for all threads that still run; return their votes."""
        self.votes[thread] = vote
        self.open_barrier()
        votes: list[Any] = thread.wait()
        return votes

    def open_barrier(self) -> None:
        if self.votes and len(self.votes) == self.running:
            votes, self.votes = self.votes, {}
            self.wake(list(votes), list(votes.values()))

    def exchange(self, thread: Thread, mask: int, value: Any) -> dict[int, Any]:
        """Wait for all lanes of a mask; return the value of each."""
        mask = int(mask) & self.lanes_of(thread.warp)
        if not mask >> thread.lane & 1:
            raise RuntimeError(f"lane {thread.lane} is not in the mask {mask:#x} that it passes")
        meeting = self.meetings.setdefault((thread.warp, mask), {})
        meeting[thread] = value
        if len(meeting) == mask.bit_count():
            del self.meetings[thread.warp, mask]
            self.wake(list(meeting), {each.lane: brought for each, brought in meeting.items()})
        values: dict[int, Any] = thread.wait()
        return values

    def gather(self, thread: Thread) -> int:
        """Wait at `activemask` for company; return the mask of those who came."""
        group = self.groups.setdefault(thread.warp, [])
        group.append(thread)
        if len(group) == self.lanes_of(thread.warp).bit_count() or chance() < CLOSED:
            self.close_group(thread.warp)
        mask: int = thread.wait()
        return mask

    def close_group(self, warp: int) -> None:
        group = self.groups.pop(warp)
        self.wake(group, sum(1 << thread.lane for thread in group))


def run(blocks: list[Block]) -> None:
    """Run all threads of some blocks to their end, in any order."""
    ready = [thread for block in blocks for thread in block.threads]
    for block in blocks:
        block.ready = ready
    try:
        while ready:
            place = int(chance() * len(ready))
            ready[place], ready[-1] = ready[-1], ready[place]
            step(ready.pop())
            if not ready:
                for block in blocks:
                    for warp in list(block.groups):
                        block.close_group(warp)
        left = sum(block.running for block in blocks)
        if left:
            raise RuntimeError(f"{left} threads wait for others that do not come")
    finally:
        for thread in (thread for block in blocks for thread in block.threads if thread):
            thread.throw(GreenletExit)


def step(thread: Thread) -> None:
    """Let a thread run until it waits or ends."""
    try:
        thread.switch()
    except Exception as error:
        error.add_note(f"in thread {thread.threadIdx} of block {thread.blockIdx}")
        raise
    if thread.dead:
        thread.block.end()

"""What a living topology costs, by the number of cells: selection, a whole extinction, a new plan, bulk claims."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.backend import Maths
from dna.cells import ACTIVATIONS, KINDS
from dna.cuda.device import cuda, jit, kernel, launch_over
from dna.devices import open_backend
from dna.engine import Engine
from dna.nodes import lay_out_nodes
from dna.pool import Pool
from dna.rules import Extinction, build_uniform
from dna.rules.passthrough import WEIGHT
from dna.types import Array
from gpu.machine import free_memory
from gpu.peers import open_torch
from gpu.session import Session

BYTES_A_CELL = 44  # of all columns, float32, no optimizer state
BYTES_NEEDED = 85  # columns, room to claim, and what selection needs for a moment
BYTES_NEEDED_BY_PLANS = 125  # likewise, and what sorting needs
MOST_CHECKED = 10**7  # cells whose numbers are looked at on the host
MOST_OF_PEERS = 10**8
SHARE = 0.1
CELLS_A_SECOND = 5e7  # of all that is timed, and its repetitions


def measure(session: Session) -> None:
    """Time each size while memory and time last."""
    for n in session.pick((10**6, 10**7, 10**8, 10**9), (10**6, 10**7), (300,)):
        if not session.in_time(f"{n} cells", n / CELLS_A_SECOND):
            continue
        if n * BYTES_NEEDED > free_memory()[0]:
            session.note(f"{n} cells: left out, as they need about {n * BYTES_NEEDED >> 20} MiB")
            continue
        engine = living_engine(session, n)
        _selection(session, engine, n)
        _extinction(session, engine, n)
        if n * BYTES_NEEDED_BY_PLANS <= free_memory()[1]:
            _recompile(session, engine, n)
        _bulk(session, engine, n)
        del engine  # before there is a larger one


def living_engine(session: Session, n: int) -> Engine:
    """Return an engine of `n` linear cells between random nodes of two levels, drawn on the device."""
    width = max(8, min(10_000, int(n**0.5)))
    identity = ACTIVATIONS["identity"]
    maths = Maths(KINDS["linear"], (identity, identity), np.dtype(np.float32))
    backend, _ = open_backend(session.device, maths)
    pool = Pool(backend, n + n // 4, fixed=True)
    pool.claim(n)
    launch_over(_births(), n, pool.cells, n, width, np.uint64(session.seed % 2**32))
    level = np.repeat(np.arange(2, dtype=np.int32), width)
    nodes = lay_out_nodes(backend, level, np.arange(width, dtype=np.int32), np.arange(width, 2 * width, dtype=np.int32))
    return Engine(backend, pool, nodes, version=0, seed=session.seed)


@cache
def _births() -> Callable[..., Any]:
    """Build `bear(cells, n, width, seed)`: slot s holds cell s, between random nodes, with random numbers."""
    uniform = jit(build_uniform(np.float32))

    @kernel
    def bear(cells: Any, n: Any, width: Any, seed: Any) -> None:
        for s in range(cuda.grid(1), n, cuda.gridsize(1)):
            cells.source[s] = min(int(uniform(seed, 1, s) * width), width - 1)
            cells.target[s] = width + min(int(uniform(seed, 2, s) * width), width - 1)
            cells.weight[s] = uniform(seed, 3, s) - np.float32(0.5)
            cells.bias[s] = uniform(seed, 4, s) - np.float32(0.5)
            cells.id[s] = s

    return bear


def _selection(session: Session, engine: Engine, n: int) -> None:
    backend, pool, nodes = engine.backend, engine.pool, engine.nodes
    count = int(SHARE * n)
    scores, _ = backend.score(WEIGHT, pool.cells, pool.bump, 0, 0)
    fates: list[Array] = []

    def score() -> None:
        backend.score(WEIGHT, pool.cells, pool.bump, 0, 0)

    def renew() -> None:
        fates[:] = [backend.zeros(pool.bump, np.dtype(np.uint8))]

    def select() -> None:
        backend.select_counts(scores, pool.cells, pool.bump, nodes, -1, count, count, True, fates[0])

    session.timing(f"score of {n} cells", session.clock.call(score), session.floor(16 * n), cells=n)
    timing = session.clock.call(select, renew)
    # A score and an id are read, a fate is written.
    session.timing(f"selection of {n} cells", timing, session.floor(13 * n), cells=n, cells_per_s=1e3 * n / timing.ms)
    if n <= MOST_CHECKED:
        given = backend.download(fates[0])
        session.check(f"selection of {n} cells: counts", bool((np.bincount(given, minlength=3)[1:3] == count).all()))
    if n <= MOST_OF_PEERS:
        _torch_selection(session, backend.download(scores), count)


def _torch_selection(session: Session, scores: np.ndarray, count: int) -> None:
    torch, device = open_torch(session)
    if torch is None:
        session.note("torch with CUDA is missing: no peers for selection and recompilation")
        return
    values = torch.as_tensor(scores, device=device)

    def both_ends() -> None:
        torch.topk(values, count, sorted=False)
        torch.topk(values, count, largest=False, sorted=False)

    name = "torch topk, twice, ties as they fall"
    of = f"selection of {len(scores)} cells"
    session.timing(f"{of}, {name}", session.clock.call(both_ends), peer=name, of=of)


def _extinction(session: Session, engine: Engine, n: int) -> None:
    rule, count = Extinction(split=SHARE, delete=SHARE), int(SHARE * n)
    timing = session.clock.call(lambda: engine.extinction(rule, 0))
    # Selection, columns of the dead written, those of parents read, those of children written.
    floor = session.floor(13 * n + 3 * BYTES_A_CELL * count)
    session.timing(f"extinction of {n} cells, whole", timing, floor, cells=n, cells_per_s=1e3 * n / timing.ms)
    if n > MOST_CHECKED:
        return
    ids = engine.backend.download(engine.pool.cells.id)
    living = ids[ids >= 0]
    session.check(f"extinction of {n} cells: all ids differ", len(np.unique(living)) == len(living) == n)


def _recompile(session: Session, engine: Engine, n: int) -> None:
    backend, pool = engine.backend, engine.pool

    def recompile() -> None:
        backend.make_plan("gather", pool.cells, pool.bump, n, engine.nodes)

    timing = session.clock.call(recompile)
    # Source, target and id are read, four columns of the plan are written.
    session.timing(f"recompile of {n} cells", timing, session.floor(32 * n), cells=n, cells_per_s=1e3 * n / timing.ms)
    torch, device = open_torch(session)
    if torch is None or n > MOST_OF_PEERS:
        return
    ends = [torch.as_tensor(backend.download(column)[:n], device=device) for column in (pool.cells.target, pool.cells.source)]

    def by_sort() -> None:
        for mine, other in (ends, ends[::-1]):
            _, order = torch.sort(mine, stable=True)
            other[order]

    of = f"recompile of {n} cells"
    session.timing(f"{of}, torch sort", session.clock.call(by_sort), peer="torch sort", of=of)


def _bulk(session: Session, engine: Engine, n: int) -> None:
    """Claim as many slots as there is room for, and release them, again and again."""
    pool, backend = engine.pool, engine.backend
    count = pool.capacity - len(pool)
    slots: list[Array] = [pool.claim(count)[0]]

    def release() -> None:
        pool.release(slots[0])

    def claim() -> None:
        slots[0] = pool.claim(count)[0]

    # The stack is read, the slots are written.
    timing = session.clock.call(claim, release)
    more = {"claims_per_s": 1e3 * count / timing.ms}
    session.timing(f"bulk claim of {count} slots", timing, session.floor(8 * count), **more)
    # Slots are read, the stack is written, and every column with them.
    release()
    timing = session.clock.call(release, claim)
    more = {"releases_per_s": 1e3 * count / timing.ms}
    session.timing(f"bulk release of {count} slots", timing, session.floor((8 + BYTES_A_CELL) * count), **more)
    backend.synchronize()

"""Every kernel by itself: each launch of a training step, an extinction and a recompilation, timed where it happens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from dna.cuda import device
from dna.rules import Extinction
from dna.rules.passthrough import WEIGHT
from dna.training.losses import CROSS_ENTROPY
from dna.training.optimizers import SGD, Adam
from gpu.clock import Clock, Timing
from gpu.life import living_engine
from gpu.model import build, layered_structure
from gpu.session import Session


class Launch(NamedTuple):
    """One launch: how long the GPU took, whether it was queued ahead, and what it was launched with."""

    ms: float
    fed: bool
    arguments: tuple[Any, ...]


Launches = dict[str, list[Launch]]

BYTES: dict[str, Callable[..., int]] = {
    "memory.fill_all": lambda array, value: array.nbytes,
    "memory.load": lambda potentials, nodes, data, rows, *rest: 2 * len(nodes) * len(rows) * data.dtype.itemsize,
    "plan.survey": lambda node, other, ids, bump, *rest: 16 * int(bump),
    "plan.label": lambda node, *rest: 24 * len(rest[-1]),
    "sort.count": lambda keys, *rest: keys.nbytes + rest[-1].nbytes,
    "sort.place": lambda keys, *rest: 16 * len(keys),
    "plan.finish": lambda keys, slots, other, order: 20 * len(order.slots),
    "scan.sum_chunks": lambda values, *rest: values.nbytes,
    "scan.scan_chunks": lambda values, *rest: 2 * values.nbytes,
    "forward.gather_level": lambda nodes, w, b, order, where, v, *rest: len(order.slots) * (8 + 2 * w.dtype.itemsize) + v.nbytes,
    "backward.gather_level": lambda nodes, own, order, *rest: len(order.slots) * (8 + 4 * own[0].dtype.itemsize) + rest[1].nbytes,
    "pool.claim_in_order": lambda heap, slots: 8 * len(slots),
    "passthrough.score_all": lambda cells, *rest: 16 * len(rest[-1]),
    "passthrough.find_nan": lambda scores, lowest: scores.nbytes,
    "select.make": lambda scores, keys: 2 * keys.nbytes,
    "select.give": lambda keys, cells, candidates, *rest: keys.nbytes + 9 * len(keys),
    "select.finish": lambda fates: fates.nbytes,
    "radix.count_keys": lambda keys, *rest: keys.nbytes,
}
"""The bytes that a launch has to move at least, from its arguments, by the names of `dna.cuda.catalogue`; others get no floor."""


def measure(session: Session) -> None:
    """Trace the phases, each after a run that compiled its kernels."""
    _trace_step(session)
    _trace_life(session)


def _trace_step(session: Session) -> None:
    n_in, n_out, batch = session.pick((784, 1000, 1024), (784, 1000, 1024), (9, 7, 33))
    rng = session.rng(1)
    structure = layered_structure([n_in, n_out], 0.2, rng)
    model = build(session.device, structure, cell="relu", activation=["tanh"], dtype="float32")
    engine, backend = model.engine, model.backend
    data = backend.upload(rng.standard_normal((batch, n_in), dtype=np.float32))
    targets, rows = backend.upload(rng.integers(0, n_out, (batch, 1))), backend.upload(rng.permutation(batch))
    for plan in ("scatter", "gather"):
        model.compile(plan)

        def step() -> None:
            engine.load(data, rows)
            engine.forward()
            batch_seen = engine.seen()
            assert batch_seen is not None
            backend.store_rows(batch_seen.potentials, engine.nodes.outputs, batch)
            engine.loss(CROSS_ENTROPY, targets, rows, 1 / batch)
            engine.backward(inputs_too=True)

        _report(session, f"step, relu {n_in}x{n_out} at 20 %, batch {batch}, {plan}", step)
    for optimizer in (SGD(0.01), SGD(0.01, momentum=0.9), Adam(0.001)):
        _report(session, f"update of {len(model)} cells by {optimizer}", lambda optimizer=optimizer: model.apply(optimizer))


def _trace_life(session: Session) -> None:
    n = session.pick(10**7, 10**6, 200)
    engine = living_engine(session, n)
    backend, pool = engine.backend, engine.pool
    rules = {
        "shares": Extinction(split=0.1, delete=0.1),
        "shares by layer": Extinction(split=0.1, delete=0.1, scope="layer", passthrough="random"),
    }
    for name, rule in rules.items():
        _report(session, f"extinction by {name}, {n} cells", lambda rule=rule: engine.extinction(rule, 0))
    scores, _ = backend.score(WEIGHT, pool.cells, pool.bump, 0, 0)

    def divide() -> None:
        fates = backend.zeros(pool.bump, np.dtype(np.uint8))
        backend.select_thresholds(scores, pool.cells, pool.bump, engine.nodes, 0.2, 0.02, True, fates)

    def recompile() -> None:
        backend.make_plan("gather", pool.cells, pool.bump, len(pool), engine.nodes)

    _report(session, f"selection by thresholds, {n} cells", divide)
    _report(session, f"recompile, {n} cells", recompile)
    _report(session, f"settlement, {n} cells", pool.settle)
    _report(session, f"growth, {n} cells", lambda: backend.grow(pool.cells, pool.heap, pool.capacity + n))


def _report(session: Session, what: str, work: Callable[[], Any]) -> None:
    """Record the median launch of each kernel, and what all of them take together."""
    if not session.in_time(what):
        return
    work()
    runs = session.pick(5, 3, 1)
    with traced(session.clock) as launches:
        for _ in range(runs):
            work()
    for name, found in launches.items():
        times = np.array([launch.ms for launch in found])
        low, middle, high = (float(q) for q in np.percentile(times, (25, 50, 75)))
        arguments = found[int(np.argsort(times)[len(times) // 2])].arguments
        floor = session.floor(BYTES[name](*arguments)) if name in BYTES else None
        timing = Timing(middle, low, high, len(times), all(launch.fed for launch in found))
        session.timing(f"{name} in {what}", timing, floor, launches=len(found) / runs, ms_a_run=float(times.sum()) / runs)


@contextmanager
def traced(clock: Clock) -> Iterator[Launches]:
    """Time each launch of the library's while the block lasts: by name, milliseconds and arguments.

    A launch waits until the GPU is held, so that no launch's own cost is in its time.
    """
    launches: Launches = defaultdict(list)
    original = device._configured

    def configured(function: Any, blocks: int, threads: int) -> Callable[..., None]:
        run = original(function, blocks, threads)

        def timed(*arguments: Any) -> None:
            device._configured = original
            ms, fed = clock.one_launch(lambda: run(*arguments))
            device._configured = configured
            launches[_name(function)].append(Launch(ms, fed, arguments))

        return timed

    device._configured = configured
    try:
        yield launches
    finally:
        device._configured = original


def _name(function: Any) -> str:
    plain = getattr(function, "py_func", None) or function.fn
    return f"{plain.__module__.rpartition('.')[2]}.{plain.__name__}"

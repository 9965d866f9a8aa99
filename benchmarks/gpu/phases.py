"""Forward and backward of one level, by size, density, batch and cell kind, against their floors and their peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dna.model import Model
from gpu.machine import free_memory
from gpu.model import build, layered_structure
from gpu.peers import Peer, Problem, linear_peers, open_torch, relu_peers, to_host
from gpu.session import Session

TOLERANCE = 1e-4
"""Of float32 sums in two orders; tf32 stays outside of it and is not held to it."""


SECONDS_A_CELL = 1e-6
"""What the host takes to draw a level and to lay it out for the peers."""


class Work(NamedTuple):
    """fp32 instructions a cell and sample that no version can spare, a multiply-add being one; 2 operations each."""

    forward: int
    backward: int


WORK = {"linear": Work(1, 2), "relu": Work(2, 4)}
"""Linear: a multiply-add; dw and dV, as the biases' part is a sum a target. ReLU: a maximum and a multiply-add; a predicate, and
dw, db and dV under it."""


class Shape(NamedTuple):
    n_in: int
    n_out: int
    density: float

    def __str__(self) -> str:
        return f"{self.n_in}x{self.n_out} at {100 * self.density:g} %"

    @property
    def bytes_needed(self) -> int:
        """About what pool, plan and the building of them take."""
        return int(100 * self.n_in * self.n_out * self.density)


def measure(session: Session) -> None:
    """Time every shape, that of the goals first."""
    for shape in _shapes(session):
        if not session.in_time(str(shape), SECONDS_A_CELL * shape.n_in * shape.n_out * shape.density):
            continue
        if shape.bytes_needed > free_memory()[0]:
            session.note(f"{shape}: left out, as it needs about {shape.bytes_needed >> 20} MiB")
            continue
        structure = layered_structure([shape.n_in, shape.n_out], shape.density, session.rng(shape.n_in, shape.n_out))
        for kind in WORK:
            model = build(session.device, structure, cell=kind, activation="identity", dtype="float32")
            _measure_shape(session, shape, kind, model)


def _shapes(session: Session) -> tuple[Shape, ...]:
    first, middle, large = Shape(8192, 8192, 0.05), Shape(784, 1000, 0.2), Shape(8192, 8192, 0.2)
    small = tuple(Shape(784, 1000, density) for density in (0.01, 0.05, 1.0))
    full = first, middle, *small, Shape(8192, 8192, 0.01), large, Shape(8192, 8192, 1.0)
    return session.pick(full, (first, middle), (Shape(9, 7, 0.4),))


def _measure_shape(session: Session, shape: Shape, kind: str, model: Model) -> None:
    rng = session.rng(shape.n_in, shape.n_out, len(kind))
    for batch in session.pick((1024, 128), (1024,), (33,)):
        name = f"{kind} {shape}, batch {batch}"
        x = rng.standard_normal((batch, shape.n_in), dtype=np.float32)
        g = rng.standard_normal((batch, shape.n_out), dtype=np.float32)
        outputs, gradients = _ours(session, model, name, WORK[kind], x, g)
        if session.in_time(f"{name}: peers"):
            problem = _problem(model, x, g)
            _peers(session, name, kind, problem, outputs, gradients)


def _ours(session: Session, model: Model, name: str, work: Work, x: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Time both plans; return outputs and gradients by gather, the cells' in the order of slots."""
    engine, backend = model.engine, model.backend
    n, batch, nodes = len(model), len(x), engine.n_nodes
    real = 4
    # Every cell and its place in the plan once; every potential, or potential and gradient, once.
    forward_floor = session.floor(n * (8 + 2 * real) + real * batch * nodes, 2 * work.forward * n * batch)
    backward_floor = session.floor(n * (8 + 4 * real) + real * batch * (nodes + model.n_in), 2 * work.backward * n * batch)
    result: tuple[np.ndarray, list[Any]] = np.empty(0), []
    for plan in ("scatter", "gather"):
        if plan == "scatter" and n * batch > session.pick(10**9, 10**8, 10**4):
            continue
        model.compile(plan)
        outputs, gx = model.forward(x), model.backward(g)
        result = outputs, [_column(model, "weight_grad"), _column(model, "bias_grad"), gx.T]
        for phase, run, floor in (
            ("forward", engine.forward, forward_floor),
            ("backward", lambda: engine.backward(inputs_too=True), backward_floor),
        ):
            timing = session.clock.cold(run)
            more = {"cell_samples_per_s": 1e3 * n * batch / timing.ms, "cells": n, "batch": batch}
            session.timing(f"{phase} {name}, {plan}", timing, floor, called_ms=session.clock.call(run).ms, **more)
    backend.synchronize()
    return result


def _problem(model: Model, x: np.ndarray, g: np.ndarray) -> Problem:
    """Return the same level in CSR: cells lie by target, then source."""
    start = np.r_[0, np.cumsum(np.bincount(_column(model, "target") - model.n_in, minlength=model.n_out))]
    source, weight, bias = (_column(model, name) for name in ("source", "weight", "bias"))
    return Problem(start, source, weight, bias, np.ascontiguousarray(x.T), np.ascontiguousarray(g.T))


def _column(model: Model, name: str) -> np.ndarray:
    """Return a column of the pool. No cell has died, so its slots are in the order of birth, which is that of CSR."""
    pool = model.engine.pool
    return model.backend.download(getattr(pool.cells, name))[: pool.bump]


def _peers(
    session: Session, name: str, kind: str, problem: Problem, outputs: np.ndarray, gradients: list[np.ndarray]
) -> None:
    """Time each peer, and hold it and us together."""
    builders = linear_peers if kind == "linear" else relu_peers
    found = 0
    for builder in builders(session, problem, free_memory()[0] // 2):
        try:
            found += 1
            _time_peer(session, name, builder, outputs, gradients)
        except Exception as error:  # a peer that is missing or refuses is none of our failures
            session.note(f"{name}: a peer is left out, {type(error).__name__}: {str(error).splitlines()[:1]}")
        _free_torch(session)
    if not found:
        session.note(f"{name}: no peer fits in memory, or torch with CUDA is missing")


def _time_peer(
    session: Session, name: str, builder: Callable[[], Peer], outputs: np.ndarray, gradients: list[np.ndarray]
) -> None:
    peer = builder()
    dw, db, dv = peer.backward()
    if "tf32" not in peer.name:
        session.check_close(f"forward {name} as by {peer.name}", outputs.T, to_host(peer.forward()), TOLERANCE)
        session.check_close(f"dV of {name} as by {peer.name}", gradients[2], to_host(dv), TOLERANCE)
        if dw is not None:
            session.check_close(f"dw of {name} as by {peer.name}", gradients[0], to_host(peer.pick(dw)), TOLERANCE)
        if len(db) == len(gradients[1]):
            session.check_close(f"db of {name} as by {peer.name}", gradients[1], to_host(db), TOLERANCE)
    for phase, run in (("forward", peer.forward), ("backward", peer.backward)):
        of = f"{phase} {name}, gather"
        session.timing(f"{phase} {name}, {peer.name}", session.clock.cold(run), peer=peer.name, of=of)


def _free_torch(session: Session) -> None:
    """Give torch's cached memory back, for whoever comes next."""
    torch, device = open_torch(session)
    if torch is not None and device != "cpu":
        torch.cuda.empty_cache()

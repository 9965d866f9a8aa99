"""A whole training step of the 784-10 linear model, batch 1000: as `fit` takes it, phase by phase, and by torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dna.model import Model
from dna.training import Samples, coefficients_of, lay_out
from dna.training.batches import Batches
from dna.training.losses import CROSS_ENTROPY
from dna.training.optimizers import SGD, Adam
from gpu.model import build, layered_structure
from gpu.peers import open_torch
from gpu.session import Session

LR = 0.05


def measure(session: Session) -> None:
    """Time the step and its parts."""
    n_in, n_out, batch = session.pick((784, 10, 1000), (784, 10, 1000), (5, 2, 9))
    rng = session.rng(1)
    n = session.pick(100, 100, 4) * batch
    x, y = rng.random((n, n_in), dtype=np.float32), rng.integers(0, n_out, n)
    structure = layered_structure([n_in, n_out], 1.0, rng)
    for kind in session.pick(("linear", "relu"), ("linear", "relu"), ("linear",)):
        name, options = f"{kind} {n_in}x{n_out}, batch {batch}", {"cell": kind, "activation": "identity", "dtype": "float32"}
        left = [
            _steps(session, f"step, {name}, {way}", build(session.device, structure, **options), x, y, batch, way)
            for way in ("one launch", "plain launches")
        ]
        session.check(f"{name}: a graph gives the bits of plain launches", left[0] == left[1])
        _phases(session, name, build(session.device, structure, **options), x, y, batch)
    _torch_step(session, f"linear {n_in}x{n_out}, batch {batch}", n_out, x[: 4 * batch], y[: 4 * batch], batch)


def _steps(session: Session, what: str, model: Model, x: np.ndarray, y: np.ndarray, batch: int, way: str) -> bytes:
    """Time steps as a fit takes them, some at a time with the wait at their end; return the weights after the first few."""
    backend, some = model.backend, session.pick(25, 25, 2)
    if way == "plain launches":
        backend.repeat = lambda key, work: work()  # type: ignore[method-assign]
    run = _steps_for_ever(model, lay_out(model, x, y, CROSS_ENTROPY), batch)

    def take(steps: int) -> None:
        for _ in range(steps):
            next(run)

    take(session.pick(30, 30, 4))
    weights = backend.download(model.engine.pool.cells.weight).tobytes()
    timing = session.clock.call(lambda: take(some))
    each = timing._replace(ms=timing.ms / some, low=timing.low / some, high=timing.high / some)
    # The data is read once and may stay on the chip; cells are read and written once.
    n = len(model)
    session.timing(what, each, session.floor(4 * batch * model.n_in + 16 * n, 6 * n * batch), steps=some)
    return weights


def _steps_for_ever(model: Model, samples: Samples, batch: int) -> Iterator[int]:
    """Take the steps of one epoch after another, as a fit does."""
    batches = Batches(model, samples, CROSS_ENTROPY, SGD(LR), batch)
    while True:
        batches.begin()
        yield from batches.run(prompt=False)
        batches.settle()
        model.standing = None


def _phases(session: Session, name: str, model: Model, x: np.ndarray, y: np.ndarray, batch: int) -> None:
    engine, backend, rng = model.engine, model.backend, session.rng(2)
    data, targets = backend.upload(x), backend.upload(y.reshape(-1, 1).astype(np.int64))
    rows = backend.upload(rng.permutation(len(x))[:batch])
    n, real = len(model), 4
    samples = real * batch * model.n_in
    outputs = real * batch * model.n_out
    coefficients = backend.upload(coefficients_of(model, SGD(LR), 1)[0])

    def learn() -> None:
        engine.load(data, rows)
        engine.forward()
        engine.loss(CROSS_ENTROPY, targets, rows, 1 / batch)
        engine.learn(SGD(LR), coefficients)

    phases: tuple[tuple[str, Callable[[], Any], int], ...] = (
        ("load", lambda: engine.load(data, rows), 2 * samples),
        ("forward", engine.forward, samples + outputs + 4 * real * n),
        ("loss", lambda: engine.loss(CROSS_ENTROPY, targets, rows, 1 / batch), 2 * outputs),
        ("backward", lambda: engine.backward(inputs_too=False), samples + outputs + 6 * real * n),
        ("apply", lambda: model.apply(SGD(LR)), 6 * real * n),
        ("apply, Adam", lambda: model.apply(Adam(1e-3)), 14 * real * n),
        ("load to update, which backward does", learn, 3 * samples + 2 * outputs + 6 * real * n),
    )
    for phase, run, n_bytes in phases:
        called = session.clock.call(run).ms
        session.timing(f"{phase}, {name}", session.clock.cold(run), session.floor(n_bytes), called_ms=called)


def _torch_step(session: Session, name: str, n_out: int, x: np.ndarray, y: np.ndarray, batch: int) -> None:
    """Time the same step by a dense layer; the loss stays on the GPU, as ours does."""
    torch, device = open_torch(session)
    if torch is None:
        session.note("torch with CUDA is missing: no peer for the step")
        return
    data, labels = torch.as_tensor(x, device=device), torch.as_tensor(y, device=device)
    layer = torch.nn.Linear(x.shape[1], n_out).to(device)
    optimizer = torch.optim.SGD(layer.parameters(), lr=LR)

    def step() -> None:
        rows = torch.randperm(len(data), device=device)[:batch]
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(layer(data[rows]), labels[rows])
        loss.backward()
        optimizer.step()

    session.timing(f"step, {name}, torch dense", session.clock.call(step), peer="torch dense", of=f"step, {name}, one launch")

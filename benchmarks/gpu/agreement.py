"""Every phase on this device against the CPU: reals by their relative error in float64, integers exactly."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

import dna
from dna.backend import Maths
from dna.cells import ACTIVATIONS, KINDS
from dna.cuda import apply
from dna.devices import open_backend
from dna.model import Model
from dna.training.losses import LOSSES
from dna.training.optimizers import SGD, Adam
from dna.types import OFFSET, SUM
from gpu.model import build, layered_structure, random_structure
from gpu.session import Session

TOLERANCE = {"float32": 1e-4, "float64": 1e-11}
ACTIVATION = ("relu", "tanh", "sigmoid", "identity")  # of the levels above the inputs
RULES = {
    "shares": dna.Extinction(split=0.2, delete=0.3),
    "shares by layer, outputs unprotected": dna.Extinction(split=0.25, delete=0.1, scope="layer", keep_outputs=False),
    "thresholds": dna.Extinction(split_above=0.6, delete_below=0.2, passthrough="weight_bias"),
    "random, with jitter": dna.Extinction(split=0.3, delete=0.3, passthrough="random", jitter=0.5),
    "the article's rule": dna.Extinction(split=0.1, delete=0.2, rule="article"),
}


PLANS = ("gather", "scatter")
SHAPES = {
    "small": ([40, 50, 30, 30, 9], 6000),
    "sparse": ([40, 50, 30, 30, 9], 150),
    "wide": ([600, 700, 400], 60_000),
    "large": ([1500, 2000, 1000], 2_000_000),
}
"""Widths of levels and cells: the gather plan cuts each in another way, and the last one keeps all multiprocessors busy."""


def phases(session: Session, kind: str) -> None:
    """Compare forward and backward of a kind of cells by all plans, and the gather plan with itself."""
    dtypes = session.pick(("float32", "float64"), ("float32",), ("float32",))
    shapes = session.pick(("small", "sparse", "wide"), ("small", "wide"), ("small",))
    for seed, (dtype, shape, plan) in enumerate(product(dtypes, shapes, PLANS)):
        if session.in_time(f"{shape}, {plan}, {dtype}"):
            _forward_and_backward(session, seed, shape, kind, plan, dtype)
    _same_bits(session, kind)


def learning(session: Session) -> None:
    """Compare losses, updates and whole fits."""
    _losses(session, session.pick(1300, 333, 35))
    _updates(session)
    for optimizer in (SGD(0.1), Adam(0.01)):
        _ways(session, optimizer)
    _fits(session)


def topology(session: Session) -> None:
    """Let all rules act, twice, on equal cells with many ties."""
    for seed, name in enumerate(RULES, start=70):
        if session.in_time(name):
            _extinctions(session, name, *_pair(session, seed, cell="relu"))


def scale(session: Session) -> None:
    """Do with millions of cells, and with thousands of blocks, what goes wrong only there."""
    n = session.pick(200_000, 100_000, 70)
    for turn in range(session.pick(5, 3, 1)):
        _losses(session, n + turn, ("cross_entropy",))
    for name in session.pick(("shares", "thresholds"), ("shares",), ("shares",)):
        if session.in_time(name):
            _extinctions(session, name, *_pair(session, 75, shape="large", cell="relu"))
    for plan in PLANS:
        if session.in_time(plan):
            _forward_and_backward(session, 90, "large", "relu", plan, "float32")


def _pair(
    session: Session, seed: int, dtype: str = "float64", shape: str = "small", **options: Any
) -> tuple[Model, Model]:
    """Return a random model on this device, in `dtype`, and the same function on the CPU, in float64."""
    widths, n_cells = SHAPES[shape] if not session.simulated else ([4, 5, 3, 3, 2], 40)
    structure = random_structure(session.rng(seed), widths, n_cells)
    chosen = {"activation": ACTIVATION[1 - len(widths) :], **options}
    return build(session.device, structure, dtype=dtype, **chosen), build("cpu", structure, dtype="float64", **chosen)


def _batch(session: Session, model: Model, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and a gradient that float32 holds exactly; no tile is full."""
    n, rng = session.pick(1300, 333, 35), session.rng(seed, 1)
    x, g = (rng.standard_normal((n, width), dtype=np.float32) for width in (model.n_in, model.n_out))
    return x, g


def _forward_and_backward(session: Session, seed: int, shape: str, kind: str, plan: str, dtype: str) -> None:
    ours, reference = _pair(session, seed, dtype, shape, cell=kind)
    x, g = _batch(session, ours, seed)
    ours.compile(plan)
    results = []
    for model in (ours, reference):
        y, gx = model.forward(x), model.backward(g)
        results.append((y, gx, model.cells.weight_grad, model.cells.bias_grad))
    for what, got, want in zip(("outputs", "dV", "dw", "db"), *results, strict=True):
        session.check_close(f"{what}, {shape}, {kind} cells, {plan}, {dtype}", got, want, TOLERANCE[dtype])


def _losses(session: Session, n: int, names: Sequence[str] = tuple(LOSSES)) -> None:
    n_out, rng = 5, session.rng(50, n)
    outputs, rows = rng.standard_normal((n, n_out), dtype=np.float32), rng.permutation(n)
    for name in names:
        labels: np.ndarray = rng.integers(0, n_out, (n, 1))
        targets = labels if LOSSES[name].labels else rng.random((n, n_out), dtype=np.float32)
        got, want = (_loss(device, name, outputs, targets, rows) for device in (session.device, "cpu"))
        session.check_close(f"{name}, {n} samples: value and hits", got[0], want[0], 1e-5)
        session.check_close(f"{name}, {n} samples: gradient", got[1], want[1], 1e-5)


def _loss(device: str, name: str, outputs: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    identity, n_out = ACTIVATIONS["identity"], outputs.shape[1]
    backend, _ = open_backend(device, Maths(KINDS["linear"], (identity, identity), np.dtype(np.float32)))
    tile = backend.tile(len(rows))
    shape = -(-len(rows) // tile), n_out, tile
    potentials, gradient = backend.zeros(shape, np.dtype(np.float32)), backend.upload(np.full(shape, 9, np.float32))
    nodes, own = backend.upload(np.arange(n_out, dtype=np.int32)), backend.upload(rows)
    backend.load_rows(potentials, nodes, backend.upload(outputs), own)
    sums, place = backend.zeros((1, 2), SUM), backend.zeros(1, OFFSET)
    backend.loss(LOSSES[name], potentials, gradient, nodes, backend.upload(targets), own, 0.25, sums, place)
    return backend.download(sums)[0], backend.store_rows(gradient, nodes, len(rows))


def _updates(session: Session) -> None:
    for optimizer in (SGD(0.1), SGD(0.1, momentum=0.9, weight_decay=0.01), Adam(0.01)):
        ours, reference = _pair(session, 60, cell="linear")
        x, g = _batch(session, ours, 60)
        for model in (ours, reference):
            for _ in range(3):
                model.forward(x)
                model.backward(g / len(g))
                model.apply(optimizer)
        for column in ("weight", "bias"):
            got, want = getattr(ours.cells, column), getattr(reference.cells, column)
            session.check_close(f"{column} after three updates by {optimizer}", got, want, 1e-9)


def _extinctions(session: Session, name: str, *models: Model) -> None:
    """Let a rule act twice on equal cells; compare slots, ids, ends and plans, integer by integer."""
    for model in models:
        _round_weights(model)
    for turn in range(2):
        events = [model.extinction(RULES[name]) for model in models]
        for what in ("born", "parents", "died"):
            got, want = (getattr(event, what) for event in events)
            session.check_same(f"{what}, {name}, extinction {turn}", got, want)
        _compare_pools(session, f"{name}, extinction {turn}", *models)


def _round_weights(model: Model) -> None:
    pool = model.engine.pool
    weight = np.round(model.backend.download(pool.cells.weight), 1)
    pool.cells = pool.cells._replace(weight=model.backend.upload(weight))


def _compare_pools(session: Session, name: str, ours: Model, reference: Model) -> None:
    (columns, free), (wanted, wanted_free) = ours.engine.pool.columns(), reference.engine.pool.columns()
    for column, want in wanted.items():
        if want.dtype.kind == "f":
            if want.size and want.any():
                session.check_close(f"{column}, {name}", columns[column], want, 1e-12)
        else:
            session.check_same(f"{column}, {name}", columns[column], want)
    session.check_same(f"stack of free slots, {name}", free, wanted_free)
    _check_plan(session, name, ours)


def _check_plan(session: Session, name: str, ours: Model) -> None:
    """Check that each side of the plan holds every living cell once, by key and slot, beside the node at its other end."""
    columns, plan = ours.engine.pool.columns()[0], ours.engine.plans.ready()
    living = np.flatnonzero(columns["id"] >= 0).astype(np.int32)
    for end, side in (("source", plan.into), ("target", plan.out_of)):
        slots, others, start = (ours.backend.download(column) for column in side.order)
        key = np.repeat(np.arange(len(start) - 1), np.diff(start))
        session.check_same(f"living cells in the plan, {name}", np.sort(slots), living)
        session.check_same(f"plan's {end}s, {name}", others, columns[end][slots])
        same = np.diff(key) == 0
        session.check(f"plan's order, {name}", len(key) == len(slots) and bool((np.diff(slots)[same] > 0).all()))


def _same_bits(session: Session, kind: str) -> None:
    """Train twice by the gather plan; all columns must be the same, bit by bit."""
    runs = []
    for _ in range(2):
        layers = session.pick([300, 200, 10], [300, 200, 10], [5, 4, 3])
        model = build(session.device, layered_structure(layers, 0.5, session.rng(80)), cell=kind, dtype="float32")
        x, g = _batch(session, model, 80)
        for _ in range(session.pick(20, 5, 1)):
            y = model.forward(x)
            gx = model.backward(g / len(g))
            model.apply(Adam(0.01))
        runs.append([y, gx, model.cells.weight, model.cells.bias])
    equal = [a.tobytes() == b.tobytes() for a, b in zip(*runs, strict=True)]
    session.check(f"the gather plan twice, {kind} cells: the same bits", all(equal), equal=equal)


def _ways(session: Session, optimizer: SGD | Adam) -> None:
    """Take steps by one launch, by launches of their own, and with the update apart from backward: the same bits."""
    rng, n = session.rng(85), session.pick(600, 600, 30)
    layers, size = session.pick([30, 20, 4], [30, 20, 4], [4, 3, 2]), session.pick(50, 50, 8)
    x, y = rng.standard_normal((n, layers[0])), rng.integers(0, layers[-1], n)
    left, fused_state = {}, apply.FUSED_STATE
    for way in ("one launch", "plain launches", "update apart"):
        net = dna.Network(layers, cell="relu", activation="tanh", seed=3, device=session.device)
        if way != "one launch":
            net.backend.repeat = lambda key, work: work()  # type: ignore[method-assign]
        apply.FUSED_STATE = -1 if way == "update apart" else fused_state
        try:
            net.fit(x, y, epochs=2, batch_size=size, optimizer=optimizer, progress=False)
        finally:
            apply.FUSED_STATE = fused_state
        left[way] = net.cells.weight.tobytes(), net.cells.bias.tobytes(), tuple(net.history.loss)
        if way == "one launch":
            session.check(f"{optimizer}: launches were made one", net.backend._repeater._works)  # type: ignore[attr-defined]
    for way in ("plain launches", "update apart"):
        session.check(f"{optimizer}: the bits of one launch by {way}", left[way] == left["one launch"])


def _fits(session: Session) -> None:
    """Fit with births and deaths, here and on the CPU, in float64: the same ids live, and their weights agree."""
    if importlib.util.find_spec("tqdm") is None:
        session.note("tqdm is missing: no fit")
        return
    deaths = dna.Delete(share=0.2, passthrough="gradient", grace=1)
    _fit(session, "splits", dna.Extinction(births=dna.Split(share=0.2), deaths=deaths, when=dna.Every(epochs=2)))
    deaths, regrowth = dna.Delete(share=0.2, passthrough="current"), dna.Regrow(share="died", by="gradient")
    _fit(session, "regrowth", dna.Extinction(births=regrowth, deaths=deaths, when=dna.Every(epochs=2)))


def _fit(session: Session, name: str, rule: dna.Extinction) -> None:
    rng, n = session.rng(90), session.pick(2000, 600, 40)
    n_in, n_out = session.pick((30, 4), (30, 4), (5, 3))
    x, y = rng.standard_normal((n, n_in)), rng.integers(0, n_out, n)
    nets = []
    for device in (session.device, "cpu"):
        layers = [n_in, session.pick(20, 20, 4), n_out]
        net = dna.Network(layers, cell="relu", dtype="float64", init="he", density=0.6, seed=3, device=device)
        net.fit(x, y, epochs=session.pick(8, 6, 4), optimizer=dna.SGD(0.05), extinction=rule, progress=False)
        nets.append(net)
    ours, reference = nets
    happened = len(reference.fossils)
    session.check(f"fit, {name}: extinctions happened", happened >= session.pick(2, 2, 1), extinctions=happened)
    for column in ("id", "parent", "source", "target", "born"):
        session.check_same(f"fit, {name}: {column}", getattr(ours.cells, column), getattr(reference.cells, column))
    session.check_close(f"fit, {name}: weights", ours.cells.weight, reference.cells.weight, 1e-6)
    session.check_close(f"fit, {name}: losses", np.array(ours.history.loss), np.array(reference.history.loss), 1e-6)

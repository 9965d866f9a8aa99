"""Growth signals: what tells of a level that it has too much or too little to do.

Each is a number a level, estimated from up to `SAMPLES` samples of a data set. `docs/signals.md` explains the estimators.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dna.backend import LossMaths
from dna.engine import Engine
from dna.errors import NumericsError
from dna.rules import SIGNALS, check_signals
from dna.types import Array

SAMPLES = 1024
"""Of a data set at most so many are looked at, evenly spread over it."""

CHUNKS = 8
"""Gradients are taken of so many parts of them: their differences tell the variance."""

BINS = 16
"""Potentials of a node are put into so many bins of equal width, from the smallest to the largest that was seen."""

SATURATED = 0.1
"""A potential is saturated where the slope of its activation is below this share of the largest slope."""

OF_GRADIENT = ("gradient_norm", "gradient_variance")


class Seen(NamedTuple):
    """What a data set leaves in a network, on the host."""

    gradients: np.ndarray  # (chunks, 2, bump): of the mean loss of each chunk, by weights and by biases
    chunk: int  # samples a chunk
    potentials: list[np.ndarray]  # one a level: (samples, nodes), of the nodes that a cell runs to or leaves
    labels: np.ndarray | None  # (samples,) class labels, if the loss has them


def measure(engine: Engine, data: Array, targets: Array, n: int, loss: LossMaths, names: Iterable[str]) -> dict[str, float]:
    """Return growth signals of all levels above the inputs, by `name.level`.

    Parameters
    ----------
    engine : Engine
        Afterwards the gradients of its cells are those of the last chunk.
    data, targets : (n, n_in) real, and (n, 1) labels or (n, n_out) real; on the device
    n : int
    loss : Loss
    names : iterable of str
        Of `dna.rules.SIGNALS`. What cannot be told is left out: the variance of one chunk, what labels do not say, potentials of
        a level that no cell runs to or leaves.

    Raises
    ------
    UnknownNameError
        A name is not known.
    NumericsError
        A signal is NaN or Inf.
    """
    wanted = check_signals(names)
    if not wanted:
        return {}
    seen = _look(engine, data, targets, n, loss)
    levels = range(1, len(engine.nodes.by_level))
    found = {f"{name}.{level}": value for level in levels for name, value in _of_level(engine, seen, level, wanted).items()}
    for name, value in found.items():
        if not np.isfinite(value):
            raise NumericsError(f"signal {name}: expected a finite value, got {value}")
    return found


def _look(engine: Engine, data: Array, targets: Array, n: int, loss: LossMaths) -> Seen:
    """Run a data set forward and backward, chunk by chunk; the chunks have one size, so a few samples may be left over."""
    backend, nodes, pool = engine.backend, engine.nodes, engine.pool
    chunks = min(CHUNKS, n)
    size = min(n, SAMPLES) // chunks
    order = np.arange(chunks * size) * n // (chunks * size)
    gradients, potentials = [], []
    for rows in order.reshape(size, chunks).T:  # neighbours in the data go to different chunks
        on_device = backend.upload(np.ascontiguousarray(rows))
        engine.load(data, on_device)
        engine.forward()
        engine.loss(loss, targets, on_device, 1.0 / size)
        potentials.append(engine.potentials())
        engine.backward(inputs_too=False)
        gradients.append([backend.download(column)[: pool.bump] for column in (pool.cells.weight_grad, pool.cells.bias_grad)])
    engine.forget()
    whole = np.concatenate(potentials, axis=1)
    joined = _joined(engine)
    by_level = [whole[members[joined[members]]].T for members in map(backend.download, nodes.by_level)]
    found = backend.download(targets)
    labels = found[order.reshape(size, chunks).T.ravel(), 0] if found.dtype.kind == "i" else None
    return Seen(np.array(gradients, np.float64), size, by_level, labels)


def _joined(engine: Engine) -> np.ndarray:
    """Return whether each node has a cell; one without any is gone rather than dead."""
    pool, download = engine.pool, engine.backend.download
    living = download(pool.cells.id)[: pool.bump] >= 0
    joined = np.zeros(engine.n_nodes, bool)
    for ends in (pool.cells.source, pool.cells.target):
        joined[download(ends)[: pool.bump][living]] = True
    return joined


def _of_level(engine: Engine, seen: Seen, level: int, wanted: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    potentials = seen.potentials[level].astype(np.float64)
    if set(wanted) & set(OF_GRADIENT):
        gradients = seen.gradients[:, :, _cells_into(engine, level)]
        found["gradient_norm"] = float(np.linalg.norm(gradients.mean(0)))
        if len(gradients) > 1 and gradients.size:
            found["gradient_variance"] = float(seen.chunk * gradients.var(0, ddof=1).mean())
    if potentials.shape[1] == 0:
        return {name: found[name] for name in wanted if name in found}
    if "dead" in wanted:
        found["dead"] = float((potentials.min(0) == potentials.max(0)).mean())
    if "saturated" in wanted:
        found["saturated"] = _saturated(engine, seen.potentials[level], level)
    if "entropy" in wanted:
        found["entropy"] = float(_entropies(potentials).mean())
    if "mutual_information" in wanted and seen.labels is not None:
        found["mutual_information"] = float(_informations(potentials, seen.labels).max())
    return {name: found[name] for name in wanted if name in found}


def _cells_into(engine: Engine, level: int) -> np.ndarray:
    """Return the slots of the cells that run to a level."""
    pool, download = engine.pool, engine.backend.download
    ids, target = download(pool.cells.id)[: pool.bump], download(pool.cells.target)[: pool.bump]
    return np.flatnonzero((ids >= 0) & (download(engine.nodes.level)[target] == level))


def _saturated(engine: Engine, potentials: np.ndarray, level: int) -> float:
    maths = engine.backend.maths
    activation = maths.activations[level].build(maths.real)
    if maths.activations[level].name == "identity":
        return 0.0
    largest = max(activation.slope(activation.value(maths.real(z))) for z in np.linspace(-8, 8, 65))
    values, counts = np.unique(potentials[:: max(1, len(potentials) // 256)], return_counts=True)  # functions of one number
    slopes = np.array([activation.slope(value) for value in values], np.float64)
    return float(counts[slopes < SATURATED * largest].sum() / counts.sum())


def _bins(potentials: np.ndarray) -> np.ndarray:
    """Return the bin of each potential, (samples, nodes); a node that is constant has one."""
    low, high = potentials.min(0), potentials.max(0)
    width = np.where(high > low, high - low, 1.0)
    bins: np.ndarray = np.minimum((potentials - low) / width * BINS, BINS - 1).astype(np.int64)
    return bins


def _entropies(potentials: np.ndarray) -> np.ndarray:
    """Return the entropy of each node's binned potential in bits, with the correction of Miller and Madow."""
    n, nodes = potentials.shape
    counts = _counts(_bins(potentials), BINS, nodes)
    return _entropy(counts, n)


def _informations(potentials: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mutual information of each node's binned potential and the label in bits, likewise corrected."""
    n, nodes = potentials.shape
    classes = np.unique(labels, return_inverse=True)[1].reshape(-1, 1)
    n_classes, bins = int(classes.max()) + 1, _bins(potentials)
    tables = (
        (_counts(bins, BINS, nodes), 1.0),
        (_counts(np.broadcast_to(classes, bins.shape), n_classes, nodes), 1.0),
        (_counts(bins * n_classes + classes, BINS * n_classes, nodes), -1.0),
    )
    total = np.sum([sign * _entropy(counts, n) for counts, sign in tables], axis=0)
    information: np.ndarray = np.maximum(total, 0.0)
    return information


def _counts(values: np.ndarray, kinds: int, nodes: int) -> np.ndarray:
    """Return how often each value comes up, (nodes, kinds)."""
    keys = values + kinds * np.arange(nodes)
    return np.bincount(keys.ravel(), minlength=kinds * nodes).reshape(nodes, kinds)


def _entropy(counts: np.ndarray, n: int) -> np.ndarray:
    """Return the entropy of each row of counts in bits: of the shares, plus (occupied - 1) / (2 n) nats.

    The entropy of shares is too small by that in the first order of 1/n (Miller 1955).
    """
    share = counts / n
    logs = np.zeros_like(share)
    np.log2(share, where=counts > 0, out=logs)
    entropy: np.ndarray = ((counts > 0).sum(1) - 1) / (2 * n * np.log(2)) - (share * logs).sum(1)
    return entropy


__all__ = ["BINS", "CHUNKS", "SAMPLES", "SATURATED", "SIGNALS", "measure"]

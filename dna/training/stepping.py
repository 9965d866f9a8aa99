"""Stepping: what a network keeps of its optimizer from step to step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from dna.engine import Engine
from dna.interrupt import uninterrupted
from dna.training.optimizers import Optimizer


class Stepping(Protocol):
    """What a step of an optimizer changes of a network beside its cells."""

    engine: Engine
    optimizer: Optimizer | None
    step: int
    trained: int


class Taken:
    """Steps that are being taken: the number of the first, and how many there are."""

    def __init__(self, first: int) -> None:
        self.first, self.count = first, 1


@contextmanager
def counted_step(network: Stepping, optimizer: Optimizer) -> Iterator[Taken]:
    """Take a step within, or as many as it says: they count unless it raises, and Ctrl-C waits for its end.

    Another kind of optimizer than that of the last step starts with a new state.
    """
    pool = network.engine.pool
    with uninterrupted():  # a file with the state of one optimizer and the name of another would not load
        before = network.optimizer, network.step, pool.cells
        if steps_of(network, optimizer) == 0:
            pool.keep_state(2 * optimizer.moments)
            network.optimizer, network.step = optimizer, 0
        try:
            taken = Taken(network.step + 1)
            yield taken
        except BaseException:
            network.optimizer, network.step, pool.cells = before
            raise
        network.optimizer = optimizer
        network.step, network.trained = network.step + taken.count, network.trained + taken.count


def steps_of(network: Stepping, optimizer: Optimizer) -> int:
    """Return how many steps the state in the pool has seen of this kind of optimizer."""
    known, rows = network.optimizer, network.engine.pool.cells.state.shape[0]
    return network.step if known is not None and known.name == optimizer.name and rows == 2 * optimizer.moments else 0


def coefficients_of(network: Stepping, optimizer: Optimizer, first: int, steps: int = 1) -> np.ndarray:
    """Return the numbers that the optimizer's update takes at steps of this network, (steps, 8) real."""
    return optimizer.table(first, steps, network.engine.backend.maths.dtype, _bias_lr(network.engine))


def _bias_lr(engine: Engine) -> float:
    """Return the factor of the learning rate for biases where the optimizer names none; see `dna.Adam`."""
    if not engine.backend.maths.kind.affine or len(engine.nodes.by_level) == 2:
        return 1.0
    return min(1.0, (engine.n_nodes - int(engine.nodes.inputs.shape[0])) / max(1, len(engine.pool)))

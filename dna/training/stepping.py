"""Stepping: what a network keeps of its optimizer from step to step."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np

from dna.engine import Engine
from dna.interrupt import Uninterrupted
from dna.training.optimizers import Optimizer


class Stepping(Protocol):
    """What a step of an optimizer changes of a network beside its cells."""

    engine: Engine
    optimizer: Optimizer | None
    step: int
    trained: int


class CountedStep(Uninterrupted):
    """Take a step within, or as many as it says: they count unless it raises, and Ctrl-C waits for its end.

    Another kind of optimizer than that of the last step starts with a new state.

    Attributes
    ----------
    first, count : int
        The number of the first step, and how many there are.
    """

    __slots__ = ("_before", "_network", "_optimizer", "count", "first")

    def __init__(self, network: Stepping, optimizer: Optimizer) -> None:
        self._network, self._optimizer, self.count = network, optimizer, 1

    def __enter__(self) -> Self:
        super().__enter__()  # a file with the state of one optimizer and the name of another would not load
        try:
            self._begin()
        except BaseException:
            super().__exit__()
            raise
        return self

    def _begin(self) -> None:
        network, optimizer, pool = self._network, self._optimizer, self._network.engine.pool
        self._before = network.optimizer, network.step, pool.cells
        if steps_of(network, optimizer) == 0:
            pool.keep_state(2 * optimizer.moments)
            network.optimizer, network.step = optimizer, 0
        self.first = network.step + 1

    def __exit__(self, kind: type[BaseException] | None = None, *error: object) -> None:
        network = self._network
        if kind is None:
            network.optimizer = self._optimizer
            network.step, network.trained = network.step + self.count, network.trained + self.count
        else:
            network.optimizer, network.step, network.engine.pool.cells = self._before
        super().__exit__()


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

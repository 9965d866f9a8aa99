"""Batches: an epoch's steps, one after another, from wherever the epoch stands."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dna.backend import Steps
from dna.training.health import require_finite_loss
from dna.training.losses import Loss
from dna.training.optimizers import Optimizer
from dna.training.samples import Samples
from dna.training.shuffle import Shuffle
from dna.training.standing import Standing
from dna.training.stepping import CountedStep, coefficients_of, steps_of
from dna.training.tally import Tally
from dna.training.trainable import Trainable
from dna.types import ID, Array

AT_ONCE = 1 << 28
"""Cells times samples of the steps that are taken at once where a backend can: some milliseconds."""


class Batches:
    """The batches of a fit's epochs, one epoch at a time.

    Parameters
    ----------
    network : Trainable
    samples : Samples
    loss : Loss
    optimizer : Optimizer
    size : int
        Samples of a batch; the last one of an epoch may have fewer.

    Attributes
    ----------
    order : (n,) int64
        The samples in the order of the epoch's shuffle, on the host.
    start : Standing
        Where the epoch begins: at its start, or where an earlier fit was interrupted in the same epoch.
    tally : Tally
        Losses by the number of the batch.
    """

    order: np.ndarray
    start: Standing

    def __init__(self, network: Trainable, samples: Samples, loss: Loss, optimizer: Optimizer, size: int) -> None:
        self._network, self._samples, self._loss, self._optimizer = network, samples, loss, optimizer
        self._fresh = Standing(samples.n, size, loss.name)
        self.tally = Tally(network.backend, -(-samples.n // size))
        self._shuffle = Shuffle(network.rng)
        self._on_device: Array = None
        self._rows: Array | None = None
        self._rates: tuple[Array, Array] | None = None
        self._rates_moves = -1

    def begin(self) -> None:
        """Begin an epoch, or go on with the one that was interrupted."""
        self.order, self.start, self._rates = self._shuffle.draw(self._samples.n), self.standing, None
        self._on_device = self._network.backend.upload(self.order)

    def settle(self) -> None:
        """Let the network's generator move on, as the epoch has ended."""
        self._shuffle.settle()

    @property
    def standing(self) -> Standing:
        """How far the epoch has come."""
        left = self._network.standing
        return left if left is not None and left.same_epoch(self._fresh) else self._fresh

    @property
    def last(self) -> np.ndarray:
        """The samples of the last batch that was applied; none at the start."""
        return self._of(self.standing.batches - 1) if self.standing.batches > 0 else self.order[:0]

    def run(self, prompt: bool, alone: bool = True) -> Iterator[int]:
        """Run the batches from where the epoch stands; yield how many were applied at a time: one, where `alone` asks for that.

        With `prompt` each loss is looked at before the batch is applied: it raises NumericsError where that is not finite.
        """
        number = self.standing.batches
        self.tally.turn_to(number)
        while number < len(self.tally):
            if self._network.engine.takes_steps(self._fresh.batch_size):
                count = self._take_steps(number, alone)
            else:
                self._step(number, prompt)
                count = 1
            number += count
            yield count

    def complete(self) -> Standing:
        """Give the network's standing the losses of the batches that ran, and return it.

        Where the epoch was cut short, gradients that were not kept are zeros.
        """
        standing = self.standing
        self._network.engine.blank_gradients()
        if standing.batches > self.start.batches:
            self._network.standing = standing = self.tally.complete(self.start, standing)
        return standing

    def _of(self, number: int) -> np.ndarray:
        size = self._fresh.batch_size
        return self.order[number * size : (number + 1) * size]

    def _take_steps(self, number: int, alone: bool) -> int:
        """Take some steps at once, or one, and return how many. Each loss is looked at before its batch is applied."""
        network, optimizer, samples = self._network, self._optimizer, self._samples
        count = 1 if alone or network.engine.statistics.tables else self._at_once(number)
        batches = self._on_device, self._fresh.batch_size, number, count
        rates = self._rates_from(number)[0]
        with CountedStep(network, optimizer) as taken:
            steps = Steps(samples.x, samples.targets, *batches, self._loss, optimizer, rates, self.tally.sums)
            taken.count = network.engine.take_steps(steps)
            if taken.count == 0:
                require_finite_loss(network, self.tally, number)
            self._count(number, taken.count)
        if taken.count < count:
            require_finite_loss(network, self.tally, number + taken.count)
        return taken.count

    def _at_once(self, number: int) -> int:
        """Return how many steps are taken without a look at Ctrl-C: some milliseconds, and a smaller last batch by itself."""
        size, cells = self._fresh.batch_size, len(self._network.engine.pool)
        whole = self._samples.n // size - number
        return max(1, min(whole, AT_ONCE // (size * cells)))

    def _step(self, number: int, prompt: bool) -> None:
        """Take one step. Ctrl-C leaves the network before it or after it, and `network.standing` says which."""
        network, optimizer = self._network, self._optimizer
        engine, is_last = network.engine, number == len(self.tally) - 1
        if not (prompt or is_last or engine.statistics.looks_now):
            return self._repeat(number)
        coefficients = self._go_forward(number)
        if prompt:
            require_finite_loss(network, self.tally, number)
        if is_last:  # callbacks, rules and users may look at gradients before there are new ones
            engine.backward(inputs_too=False)
        with CountedStep(network, optimizer):
            (engine.apply if is_last else engine.learn)(optimizer, coefficients)
            self._count(number)
        return None

    def _repeat(self, number: int) -> None:
        """Take a step that nobody looks into, whose launches are those of the step before."""
        network, optimizer = self._network, self._optimizer
        rates = self._rates_from(number)  # by the steps before this one
        with CountedStep(network, optimizer):
            network.engine.repeat(lambda: network.engine.learn(optimizer, self._go_forward(number)), *rates, self.tally.sums)
            self._count(number)

    def _count(self, number: int, count: int = 1) -> None:
        """Take note of so many steps, from the batch `number` on."""
        self._network.schedule = self._network.schedule.after_steps(count)
        self._network.standing = self.start.at(number + count)

    def _go_forward(self, number: int) -> Array:
        """Run a batch forward, and judge it; return the numbers of the update that is to follow. Nothing is read or uploaded."""
        engine, samples, size = self._network.engine, self._samples, self._fresh.batch_size
        n, (rates, coefficients) = len(self._of(number)), self._rates_from(number)
        if self._rows is None or self._rows.shape[0] != n:
            self._rows = engine.backend.empty(n, ID)
        engine.backend.begin_step(self._on_device, self.tally.place, size, rates, self._rows, coefficients)
        engine.load(samples.x, self._rows, size)
        engine.forward()
        engine.loss(self._loss, samples.targets, self._rows, 1.0 / n, (self.tally.sums, self.tally.place))
        return coefficients

    def _rates_from(self, number: int) -> tuple[Array, Array]:
        """Return the optimizer's numbers by batch, (batches, 8), right from this batch on, and the (8,) for those of one step."""
        engine, optimizer = self._network.engine, self._optimizer
        if self._rates is None or self._rates_moves != engine.moves:  # they depend on the number of cells
            done, left = steps_of(self._network, optimizer), len(self.tally) - number
            table = coefficients_of(self._network, optimizer, done + 1, left)
            table = table if number == 0 else np.concatenate([np.zeros_like(table, shape=(number, table.shape[1])), table])
            self._rates = engine.backend.upload(table), engine.backend.empty(table.shape[1], table.dtype)
            self._rates_moves = engine.moves
        return self._rates

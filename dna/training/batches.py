"""Batches: an epoch's steps, one after another, from wherever the epoch stands."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dna.backend import Steps
from dna.training.health import require_finite_loss
from dna.training.losses import Loss
from dna.training.optimizers import Optimizer
from dna.training.samples import Samples
from dna.training.standing import Standing
from dna.training.stepping import coefficients_of, counted_step, steps_of
from dna.training.tally import Tally
from dna.training.trainable import Trainable
from dna.types import ID, Array

AT_ONCE = 1 << 28
"""Cells times samples of the steps that are taken at once where a backend can: some milliseconds."""


def copy_of(generator: np.random.Generator) -> np.random.Generator:
    """Return a generator that draws the same numbers, in a tenth of the time that `deepcopy` takes; short epochs feel that."""
    source = generator.bit_generator
    copied = type(source)(source.seed_seq)  # type: ignore[arg-type]
    copied.state = source.state
    return np.random.Generator(copied)


class Batches:
    """The batches of one epoch.

    Parameters
    ----------
    network : Trainable
    samples : Samples
    order : (n,) int64
        The samples in the order of the epoch's shuffle, on the host.
    loss : Loss
    optimizer : Optimizer
    size : int
        Samples of a batch; the last one may have fewer.

    Attributes
    ----------
    start : Standing
        Where the epoch begins: at its start, or where an earlier fit was interrupted in the same epoch.
    tally : Tally
        Losses by the number of the batch.
    """

    def __init__(
        self, network: Trainable, samples: Samples, order: np.ndarray, loss: Loss, optimizer: Optimizer, size: int
    ) -> None:
        self._network, self._samples, self._order, self._loss, self._optimizer = network, samples, order, loss, optimizer
        self._fresh = Standing(samples.n, size, loss.name)
        self.start = self.standing
        self.tally = Tally(network.backend, -(-samples.n // size))
        self._on_device = network.backend.upload(order)
        self._rows: Array | None = None
        self._rates: tuple[Array, Array] | None = None
        self._rates_moves = -1

    @property
    def standing(self) -> Standing:
        """How far the epoch has come."""
        left = self._network.standing
        return left if left is not None and left.same_epoch(self._fresh) else self._fresh

    @property
    def last(self) -> np.ndarray:
        """The samples of the last batch that was applied; none at the start."""
        return self._of(self.standing.batches - 1) if self.standing.batches > 0 else self._order[:0]

    def run(self, prompt: bool, alone: bool = True) -> Iterator[int]:
        """Run the batches from where the epoch stands; yield how many were applied at a time: one, where `alone` asks for that.

        With `prompt` each loss is looked at before the batch is applied: it raises NumericsError where that is not finite.
        """
        self.tally.turn_to(self.standing.batches)
        while self.standing.batches < len(self.tally):
            before = self.standing.batches
            if self._network.engine.takes_steps(self._fresh.batch_size):
                self._take_steps(before, alone)
            else:
                self._step(before, prompt)
            yield self.standing.batches - before

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
        return self._order[number * size : (number + 1) * size]

    def _take_steps(self, number: int, alone: bool) -> None:
        """Take some steps at once, or one. Each loss is looked at before its batch is applied."""
        network, optimizer, standing, samples = self._network, self._optimizer, self.standing, self._samples
        count = 1 if alone or network.engine.statistics.tables else self._at_once(number)
        batches = self._on_device, self._fresh.batch_size, number, count
        rates = self._rates_from(number)[0]
        with counted_step(network, optimizer) as taken:
            steps = Steps(samples.x, samples.targets, *batches, self._loss, optimizer, rates, self.tally.sums)
            taken.count = network.engine.take_steps(steps)
            if taken.count == 0:
                require_finite_loss(network, self.tally, number)
            self._count(standing, taken.count)
        if taken.count < count:
            require_finite_loss(network, self.tally, number + taken.count)

    def _at_once(self, number: int) -> int:
        """Return how many steps are taken without a look at Ctrl-C: some milliseconds, and a smaller last batch by itself."""
        size, cells = self._fresh.batch_size, len(self._network.engine.pool)
        whole = self._samples.n // size - number
        return max(1, min(whole, AT_ONCE // (size * cells)))

    def _step(self, number: int, prompt: bool) -> None:
        """Take one step. Ctrl-C leaves the network before it or after it, and `network.standing` says which."""
        network, optimizer, standing = self._network, self._optimizer, self.standing
        engine, is_last = network.engine, number == len(self.tally) - 1
        if not (prompt or is_last or engine.statistics.looks_now):
            return self._repeat(number)
        coefficients = self._go_forward(number)
        if prompt:
            require_finite_loss(network, self.tally, number)
        if is_last:  # callbacks, rules and users may look at gradients before there are new ones
            engine.backward(inputs_too=False)
        with counted_step(network, optimizer):
            (engine.apply if is_last else engine.learn)(optimizer, coefficients)
            self._count(standing)
        return None

    def _repeat(self, number: int) -> None:
        """Take a step that nobody looks into, whose launches are those of the step before."""
        network, optimizer, standing = self._network, self._optimizer, self.standing
        rates = self._rates_from(number)  # by the steps before this one
        with counted_step(network, optimizer):
            network.engine.repeat(lambda: network.engine.learn(optimizer, self._go_forward(number)), *rates, self.tally.sums)
            self._count(standing)

    def _count(self, standing: Standing, count: int = 1) -> None:
        self._network.schedule = self._network.schedule.after_steps(count)
        self._network.standing = standing.after_batches(count)

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
            table, done = np.zeros((len(self.tally), 8), engine.backend.maths.dtype), steps_of(self._network, optimizer)
            table[number:] = coefficients_of(self._network, optimizer, done + 1, len(table) - number)
            self._rates = engine.backend.upload(table), engine.backend.empty(8, table.dtype)
            self._rates_moves = engine.moves
        return self._rates

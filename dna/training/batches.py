"""Batches: an epoch's steps, one after another, from wherever the epoch stands."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dna.interrupt import uninterrupted
from dna.training.health import require_finite_loss
from dna.training.losses import Loss
from dna.training.optimizers import Optimizer
from dna.training.samples import Samples
from dna.training.standing import Standing
from dna.training.tally import Tally
from dna.training.trainable import Trainable


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

    @property
    def standing(self) -> Standing:
        """How far the epoch has come."""
        left = self._network.standing
        return left if left is not None and left.same_epoch(self._fresh) else self._fresh

    @property
    def last(self) -> np.ndarray:
        """The samples of the last batch that was applied; none at the start."""
        return self._of(self.standing.batches - 1) if self.standing.batches > 0 else self._order[:0]

    def run(self, prompt: bool) -> Iterator[np.ndarray]:
        """Run the batches from where the epoch stands; yield the samples of each, once it is applied.

        With `prompt` each loss is looked at before the batch is applied: it raises NumericsError where that is not finite.
        """
        for number in range(self.standing.batches, len(self.tally)):
            self._step(number, prompt)
            yield self.last

    def complete(self) -> Standing:
        """Give the network's standing the losses of the batches that ran, and return it."""
        standing = self.standing
        if standing.batches > self.start.batches:
            self._network.standing = standing = self.tally.complete(self.start, standing)
        return standing

    def _of(self, number: int) -> np.ndarray:
        size = self._fresh.batch_size
        return self._order[number * size : (number + 1) * size]

    def _step(self, number: int, prompt: bool) -> None:
        """Take one step. Ctrl-C leaves the network before it or after it, and `network.standing` says which."""
        network, samples, standing = self._network, self._samples, self.standing
        engine, rows = network.engine, network.backend.upload(self._of(number))
        engine.load(samples.x, rows, standing.batch_size)
        engine.forward()
        engine.loss(self._loss, samples.targets, rows, 1.0 / len(rows), self.tally.sums, number)
        if prompt:
            require_finite_loss(network, self.tally, number)
        engine.backward(inputs_too=False)
        with uninterrupted():
            network.apply(self._optimizer)
            network.schedule = network.schedule.after_step()
            network.standing = standing.after_batch()

"""Health: NaN and Inf are found, with the cell and the batch that bore them, and the network goes back to before that batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from dna.engine import Engine
from dna.errors import NumericsError
from dna.rules import ScheduleState
from dna.training.optimizers import Optimizer
from dna.training.standing import Standing
from dna.training.tally import Tally

LEARNED = ("weight", "bias", "state")
"""Columns of the pool that a step changes for good; gradients are computed anew."""

COUNTS = ("optimizer", "step", "trained", "schedule", "standing")
"""What a step changes beside them."""


LOOK = 256
"""Batches after which losses are looked at where the device runs ahead of the host, so that no more of them run in vain."""


class Trained(Protocol):
    """What a step changes of a network."""

    engine: Engine
    optimizer: Optimizer | None
    step: int
    trained: int
    epoch: int
    schedule: ScheduleState
    standing: Standing | None


class Keepsake:
    """A network's cells between two steps, kept on the host, to go back to while its topology stays as it is."""

    def __init__(self, network: Trained) -> None:
        cells, download = network.engine.pool.cells, network.engine.backend.download
        columns = {name: getattr(cells, name) for name in LEARNED}
        self._columns = {name: download(column) for name, column in columns.items()}
        self._counts = {name: getattr(network, name) for name in COUNTS}
        statistics = network.engine.statistics
        self._gathered = statistics.state(), {name: download(table) for name, table in statistics.tables.items()}

    def put_back(self, network: Trained) -> None:
        """Bring weights, biases, optimizer state, statistics and all counts back."""
        pool, backend = network.engine.pool, network.engine.backend
        columns = {name: backend.zeros(kept.shape, kept.dtype) for name, kept in self._columns.items()}
        for name, kept in self._columns.items():
            backend.write(columns[name], kept)
        pool.cells = pool.cells._replace(**columns)
        for name, value in self._counts.items():
            setattr(network, name, value)
        network.engine.statistics.restore(*self._gathered)
        network.engine.forget()


def is_sound(network: Trained) -> bool:
    """Whether all that was learned is finite: one pass over the columns, where they are."""
    cells, backend = network.engine.pool.cells, network.engine.backend
    columns = (getattr(cells, name) for name in LEARNED)
    return all(backend.all_finite(column if column.ndim == 2 else column.reshape(1, -1)) for column in columns if column.size)


class HealthWatch:
    """Watches over the batches of an epoch.

    Parameters
    ----------
    network
    tally : Tally
        Where the losses of its batches are.
    first : int
        The batch that the epoch goes on with.
    batches : callable
        Gives an iterator that runs the batches from where the epoch stands to its end, and says how many ran each time. Its
        arguments say whether to look at each loss at once, and raise where it is not finite, before the batch is applied; and
        whether one batch runs at a time.

    Notes
    -----
    While training runs it costs a copy of what is learned an epoch, and one look at its end. Where the device runs ahead, losses
    are looked at once in `LOOK` batches. The search afterwards runs the batches since the copy once more, which come out the same
    bit by bit but with the scatter plan, and looks after each. So the first batch that went wrong is told in either case.
    """

    def __init__(self, network: Trained, tally: Tally, first: int, batches: Callable[[bool, bool], Iterator[int]]) -> None:
        self._network, self._tally, self._looked, self._batches = network, tally, first, batches
        self.renew()

    def renew(self) -> None:
        """Begin anew, as all is finite: at the start, and after an extinction, which no copy survives."""
        self._keepsake = Keepsake(self._network)

    def run(self, alone: bool) -> Iterator[int]:
        """Run the batches, each `alone` or as it comes; a loss that is not finite is traced back to the cell that is not."""
        runs_ahead = self._network.engine.backend.runs_ahead
        steps = self._batches(not runs_ahead, alone)
        while True:
            try:
                count = next(steps)
            except StopIteration:
                return
            except NumericsError:
                self.check()
                raise
            if runs_ahead and self._applied >= self._looked + LOOK:
                self._check_losses()
            yield count

    def check(self) -> None:
        """Look at all losses and all that was learned.

        Raises
        ------
        NumericsError
            A number is NaN or Inf. The network stands before the batch that bore it.
        """
        self._check_losses()
        if not is_sound(self._network):
            self._search()

    def withdraw(self) -> None:
        """Go back to the copy where a loss since the last look is not finite: for a fit that ends before the next look."""
        if self._is_lost():
            self._keepsake.put_back(self._network)

    def _check_losses(self) -> None:
        if self._is_lost():
            self._search()

    def _is_lost(self) -> bool:
        """Whether a loss that nobody has looked at is not finite; where the device does not run ahead, each was looked at."""
        if not self._network.engine.backend.runs_ahead:
            return False
        first, self._looked = self._looked, self._applied
        return self._tally.lost(first, self._looked)

    @property
    def _applied(self) -> int:
        """How many batches of the epoch are applied."""
        standing = self._network.standing
        return standing.batches if standing else 0

    def _search(self) -> None:
        """Run the batches since the copy again, find the first that went wrong, and raise its error."""
        network = self._network
        found = None if is_sound(network) else _first_bad(network)
        self._keepsake.put_back(network)
        steps = self._batches(True, True)
        while True:
            before = Keepsake(network)
            try:
                next(steps)
            except StopIteration:  # the scatter plan adds in another order, and came out finite this time
                self._keepsake.put_back(network)
                raise _vanished(network) if found is None else _birth(network, found, None) from None
            if not is_sound(network):
                found, batch = _first_bad(network), network.standing.batches - 1 if network.standing else 0
                before.put_back(network)
                raise _birth(network, found, batch)


def require_sound(network: Trained) -> None:
    """Raise NumericsError where a network is not fit to be trained: a cell holds NaN or Inf."""
    if not is_sound(network):
        raise _birth(network, _first_bad(network), None)


def require_finite_loss(network: Trained, tally: Tally, batch: int) -> None:
    """Raise NumericsError where the loss of a batch is not finite: it names the first cell with such a current."""
    value = float(tally.read(batch, batch + 1)[0, 0])
    if math.isfinite(value):
        return
    cell, level = _first_overflow(network.engine)
    raise NumericsError(
        f"loss: expected a finite value, got {value} in epoch {network.epoch + 1}, batch {batch}, where the signal is lost first "
        f"at cell {cell} into level {level}; the cells are those before this batch. A smaller learning rate may help",
        cell=cell, level=level, epoch=network.epoch + 1, batch=batch,
    )  # fmt: skip


def _first_bad(network: Trained) -> tuple[int, int, str, float]:
    """Return id, level, column and value of the first cell, by id, that is not finite."""
    columns, _ = network.engine.pool.columns()
    level = network.engine.backend.download(network.engine.nodes.level)
    bad = {name: ~np.isfinite(np.atleast_2d(columns[name])) for name in LEARNED}
    slots = np.flatnonzero(np.any(np.vstack([mask for mask in bad.values() if mask.size]), axis=0))
    slot = slots[np.argmin(columns["id"][slots])]
    name = next(name for name in LEARNED if bad[name].size and bad[name][:, slot].any())
    value = np.atleast_2d(columns[name])[bad[name][:, slot], slot][0]
    return int(columns["id"][slot]), int(level[columns["target"][slot]]), name, float(value)


def _birth(network: Trained, found: tuple[int, int, str, float], batch: int | None) -> NumericsError:
    cell, level, column, value = found
    what = "optimizer state" if column == "state" else column
    when = f"epoch {network.epoch + 1}" + ("" if batch is None else f", batch {batch}")
    return NumericsError(
        f"{what} of cell {cell} into level {level}: expected a finite value, got {value} in {when}; the cells are those before. "
        "A smaller learning rate may help",
        cell=cell, level=level, epoch=network.epoch + 1, batch=batch,
    )  # fmt: skip


def _vanished(network: Trained) -> NumericsError:
    return NumericsError(
        f"loss: expected finite values, got NaN or Inf in epoch {network.epoch + 1}, and finite ones when its batches ran again; "
        "the cells are those before. A smaller learning rate may help, and the gather plan gives the same numbers each time",
        epoch=network.epoch + 1,
    )


def _first_overflow(engine: Engine) -> tuple[int, int]:
    """Return the first cell, by level and id, into a node whose potential is not finite, or is the largest of the outputs."""
    columns, _ = engine.pool.columns()
    level = engine.backend.download(engine.nodes.level)
    size = np.abs(engine.potentials()).max(axis=1)  # NaN stays NaN
    lost = np.flatnonzero(~np.isfinite(size))
    if not len(lost):
        outputs = engine.backend.download(engine.nodes.outputs)
        lost = outputs[[size[outputs].argmax()]]
    first = lost[level[lost] == level[lost].min()]
    slots = np.flatnonzero((columns["id"] >= 0) & np.isin(columns["target"], first))
    if not len(slots):
        return -1, int(level[first[0]])
    slot = slots[np.argmin(columns["id"][slots])]
    return int(columns["id"][slot]), int(level[columns["target"][slot]])

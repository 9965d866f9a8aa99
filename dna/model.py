"""Model: a network that runs. It checks what users hand in, and keeps what belongs to the network between two calls."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from dna import check
from dna.assembly import Assembly
from dna.backend import PLANS, Backend
from dna.engine import Engine
from dna.errors import DeterminismError, OptionError, UnknownNameError
from dna.fossils import Change, ExtinctionEvent, FossilRecord, Losses
from dna.graph.topology import CellTable
from dna.interrupt import Uninterrupted
from dna.nodes import names_of
from dna.past import undoer
from dna.rules import NO_SIGNALS, Clock, Extinction, ScheduleState, Signals
from dna.saved import HostCopy, to_state
from dna.training import CountedStep, Optimizer, Standing, coefficients_of, find_optimizer
from dna.turn import Turn, in_turn


class Model:
    """The running half of `dna.Network`: forward, backward, apply, compile and extinction.

    Attributes
    ----------
    engine : Engine
        Pool, plan and potentials, on the device.
    turn, host_copy : Turn, HostCopy
        Lets one thread at a time use the network; the last state that `fit` kept on the host.
    rng : numpy.random.Generator
        Of inits and shuffles.
    schedule : ScheduleState
        Where the extinction schedule stands.
    optimizer : Optimizer or None
        The last one applied; its state is in the pool.
    step, epoch : int
        Steps of that optimizer, and epochs trained.
    standing : Standing or None
        How far an epoch has come in which a fit was interrupted.
    trained : int
        Steps trained, whatever the optimizer.
    events : list of ExtinctionEvent
    undoer : callable
        Takes an event of this network back; events hold it.
    own_names : tuple or None
        The user's names of the nodes that there were at first.
    input_shape : (height, width) or None
        Set where the inputs are the pixels of an image; views and pictures lay them out so.
    device_reason : str
        Which device it lives on, and why.
    """

    def __init__(self, assembly: Assembly, *, deterministic: bool) -> None:
        self.engine: Engine = assembly.engine
        self.turn, self.host_copy = Turn(), HostCopy()
        self.rng, self.own_names, self.device_reason = assembly.rng, assembly.names, assembly.device_reason
        self.deterministic = bool(deterministic)
        self.schedule = ScheduleState()
        self.optimizer: Optimizer | None = None
        self.step, self.epoch, self.trained = 0, 0, 0
        self.standing: Standing | None = None
        self.input_shape: tuple[int, int] | None = None
        self.last_options: dict[str, Any] | None = None
        self.events: list[ExtinctionEvent] = []
        self.undoer = undoer(self)

    # what it is

    @property
    def backend(self) -> Backend:
        return self.engine.backend

    @property
    def device(self) -> str:
        """Where it lives: `cpu`, `cuda:0`, ..."""
        return self.backend.device

    @property
    def n_in(self) -> int:
        return self.engine.n_in

    @property
    def n_out(self) -> int:
        return self.engine.n_out

    @property
    def version(self) -> int:
        """The version of the topology: 0 at first, one more with each extinction, one less where one is taken back."""
        return self.engine.version

    @property
    def names(self) -> tuple[Any, ...] | None:
        """The user's names of nodes, and those of nodes born later; see `dna.nodes.names_of`."""
        return None if self.own_names is None else names_of(self.own_names, self.engine.n_nodes)

    @property
    def clock(self) -> Clock:
        """Epochs and steps of its life: what schedules and paths go by."""
        return Clock(self.epoch, self.trained)

    @property
    def plan(self) -> str:
        """The plan in use, and why."""
        return self.engine.plans.explain()

    @property
    @in_turn
    def cells(self) -> CellTable:
        """A snapshot of all living cells in id order, as read-only NumPy arrays."""
        return self.engine.cell_table()

    @property
    def fossils(self) -> FossilRecord:
        """The fossil record: all extinctions that stand, oldest first."""
        return FossilRecord(self.events, self.engine.pool.next_id)

    def __len__(self) -> int:
        """Return the number of living cells."""
        return len(self.engine.pool)

    def __repr__(self) -> str:
        sizes = [str(nodes.shape[0]) for nodes in self.engine.nodes.by_level]
        shown = "-".join(sizes if len(sizes) < 8 else [*sizes[:3], "...", *sizes[-3:]])
        cells = f"{len(self)} {self.backend.maths.kind.name} cells"
        return f"<dna.Network {shown}, {cells}, version {self.version}, {self.device}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle what a file would hold; a copy lives on the same device."""
        return functools.partial(type(self).load, device=self.device), (to_state(self),)  # type: ignore[attr-defined]

    # run

    @in_turn
    def forward(self, x: Any) -> np.ndarray:
        """Return the outputs for a batch: (batch, n_in) -> (batch, n_out).

        Raises
        ------
        ShapeError, DataError
        """
        engine = self.engine
        batch = check.real_batch("x", x, engine.n_in, engine.dtype)
        outputs = engine.answer(batch)
        if outputs is None:
            raise check.not_finite("x", batch)
        return outputs

    @in_turn
    def backward(self, gy: Any) -> np.ndarray:
        """Fill every cell's gradient from the gradient at the outputs of the last `forward`; return that at the inputs.

        Parameters
        ----------
        gy : (batch, n_out)

        Returns
        -------
        (batch, n_in)

        Raises
        ------
        ShapeError, DataError
        OptionError
            No forward came before, or cells or plan changed since.
        """
        engine = self.engine
        gradient = check.real_batch("gy", gy, engine.n_out, engine.dtype)
        at_inputs = engine.return_gradient(gradient)
        if at_inputs is None:
            raise check.not_finite("gy", gradient)
        return at_inputs

    @in_turn
    def apply(self, optimizer: str | Optimizer, rule: Extinction | None = None) -> ExtinctionEvent | None:
        """Update all cells by their gradients; with a `rule`, an extinction follows at once and its event is returned.

        Optimizer state lives in the pool, cell by cell. Another kind of optimizer starts with a new state.
        """
        chosen = find_optimizer(optimizer)
        if rule is not None:
            self.check_extinction(rule)
        with CountedStep(self, chosen) as taken:
            self.engine.apply(chosen, self.backend.upload(coefficients_of(self, chosen, taken.first)[0]))
        return None if rule is None else self.extinction(rule)

    @in_turn
    def watch(self, *statistics: str) -> None:
        """Gather these statistics of all cells from now on, and no others: `gradient`, `current`, `hebbian`, or none.

        A fit adds what its extinction ranks by; this is for extinctions by hand. They start anew when the topology changes.
        """
        self.engine.statistics.watch(statistics, self.engine.pool.bump)

    @in_turn
    def compile(self, plan: str = "auto") -> str:
        """Make a plan of the topology, and return what `plan` says of it. It is remade by itself when the topology moves.

        Parameters
        ----------
        plan : {"auto", "gather", "scatter", "dense"}

        Raises
        ------
        UnknownNameError
        DeterminismError
            `scatter` was asked of a deterministic network.
        OptionError
            `dense` was asked of a network that it cannot run; see `net.plan` for what `auto` chose.
        """
        if plan not in ("auto", *PLANS):
            raise UnknownNameError("plan", plan, ("auto", *PLANS))
        if plan == "scatter" and self.deterministic:
            raise DeterminismError("scatter adds in order of arrival; expected plan='gather' or 'auto' with deterministic=True")
        if (refusal := self.engine.plans.refusal(plan)) is not None:
            raise OptionError(f"plan {plan!r}: {refusal}")
        self.engine.compile(plan)
        return self.plan

    @in_turn
    def settle(self) -> int:
        """Take note of the cells that a user's own kernels claimed and released; return how many live now.

        To be called after a launch that claims and before one that releases, and before anything else is done with the
        network. The topology gets a new version, as cells may have come or gone.
        """
        return self.engine.settle()

    @in_turn
    def extinction(self, rule: Extinction | None = None) -> ExtinctionEvent:
        """Let an extinction happen now. It is whole or has not happened, whatever fails and at whichever step.

        Raises
        ------
        PoolExhausted
            The capacity is fixed and does not suffice; nothing changed.
        NumericsError
            A passthrough is NaN; nothing changed.
        """
        rule = Extinction() if rule is None else rule
        self.check_extinction(rule)
        return self.evolve(rule, "hand", self.epoch, self.schedule)

    def check_extinction(self, rule: Extinction) -> None:
        """Raise OptionError where `rule` is no `dna.Extinction`, or asks for births that this network cannot have."""
        if not isinstance(rule, Extinction):
            raise OptionError(f"extinction: expected dna.Extinction(...), got {rule!r}")
        for birth in rule.births:
            birth.check(self.backend.maths)

    def evolve(
        self, rule: Extinction, trigger: str, epoch: int, schedule: ScheduleState, loss_before: float | None = None,
        signals: Signals = NO_SIGNALS,
    ) -> ExtinctionEvent:  # fmt: skip
        """Let an extinction happen after so many epochs and with the schedule where it stands, record it and begin that anew."""

        def record(change: Change) -> None:
            event = ExtinctionEvent(
                number=len(self.events),
                epoch=epoch,
                trigger=trigger,
                signals=dict(signals),
                options=rule.options(),
                optimizer=None if self.optimizer is None else self.optimizer.name,
                version=self.version,
                schedule_before=schedule,
                losses=Losses(before=loss_before),
                _undo=self.undoer,
                **change._asdict(),
            )
            # one statement, whose first assignment alone can fail: the record grows and the schedule begins anew, or neither
            self.events[event.number :], self.schedule, self.last_options = [event], ScheduleState(), dict(event.options)

        with Uninterrupted():  # what has happened is recorded
            self.engine.extinction(rule, len(self.events), Clock(epoch, self.trained), record)
        return self.events[-1]

    def complete_event(self, loss_after: float) -> None:
        """Add the watched loss after it to the record of the last extinction."""
        self.events[-1].losses.after = loss_after

    def note_loss(self, value: float, n_events: int) -> None:
        """Tell those of the first events that wait for it the watched loss of the epoch that followed them."""
        for event in reversed(self.events[:n_events]):
            if event.losses.next is not None:
                break
            event.losses.next = value

"""Network: what users hold. It checks what they hand in, and leads to the engine, training, views and files."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dna import check, saved
from dna.assembly import Assembly, assemble, assemble_saved
from dna.backend import PLANS, Backend
from dna.cells import CellKind
from dna.checkpoint import read_state, write_state
from dna.engine import EXPLAIN_PLAN
from dna.errors import DeterminismError, OptionError, UnknownNameError
from dna.fossils import ExtinctionEvent, FossilRecord, Ids
from dna.graph.structure import from_graph, layered
from dna.graph.topology import CellTable, Topology
from dna.rules import Extinction, ScheduleState, build_split
from dna.training import Callback, History, Loss, Optimizer, evaluate, find_loss, find_optimizer, fit, lay_out

if TYPE_CHECKING:
    import networkx as nx

PREDICTION_BATCH = 1024


class Network:
    """A network of cells between nodes in levels, whose topology lives.

    Parameters
    ----------
    layers : sequence of int
        Nodes of each level, inputs first; `[784, 10]` is the DNA single-layer model.
    cell : str or CellKind
        `linear` (I = w*V - b), `relu`, `tanh` (I = phi(w*V - b)), or a kind of your own.
    activation : str or sequence of str, optional
        What hidden nodes do with the sum of their currents: `identity`, `relu`, `tanh`, `sigmoid`; or one name for each level above
        the inputs. By default `relu` for linear cells and `identity` for others. Outputs keep the sum unless a sequence says otherwise.
    init : str, optional
        `ones` (the default of a single layer, as in the article), `reciprocal`, `he`, `glorot`, `spread`. With hidden nodes the
        default is `he` for linear cells, `spread` for others.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1`; see `dna.devices.open_backend`.
    dtype : {"float32", "float64"}
    seed : int
        Of inits, shuffles, random passthrough and jitter. The same seed, data and device give the same bits.
    capacity : int, optional
        A fixed number of slots. By default the pool grows by doubling.
    deterministic : bool
        Whether to refuse what depends on timing (the `scatter` plan).
    density : float or sequence of float
        The share of all pairs of nodes of two levels that get a cell, drawn at random and exactly counted; one or one a level.

    Raises
    ------
    OptionError, UnknownNameError, DeviceError, PoolExhausted
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        cell: str | CellKind = "linear",
        activation: str | Sequence[str] | None = None,
        init: str | None = None,
        device: str = "auto",
        dtype: str = "float32",
        seed: int = 0,
        capacity: int | None = None,
        deterministic: bool = False,
        density: float | Sequence[float] = 1.0,
    ) -> None:
        rng = np.random.Generator(np.random.PCG64(check.count("seed", seed, 0)))
        structure = layered(layers, density, rng)
        self._adopt(
            assemble(
                structure, rng, cell=cell, activation=activation, init=init, device=device, dtype=dtype, seed=seed, capacity=capacity
            ),
            deterministic,
        )

    @classmethod
    def from_networkx(
        cls,
        graph: nx.DiGraph,
        *,
        inputs: Sequence[Hashable] | None = None,
        outputs: Sequence[Hashable] | None = None,
        cell: str | CellKind = "linear",
        activation: str | Sequence[str] | None = None,
        init: str | None = None,
        device: str = "auto",
        dtype: str = "float32",
        seed: int = 0,
        capacity: int | None = None,
        deterministic: bool = False,
    ) -> Network:
        """Build a network from any directed acyclic graph: its nodes are signals, its edges are cells, parallel ones included.

        Parameters
        ----------
        graph : networkx.DiGraph or MultiDiGraph
            Edge attributes `weight` and `bias` are taken where present, the rest is drawn by `init`.
        inputs, outputs : sequence of nodes, optional
            In the order of the columns of x and y; by default the nodes without predecessors and those without successors.

        Other parameters are those of `Network`.

        Raises
        ------
        CycleError, GraphError
            And those of `Network`.
        """
        rng = np.random.Generator(np.random.PCG64(check.count("seed", seed, 0)))
        structure = from_graph(graph, inputs, outputs)
        self = cls.__new__(cls)
        self._adopt(
            assemble(
                structure, rng, cell=cell, activation=activation, init=init, device=device, dtype=dtype, seed=seed, capacity=capacity
            ),
            deterministic,
        )
        return self

    def _adopt(self, assembly: Assembly, deterministic: bool) -> None:
        self.engine, self.rng, self.names = assembly.engine, assembly.rng, assembly.names
        self.device_reason = assembly.device_reason
        self.deterministic = bool(deterministic)
        self.schedule = ScheduleState()
        self.optimizer: Optimizer | None = None
        self.step = 0
        self.epoch = 0
        self.history = History()
        self.last_options: dict[str, Any] | None = None
        self._plan_choice = "auto"
        self._events: list[ExtinctionEvent] = []

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
        return int(self.engine.nodes.inputs.shape[0])

    @property
    def n_out(self) -> int:
        return int(self.engine.nodes.outputs.shape[0])

    @property
    def version(self) -> int:
        """The version of the topology: 0 at first, one more with each extinction."""
        return self.engine.version

    @property
    def plan(self) -> str:
        """The plan in use, and why."""
        name = self.engine.plan_name
        chosen = "chosen by auto" if self._plan_choice == "auto" else "as asked"
        return f"{name} ({chosen}): {EXPLAIN_PLAN[name]}"

    @property
    def cells(self) -> CellTable:
        """A snapshot of all living cells in id order, as read-only NumPy arrays."""
        return saved.cell_table(self.engine.pool)

    @property
    def fossils(self) -> FossilRecord:
        """The fossil record: all extinctions, oldest first."""
        return FossilRecord(self._events)

    def __len__(self) -> int:
        """Return the number of living cells."""
        return len(self.engine.pool)

    def __repr__(self) -> str:
        maths = self.backend.maths
        return f"<dna.Network {self.n_in} -> {self.n_out}, {len(self)} {maths.kind.name} cells, version {self.version}, {self.device}>"

    # run

    def forward(self, x: Any) -> np.ndarray:
        """Return the outputs for a batch: (batch, n_in) -> (batch, n_out).

        Raises
        ------
        ShapeError, DataError
        """
        data = check.real_batch("x", x, self.n_in, self.backend.maths.dtype)
        self.engine.load(self.backend.upload(data), self.backend.upload(np.arange(len(data))))
        self.engine.forward()
        return self.engine.outputs()

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
            No forward came before, or cells changed since.
        """
        data = check.real_batch("gy", gy, self.n_out, self.backend.maths.dtype)
        self.engine.load_gradient(self.backend.upload(data), self.backend.upload(np.arange(len(data))))
        self.engine.backward(inputs_too=True)
        return self.engine.input_gradient()

    def apply(self, optimizer: str | Optimizer, rule: Extinction | None = None) -> ExtinctionEvent | None:
        """Update all cells by their gradients; with a `rule`, an extinction follows at once and its event is returned.

        Optimizer state lives in the pool, cell by cell. Another kind of optimizer starts with a new state.
        """
        chosen = find_optimizer(optimizer)
        rows = 2 * chosen.moments
        if self.optimizer is None or self.optimizer.name != chosen.name or self.engine.pool.cells.state.shape[0] != rows:
            self.engine.pool.keep_state(rows)
            self.step = 0
        self.optimizer, self.step = chosen, self.step + 1
        self.engine.apply(chosen, chosen.array(self.step, self.backend.maths.dtype))
        return None if rule is None else self.extinction(rule)

    def compile(self, plan: str = "auto") -> str:
        """Make a plan of the topology, and return what `plan` says of it. It is remade by itself when the topology moves.

        Parameters
        ----------
        plan : {"auto", "gather", "scatter"}

        Raises
        ------
        UnknownNameError
        DeterminismError
            `scatter` was asked of a deterministic network.
        """
        if plan not in ("auto", *PLANS):
            raise UnknownNameError("plan", plan, ("auto", *PLANS))
        if plan == "scatter" and self.deterministic:
            raise DeterminismError("the scatter plan adds in the order of arrival; expected plan='gather' or 'auto' with deterministic=True")
        self.engine.compile("gather" if plan == "auto" else plan)
        self._plan_choice = plan
        return self.plan

    def extinction(self, rule: Extinction | None = None) -> ExtinctionEvent:
        """Let an extinction happen now. It is whole or has not happened.

        Raises
        ------
        PoolExhausted
            The capacity is fixed and does not suffice; nothing changed.
        NumericsError
            A passthrough is NaN; nothing changed.
        """
        rule = Extinction() if rule is None else rule
        self.check_extinction(rule)
        return self.evolve(rule, "hand", iter(()))

    def check_extinction(self, rule: Extinction) -> None:
        """Raise OptionError where `rule` is no `dna.Extinction`, or its split is none that the cell kind has."""
        if not isinstance(rule, Extinction):
            raise OptionError(f"extinction: expected dna.Extinction(...), got {rule!r}")
        build_split(rule.rule, self.backend.maths.kind, self.backend.maths.real)

    def evolve(self, rule: Extinction, trigger: str, losses: Iterator[float]) -> ExtinctionEvent:
        """Let an extinction happen, record it and start the schedule anew; `losses` gives the watched loss before and after."""
        loss_before = next(losses, None)
        change = self.engine.extinction(rule, len(self._events))
        event = ExtinctionEvent(
            number=len(self._events),
            epoch=self.epoch,
            trigger=trigger,
            options=rule.options(),
            version=self.version,
            cells_before=change.cells_before,
            cells_after=change.cells_after,
            first_id=change.first_id,
            n_born=change.n_born,
            n_died=change.n_died,
            seconds=change.seconds,
            capacity=self.engine.pool.capacity,
            loss_before=loss_before,
            _parents=Ids(change.parents, self.backend),
            _died=Ids(change.died, self.backend),
        )
        self._events.append(event)
        self.schedule, self.last_options = ScheduleState(), event.options
        self._events[-1] = replace(event, loss_after=next(losses, None))
        return self._events[-1]

    # train and judge

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 10,
        batch_size: int = 128,
        loss: str | Loss = "cross_entropy",
        optimizer: str | Optimizer,
        extinction: Extinction | None = None,
        validation: tuple[Any, Any] | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
    ) -> History:
        """Train, with extinctions when the schedule says so.

        Parameters
        ----------
        x : (n, n_in)
        y : (n,) class labels for `cross_entropy`, (n, n_out) values otherwise
        epochs, batch_size : int
            The last batch of an epoch may be smaller.
        loss : str or Loss
            `cross_entropy` (softmax over the outputs), `binary_cross_entropy` (a logit an output), `mse`.
        optimizer : Optimizer
            `dna.SGD(...)`, `dna.Adam(...)`.
        extinction : Extinction, optional
            Rule and schedule. The schedule's state belongs to the network: two fits of two epochs equal one of four.
        validation : (x, y), optional
            Its loss is then the one that the schedule watches; otherwise that is the training loss.
        callbacks : sequence of Callback
        progress : bool
            Whether to show a bar, and a line for each extinction.

        Returns
        -------
        History
            Also kept as `net.history`. After Ctrl-C it holds the epochs that ended, and the network is whole.

        Raises
        ------
        ShapeError, DataError, OptionError, UnknownNameError
            Before anything changed.
        NumericsError
            The loss became NaN or Inf.
        """
        history = History()
        chosen_loss, chosen_optimizer = find_loss(loss), find_optimizer(optimizer)
        self.history = history
        return fit(
            self,
            x,
            y,
            epochs=epochs,
            batch_size=batch_size,
            loss=chosen_loss,
            optimizer=chosen_optimizer,
            extinction=extinction,
            validation=validation,
            callbacks=callbacks,
            progress=progress,
            history=history,
        )

    def predict(self, x: Any, *, labels: bool | None = None) -> np.ndarray:
        """Return class labels (n,), or output values (n, n_out) where `labels` is False or there is one output only."""
        data = check.real_batch("x", x, self.n_in, self.backend.maths.dtype)
        batches = [self.forward(data[i : i + PREDICTION_BATCH]) for i in range(0, len(data), PREDICTION_BATCH)]
        values = np.concatenate(batches)
        wants_labels = self.n_out > 1 if labels is None else labels
        return values.argmax(1) if wants_labels else values

    def evaluate(self, x: Any, y: Any, *, loss: str | Loss = "cross_entropy") -> dict[str, float]:
        """Return the mean loss over a data set, and the metric of the loss (`accuracy` for both cross-entropies)."""
        chosen = find_loss(loss)
        value, metric = evaluate(self, lay_out(self, x, y, chosen), chosen)
        return {"loss": value} | ({chosen.metric: metric} if chosen.metric and metric is not None else {})

    # look and keep

    def topology(self) -> Topology:
        """Return the present version as arrays on the host, for views and exports."""
        return saved.topology(self)

    def graph(self) -> nx.MultiDiGraph:
        """Return the networkx view of the present version: frozen, nodes by number, key = cell id."""
        from dna.graph.view import view

        return view(self.topology(), lambda: self.version)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save all that a later run needs to go on bit by bit; the file is replaced whole or not at all.

        Raises
        ------
        CheckpointError
        """
        write_state(path, saved.to_state(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "auto") -> Network:
        """Return a network that goes on where the saved one stood.

        Raises
        ------
        CheckpointError
            The file is not ours, torn, or lies.
        DeviceError
        """
        state = read_state(path)
        self = cls.__new__(cls)
        self._adopt(assemble_saved(state, device), state.meta["deterministic"])
        saved.restore(self, state)
        return self

"""The runner: plan and potentials of one network, and the order in which the phases run."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from dna.backend import Backend, Batch, Inputs, LossMaths, OptimizerMaths, Steps, Turnover, Update
from dna.errors import InUseError, OptionError, ShapeError
from dna.plans import Plans
from dna.pool import Pool
from dna.statistics import Statistics
from dna.types import OFFSET, SUM, Array, Nodes


class Runner:
    """Runs the phases of one network on its backend, in this order: load -> forward -> loss -> backward -> apply.

    `moves` counts all changes of the topology; unlike `version` it never goes back, so what was made for one topology is not
    taken for that of another.
    """

    def __init__(self, backend: Backend, pool: Pool, nodes: Nodes, *, version: int, seed: int) -> None:
        self.backend, self.pool, self.nodes = backend, pool, nodes
        self.version, self.seed, self.dtype = version, seed, backend.maths.dtype
        self.n_in, self.n_out = int(nodes.inputs.shape[0]), int(nodes.outputs.shape[0])
        self.statistics = Statistics(backend)
        self.plans = Plans(backend, pool, nodes)
        self.moves, self._moment = 0, 0
        self._potentials: Array = None
        self._gradient: Array = None
        self._shape = (0, 0, 0)
        self._numbers = backend.upload(np.arange(0))
        self._inputs, self._laid_out = Inputs(np.empty((0, 0), backend.maths.dtype), self._numbers), True
        self._batch, self._thread = 0, 0
        self._went_back: bool | None = None
        self._has_gradients, self._topology = True, object()
        self._tally = backend.zeros((1, 2), SUM), backend.zeros(1, OFFSET)

    @property
    def n_nodes(self) -> int:
        return int(self.nodes.level.shape[0])

    def move_to(self, version: int, turnover: Turnover | None = None) -> None:
        """Take note that the topology is another one now, of this version, and of all that changed if that is known."""
        self.version, self.moves, self._went_back = version, self.moves + 1, None
        self._topology = object()
        self._moment += 1
        self.plans.renew(self.nodes, turnover)
        self.forget()

    # plan

    def compile(self, name: str) -> None:
        """Choose a plan and make it for the present version."""
        self.plans.ask(name)
        self.forget()  # each plan lays a batch out in its own way
        self.plans.ready()

    # forward, backward

    def answer(self, data: np.ndarray) -> np.ndarray | None:
        """Return the outputs for a batch, (batch, n_out), or None where it holds NaN or Inf; then all is as it was."""
        plans, batch, before = self.plans, len(data), self.plans.question
        plans.choose(batch, True)
        outputs = self._answer_by_phases(data, batch) if plans.whole is None else self._answer_whole(data, batch)
        if outputs is None:
            plans.choose(*before)
        return outputs

    def _answer_by_phases(self, data: np.ndarray, batch: int) -> np.ndarray | None:
        backend, on_device = self.backend, self.backend.upload(data)
        if not backend.all_finite(on_device):
            return None
        self.load(on_device, self._row_numbers(batch))
        self.forward()
        return backend.store_rows(self._potentials, self.nodes.outputs, batch)

    def _answer_whole(self, data: np.ndarray, batch: int) -> np.ndarray | None:
        plans, before = self.plans, (self._shape, self._potentials, self._gradient, self._batch)
        self._batch = 0  # until the answer is there
        self._fit_buffers(batch, plans.tile)
        out = np.empty((batch, self.n_out), self.dtype)
        inputs = plans.whole.answer(  # type: ignore[union-attr]
            plans.ready(), self.pool.cells, self._moment, self.nodes, data, self._potentials, out
        )
        if inputs is None:
            self._shape, self._potentials, self._gradient, self._batch = before
            return None
        self._inputs, self._laid_out = inputs, plans.form != "dense"
        self._batch, self._thread, self._went_back = batch, threading.get_ident(), False
        return out

    def load(self, data: Array, rows: Array, batch_size: int | None = None) -> None:
        """Take rows of the data, which must be finite and stay as they are until the next load, as inputs.

        Tiles have the size for batches of `batch_size`, so that a smaller last batch runs in the kernels of all others.
        """
        self._batch, self._went_back = 0, None
        n = int(rows.shape[0])
        form = self.plans.choose(batch_size or n)
        self._fit_buffers(n, self.plans.tile)
        self._inputs, self._laid_out = Inputs(data, rows), False
        if form != "dense":
            self._lay_out_inputs()
        self._batch, self._thread = n, threading.get_ident()

    def _lay_out_inputs(self) -> None:
        """Write the inputs to the potentials; the dense plan does without, unless somebody looks at them."""
        if not self._laid_out:
            self.backend.load_rows(self._potentials, self.nodes.inputs, *self._inputs)
            self._laid_out = True

    def forward(self) -> None:
        """Compute all potentials from those of the inputs."""
        plan, pool, dense = self.plans.ready(), self.pool, self.backend.dense
        if self.plans.name == "dense" and dense is not None:
            dense.forward(plan, pool.cells, self._moment, self.nodes, self._inputs, self._potentials)
        else:
            self.backend.forward(self.plans.name, plan, pool.cells, pool.bump, self.nodes, self._potentials)
        self._went_back = False

    def forget(self) -> None:
        """Refuse a backward until the next forward: the potentials are none that a user asked for, or cells or plan changed."""
        self._batch = 0

    def seen(self) -> Batch | None:
        """Return the last batch, if the topology is still that which it went through."""
        if self._went_back is None:
            return None
        self._lay_out_inputs()
        return Batch(self._potentials, self._gradient, int(self._inputs.rows.shape[0]), self._went_back)

    def potentials(self) -> np.ndarray:
        """Return the potentials of all nodes, (n_nodes, batch), on the host."""
        self._lay_out_inputs()
        tiles = self.backend.download(self._potentials)
        return np.concatenate(list(tiles), axis=1)[:, : self._batch]

    def return_gradient(self, gy: np.ndarray) -> np.ndarray | None:
        """Fill all gradients from that at the outputs, and return that at the inputs; None where it holds NaN or Inf."""
        batch = len(gy)
        self._require_forward(batch)
        if self.plans.whole is not None:
            return self._return_whole(gy, batch)
        on_device = self.backend.upload(gy)
        if not self.backend.all_finite(on_device):
            return None
        self.backend.load_rows(self._gradient, self.nodes.outputs, on_device, self._row_numbers(self._batch))
        return self.backward(inputs_too=True)

    def _return_whole(self, gy: np.ndarray, batch: int) -> np.ndarray | None:
        plans, ends, out = self.plans, (self._potentials, self._gradient), np.empty((batch, self.n_in), self.dtype)
        finite = plans.whole.return_gradient(  # type: ignore[union-attr]
            plans.ready(), self.pool.cells, self._moment, self.nodes, self._inputs, *ends, gy, out
        )
        if not finite:
            return None
        self._went_back = self._has_gradients = True
        return out

    def _require_forward(self, batch: int) -> None:
        """Raise unless the last forward was of so many samples, and of this thread."""
        if self._batch == 0:
            raise OptionError("backward: expected a forward before it, got none since cells or plan last changed")
        if self._thread != threading.get_ident():
            raise InUseError("backward: expected a forward of this thread before it, got one of another thread since")
        if batch != self._batch:
            raise ShapeError(f"gy: expected a gradient for the {self._batch} samples of the last forward, got {batch}")

    def loss(self, loss: LossMaths, targets: Array, rows: Array, scale: float, tally: tuple[Array, Array] | None = None) -> None:
        """Write the gradient at the outputs, times `scale`.

        The batch's sums of losses and hits go to the next row of `tally`, (n, 2) float64 and the (1,) int64 that counts them.
        """
        into = self._tally if tally is None else tally
        self.backend.loss(loss, self._potentials, self._gradient, self.nodes.outputs, targets, rows, scale, *into)

    def backward(self, *, inputs_too: bool) -> np.ndarray | None:
        """Fill the gradients of all cells; with `inputs_too` return dL/dV of the inputs, (batch, n_in)."""
        plan, pool, nodes, backend = self.plans.ready(), self.pool, self.nodes, self.backend
        potentials, gradient, out = self._potentials, self._gradient, None
        if self.plans.name == "dense" and backend.dense is not None:
            out = np.empty((self._batch if inputs_too else 0, self.n_in), backend.maths.dtype)
            backend.dense.backward(plan, pool.cells, self._moment, nodes, self._inputs, potentials, gradient, out)
        else:
            backend.backward(self.plans.name, plan, pool.cells, pool.bump, nodes, potentials, gradient, inputs_too)
            out = backend.store_rows(gradient, nodes.inputs, self._batch) if inputs_too else None
        self._went_back = self._has_gradients = True
        return out

    def apply(self, optimizer: OptimizerMaths, coefficients: Array) -> None:
        """Update all weights and biases by their gradients, after the statistics that somebody watches took note of them."""
        if self.statistics.looks_at_samples:
            self._lay_out_inputs()
        self.statistics.observe(self.pool, self._potentials, self._batch)
        self.forget()
        self._moment += 1
        self.backend.apply(Update(optimizer, coefficients), self.pool.cells, self.pool.bump)

    def learn(self, optimizer: OptimizerMaths, coefficients: Array) -> None:
        """Go backward and update all cells, as `backward` and `apply` do; their gradients need not be there afterwards."""
        if self.statistics.looks_now or self.plans.name == "dense":
            self.backward(inputs_too=False)
            return self.apply(optimizer, coefficients)
        self.statistics.pass_by()
        plan, pool, ends = self.plans.ready(), self.pool, (self._potentials, self._gradient)
        update = Update(optimizer, coefficients)
        self._has_gradients = self.backend.backward(
            self.plans.name, plan, pool.cells, pool.bump, self.nodes, *ends, False, update
        )
        self._went_back, self._moment = True, self._moment + 1
        return self.forget()

    def repeat(self, work: Callable[[], None], *arrays: Array) -> None:
        """Take a whole step, `work`, by a single launch where the backend can.

        It loads, goes forward and learns, with these arrays beside the network's own, and nothing of it differs from step to step
        but what they hold. It leaves the same behind whether it was called or not.
        """
        steps = self.statistics.steps
        ends = self.pool.cells, self.plans.ready(), self.nodes, self._potentials, self._gradient
        self.backend.repeat((self._topology, *ends, *arrays), work)
        self.statistics.steps = steps
        self.statistics.pass_by()
        self._went_back, self._has_gradients, self._moment = True, False, self._moment + 1
        self.forget()

    def takes_steps(self, size: int) -> bool:
        """Whether `take_steps` is for batches of this size."""
        plan, dense = self.plans.ready(size), self.backend.dense
        return self.plans.name == "dense" and dense is not None and dense.takes_steps(plan, self.nodes)

    def take_steps(self, steps: Steps) -> int:
        """Do what load, forward, loss, backward and apply do, for many batches; return how many were applied.

        They end at a batch whose loss is not finite, before it is applied; that one is at hand then. One step at a time where
        somebody watches statistics.
        """
        rows, watched = steps.rows(steps.first), self.statistics.looks_now
        self.plans.choose(steps.size)
        self._fit_buffers(len(rows), self.plans.tile)
        self._inputs, self._laid_out = Inputs(steps.data, rows), False
        taken = self._take_steps(steps, learn=not watched)
        if watched and taken:
            if self.statistics.looks_at_samples:
                self._lay_out_inputs()
            self.statistics.observe(self.pool, self._potentials, len(rows))
            self._take_steps(steps, go=False)
        elif taken:
            self.statistics.pass_by()
        self._moment += taken
        self._inputs = Inputs(steps.data, steps.rows(steps.first + min(taken, steps.n - 1)))
        self._batch, self._thread, self._went_back = len(rows), threading.get_ident(), True
        self._has_gradients = True
        if taken == steps.n:
            self.forget()
        return taken

    def _take_steps(self, steps: Steps, **half: bool) -> int:
        ends = self._potentials, self._gradient
        return self.backend.dense.take_steps(self.plans.ready(), self.pool.cells, self.nodes, steps, *ends, **half)  # type: ignore[union-attr]

    def blank_gradients(self) -> None:
        """Let the gradients of all cells be zeros where those of the last backward were not kept."""
        if not self._has_gradients:
            for column in (self.pool.cells.weight_grad, self.pool.cells.bias_grad):
                self.backend.fill(column, 0)
        self._has_gradients = True

    def _fit_buffers(self, batch: int, tile: int) -> None:
        shape = (-(-batch // tile), self.n_nodes, tile)
        if self._shape != shape:
            ends = self.backend.zeros(shape, self.dtype), self.backend.zeros(shape, self.dtype)
            self._shape, (self._potentials, self._gradient) = shape, ends  # at once: Ctrl-C may come while memory is taken

    def _row_numbers(self, batch: int) -> Array:
        """Return 0, 1, ..., batch - 1 on the device."""
        if int(self._numbers.shape[0]) != batch:
            self._numbers = self.backend.upload(np.arange(batch))
        return self._numbers

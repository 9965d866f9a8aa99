"""What a backend does: the phases that run on a device.

`dna/cpu` and `dna/cuda` each hold one, phase by phase in files of the same names.

Potentials and their gradients are arrays (tiles, nodes, tile): a batch is cut into tiles of `tile` samples, and the samples
of a tile lie next to each other, which is what SIMD lanes and warps want. Sample s of a batch is at [s // tile, node, s %
tile]; lanes past the end of the batch hold zeros at the inputs, and zeros in the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Any, NamedTuple, Protocol

import numpy as np

from dna.cells import Activation, CellKind, Scalar
from dna.rules import Passthrough, Statistic
from dna.rules.pairs import Pairs
from dna.types import Array, Cells, Heap, Nodes

PLANS = ("gather", "scatter", "dense")

Plan = Any
"""What a backend makes of a topology: its own affair."""


class Maths(NamedTuple):
    """What a network computes: the choices that its kernels are compiled for."""

    kind: CellKind
    activations: tuple[Activation, ...]  # one a level; that of the inputs is the identity and is never applied
    dtype: np.dtype  # float32 or float64

    @property
    def real(self) -> type:
        return self.dtype.type


class Batch(NamedTuple):
    """A batch that went through the network: what regrowth looks at."""

    potentials: Array  # (tiles, nodes, tile)
    gradient: Array  # the same shape: dL/d(sum of currents) above the inputs, where it went back too
    n: int  # samples
    went_back: bool


class Update(NamedTuple):
    """What cells are updated by."""

    optimizer: OptimizerMaths
    coefficients: Array  # (8,) real: the optimizer's numbers for this step


class Turnover(NamedTuple):
    """Cells that came and went since a plan was made."""

    died: Array  # (n,) int32: the slots of the dead, ascending
    source: Array  # (n,) int32: the nodes that they ran from
    target: Array  # (n,) int32: and to
    born: tuple[Array, ...]  # (m,) int32 each: the slots of the newborn, some of which may be those of dead


class LossMaths(Hashable, Protocol):
    """A loss as backends need it (see `dna.training.losses.Loss`)."""

    @property
    def build(self) -> Callable[[type], tuple[tuple[Any, ...], Scalar, Scalar, Scalar]]: ...
    @property
    def labels(self) -> bool: ...
    def __hash__(self) -> int: ...


class OptimizerMaths(Protocol):
    """An optimizer as backends need it (see `dna.training.optimizers.Optimizer`)."""

    @property
    def moments(self) -> int: ...
    @staticmethod
    def update(real: type) -> Scalar: ...


class Inputs(NamedTuple):
    """A batch as it came in."""

    data: Array  # (n, n_in)
    rows: Array  # (batch,) int64: which of them


class Steps(NamedTuple):
    """Steps of training that follow one another."""

    data: Array  # (n, n_in)
    targets: Array  # (n, ...), as the loss takes them
    order: Array  # (n,) int64: the samples in the order of the batches
    size: int  # samples of a batch
    first: int  # the batch of the first step
    n: int  # how many, all with the same number of samples
    loss: LossMaths
    optimizer: OptimizerMaths
    rates: Array  # (batches, 8) real: the optimizer's numbers
    sums: Array  # (batches, 2) float64: losses and hits go there

    def rows(self, batch: int) -> Array:
        """Return the samples of a batch."""
        return self.order[batch * self.size : (batch + 1) * self.size]


class Whole(Protocol):
    """Phases that take a call from outside whole: they look at its numbers, lay out what they need and give the answer."""

    def tile(self, batch: int, nodes: Nodes, n_cells: int) -> int: ...  # samples a tile of potentials
    def make_plan(self, cells: Cells, bump: int, n_cells: int, nodes: Nodes) -> Plan: ...
    def answer(
        self, plan: Plan, cells: Cells, moment: int, nodes: Nodes, data: Array, potentials: Array, out: Array
    ) -> Inputs | None: ...
    # writes potentials, and those of the outputs as rows to `out`; returns what is kept of the data, or None, with no potential
    # written, where they are not finite. Cells are what they were before while `moment` is the same
    def return_gradient(
        self, plan: Plan, cells: Cells, moment: int, nodes: Nodes, inputs: Inputs, potentials: Array, gradient: Array,
        gy: Array, out: Array,
    ) -> bool: ...  # fmt: skip
    # backward from dL/dV of the outputs as rows, which go to `gradient` too; dL/dV of the inputs go as rows to `out`. The answer
    # is False, with nothing written, where they are not finite


class Form(Whole, Protocol):
    """A form of the gather plan for some calls from outside."""

    def suits(self, nodes: Nodes, batch: int) -> bool: ...  # whether it takes calls of so many samples to these nodes


class Dense(Whole, Protocol):
    """The phases of the dense plan, which reads samples as rows where they lie: no tiles of inputs are made."""

    def refusal(self, nodes: Nodes) -> str | None: ...  # why this network cannot have the plan, or None
    def suits(self, nodes: Nodes, n_cells: int, in_order: bool, batch: int, outside: bool) -> bool: ...
    # whether `auto` takes it, which is never a question of time; `in_order`: no cell was born or died yet;
    # `outside`: it is a call of its own, and not a step of `fit`
    def reason(self, nodes: Nodes, n_cells: int, in_order: bool, batch: int, outside: bool) -> str: ...
    # why `auto` takes it, or does not, for a network that can have it
    def forward(self, plan: Plan, cells: Cells, moment: int, nodes: Nodes, inputs: Inputs, potentials: Array) -> None: ...
    # writes potentials of the outputs
    def backward(
        self, plan: Plan, cells: Cells, moment: int, nodes: Nodes, inputs: Inputs, potentials: Array, gradient: Array, out: Array
    ) -> None: ...
    # as of the backend; dL/dV of the inputs go as rows to `out` unless that is empty
    def takes_steps(self, plan: Plan, nodes: Nodes) -> bool: ...  # whether `take_steps` is for this plan
    def take_steps(
        self, plan: Plan, cells: Cells, nodes: Nodes, steps: Steps, potentials: Array, gradient: Array, go: bool = True,
        learn: bool = True,
    ) -> int: ...  # fmt: skip
    # forward, loss, backward and update of many batches; ends before the update of one whose loss is not finite, and returns how
    # many were updated. It leaves potentials, gradients and the cells' gradients as the phases do, those of the last batch. A
    # call that does not `learn` and then one that does not `go` take a step with the same bits


class Backend(Protocol):
    """The phases. Methods run to completion in order; only counts and what `download` names cross to the host."""

    device: str  # "cpu", "cuda:0", "cudasim"
    maths: Maths
    runs_ahead: bool  # whether the host goes on while kernels run, so that a look at what they found makes it wait

    @property
    def dense(self) -> Dense | None: ...  # where there is such a plan
    @property
    def few(self) -> Form | None: ...  # for a few samples, where there is one
    @property
    def laid(self) -> Form | None: ...  # for larger calls, where there is one

    # memory
    def empty(self, shape: int | tuple[int, ...], dtype: np.dtype) -> Array: ...
    def zeros(self, shape: int | tuple[int, ...], dtype: np.dtype) -> Array: ...
    def upload(self, array: np.ndarray) -> Array: ...
    def download(self, array: Array) -> np.ndarray: ...  # a copy
    def write(self, array: Array, values: np.ndarray) -> None: ...  # every element of a contiguous array, from the host
    def synchronize(self) -> None: ...  # return when all that was launched is done
    def tile(self, batch: int) -> int: ...  # samples a tile for batches of this size
    def fill(self, array: Array, value: float) -> None: ...  # every element of an array
    def all_finite(self, data: Array) -> bool: ...  # whether a 2-D array holds neither NaN nor Inf
    def load_rows(self, potentials: Array, nodes: Array, data: Array, rows: Array) -> None: ...
    # data[rows[s], i] -> potentials at node nodes[i] of sample s; zeros past the end (rows and data as uploaded: (n,) int64 and
    # (N, len(nodes)) real)
    def store_rows(self, potentials: Array, nodes: Array, batch: int) -> np.ndarray: ...  # -> (batch, len(nodes)) on the host

    # plan, forward, backward
    def make_plan(
        self, name: str, cells: Cells, bump: int, n_cells: int, nodes: Nodes, older: tuple[Plan, Turnover] | None = None
    ) -> Plan: ...
    # the same whether or not there is an older plan of that name for the same nodes, and all that changed since
    def forward(self, name: str, plan: Plan, cells: Cells, bump: int, nodes: Nodes, potentials: Array) -> None: ...
    def backward(
        self, name: str, plan: Plan, cells: Cells, bump: int, nodes: Nodes, potentials: Array, gradient: Array, inputs_too: bool,
        update: Update | None = None,
    ) -> bool: ...
    # `gradient` holds dL/dV at the outputs, which are the last level, and anything elsewhere; afterwards it holds, for every node
    # above the inputs, dL/d(sum of its currents), and with `inputs_too` dL/dV at the inputs. Every living cell's gradients are
    # written, not added to. With `update` the cells are updated too, and a backend may leave out their gradients; it says whether
    # they are there.

    # loss, apply
    def loss(
        self, loss: LossMaths, potentials: Array, gradient: Array, outputs: Array, targets: Array, rows: Array,
        scale: float, sums: Array, place: Array,
    ) -> None: ...
    # writes the sum of sample losses and that of hits over rows to sums[place[0]], (n, 2) float64, and moves `place`, (1,) int64,
    # on to the next row, or the first after the last; `gradient` is written at the outputs, zero in lanes past the end
    def apply(self, update: Update, cells: Cells, bump: int) -> None: ...
    def begin_step(self, order: Array, place: Array, size: int, rates: Array, rows: Array, coefficients: Array) -> None: ...
    # rows[i] = order[place[0] * size + i] and coefficients = rates[place[0]], from (n,) int64 and (batches, 8) real
    def repeat(self, key: tuple[Any, ...], work: Callable[[], None]) -> None: ...
    # does what `work` does, which only launches kernels, the same ones with the same arguments where all objects of the key are
    # the same as the last time; so a backend may spare to call it

    # statistics: of the gradients of a step, and of the first samples of a batch; `before` samples are in the table already
    def gather_step(self, statistic: Statistic, cells: Cells, bump: int, table: Array) -> None: ...
    def gather_samples(
        self, statistic: Statistic, cells: Cells, bump: int, potentials: Array, samples: int, before: int, table: Array
    ) -> None: ...

    # pool
    def claim(self, heap: Heap, count: int) -> Array: ...  # (count,) int32 slots: from the top of the stack, then by bump
    def release(self, cells: Cells, heap: Heap, slots: Array, again: int = 0) -> None: ...
    # onto the stack in this order; columns zeroed, ids -1. The last so many, `again`, may stay as they are: they are claimed and
    # written at once
    def settle(self, heap: Heap) -> np.ndarray: ...  # folds tickets drawn by kernels into the counters; -> the counters
    def grow(self, cells: Cells, heap: Heap, capacity: int) -> tuple[Cells, Heap]: ...  # copies; new slots are free
    def new_pool(self, capacity: int, rows: int) -> tuple[Cells, Heap]: ...  # empty: ids -1, zeros, counters zero

    # extinction
    def new_fates(self, cells: Cells, bump: int, n_cells: int) -> Array: ...
    # (bump,) uint8: KEEP for each of the n living cells; what stands for free slots is the backend's affair, and no fate
    def score(
        self, measure: Passthrough, cells: Cells, bump: int, seed: int, event: int, gathered: tuple[Array, int] | None = None,
        full: bool = False,
    ) -> tuple[Array, int]: ...  # fmt: skip
    # -> ((bump,) real scores, slot of the NaN with the lowest slot, or -1); `gathered`: table and count of a statistic; `full`:
    # no slot is free
    def select_counts(
        self, scores: Array, cells: Cells, bump: int, nodes: Nodes, scope: int, n_split: int, n_delete: int, keep_outputs: bool,
        fates: Array,
    ) -> tuple[int, int]: ...
    # exactly the weakest and strongest among living cells whose target is at level `scope` (-1: all); adds to `fates`
    def select_thresholds(
        self, scores: Array, cells: Cells, bump: int, nodes: Nodes, above: float, below: float, keep_outputs: bool, fates: Array
    ) -> tuple[int, int]: ...
    def protect(self, cells: Cells, born_after: int, fates: Array) -> None: ...
    # exempts the cells that were born in later versions from deletion, until the next selection is done
    def count_levels(self, cells: Cells, bump: int, nodes: Nodes) -> np.ndarray: ...  # living cells by target level
    def compact(self, fates: Array, fate: int, count: int) -> Array: ...  # (count,) int32 slots of that fate, ascending
    def take(self, column: Array, slots: Array) -> Array: ...  # column[..., slots], a new array on the device
    def take_cells(self, cells: Cells, *wanted: tuple[Array, Collection[str]]) -> tuple[dict[str, Array], ...]: ...
    # the columns of these names at some slots, and others at others: twice slots, which are ascending, and names
    def put(self, column: Array, slots: Array, values: Array) -> None: ...  # column[slots] = values, of one dimension
    def write_children(
        self, rule: str, jitter: float, cells: Cells, parents: Array, children: Array, first_id: int, version: int, seed: int
    ) -> None: ...
    # the k-th child of the k-th parent, by `dna.rules.build_split`; ids from `first_id` on; state as `inherits_state` says.
    # Without parents it compiles and does nothing

    # regrowth; candidates are pairs of nodes, laid out like cells with the number of their draw as the id, and their scores
    def mark_pairs(self, cells: Cells, bump: int, fates: Array, n_nodes: int, n_cells: int) -> Array: ...
    # -> a table (see `dna.rules.pairs.table_size`) of the pairs that are joined by cells without the fate DELETE
    def draw_pairs(
        self, kept: tuple[Cells, Array], pairs: Pairs, first: int, total: int, seed: int, event: int, table: Array,
        found: tuple[Cells, Array],
    ) -> None: ...
    # writes those kept, then the pairs of draws `first`, `first + 1`, ...; the id is -1 where the pair is in the table
    def rate_pairs(
        self, by: str, size: float, found: tuple[Cells, Array], first: int, batch: Batch | None, seed: int, event: int
    ) -> None: ...
    # writes scores and weights of the candidates from `first` on, by `dna.rules.rating`; `random` needs no batch
    def write_newborns(self, cells: Cells, slots: Array, chosen: Cells, first_id: int, version: int) -> None: ...
    # ends, weight, bias, parent and the first rows of state as chosen, all other rows zeros; ids from `first_id` on. Without
    # slots it compiles and does nothing

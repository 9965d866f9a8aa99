"""Network: what users build, train, look at and keep."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from dna import check, past, saved
from dna.assembly import Options, assemble, assemble_saved
from dna.building import Built, generator
from dna.cells import CellKind
from dna.checkpoint import Checkpoints, State, read_state, write_state
from dna.graph.filters import Filters, part
from dna.graph.matrices import Layer, layer_of
from dna.graph.structure import layered
from dna.graph.topology import Topology
from dna.rules import Extinction
from dna.training import Callback, History, Loss, Optimizer, evaluate, find_loss, find_optimizer, fit, lay_out
from dna.turn import in_one_fit, in_turn

if TYPE_CHECKING:
    import networkx as nx

PREDICTION_BATCH = 1024


class Network(Built):
    """A network of cells between nodes in levels, whose topology lives.

    Parameters
    ----------
    layers : sequence of int
        Nodes of each level, inputs first; `[784, 10]` is the DNA single-layer model.
    cell : str or CellKind
        `linear` (I = w*V - b), `relu`, `tanh` (I = phi(w*V - b)), or a kind of your own.
    activation : str or sequence of str, optional
        What hidden nodes do with the sum of their currents: `identity`, `relu`, `tanh`, `sigmoid`; or one name for each level
        above the inputs. By default `relu` for linear cells and `identity` for others. Outputs keep the sum unless a sequence
        says otherwise.
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
    input_shape : (height, width), optional
        Where the inputs are the pixels of an image, row by row: for views and pictures.

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
        input_shape: tuple[int, int] | None = None,
    ) -> None:
        rng = generator(seed)
        structure = layered(layers, density, rng)
        choices = Options(cell=cell, activation=activation, init=init, device=device, dtype=dtype, seed=seed, capacity=capacity)
        pixels = check.image_shape(input_shape, structure.inputs.size)
        super().__init__(assemble(structure, rng, **choices), deterministic=deterministic)
        self.input_shape = pixels
        self.history = History()

    # train and judge

    @in_one_fit
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
        signals: Sequence[str] = (),
        callbacks: Sequence[Callback] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        every: int = 1,
        keep: int = 3,
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
        signals : sequence of str
            Growth signals to measure after each epoch, on the data that the schedule watches; see `Epoch.signals`.
        callbacks : sequence of Callback
        checkpoint : path, optional
            A folder, made if it is missing. The network is saved there at the start, after every `every` epochs and at the end;
            the last `keep` of these files stay, and `latest.dna` is the newest, whole at any moment. It is also where the fit
            stood, to the batch, when Ctrl-C or an error ended it.
        every, keep : int
            Epochs between two checkpoints, and how many stay. They mean nothing without `checkpoint`.
        progress : bool
            Whether to show a bar, and a line for each extinction.

        Returns
        -------
        History
            Also kept as `net.history`. After Ctrl-C it holds the epochs that ended, and the network is whole.

        Notes
        -----
        A fit that was interrupted within an epoch leaves the network between two batches. The next fit with as many samples, the
        same batch size and loss begins with the batch that comes next, also after saving and loading: it gives the bits of the
        fit that was never interrupted. That epoch counts among its `epochs`. On a GPU gradients may be zeros in between.

        Raises
        ------
        ShapeError, DataError, OptionError, UnknownNameError
            Before anything changed.
        NumericsError
            NaN or Inf in the loss or, by the end of the epoch, in a cell; the network stands before the batch that bore it.
        FileError
            A checkpoint could not be written: those before it are as they were, and the network is whole.
        """
        saving = [] if checkpoint is None else [Checkpoints(checkpoint, every=every, keep=keep)]
        return fit(
            self, x, y, epochs=epochs, batch_size=batch_size, loss=find_loss(loss), optimizer=find_optimizer(optimizer),
            extinction=extinction, validation=validation, signals=signals, saving=saving, callbacks=callbacks, progress=progress,
            history=History(),
        )  # fmt: skip

    @in_turn
    def predict(self, x: Any, *, labels: bool | None = None) -> np.ndarray:
        """Return class labels (n,) int64, or output values (n, n_out) where `labels` is False or there is one output only.

        Raises
        ------
        ShapeError, DataError
        """
        data = check.real_batch("x", x, self.n_in, self.backend.maths.dtype)
        batches = [self.forward(data[i : i + PREDICTION_BATCH]) for i in range(0, len(data), PREDICTION_BATCH)]
        values = np.concatenate(batches)
        wants_labels = self.n_out > 1 if labels is None else labels
        return values.argmax(1) if wants_labels else values

    @in_turn
    def evaluate(self, x: Any, y: Any, *, loss: str | Loss = "cross_entropy") -> dict[str, float]:
        """Return the mean loss over a data set, and the metric of the loss (`accuracy` for both cross-entropies).

        The loss is cross-entropy unless it is named, whatever the network was trained with.

        Raises
        ------
        ShapeError, DataError, UnknownNameError
        """
        chosen = find_loss(loss)
        value, metric = evaluate(self, lay_out(self, x, y, chosen), chosen)
        return {"loss": value} | ({chosen.metric: metric} if chosen.metric and metric is not None else {})

    # look and keep

    def topology(self) -> Topology:
        """Return the present version as arrays on the host, for views and exports."""
        return saved.topology(self)

    def layer(self, level: int, below: int | None = None) -> Layer:
        """Return the cells into a level from one below it as `weight @ x + bias`; for linear cells that is what they do.

        Parameters
        ----------
        level : int
            From 1, the first above the inputs.
        below : int, optional
            Where the cells come from: by default the next level below. Cells that skip levels are in layers of their own.

        Returns
        -------
        weight : scipy.sparse.csr_array
            (nodes, nodes below): the sum of w over the cells of each pair of nodes that has any. Inputs and outputs are in the
            order of the columns of x and y, other nodes by number.
        bias : numpy.ndarray
            (nodes,): minus the sum of b over those cells.

        Raises
        ------
        OptionError
            There is no such level.
        """
        return layer_of(self.topology(), level, below)

    def at(self, version: int) -> Topology:
        """Return the topology of a past version, out of the fossil record.

        Parameters
        ----------
        version : int
            At most the present one. `event.version - 1` is the topology that an event found, `event.version` what it left.

        Returns
        -------
        Topology
            Ids, end nodes, parents and births are those of the version. A weight and a bias are the first that are known from the
            end of that version on: for cells that split or died in the next extinction those just before it; for others those
            before their own next split or death; and the present ones where neither came.

        Raises
        ------
        FossilError
            It lies in the future, or before a version that a user's own kernels made.
        """
        return past.topology_at(self, version)

    def graph(self, parallel: str = "kept", **filters: Unpack[Filters]) -> nx.MultiDiGraph | nx.DiGraph:
        """Return a networkx view of the present version, or of a part of it: frozen, nodes by number.

        Parameters
        ----------
        parallel : {"kept", "merged"}
            Whether each cell is an edge of a `MultiDiGraph`, under its id as the key, or all cells of a pair of nodes are one
            edge of a `DiGraph`, with their `count` and the sums of `weight` and `bias`.
        **filters
            `level`, `target`, `source`, `around` with `radius`, `born`, `strongest`: see `dna.graph.filters.Filters`. Only what
            meets all of them is built.

        Raises
        ------
        OptionError, UnknownNameError
        """
        from dna.graph.view import view_of

        engine, moves = self.engine, self.engine.moves
        shown = part(self.topology(), filters)
        return view_of(shown, parallel, lambda: engine.version, lambda: engine.moves != moves)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save all that a later run needs to go on bit by bit; the file is replaced whole or not at all.

        Raises
        ------
        CheckpointError
        """
        write_state(path, saved.to_state(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str] | State, *, device: str = "auto") -> Network:
        """Return a network that goes on where the saved one stood; in place of a file it takes the snapshot of a `DeviceLost`.

        Raises
        ------
        CheckpointError
            The file is not ours, torn, or lies.
        DeviceError
        """
        state = path if isinstance(path, State) else read_state(path)
        self = cls._from(assemble_saved(state, device), state.meta["deterministic"])
        saved.restore(self, state)
        return self

"""Building: ways to a network other than by the sizes of its levels."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from dna import check
from dna.assembly import Assembly, Options, assemble
from dna.cells import find_kind
from dna.errors import OptionError
from dna.graph.matrices import from_matrices
from dna.graph.origin import own_options
from dna.graph.structure import from_graph
from dna.model import Model
from dna.training import History

if TYPE_CHECKING:
    import networkx as nx


class Built(Model):
    """The part of `dna.Network` that makes networks of graphs and matrices.

    Attributes
    ----------
    history : History
        Of the last fit.
    """

    history: History

    @classmethod
    def from_networkx(
        cls,
        graph: nx.DiGraph,
        *,
        inputs: Sequence[Hashable] | None = None,
        outputs: Sequence[Hashable] | None = None,
        deterministic: bool = False,
        **options: Unpack[Options],
    ) -> Self:
        """Build a network from any directed acyclic graph: its nodes are signals, its edges are cells, parallel ones included.

        The graph of a network, from `graph()` or an export, becomes that network again: with its levels, inputs, outputs, names,
        pixels, kind, activations and dtype. Ids, parents and births begin anew.

        Parameters
        ----------
        graph : networkx.DiGraph or MultiDiGraph
            Edge attributes `weight` and `bias` are taken where present, the rest is drawn by `init`.
        inputs, outputs : sequence of nodes, optional
            In the order of the columns of x and y; by default the nodes of that `role`, or else those without predecessors and
            those without successors.
        deterministic, **options
            As for `Network`: cell, activation, init, device, dtype, seed, capacity. They stand against what the graph says.

        Raises
        ------
        CycleError, GraphError
            And those of `Network`.
        """
        rng = generator(options.get("seed", 0))
        structure = from_graph(graph, inputs, outputs)
        chosen: Options = {**own_options(graph, structure.n_levels), **options}  # type: ignore[typeddict-item]
        self = cls._from(assemble(structure, rng, **chosen), deterministic)
        self.input_shape = structure.input_shape
        return self

    @classmethod
    def from_matrices(
        cls,
        weights: Sequence[Any],
        biases: Sequence[Any] | None = None,
        *,
        deterministic: bool = False,
        input_shape: tuple[int, int] | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """Build a network of levels from matrices of weights, dense or sparse; `net.layer(k)` is the way back.

        Parameters
        ----------
        weights : list of (nodes, nodes below) matrices
            One a level above the inputs, as `torch.nn.Linear` keeps them. Of a SciPy sparse matrix every entry that is stored is
            a cell, of any other array every entry that is not 0.
        biases : list of (nodes,) arrays or None, optional
            What nodes add to their sums, for linear cells alone: it is shared out among the cells of a node.
        deterministic, input_shape, **options
            As for `Network`: cell, activation, device, dtype, seed, capacity.

        Raises
        ------
        OptionError, ShapeError, DataError
            Matrices do not fit on each other or hold what is no finite number; biases were given for cells that are not linear.
        GraphError
            A node without cells has a bias.
        """
        rng = generator(options.get("seed", 0))
        structure = from_matrices(weights, biases)
        if biases is not None and not find_kind(options.get("cell", "linear")).affine:
            raise OptionError(f"biases: expected them for linear cells only, got them for {options['cell']!r}")
        pixels = check.image_shape(input_shape, structure.inputs.size)
        self = cls._from(assemble(structure, rng, **options), deterministic)
        self.input_shape = pixels
        return self

    @classmethod
    def _from(cls, assembly: Assembly, deterministic: bool) -> Self:
        self = cls.__new__(cls)
        Model.__init__(self, assembly, deterministic=deterministic)
        self.history = History()
        return self


def generator(seed: int) -> np.random.Generator:
    """Return the random generator of a network with this seed."""
    return np.random.Generator(np.random.PCG64(check.count("seed", seed, 0)))

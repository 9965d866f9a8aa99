"""The maths of cells and nodes: scalar functions, no loops, no targets."""

from dna.cells.activations import ACTIVATIONS, Activation, ActivationMaths
from dna.cells.functions import decay, log1p
from dna.cells.kind import KINDS, CellKind, CellMaths, Scalar, find_kind, register_cell
from dna.cells.linear import LINEAR
from dna.cells.relu import RELU
from dna.cells.tanh import TANH

__all__ = [
    "ACTIVATIONS",
    "KINDS",
    "LINEAR",
    "RELU",
    "TANH",
    "Activation",
    "ActivationMaths",
    "CellKind",
    "CellMaths",
    "Scalar",
    "decay",
    "find_kind",
    "log1p",
    "register_cell",
]

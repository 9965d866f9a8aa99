"""Inits: the weights and biases that a new network starts from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dna.cells import CellKind
from dna.errors import UnknownNameError
from dna.graph import spread
from dna.graph.structure import Structure

Init = Callable[[Structure, CellKind, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def _ones(structure: Structure, kind: CellKind, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """w = 1, b = 0: the start of the DNA article."""
    n = len(structure.source)
    return np.ones(n), np.zeros(n)


def _reciprocal(structure: Structure, kind: CellKind, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """w = 1 / outputs, b = 0."""
    n = len(structure.source)
    return np.full(n, 1.0 / len(structure.outputs)), np.zeros(n)


def _he(structure: Structure, kind: CellKind, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """w normal with variance 2 / fan-in (He et al. 2015), b = 0."""
    fan_in = np.bincount(structure.target, minlength=len(structure.level))[structure.target]
    return rng.standard_normal(len(fan_in)) * np.sqrt(2.0 / fan_in), np.zeros(len(fan_in))


def _glorot(structure: Structure, kind: CellKind, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """w uniform with variance 2 / (fan-in + fan-out) (Glorot and Bengio 2010), b = 0."""
    n_nodes = len(structure.level)
    fan_in = np.bincount(structure.target, minlength=n_nodes)[structure.target]
    fan_out = np.bincount(structure.source, minlength=n_nodes)[structure.source]
    return rng.uniform(-1, 1, len(fan_in)) * np.sqrt(6.0 / (fan_in + fan_out)), np.zeros(len(fan_in))


INITS: dict[str, Init] = {"ones": _ones, "reciprocal": _reciprocal, "he": _he, "glorot": _glorot, "spread": spread.spread}


def draw(init: str, structure: Structure, kind: CellKind, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and biases, (n_cells,) float64 each; those that the structure gives stand.

    Raises
    ------
    UnknownNameError
    """
    if init not in INITS:
        raise UnknownNameError("init", init, INITS)
    weight, bias = INITS[init](structure, kind, rng)
    if structure.weight is not None:
        weight = np.where(np.isnan(structure.weight), weight, structure.weight)
    if structure.bias is not None:
        bias = np.where(np.isnan(structure.bias), bias, structure.bias)
    return weight, bias

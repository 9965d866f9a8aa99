"""Models to check and to time: any structure with numbers of this run, on any device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dna.assembly import assemble
from dna.graph.structure import Structure, layered
from dna.model import Model
from dna.types import NODE


def layered_structure(layers: list[int], density: float, rng: np.random.Generator) -> Structure:
    """Return levels of these sizes, each joined to the next, with weights and biases that are hardly ever zero."""
    return _with_numbers(layered(layers, density, rng), rng)


def random_structure(rng: np.random.Generator, widths: list[int], n_cells: int) -> Structure:
    """Return cells between any two levels: some skip levels, some are parallel."""
    level = np.repeat(np.arange(len(widths), dtype=NODE), widths)
    first = np.concatenate([[0], np.cumsum(widths)])
    target = np.sort(rng.integers(first[1], first[-1], n_cells))
    source = rng.integers(0, first[level[target]])
    inputs, outputs = np.arange(widths[0], dtype=NODE), np.arange(first[-2], first[-1], dtype=NODE)
    structure = Structure(level, inputs, outputs, source.astype(NODE), target.astype(NODE))
    return _with_numbers(structure, rng)


def build(device: str, structure: Structure, **options: Any) -> Model:
    """Return a model of a structure; the same on every device."""
    return Model(assemble(structure, np.random.default_rng(0), device=device, init="glorot", **options), deterministic=False)


def _with_numbers(structure: Structure, rng: np.random.Generator) -> Structure:
    """Draw weights and biases that float32 holds exactly, so that models of both precisions are the same function."""
    n = len(structure.source)
    fan_in = np.bincount(structure.target, minlength=len(structure.level))[structure.target]
    weight = rng.standard_normal(n, dtype=np.float32) * np.sqrt(2 / fan_in).astype(np.float32)
    bias = np.float32(0.3) * rng.standard_normal(n, dtype=np.float32) * np.abs(weight)
    return replace(structure, weight=weight.astype(np.float64), bias=bias.astype(np.float64))

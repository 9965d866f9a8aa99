"""Topologies built by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from dna.graph.topology import CellTable, Topology

Make = Callable[..., Topology]


def make_topology(
    levels: Sequence[int], ends: Sequence[tuple[int, int]], *, real: str = "float32", version: int = 3, **fields: Any
) -> Topology:
    """Return a topology with nodes numbered by level, and one cell an item of `ends`; `fields` replace what is made up here."""
    n = len(ends)
    values = np.random.default_rng(n).normal(size=(4, n)).astype(real)
    columns = {
        "id": np.arange(n) * 3 + 1,
        "source": [a for a, _ in ends],
        "target": [b for _, b in ends],
        "parent": np.where(np.arange(n) % 2, np.arange(n) * 3 - 2, -1),
        "born": np.arange(n) % 4,
        **dict(zip(("weight", "bias", "weight_grad", "bias_grad"), values, strict=True)),
    }
    columns |= {name: fields.pop(name) for name in list(fields) if name in columns}
    last = sum(levels)
    options: dict[str, Any] = {
        "inputs": np.arange(levels[0]),
        "outputs": np.arange(last - levels[-1], last),
        "activations": ("identity",) * len(levels),
        "kind": "relu",
    }
    level = np.repeat(np.arange(len(levels)), levels)
    return Topology(version=version, cells=CellTable(**columns), level=level, **(options | fields))


@pytest.fixture(scope="session")
def make() -> Make:
    return make_topology


@pytest.fixture
def deep() -> Topology:
    """Four pixels, a hidden node and two outputs; two and three cells in parallel, and one that skips the hidden level."""
    ends = [(0, 4), (1, 4), (1, 4), (3, 4), (4, 5), (4, 6), (4, 6), (4, 6), (2, 6)]
    names = ("NW", "NE", "SW", "SE", "h", "cat", "dog")
    return make_topology((4, 1, 2), ends, names=names, input_shape=(2, 2))

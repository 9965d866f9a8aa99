"""The description of one version: it cannot be written to, and says no to what does not fit together."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from dna.errors import GraphError, ShapeError
from dna.graph.topology import CellTable, Topology


def test_columns_are_read_only_and_typed(deep: Topology) -> None:
    dtypes = {field.name: getattr(deep.cells, field.name).dtype.name for field in fields(CellTable)}
    reals = dict.fromkeys(("weight", "bias", "weight_grad", "bias_grad"), "float32")
    ints = dict.fromkeys(("source", "target", "born"), "int32") | dict.fromkeys(("id", "parent"), "int64")
    assert dtypes == reals | ints
    for field in fields(CellTable):
        with pytest.raises(ValueError, match="read-only"):
            getattr(deep.cells, field.name)[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        deep.level[0] = 1


def test_the_callers_array_stays_writable(deep: Topology) -> None:
    weight = np.zeros(len(deep.cells), np.float32)
    replace(deep.cells, weight=weight)
    weight[0] = 1.0


def test_sizes(deep: Topology) -> None:
    assert (len(deep.cells), deep.n_nodes, deep.n_levels) == (9, 7, 3)


def test_columns_of_two_lengths_are_refused(deep: Topology) -> None:
    with pytest.raises(ShapeError, match=r"one length.*'bias': \(2,\)"):
        replace(deep.cells, bias=np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("activations", ("identity",), "one a level, 3, got 1"),
        ("names", ("a", "b"), "one a node, 7, got 2"),
        ("input_shape", (2, 3), r"4 pixels, one an input, got \(2, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(deep: Topology, field: str, value: object, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        replace(deep, **{field: value})

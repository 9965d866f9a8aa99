"""Samples: a data set checked once and laid out once on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dna import check
from dna.backend import Backend
from dna.training.losses import Loss
from dna.types import Array


class Ends(Protocol):
    """What samples must fit: a network's ends, and where it lives."""

    @property
    def backend(self) -> Backend: ...
    @property
    def n_in(self) -> int: ...
    @property
    def n_out(self) -> int: ...


@dataclass(frozen=True)
class Samples:
    """A data set on the device.

    Attributes
    ----------
    x : (n, n_in) real
    targets : (n, 1) int64 class labels, or (n, n_out) real
    n : int
    """

    x: Array
    targets: Array
    n: int


def lay_out(network: Ends, x: Any, y: Any, loss: Loss, *, name: str = "") -> Samples:
    """Check a data set against a network and a loss, and upload it.

    Raises
    ------
    ShapeError, DataError
        Sizes differ, values are missing, NaN or Inf, labels are out of range.
    """
    dtype = network.backend.maths.dtype
    inputs = check.real_batch(f"{name}x", x, network.n_in, dtype)
    if loss.labels:
        targets = check.labels(f"{name}y", y, len(inputs), network.n_out)
    else:
        targets = _values(f"{name}y", y, len(inputs), network.n_out, dtype, loss)
    samples = Samples(network.backend.upload(inputs), network.backend.upload(targets), len(inputs))
    if not network.backend.all_finite(samples.x):
        check.require_finite(f"{name}x", inputs)
    return samples


def _values(name: str, y: Any, rows: int, n_out: int, dtype: np.dtype[Any], loss: Loss) -> np.ndarray:
    values = check.real_array(name, y)
    if n_out == 1 and values.shape == (rows,):
        values = values.reshape(rows, 1)
    targets = check.real_batch(name, values, n_out, dtype, rows=rows)
    check.require_finite(name, targets)
    if loss.name == "binary_cross_entropy":
        check.require_range(name, targets, 0.0, 1.0)
    return targets

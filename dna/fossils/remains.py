"""Remains: columns of some cells as they were at one moment, on the device until somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dna.types import ID, NODE, SLOT, Array

BORN_COLUMNS: dict[str, np.dtype | None] = {"parent": ID}
"""What is kept of a cell that was born: all else is in the pool, or in the remains of its death."""

SPLIT_COLUMNS: dict[str, np.dtype | None] = {"id": ID, "weight": None, "bias": None, "state": None}
"""What is kept of a cell that split; None stands for the network's own float32 or float64."""

DEAD_COLUMNS: dict[str, np.dtype | None] = {
    "slot": SLOT,
    "source": NODE,
    "target": NODE,
    "weight": None,
    "bias": None,
    "weight_grad": None,
    "bias_grad": None,
    "state": None,
    "id": ID,
    "parent": ID,
    "born": np.dtype(np.int32),
}
"""What is kept of a cell that died: all that the pool knew of it, and where it lay."""


class Remains:
    """Columns of n cells as they were just before an extinction; each is an attribute, a read-only NumPy array.

    Parameters
    ----------
    columns : mapping of str to array
        By the names of `BORN_COLUMNS`, `SPLIT_COLUMNS` or `DEAD_COLUMNS`: (n,) each, but (rows, n) for `state`, the optimizer
        state. A tuple of arrays stands for all of them in a row.
    download : callable
        Copies an array to the host.

    Notes
    -----
    Columns come to the host one by one, when they are asked for.
    """

    def __init__(
        self, columns: Mapping[str, Array | tuple[Array, ...]], download: Callable[[Array], np.ndarray] = np.array
    ) -> None:
        self._parts = {name: column if isinstance(column, tuple) else (column,) for name, column in columns.items()}
        self._download = download
        self._known: dict[str, np.ndarray] = {}

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_") or name not in self._parts:
            raise AttributeError(name)
        if name not in self._known:
            parts = [self._download(part) for part in self._parts[name]]
            self._known[name] = np.concatenate(parts, axis=-1) if parts else np.empty(0, ID)
            self._known[name].setflags(write=False)
            self._parts[name] = (self._known[name],)
        return self._known[name]

    def __len__(self) -> int:
        return sum(int(part.shape[len(part.shape) - 1]) for part in next(iter(self._parts.values())))

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._parts)

    @property
    def rows(self) -> int:
        """Rows of optimizer state."""
        return int(self._parts["state"][0].shape[0])

    @property
    def nbytes(self) -> int:
        """What the columns take, wherever they are."""
        return sum(int(np.prod(part.shape)) * part.dtype.itemsize for parts in self._parts.values() for part in parts)

    def __reduce__(self) -> tuple[type[Remains], tuple[dict[str, np.ndarray]]]:
        return Remains, ({name: getattr(self, name) for name in self.names},)

    def __repr__(self) -> str:
        return f"<Remains of {len(self)} cells: {', '.join(self.names)}>"

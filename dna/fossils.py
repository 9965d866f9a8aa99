"""The fossil record: what each extinction did, and to whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from dna.backend import Backend
from dna.types import ID, Array


class Ids:
    """Cell ids that an extinction left on the device; they cross to the host when somebody looks."""

    def __init__(self, arrays: Sequence[Array], backend: Backend) -> None:
        self._arrays, self._backend = tuple(arrays), backend
        self._known: np.ndarray | None = None

    def get(self) -> np.ndarray:
        """Return the ids of all arrays in a row, (n,) int64, read-only."""
        if self._known is None:
            self._known = _read_only([self._backend.download(array) for array in self._arrays])
            self._arrays = ()
        return self._known

    @classmethod
    def known(cls, values: Any) -> Ids:
        """Return ids that are on the host."""
        ids = cls.__new__(cls)
        ids._known = _read_only([values])
        return ids


def _read_only(arrays: Sequence[Any]) -> np.ndarray:
    ids = np.concatenate([np.empty(0, ID), *arrays], dtype=ID, casting="unsafe")
    ids.setflags(write=False)
    return ids


@dataclass(frozen=True)
class ExtinctionEvent:
    """One extinction, whole.

    Attributes
    ----------
    number : int
        0 for the network's first.
    epoch : int
        Epochs trained before it.
    trigger : str
        "schedule" or "hand".
    options : dict
        Births, deaths and schedule, each with its name and parameters (see `dna.Extinction.options`).
    version : int
        Topology version that it made.
    cells_before, cells_after : int
    born, parents, died : (n,) int64 arrays
        Ids: of children in the order of birth, of the cell each split from, and of the dead by ascending slot.
    loss_before, loss_after : float or None
        The watched loss just before and just after, where there was data to watch.
    seconds : float
        What the extinction itself took, without the losses and the next plan.
    capacity : int
        Slots of the pool afterwards.
    """

    number: int
    epoch: int
    trigger: str
    options: dict[str, Any]
    version: int
    cells_before: int
    cells_after: int
    first_id: int
    n_born: int
    n_died: int
    seconds: float
    capacity: int
    loss_before: float | None = None
    loss_after: float | None = None
    _parents: Ids = field(repr=False, default_factory=lambda: Ids.known([]))
    _died: Ids = field(repr=False, default_factory=lambda: Ids.known([]))

    @property
    def born(self) -> np.ndarray:
        return np.arange(self.first_id, self.first_id + self.n_born, dtype=ID)

    @property
    def parents(self) -> np.ndarray:
        return self._parents.get()

    @property
    def died(self) -> np.ndarray:
        return self._died.get()

    def __str__(self) -> str:
        losses = ""
        if self.loss_before is not None and self.loss_after is not None:
            losses = f", loss {self.loss_before:.4f} -> {self.loss_after:.4f}"
        return (
            f"extinction {self.number} after epoch {self.epoch}: {self.cells_before} -> {self.cells_after} cells, "
            f"{self.n_born} born, {self.n_died} died{losses}"
        )


class FossilRecord(Sequence[ExtinctionEvent]):
    """All extinctions of a network, oldest first; read-only."""

    def __init__(self, events: Sequence[ExtinctionEvent] = ()) -> None:
        self._events = list(events)

    @overload
    def __getitem__(self, index: int) -> ExtinctionEvent: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ExtinctionEvent]: ...
    def __getitem__(self, index: int | slice) -> ExtinctionEvent | Sequence[ExtinctionEvent]:
        return self._events[index]

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[ExtinctionEvent]:
        return iter(self._events)

    def __repr__(self) -> str:
        return f"<FossilRecord of {len(self)} extinctions>"

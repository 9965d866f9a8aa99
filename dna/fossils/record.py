"""The fossil record: all extinctions of a network that stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from dna import check
from dna.errors import FossilError
from dna.fossils.event import ExtinctionEvent
from dna.fossils.lineage import Lineage, trace


class FossilRecord(Sequence[ExtinctionEvent]):
    """All extinctions of a network that stand, oldest first; read-only.

    Parameters
    ----------
    events : sequence of ExtinctionEvent
    next_id : int
        The id that the next cell would get: all below have been given.
    """

    def __init__(self, events: Sequence[ExtinctionEvent] = (), next_id: int = 0) -> None:
        self._events, self._next_id = list(events), next_id

    def lineage(self, cell: int) -> Lineage:
        """Return from whom a cell descends and who descends from it, living or dead.

        Raises
        ------
        FossilError
            No cell ever had this id.
        """
        cell = check.count("cell", cell, 0)
        if cell >= self._next_id:
            raise FossilError(f"cell: expected an id below {self._next_id}, the next to be given, got {cell}")
        return trace(self._events, cell)

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

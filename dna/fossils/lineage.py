"""Lineage: from whom a cell descends, and who descends from it, the dead included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dna.fossils.event import ExtinctionEvent
from dna.types import FREE, ID


@dataclass(frozen=True, eq=False)
class Lineage:
    """The line of one cell.

    Attributes
    ----------
    cell : int
        Its id.
    ancestors : tuple of int
        Its parent, the parent's parent, and so on to the founder, which split from none.
    children, descendants : (n,) int64
        Ids of the cells that split from it, and of all that came of them too; ascending, which is the order of birth.
    family : (n,) int64
        The founder of its line and all descendants of that, ascending.
    born, died : ExtinctionEvent or None
        The events of its birth and of its death. A cell with `born` None was there at the start, or came by a user's kernel;
        one with `died` None lives, or was released by a user's kernel.
    """

    cell: int
    ancestors: tuple[int, ...]
    children: np.ndarray
    descendants: np.ndarray
    family: np.ndarray
    born: ExtinctionEvent | None
    died: ExtinctionEvent | None


def trace(events: Sequence[ExtinctionEvent], cell: int) -> Lineage:
    """Return the line of a cell; the time is that of a pass over all births for each generation."""
    nobody = np.empty(0, ID)
    born = np.concatenate([nobody, *(event.born for event in events)])
    parents = np.concatenate([nobody, *(event.parents for event in events)])
    ancestors = _ancestors(born, parents, cell)
    founder = ancestors[-1] if ancestors else cell
    return Lineage(
        cell=cell,
        ancestors=ancestors,
        children=born[parents == cell],
        descendants=_descendants(born, parents, cell),
        family=np.concatenate([np.array([founder], ID), _descendants(born, parents, founder)]),
        born=next((event for event in events if event.first_id <= cell < event.first_id + event.n_born), None),
        died=next((event for event in events if cell in event.died), None),
    )


def _ancestors(born: np.ndarray, parents: np.ndarray, cell: int) -> tuple[int, ...]:
    line: list[int] = []
    while True:
        place = int(np.searchsorted(born, cell))
        if place == len(born) or born[place] != cell or parents[place] == FREE:
            return tuple(line)
        cell = int(parents[place])
        line.append(cell)


def _descendants(born: np.ndarray, parents: np.ndarray, cell: int) -> np.ndarray:
    generations = [np.array([cell], ID)]
    while len(generations[-1]):
        generations.append(born[np.isin(parents, generations[-1])])
    return np.sort(np.concatenate(generations[1:]))

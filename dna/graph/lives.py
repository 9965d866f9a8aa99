"""Lives: from which version to which every cell lived, and which weights of it are known, out of the fossil record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from dna.fossils import ExtinctionEvent
from dna.graph.topology import Ints, Longs, Reals, Topology
from dna.types import ID, NODE

ALIVE = -1
"""In the column `died`: the cell lives."""

COLUMNS = ("id", "source", "target", "weight", "bias", "parent", "born", "died")
"""The columns of `Lives`."""


class EpochLoss(NamedTuple):
    """The losses of one epoch of a fit."""

    epoch: int  # counted over the life of the network, from 1
    training: float
    validation: float | None


class Chronicle(NamedTuple):
    """What a network knows of its past. Both may be empty."""

    fossils: Sequence[ExtinctionEvent] = ()
    losses: Sequence[EpochLoss] = ()


class Remembers(Protocol):
    """What a chronicle is taken from: a `dna.Network`."""

    @property
    def fossils(self) -> Sequence[ExtinctionEvent]: ...

    history: Any  # a dna.History


def chronicle_of(network: Remembers) -> Chronicle:
    """Return what a network knows of its past: its fossil record, and the losses of its last fit."""
    return Chronicle(network.fossils, [EpochLoss(one.number, one.loss, one.val_loss) for one in network.history.epochs])


@dataclass(frozen=True, eq=False)
class Lives:
    """All cells of a network, the living and those of the fossil record, in id order.

    Attributes
    ----------
    id, parent : (n,) int64
    source, target : (n,) int32
    born : (n,) int32
        The version in which a cell first lived.
    died : (n,) int32
        The first version without it, or `ALIVE`.
    weight, bias : (n,) real
        Of now, or just before death.
    known : Known
        Earlier weights.
    first, last : int
        The versions that lives tell of: from the oldest event's predecessor (or the present one) to the present.
    """

    id: Longs
    source: Ints
    target: Ints
    weight: Reals
    bias: Reals
    parent: Longs
    born: Ints
    died: Ints
    known: Known
    first: int
    last: int

    def __len__(self) -> int:
        return len(self.id)


class Known(NamedTuple):
    """Weights and biases of cells just before they split, in order of row and version."""

    row: np.ndarray  # (m,) into the columns of `Lives`
    version: np.ndarray  # (m,) the last version with this weight
    weight: np.ndarray  # (m,)
    bias: np.ndarray  # (m,)


def lives(topology: Topology, fossils: Sequence[ExtinctionEvent]) -> Lives:
    """Return the lives of all cells; of a part of a topology (see `dna.graph.filters`), those of its living cells alone."""
    columns = {name: getattr(topology.cells, name) for name in COLUMNS if name != "died"}
    died = [np.full(len(topology.cells), ALIVE, NODE)]
    if topology.whole is None:
        dead = [event.dead for event in fossils]
        columns = {name: np.concatenate([column, *(getattr(one, name) for one in dead)]) for name, column in columns.items()}
        died += [np.full(len(event.dead), event.version, NODE) for event in fossils]
    order = np.argsort(columns["id"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    first = fossils[0].version - 1 if fossils else topology.version
    return Lives(
        **columns,
        died=np.concatenate(died)[order],
        known=_known(columns["id"], fossils),
        first=min(first, topology.version),
        last=topology.version,
    )


def _known(ids: np.ndarray, fossils: Sequence[ExtinctionEvent]) -> Known:
    split = [event.split for event in fossils]
    nobody = np.empty(0, ID)
    cell = np.concatenate([nobody, *(one.id for one in split)])
    version = np.concatenate([nobody, *(np.full(len(event.split), event.version - 1, ID) for event in fossils)])
    weight, bias = (np.concatenate([np.empty(0), *(getattr(one, name) for one in split)]) for name in ("weight", "bias"))
    row = np.searchsorted(ids, cell)
    here = row < len(ids)
    here[here] = ids[row[here]] == cell[here]
    order = np.flatnonzero(here)[np.lexsort((version[here], row[here]))]
    return Known(row[order], version[order], weight[order], bias[order])

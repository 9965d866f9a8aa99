"""Presets of growth: compositions of births of nodes and a schedule, by the names that the field gives them."""

from __future__ import annotations

from typing import Literal

from dna.errors import UnknownNameError
from dna.rules.births import Birth
from dna.rules.extinction import Extinction
from dna.rules.node_growth import GrowNodes
from dna.rules.node_insertion import InsertLevel, InsertNodes
from dna.rules.node_split import SplitNodes
from dna.rules.schedule import Plateau, Schedule

By = Literal["gradient", "split"]
WAYS = ("gradient", "split")


def width_first(*, nodes: int = 1, by: By = "gradient", level: int | None = None, when: Schedule | None = None) -> Extinction:
    """Return an extinction by which levels get wider: `Extinction(births=GrowNodes(...), when=...)`, and no deaths.

    Parameters
    ----------
    nodes : int
        New nodes an event.
    by : {"gradient", "split"}
        `GrowNodes`, which makes the first hidden level where there is none, or `SplitNodes`.
    level : int, optional
        The one that grows; by default any.
    when : Schedule, optional
        `dna.Plateau()` by default: when the watched loss stalls. A signal: `dna.Signal("saturated", above=0.5)`.

    Raises
    ------
    OptionError, UnknownNameError
    """
    return Extinction(births=_wider(nodes, by, level), when=Plateau() if when is None else when)


def depth_first(*, nodes: int | None = None, activation: str | None = None, when: Schedule | None = None) -> Extinction:
    """Return an extinction by which networks get deeper: `Extinction(births=InsertLevel(...), when=...)`, and no deaths.

    Parameters
    ----------
    nodes : int, optional
        By default a level comes in below the outputs and hands on all that the one below it holds. With a number, so many nodes
        come on the way of the strongest cells, `InsertNodes`, for which levels come in where they are needed.
    activation : str, optional
        Of levels that come in: by default `relu` for linear cells and `identity` for others.
    when : Schedule, optional
        `dna.Plateau()` by default.

    Raises
    ------
    OptionError, UnknownNameError
        As an extinction, where the new level could not hand on what it gets: tanh cells need `nodes`.
    """
    birth: Birth = InsertLevel(activation=activation) if nodes is None else InsertNodes(nodes=nodes, activation=activation)
    return Extinction(births=birth, when=Plateau() if when is None else when)


def hybrid(
    *, nodes: int = 1, by: By = "gradient", activation: str | None = None, when: Schedule | None = None
) -> Extinction:
    """Return an extinction by which networks get deeper and wider at once: `InsertNodes` and `GrowNodes` or `SplitNodes`.

    Parameters
    ----------
    nodes : int
        So many come on the way of cells, and so many join levels, an event.
    by : {"gradient", "split"}
        As for `width_first`.
    activation : str, optional
        As for `depth_first`.
    when : Schedule, optional
        `dna.Plateau()` by default.

    Raises
    ------
    OptionError, UnknownNameError
    """
    births = [InsertNodes(nodes=nodes, activation=activation), _wider(nodes, by, None)]
    return Extinction(births=births, when=Plateau() if when is None else when)


def _wider(nodes: int, by: str, level: int | None) -> Birth:
    if by not in WAYS:
        raise UnknownNameError("way to grow", by, WAYS)
    return GrowNodes(nodes=nodes, level=level) if by == "gradient" else SplitNodes(nodes=nodes, level=level)

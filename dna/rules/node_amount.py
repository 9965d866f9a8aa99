"""How many nodes a rule of birth is for, and which: a number, a share, or those that a function names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dna.cells import Scalar
from dna.check import choice
from dna.errors import OptionError
from dna.rules.amount import count_of, share_at
from dna.rules.options import require_count, require_number
from dna.rules.passthrough import Passthrough
from dna.rules.paths import Cosine
from dna.types import DELETE, KEEP, NODE

if TYPE_CHECKING:
    from dna.selection import Selection

Choose = Callable[[Any], Any]


def settle_nodes(nodes: int | None, share: float | Cosine | None, choose: Choose | None) -> int | None:
    """Return the number of nodes that is meant: as given, or 1 where nothing else says how many.

    Raises
    ------
    OptionError
        Two of them are given, or one is out of range.
    """
    given = [name for name, value in (("nodes", nodes), ("share", share), ("choose", choose)) if value is not None]
    if len(given) > 1:
        raise OptionError(f"{given[0]} and {given[1]}: expected one of them, got both")
    if nodes is not None:
        require_count("nodes", nodes, 1)
    if share is not None and not isinstance(share, Cosine):
        require_number("share", share, 0.0, 1.0)
    if choose is not None and not callable(choose):
        raise OptionError(f"choose: expected a function of the cells, got {choose!r}")
    return nodes if given else 1


def count_nodes(nodes: int | None, share: float | Cosine | None, selection: Selection, of: int, candidates: int) -> int:
    """Return how many are meant, as a number or as a share `of` so many; at most all candidates."""
    wanted = nodes if nodes is not None else count_of(share_at(share or 0.0, selection.clock), of)
    return min(wanted, candidates)


def living(selection: Selection) -> np.ndarray:
    """Return whether each slot holds a cell that lives on."""
    fates: np.ndarray = selection.backend.download(selection.fates)
    alive: np.ndarray = (selection.columns()["id"] >= 0) & (fates != DELETE)
    return alive


def without_fate(selection: Selection) -> np.ndarray:
    """Return whether each slot holds a cell that no rule has chosen yet."""
    fates: np.ndarray = selection.backend.download(selection.fates)
    free: np.ndarray = (selection.columns()["id"] >= 0) & (fates == KEEP)
    return free


def activity_of_nodes(
    selection: Selection, passthrough: str | Passthrough | Scalar, alive: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the hidden nodes that cells leave, ascending, and the activity of all nodes.

    The activity of a node is the sum of the passthrough of the cells that leave it, in float64 by ascending slot.
    """
    backend, source = selection.backend, selection.columns()["source"]
    level = backend.download(selection.nodes.level)
    scores = backend.download(selection.scores(passthrough)).astype(np.float64)
    sums = np.bincount(source[alive], weights=scores[alive], minlength=len(level))
    leaves = np.bincount(source[alive], minlength=len(level)) > 0
    return np.flatnonzero((level > 0) & leaves), sums


def check_nodes(found: Any, candidates: np.ndarray) -> np.ndarray:
    """Return nodes that a function of the user's chose.

    Raises
    ------
    ShapeError, DataError
        They are no row of numbers, one comes twice, or one is no candidate.
    """
    whom = "hidden nodes that cells leave and no other rule replaces"
    return choice(found, candidates, numbers="numbers", things="nodes", whom=whom).astype(NODE)

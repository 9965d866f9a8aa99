"""Families: the largest lines of descent, as a tree through the versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dna.graph.lives import ALIVE, Lives
from dna.graph.plots.figure import BLUE, GREEN, GREY, ORANGE, new_axes, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = (BLUE, ORANGE, GREEN, "#7b4a9a", "#a8862b", "#3c8c96")
_DEATH = "#b3202c"


def founders(past: Lives) -> np.ndarray:
    """Return for each life the row of the founder of its line, (n,) int64: the first ancestor that is known."""
    above = np.searchsorted(past.id, past.parent)
    above[above == len(past)] = 0
    rows = np.arange(len(past))
    known = (past.parent >= 0) & (past.id[above] == past.parent) if len(past) else np.zeros(0, bool)
    line = np.where(known, above, rows)
    while not np.array_equal(line, line[line]):
        line = line[line]
    return line


def plot_families(past: Lives, most: int = 6, ax: Axes | None = None) -> Axes:
    """Draw the largest families: a line is a life from birth to death, an upright one a birth, a dot a death.

    Parameters
    ----------
    past : Lives
        As `dna.graph.lives.lives` gives it.
    most : int
        Families to draw, those with most cells, the dead included; of equals, the one of the older founder.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a new figure, `ax.figure`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    ax = new_axes(5.6, 4.4) if ax is None else ax
    line = founders(past)
    heads, sizes = np.unique(line, return_counts=True)
    chosen = heads[np.argsort(-sizes, kind="stable")[:most]]
    height = 0.0
    labels = []
    for k, head in enumerate(chosen.tolist()):
        members = _tree_order(past, np.flatnonzero(line == head), head)
        _draw_family(ax, past, members, height, _COLORS[k % len(_COLORS)])
        count = "1 life" if len(members) == 1 else f"{len(members)} lives"
        labels.append((height + (len(members) - 1) / 2, f"cell {past.id[head]}\n{count}"))
        height += len(members) + 1.5
    style(ax, "version", "")
    ax.grid(visible=False)
    ax.set_yticks([at for at, _ in labels], [label for _, label in labels], fontsize=7)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlim(past.first - 0.05, past.last + 1.05)
    whole_numbers(ax)
    ax.invert_yaxis()
    return ax


def _tree_order(past: Lives, members: np.ndarray, head: int) -> list[int]:
    """Return the rows of a family so that all that came of a cell stands right below it, later births first."""
    children: dict[int, list[int]] = {}
    for row in members.tolist():
        children.setdefault(int(past.parent[row]), []).append(row)
    ordered, waiting = [], [head]
    while waiting:
        row = waiting.pop()
        ordered.append(row)
        waiting += children.get(int(past.id[row]), [])
    return ordered


def _draw_family(ax: Axes, past: Lives, members: list[int], height: float, color: str) -> None:
    at = {int(past.id[row]): height + k for k, row in enumerate(members)}
    rows = np.array(members)
    y = height + np.arange(len(rows))
    dead = past.died[rows] != ALIVE
    begin = np.maximum(past.born[rows], past.first)
    end = np.where(dead, past.died[rows], past.last + 1)
    above = np.array([at.get(int(parent), here) for parent, here in zip(past.parent[rows], y, strict=True)])
    ax.vlines(begin, above, y, color=GREY, linewidth=0.6)
    ax.hlines(y, begin, end, color=color, linewidth=1.6)
    ax.plot(end[dead], y[dead], ".", color=_DEATH, markersize=4)

"""Survival: which share of cells outlives how many extinctions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dna.graph.lives import ALIVE, Lives
from dna.graph.plots.figure import BLUE, ORANGE, new_axes, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Survival(NamedTuple):
    """An estimate of the share of cells that are older than an age."""

    age: np.ndarray  # (k,) int64, at which cells died, ascending from 0
    share: np.ndarray  # (k,) float64, of cells older than that
    deviation: np.ndarray  # (k,) float64, its standard error


def survival(age: np.ndarray, dead: np.ndarray) -> Survival:
    """Return the product-limit estimate of survival.

    A cell that lives has an age too, and tells that it lived so long: it is censored. At an age at which d of the n cells that
    had reached it died, the share shrinks by 1 - d/n (Kaplan and Meier, Nonparametric estimation from incomplete observations,
    1958). The variance is share**2 times the sum of d / (n (n - d)) (Greenwood, The natural duration of cancer, 1926).

    Parameters
    ----------
    age : (n,) int
        In extinctions.
    dead : (n,) bool
        Whether a cell died at that age; otherwise it lives.
    """
    ages = np.unique(age[dead])
    deaths = np.array([(age[dead] == one).sum() for one in ages], np.float64)
    risk = np.array([(age >= one).sum() for one in ages], np.float64)
    share = np.cumprod(1 - deaths / risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = share**2 * np.cumsum(deaths / (risk * (risk - deaths)))
    deviation = np.sqrt(np.where(share > 0, variance, 0.0))
    return Survival(np.append(0, ages), np.append(1.0, share), np.append(0.0, deviation))


def plot_survival(past: Lives, ax: Axes | None = None) -> Axes:
    """Draw survival by age, of the founders and of the cells born later, with 95 % bands; a tick is the age of a living cell.

    Age counts extinctions: a cell born in one and dead in the next has age 1. Founders are the cells of the oldest known version.

    Parameters
    ----------
    past : Lives
        As `dna.graph.lives.lives` gives it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a new figure, `ax.figure`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    ax = new_axes(4.8, 3.2) if ax is None else ax
    dead = past.died != ALIVE
    born = np.maximum(past.born, past.first)
    age = np.where(dead, past.died, past.last) - born
    founder = past.born <= past.first
    for group, name, color in ((founder, "founders", BLUE), (~founder, "born later", ORANGE)):
        if group.any():
            _draw(ax, age[group], dead[group], f"{name}, {int(group.sum()):,} cells", color)
    style(ax, "age in extinctions", "share that is older")
    ax.set_ylim(0, 1.03)
    ax.set_xlim(0, max(past.last - past.first, 1) + 0.1)
    whole_numbers(ax)
    if len(past):
        ax.legend(fontsize=8, framealpha=1.0, edgecolor="none", borderpad=0.3)
    return ax


def _draw(ax: Axes, age: np.ndarray, dead: np.ndarray, label: str, color: str) -> None:
    curve = survival(age, dead)
    ages = np.append(curve.age, age.max())
    share, spread = np.append(curve.share, curve.share[-1]), 1.96 * np.append(curve.deviation, curve.deviation[-1])
    ax.step(ages, share, where="post", color=color, linewidth=1.7, label=label)
    low, high = np.clip(share - spread, 0, 1), np.clip(share + spread, 0, 1)
    ax.fill_between(ages, low, high, step="post", color=color, alpha=0.18, linewidth=0)
    censored = np.unique(age[~dead])
    heights = curve.share[np.searchsorted(curve.age, censored, side="right") - 1]
    ax.plot(censored, heights, "|", color=color, markersize=6, markeredgewidth=1)

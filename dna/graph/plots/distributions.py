"""Distributions: weights and biases before and after an event, and degrees of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dna.errors import OptionError
from dna.graph.plots.figure import BLUE, GREEN, GREY, ORANGE, count_ticks, new_axes, plain_logarithms, style
from dna.graph.topology import Topology

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 60


def plot_values(before: Topology, after: Topology, column: str = "weight", ax: Axes | None = None) -> Axes:
    """Draw how the weights, or the biases, of all cells are distributed in two versions.

    Both versions share their bins, so that the areas compare cell by cell. `net.at(version)` gives a past version; mind which
    weights the record knows of it.

    Parameters
    ----------
    before, after : Topology
    column : {"weight", "bias"}
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a new figure, `ax.figure`.

    Raises
    ------
    OptionError
        `column` is another.
    MissingExtraError
        matplotlib is not installed.
    """
    if column not in ("weight", "bias"):
        raise OptionError(f"column: expected 'weight' or 'bias', got {column!r}")
    ax = new_axes(4.8, 3.2) if ax is None else ax
    values = [_finite(getattr(topology.cells, column)) for topology in (before, after)]
    edges = np.histogram_bin_edges(np.concatenate(values), _BINS)
    if (spread := edges[-1] - edges[0]) < 1e-6:
        edges = np.linspace(edges[0] - 0.5, edges[-1] + 0.5, _BINS + 1)
    for topology, column_values, color, filled in zip((before, after), values, (GREY, BLUE), (True, False), strict=True):
        counts, _ = np.histogram(column_values, edges)
        label = f"version {topology.version}: {len(column_values):,} cells"
        ax.stairs(counts, edges, fill=filled, color=color, alpha=0.45 if filled else 1.0, linewidth=1.5, label=label)
    if spread >= 1e-6 and edges[0] < 0 < edges[-1]:
        ax.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=0.5)
    style(ax, column, "cells")
    ax.locator_params(axis="x", nbins=6)
    count_ticks(ax)
    ax.legend(fontsize=8, framealpha=1.0, edgecolor="none", borderpad=0.3)
    return ax


def plot_degrees(topology: Topology, ax: Axes | None = None) -> Axes:
    """Draw the share of nodes that have at least so many cells, in and out, on two logarithmic axes.

    Nodes without cells count in the share, and have no place on the axis. Inputs have no cells in, outputs none out.

    Parameters
    ----------
    topology : Topology
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a new figure, `ax.figure`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    ax = new_axes(4.8, 3.2) if ax is None else ax
    into, out = topology.degrees
    lead = np.ones(topology.n_nodes, bool)
    lead[topology.outputs] = False
    led = np.ones(topology.n_nodes, bool)
    led[topology.inputs] = False
    for degree, name, color in ((out[lead], "cells out", BLUE), (into[led], "cells in", ORANGE)):
        least, share = at_least(degree)
        ax.plot(least, share, drawstyle="steps-pre", color=color, linewidth=1.6, label=f"{name}, {len(degree):,} nodes")
    if len(topology.whole.cells if topology.whole else topology.cells):  # no logarithm of nothing
        ax.set_xscale("log")
        ax.set_yscale("log")
        plain_logarithms(ax)
    style(ax, "cells of a node", "share of nodes with at least so many")
    ax.legend(fontsize=8, framealpha=1.0, edgecolor="none", borderpad=0.3)
    return ax


def plot_signals(signals: dict[str, list[float]], epochs: list[int], ax: Axes | None = None) -> Axes:
    """Draw what the schedule saw at each event, one line a signal, each as a share of its largest size.

    Parameters
    ----------
    signals : dict of str to list of float
        Values of each growth signal, one an event.
    epochs : list of int
        When the events were.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a new figure, `ax.figure`.

    Raises
    ------
    OptionError
        A signal has not one value an event.
    MissingExtraError
        matplotlib is not installed.
    """
    for name, values in signals.items():
        if len(values) != len(epochs):
            raise OptionError(f"signal {name}: expected {len(epochs)} values, one an event, got {len(values)}")
    ax = new_axes(4.8, 3.2) if ax is None else ax
    for (name, values), color in zip(signals.items(), (BLUE, ORANGE, GREEN, GREY) * len(signals), strict=False):
        top = max(map(abs, values), default=0.0) or 1.0
        ax.plot(epochs, np.divide(values, top), marker="o", markersize=3, color=color, label=f"{name}, at most {top:.3g}")
    style(ax, "epoch", "share of its largest size")
    if signals:
        ax.legend(fontsize=8, framealpha=1.0, edgecolor="none", borderpad=0.3)
    return ax


def at_least(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different positive values, ascending, and for each the share of all values that are at least as large."""
    steps, counts = np.unique(values, return_counts=True)
    shares = counts[::-1].cumsum()[::-1] / max(len(values), 1)
    return steps[steps > 0], shares[steps > 0]


def _finite(values: np.ndarray) -> np.ndarray:
    kept: np.ndarray = values[np.isfinite(values)]
    return kept

"""Plots by epoch: the loss, and the number of cells, with the extinctions marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dna.errors import ShapeError
from dna.graph.plots.figure import BLUE, GREEN, GREY, ORANGE, count_ticks, new_axes, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL_SIZE = 6.5  # points


def plot_loss(
    train: Sequence[float],
    validation: Sequence[float] | None,
    extinctions: Sequence[tuple[int, int, int]],
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss by epoch, with a line for every extinction.

    Parameters
    ----------
    train : sequence of float
        Training loss of each epoch; the first is epoch 1.
    validation : sequence of float, optional
        Validation loss of each epoch.
    extinctions : sequence of (epoch, born, died)
        At the end of which epoch an extinction fired, and how many cells were born and died in it. Each line tells the numbers,
        as far as there is room; the legend tells the sums.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a new figure, `ax.figure`.

    Raises
    ------
    ShapeError
        There are no losses, or training and validation differ in length.
    MissingExtraError
        matplotlib is not installed.
    """
    if not len(train) or (validation is not None and len(validation) != len(train)):
        raise ShapeError(
            f"losses: expected at least one epoch, and as many of validation, got {len(train)}"
            + ("" if validation is None else f" and {len(validation)}")
        )
    ax = new_axes(6.4, 3.6) if ax is None else ax
    _draw_curve(ax, train, "training", BLUE)
    if validation is not None:
        _draw_curve(ax, validation, "validation", ORANGE)
    _style_epochs(ax, len(train), "loss")
    if len(extinctions):
        _draw_extinctions(ax, sorted(extinctions))
    ax.legend(fontsize=8, framealpha=1.0, edgecolor="none", borderpad=0.3)
    return ax


def plot_cells(cells: Sequence[int], extinctions: Sequence[tuple[int, int, int]], ax: Axes | None = None) -> Axes:
    """Draw the number of living cells by epoch, with a line for every extinction.

    Parameters
    ----------
    cells : sequence of int
        Living cells at the end of each epoch, before its extinction; the first is epoch 1.
    extinctions : sequence of (epoch, born, died)
        As for `plot_loss`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a new figure, `ax.figure`.

    Raises
    ------
    ShapeError
        There are no epochs.
    MissingExtraError
        matplotlib is not installed.
    """
    if not len(cells):
        raise ShapeError("cells: expected at least one epoch, got 0")
    ax = new_axes(6.4, 2.6) if ax is None else ax
    ax.step(np.arange(1, len(cells) + 1), cells, where="post", color=GREEN, linewidth=1.8, label="living cells")
    _style_epochs(ax, len(cells), "cells")
    count_ticks(ax)
    if len(extinctions):
        _draw_extinctions(ax, sorted(extinctions))
    ax.legend(fontsize=8, framealpha=1.0, edgecolor="none", borderpad=0.3)
    return ax


def _draw_curve(ax: Axes, losses: Sequence[float], label: str, color: str) -> None:
    few = len(losses) <= 40
    epochs = np.arange(1, len(losses) + 1)
    ax.plot(epochs, losses, label=label, color=color, linewidth=1.6, marker="o" if few else None, markersize=3)


def _style_epochs(ax: Axes, epochs: int, y: str) -> None:
    style(ax, "epoch", y)
    ax.set_xlim(0.5, epochs + 0.5)
    whole_numbers(ax)


def _draw_extinctions(ax: Axes, extinctions: Sequence[tuple[int, int, int]]) -> None:
    born, died = (sum(event[k] for event in extinctions) for k in (1, 2))
    events = f"{len(extinctions):,} extinction" + ("s" if len(extinctions) > 1 else "")
    for i, (epoch, _, _) in enumerate(extinctions):
        label = f"{events}: {born:,} born, {died:,} died" if i == 0 else None
        ax.axvline(epoch, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=0.9, label=label)
    for epoch, label in _with_room(ax, [(epoch, f"+{born:,}\n\N{MINUS SIGN}{died:,}") for epoch, born, died in extinctions]):
        _label_extinction(ax, epoch, label)


def _label_extinction(ax: Axes, epoch: int, label: str) -> None:
    # Above the axes, so that no curve runs through it.
    ax.annotate(
        label, (epoch, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
        ha="center", va="bottom", fontsize=_LABEL_SIZE, linespacing=1.05, color="#444444",
    )  # fmt: skip


def _with_room(ax: Axes, labels: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the labels that do not run into the one before."""
    low, high = ax.get_xlim()
    width = ax.bbox.width * 72 / ax.figure.dpi
    kept: list[tuple[int, str]] = []
    end = -math.inf
    for epoch, label in labels:
        middle = (epoch - low) / (high - low) * width
        half = _LABEL_SIZE * 0.35 * max(map(len, label.split("\n")))  # a digit is some 0.64 of its height wide
        if middle - half > end:
            kept.append((epoch, label))
            end = middle + half
    return kept

"""Plots for papers and reports. They need matplotlib, draw into figures, and never open a window."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dna.errors import MissingExtraError, OptionError, ShapeError, UnknownNameError
from dna.files import replace_file
from dna.graph.topology import Topology

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TRAIN, _VALIDATION, _EXTINCTION = "#1f4e79", "#d1602d", "#8a8a8a"
_LABEL_SIZE = 6.5  # points
_COLUMNS = 10  # classes side by side
_STEPS = 12  # most cells a pixel that still have a colour each
_DPI = 200


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
    ax = _new_figure(6.4, 3.6).subplots() if ax is None else ax
    _draw_curve(ax, train, "training", _TRAIN)
    if validation is not None:
        _draw_curve(ax, validation, "validation", _VALIDATION)
    _style_loss_axes(ax, len(train))
    if len(extinctions):
        _draw_extinctions(ax, sorted(extinctions))
    ax.legend(fontsize=8, framealpha=1.0, edgecolor="none", borderpad=0.3)
    return ax


def plot_class_maps(topology: Topology, figure: Figure | None = None) -> Figure:
    """Draw two images a class: how many cells join each pixel to its output, and their summed weight.

    All images of one sort share a colour scale; white is no cell, and no weight. The scale of weights is centred at zero and
    ends at the 99.8th percentile of |weight|, so that a few extreme pixels do not bleach the rest; an arrow on the bar says
    where it was cut.

    Parameters
    ----------
    topology : Topology
        One of two levels, whose inputs are pixels (`input_shape` is set).
    figure : matplotlib.figure.Figure, optional
        Where to draw; without it a new one.

    Raises
    ------
    OptionError
        The topology has hidden levels, or its inputs are not pixels.
    MissingExtraError
        matplotlib is not installed.
    """
    if topology.n_levels != 2:
        raise OptionError(f"class maps: expected a topology of two levels, got {topology.n_levels}")
    if topology.input_shape is None:
        raise OptionError("class maps: expected inputs that are pixels, got a topology without input_shape")
    counts, weights = _class_images(topology)
    blocks = math.ceil(len(counts) / _COLUMNS)
    columns = min(len(counts), _COLUMNS)
    if figure is None:
        figure = _new_figure(1.0 * columns + 1.1, blocks * 2.35)
    axes = figure.subplots(2 * blocks, columns, squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    titles = _titles(topology)
    for block in range(blocks):
        part = slice(block * _COLUMNS, (block + 1) * _COLUMNS)
        _draw_row(figure, axes[2 * block], counts[part], _count_scale(counts), titles[part])
        _draw_row(figure, axes[2 * block + 1], weights[part], _weight_scale(weights), None)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as its suffix says (.png, .svg, .pdf), and return the path.

    An existing file is replaced whole or not at all.

    Raises
    ------
    UnknownNameError
        matplotlib knows no such format.
    FileError
        The folder is missing or read-only, the disk is full, or `path` is a folder.
    """
    path = Path(path)
    suffix = path.suffix.lower().removeprefix(".")
    known = figure.canvas.get_supported_filetypes()
    if suffix not in known:
        raise UnknownNameError("figure format", suffix, known)
    image = io.BytesIO()
    figure.savefig(image, format=suffix, dpi=_DPI)
    replace_file(path, [image.getvalue()])
    return path


def _new_figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib: pip install hebbian-dna[plots]") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_curve(ax: Axes, losses: Sequence[float], label: str, color: str) -> None:
    few = len(losses) <= 40
    epochs = np.arange(1, len(losses) + 1)
    ax.plot(epochs, losses, label=label, color=color, linewidth=1.6, marker="o" if few else None, markersize=3)


def _style_loss_axes(ax: Axes, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    ax.set_xlim(0.5, epochs + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    ax.set_axisbelow(True)


def _draw_extinctions(ax: Axes, extinctions: Sequence[tuple[int, int, int]]) -> None:
    born, died = (sum(event[k] for event in extinctions) for k in (1, 2))
    events = f"{len(extinctions):,} extinction" + ("s" if len(extinctions) > 1 else "")
    for i, (epoch, _, _) in enumerate(extinctions):
        label = f"{events}: {born:,} born, {died:,} died" if i == 0 else None
        ax.axvline(epoch, color=_EXTINCTION, linewidth=0.9, linestyle=(0, (4, 2)), zorder=0.9, label=label)
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


def _class_images(topology: Topology) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return for each output and pixel the number of cells and their summed weight, both (outputs, height, width)."""
    cells, shape = topology.cells, topology.input_shape or (0, 0)
    pixel, output = np.zeros(topology.n_nodes, np.int64), np.zeros(topology.n_nodes, np.int64)
    pixel[topology.inputs] = np.arange(len(topology.inputs))
    output[topology.outputs] = np.arange(len(topology.outputs))
    place = output[cells.target] * len(topology.inputs) + pixel[cells.source]
    size = len(topology.outputs) * len(topology.inputs)
    counts = np.bincount(place, minlength=size)
    weights = np.bincount(place, weights=cells.weight, minlength=size)
    return counts.reshape(-1, *shape), weights.reshape(-1, *shape)


def _titles(topology: Topology) -> list[str]:
    if topology.names is None:
        return [str(k) for k in range(len(topology.outputs))]
    return [str(topology.names[node]) for node in topology.outputs.tolist()]


class _Scale(NamedTuple):
    """How numbers become colours, and what the colour bar says of it."""

    label: str
    colors: dict[str, Any]  # cmap and norm
    ticks: Any = None
    extend: str = "neither"


def _count_scale(counts: np.ndarray[Any, Any]) -> _Scale:
    """Few cells a pixel have a colour each; many share a scale that grows as the square root, as most pixels hold few."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap, PowerNorm

    top = max(int(counts.max()), 1)
    colors = LinearSegmentedColormap.from_list("cells", ["white", *colormaps["viridis_r"](np.linspace(0.08, 1.0, 16))])
    if top > _STEPS:
        return _Scale("cells", {"cmap": colors, "norm": PowerNorm(0.5, 0, top)})
    steps = BoundaryNorm(np.arange(top + 2) - 0.5, top + 1)
    return _Scale("cells", {"cmap": colors.resampled(top + 1), "norm": steps}, ticks=range(0, top + 1, 1 + top // 6))


def _weight_scale(weights: np.ndarray[Any, Any]) -> _Scale:
    from matplotlib.colors import Normalize

    size = np.abs(weights)
    top = float(np.percentile(size, 99.8)) or float(size.max()) or 1.0
    cut = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    extend = cut[bool(weights.min() < -top), bool(weights.max() > top)]
    return _Scale("summed weight", {"cmap": "RdBu_r", "norm": Normalize(-top, top)}, extend=extend)


def _draw_row(figure: Figure, row: Any, images: np.ndarray[Any, Any], scale: _Scale, titles: list[str] | None) -> None:
    for k, image in enumerate(images):
        drawn = row[k].imshow(image, interpolation="nearest", **scale.colors)
        row[k].set_axis_on()
        row[k].set(xticks=[], yticks=[])
        row[k].spines[:].set(linewidth=0.5, color="#888888")
        if titles is not None:
            row[k].set_title(titles[k], fontsize=10, pad=3)
    bar = figure.colorbar(drawn, ax=list(row), pad=0.01, fraction=0.05, aspect=12, ticks=scale.ticks, extend=scale.extend)
    bar.set_label(scale.label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.ax.minorticks_off()
    bar.outline.set_linewidth(0.5)

"""Class maps: for each class, how many cells join each pixel to it, and their summed weight."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dna.errors import OptionError
from dna.graph.plots.figure import new_figure
from dna.graph.topology import Topology

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 10  # classes side by side
_STEPS = 12  # most cells a pixel that still have a colour each


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
        figure = new_figure(1.0 * columns + 1.1, blocks * 2.35)
    axes = figure.subplots(2 * blocks, columns, squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    titles = _titles(topology)
    for block in range(blocks):
        part = slice(block * _COLUMNS, (block + 1) * _COLUMNS)
        _draw_row(figure, axes[2 * block], counts[part], _count_scale(counts), titles[part])
        _draw_row(figure, axes[2 * block + 1], weights[part], _weight_scale(weights), None)
    return figure


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

"""A drawing of a topology by levels: pixels as the image, cells coloured by weight, the strongest on top."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dna.graph.attributes import alive
from dna.graph.filters import part
from dna.graph.layout import Layout, lay_out
from dna.graph.markup import legal
from dna.graph.plots.figure import image_of, new_figure
from dna.graph.topology import Topology

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 20_000  # cells that a drawing shows
_LABELS = 40  # most nodes of a level that have labels
_ARC, _BEND = 13, 0.09  # points of an arc, and its height as a share of its length
_INCHES = 0.16  # of a distance of the layout
NEGATIVE, POSITIVE = "#2563a8", "#d9590a"


def plot_topology(topology: Topology, ax: Axes | None = None) -> Axes:
    """Draw a topology by levels, from left to right.

    Blue is negative and orange positive; the larger |weight|, the stronger the line, on a scale that ends at the 99.5th
    percentile. Cells of one pair of nodes are drawn side by side; those that skip a level are bent, so that no node hides them.
    Of more than 20,000 cells the strongest are drawn, and the title says so. Nodes grow darker with the number of their cells;
    those through which no signal passes are pale.

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
    drawn = part(topology, {"strongest": _MOST}) if len(topology.cells) > _MOST else topology
    layout = lay_out(topology)
    if ax is None:
        width, height = np.ptp(layout.place, 0) * _INCHES + 0.9
        ax = new_figure(float(np.clip(width, 3, 16)), float(np.clip(height, 3, 12))).subplots()
    _draw_cells(ax, drawn, layout)
    _draw_nodes(ax, topology, layout)
    _draw_labels(ax, topology, layout)
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ax.set_axis_off()
    if drawn is not topology:
        ax.set_title(f"the strongest {_MOST:,} of {len(topology.cells):,} cells", fontsize=8, color="#666666")
    return ax


def svg_drawing(topology: Topology) -> Iterator[bytes]:
    """Yield an SVG drawing."""
    yield image_of(plot_topology(topology).figure, "svg")  # type: ignore[arg-type]


def png_drawing(topology: Topology) -> Iterator[bytes]:
    """Yield a PNG drawing."""
    yield image_of(plot_topology(topology).figure, "png")  # type: ignore[arg-type]


def _draw_cells(ax: Axes, topology: Topology, layout: Layout) -> None:
    from matplotlib.collections import LineCollection

    cells = topology.cells
    if not len(cells):
        return
    weight = np.nan_to_num(cells.weight.astype(np.float64))
    strength = np.clip(np.abs(weight) / (float(np.percentile(np.abs(weight), 99.5)) or 1.0), 0, 1)
    width = 0.3 + 0.9 * strength
    colors = np.where((weight < 0)[:, None], _rgba(NEGATIVE), _rgba(POSITIVE))
    colors[:, 3] = _opacity(topology, strength**1.5, width, float(np.ptp(layout.place[:, 1])))
    lines = np.stack([layout.place[cells.source], layout.place[cells.target]], 1)
    lines += _lanes(topology)[:, None, None] * _across(lines)[:, None, :]
    order = np.argsort(strength, kind="stable")
    paths = _bent(lines, topology.level[cells.target] - topology.level[cells.source] > 1)
    drawn = [paths[row] for row in order.tolist()]
    ax.add_collection(LineCollection(drawn, colors=colors[order].tolist(), linewidths=width[order].tolist()))


def _bent(lines: np.ndarray, skips: np.ndarray) -> list[np.ndarray]:
    """Return a path for each line: the line itself, or where it skips a level an arc that leaves the axis of the layout."""
    paths = list(lines)
    along = np.linspace(0.0, 1.0, _ARC)[:, None]
    for row in np.flatnonzero(skips).tolist():
        begin, end = lines[row]
        away = 1.0 if begin[1] + end[1] > 0 else -1.0
        paths[row] = (1 - along) * begin + along * end
        paths[row][:, 1:] += 4 * along * (1 - along) * _BEND * away * np.linalg.norm(end - begin)
    return paths


def _opacity(topology: Topology, shown: np.ndarray, width: np.ndarray, tall: float) -> np.ndarray:
    """Return opacities of cells that grow with `shown`, scaled so that no level is painted over; few cells are never faint."""
    layer = topology.level[topology.cells.target]
    paper = tall * _INCHES * 72
    faintest = np.clip(0.2 * paper / np.maximum(np.bincount(layer, weights=width, minlength=topology.n_levels), 1e-9), 0.05, 0.3)
    opacity = faintest[layer] + (0.9 - faintest[layer]) * shown
    ink = np.bincount(layer, weights=opacity * width, minlength=topology.n_levels)
    scaled: np.ndarray = opacity * np.minimum(1.0, 1.1 * paper / np.maximum(ink, 1e-9))[layer]
    return scaled


def _rgba(color: str) -> list[float]:
    """Return (red, green, blue, 1) of `#rrggbb`."""
    return [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)] + [1.0]


def _lanes(topology: Topology) -> np.ndarray:
    """Return for each cell how far beside the straight line it runs, so that parallel cells lie side by side."""
    cells = topology.cells
    pair = cells.source.astype(np.int64) * topology.n_nodes + cells.target
    order = np.argsort(pair, kind="stable")
    _, first, count = np.unique(pair[order], return_index=True, return_counts=True)
    lane = np.empty(len(cells))
    lane[order] = np.arange(len(cells)) - np.repeat(first + (count - 1) / 2, count)
    return 0.12 * lane


def _across(lines: np.ndarray) -> np.ndarray:
    """Return the unit vector square to each line."""
    along = lines[:, 1] - lines[:, 0]
    turned: np.ndarray = np.stack([-along[:, 1], along[:, 0]], 1) / np.linalg.norm(along, axis=1)[:, None]
    return turned


def _draw_nodes(ax: Axes, topology: Topology, layout: Layout) -> None:
    """Pixels are tiles, darker with more cells, and other nodes are discs; both hide the cells behind them."""
    from matplotlib.collections import EllipseCollection, PolyCollection

    degree = sum(topology.degrees)
    for level in range(topology.n_levels):
        nodes = np.flatnonzero(topology.level == level)
        share = np.asarray(degree)[nodes] / max(int(np.max(np.asarray(degree)[nodes], initial=0)), 1)
        places, dead = layout.place[nodes], ~alive(topology)[nodes]
        colors = _shades(share)
        colors[dead] = _rgba("#f4f4f6")
        rims = ["#c9c9d2" if gone else "#ffffff" for gone in dead]
        ink = {"facecolors": colors.tolist(), "edgecolors": rims, "linewidths": 0.3}
        if level == 0 and topology.input_shape is not None:
            corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
            ax.add_collection(PolyCollection((places[:, None] + corners).tolist(), zorder=3, **ink))
        else:
            size = _diameter(layout, nodes)
            discs = EllipseCollection(size, size, np.zeros(len(nodes)), units="xy", offsets=places, offset_transform=ax.transData)
            discs.set(zorder=3, **ink)
            ax.add_collection(discs)
    ax.autoscale_view()
    radius = 0.5 * float(_diameter(layout, topology.shown).max(initial=0.0)) + 0.2
    low, high = layout.place.min(0, initial=0.0) - radius, layout.place.max(0, initial=0.0) + radius
    ax.set_xlim(min(low[0], ax.get_xlim()[0]), max(high[0], ax.get_xlim()[1]))
    ax.set_ylim(min(low[1], ax.get_ylim()[0]), max(high[1], ax.get_ylim()[1]))


def _diameter(layout: Layout, nodes: np.ndarray) -> np.ndarray:
    size: np.ndarray = np.clip(layout.spacing[nodes] * 0.7, 0.2, 1.1)
    return size


def _shades(share: np.ndarray) -> np.ndarray:
    from matplotlib.colors import LinearSegmentedColormap

    scale = LinearSegmentedColormap.from_list("cells", ["#e7edf4", "#8fb1cc", "#2f6690", "#12273a"])
    colors: np.ndarray = np.asarray(scale(np.sqrt(share)))
    return colors


def _draw_labels(ax: Axes, topology: Topology, layout: Layout) -> None:
    outputs = {node: k for k, node in enumerate(topology.outputs.tolist())}
    for level in range(topology.n_levels):
        nodes = np.flatnonzero(topology.level == level).tolist()
        named = topology.names is not None or level == topology.n_levels - 1
        if not named or len(nodes) > _LABELS:
            continue
        beside = 0.5 * _diameter(layout, np.array(nodes))[0] + 0.3
        for node, (x, y) in zip(nodes, layout.place[nodes].tolist(), strict=True):
            name = legal(str(outputs.get(node, node) if topology.names is None else topology.names[node]))
            across, side = (x + beside, "left") if level else (x - beside, "right")
            ax.text(across, y, name, fontsize=7, ha=side, va="center", color="#2b2b33", parse_math=False)

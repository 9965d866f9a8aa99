"""Figures: made without a window, and written to files whole."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dna.errors import MissingExtraError, UnknownNameError
from dna.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

BLUE, ORANGE, GREEN, GREY = "#1f4e79", "#d1602d", "#3b7d4f", "#8a8a8a"
_DPI = 200


def new_figure(width: float, height: float) -> Figure:
    """Return a figure that belongs to no window, sizes in inches.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib: pip install hebbian-dna[plots]") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float) -> Axes:
    """Return the axes of a new figure, sizes in inches."""
    return new_figure(width, height).subplots()


def style(ax: Axes, x: str, y: str) -> None:
    """Name the axes, and leave out what is no data."""
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    ax.set_axisbelow(True)


def whole_numbers(ax: Axes) -> None:
    """Put ticks at whole numbers alone, along the axis of x."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def count_ticks(ax: Axes) -> None:
    """Put ticks at whole numbers alone along the axis of y, with thousands set apart."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def plain_logarithms(ax: Axes) -> None:
    """Write the numbers of logarithmic axes out, and between powers of ten as many as there is room for."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        decades = np.log10(high / low)
        if decades > 0.8:
            axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2.5 else (1.0, 2.0, 5.0)))
        else:
            axis.set_major_locator(MaxNLocator(6, integer=bool(low >= 1)))
            axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())


def save_figure(figure: Figure | SubFigure, path: str | os.PathLike[str]) -> Path:
    """Write a figure, such as `axes.figure`, as its suffix says (.png, .svg, .pdf), and return the path.

    An existing file is replaced whole or not at all.

    Raises
    ------
    UnknownNameError
        matplotlib knows no such format.
    FileError
        The folder is missing or read-only, the disk is full, or `path` is a folder.
    """
    path, whole = Path(path), figure.figure
    suffix = path.suffix.lower().removeprefix(".")
    known = whole.canvas.get_supported_filetypes()
    if suffix not in known:
        raise UnknownNameError("figure format", suffix, known)
    replace_file(path, [image_of(whole, suffix)])
    return path


def image_of(figure: Figure, suffix: str) -> bytes:
    """Return a figure as the bytes of a file; the same figure gives the same bytes."""
    from matplotlib import rc_context

    image = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix)
    with rc_context({"svg.hashsalt": "dna"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name in a script that the font lacks
        figure.savefig(image, format=suffix, dpi=_DPI, metadata=undated)
    return image.getvalue()

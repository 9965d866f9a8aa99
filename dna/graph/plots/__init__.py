"""Plots for papers and reports. They need matplotlib, draw into axes or figures, and never open a window."""

from dna.graph.plots.class_maps import plot_class_maps
from dna.graph.plots.distributions import plot_degrees, plot_signals, plot_values
from dna.graph.plots.drawing import plot_topology
from dna.graph.plots.epochs import plot_cells, plot_loss
from dna.graph.plots.families import plot_families
from dna.graph.plots.figure import save_figure
from dna.graph.plots.survival import plot_survival

__all__ = [
    "plot_cells",
    "plot_class_maps",
    "plot_degrees",
    "plot_families",
    "plot_loss",
    "plot_signals",
    "plot_survival",
    "plot_topology",
    "plot_values",
    "save_figure",
]

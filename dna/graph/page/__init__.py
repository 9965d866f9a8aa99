"""The page: a topology and its past in one HTML file that needs nothing else."""

from dna.graph.page.build import page

__all__ = ["page"]

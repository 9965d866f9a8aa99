"""`dna info`, `dna inspect`, `dna export`: look at this installation, at a saved model, and write it in other formats."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from dna.network import Network
from dna.version import __version__

HEADER = "level   nodes activation  cells in  weight mean  deviation     least      most"
PACKAGES = ("numba", "numba-cuda", "numpy", "scipy", "networkx", "tbb", "safetensors", "matplotlib")


def add_commands(commands: Any) -> None:
    """Add `info`, `inspect` and `export` to the parser."""
    info = commands.add_parser("info", help="versions, devices, and what auto would take")
    info.set_defaults(run=show_info)
    inspect = commands.add_parser("inspect", help="levels, cells, weights and extinctions of a saved model")
    inspect.add_argument("model", metavar="RUN.dna")
    inspect.set_defaults(run=inspect_model)
    export = commands.add_parser("export", help="write the topology of a saved model in the format that the suffix names")
    export.add_argument("model", metavar="RUN.dna")
    export.add_argument("out", metavar="OUT", help="ends in .gexf, .graphml, .json, .dot, .csv, .parquet, .html, .svg or .png")
    export.set_defaults(run=export_model)


def show_info(options: argparse.Namespace) -> int:
    """Print what somebody who reports a problem would be asked for."""
    from dna.cuda.device import why_unavailable

    print(f"dna {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    for package in PACKAGES:
        print(f"  {package:12} {_version(package)}")
    reason = why_unavailable()
    print(f"GPU: {'works' if reason is None else f'none to use, as {reason}'}")
    print(f"device='auto' takes {'cuda' if reason is None else 'cpu'}")
    return 0


def inspect_model(options: argparse.Namespace) -> int:
    """Print what a saved model is made of."""
    network = Network.load(options.model, device="cpu")
    topology, pool = network.topology(), network.engine.pool
    print(f"{options.model}: {network!r}")
    print(f"epochs {network.epoch}, optimizer {network.optimizer}, seed {network.engine.seed}")
    print(f"pool: {len(pool)} cells in {pool.capacity} slots, {pool.bump} ever used, {pool.free} of them free again")
    print(HEADER)
    into = topology.level[topology.cells.target]
    for level, activation in enumerate(topology.activations):
        weights = topology.cells.weight[into == level]
        row = f"{level:5} {int((topology.level == level).sum()):7} {activation:>10} {len(weights):9}"
        print(row + (_statistics(weights) if len(weights) else ""))
    for event in network.fossils:
        print(event)
    return 0


def export_model(options: argparse.Namespace) -> int:
    """Write a saved model's topology."""
    from dna.graph.export import export
    from dna.graph.lives import chronicle_of

    network = Network.load(options.model, device="cpu")
    print(f"wrote {export(network.topology(), options.out, chronicle_of(network))}")
    return 0


def _statistics(weights: np.ndarray) -> str:
    return f" {weights.mean():12.4g} {weights.std():10.4g} {weights.min():9.4g} {weights.max():9.4g}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

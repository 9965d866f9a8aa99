"""`dna info`, `dna inspect`, `dna export`: look at this installation, at a saved model, and write it in other formats."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dna.errors import OptionError
from dna.fossils import ExtinctionEvent
from dna.graph.attributes import alive
from dna.graph.filters import Filters, part
from dna.graph.topology import Topology
from dna.network import Network
from dna.version import __version__

LEVELS = ("level", "nodes", "dead", "activation", "cells in", "weight mean", "deviation", "least", "most")
EVENTS = ("event", "epoch", "cells", "born", "died", "cells after", "loss before", "loss after", "trigger", "fragmentation")
PACKAGES = ("numba", "numba-cuda", "numpy", "scipy", "networkx", "tbb", "safetensors", "matplotlib", "pyarrow", "tensorboardX")


def add_commands(commands: Any) -> None:
    """Add `info`, `inspect` and `export` to the parser."""
    info = _add(commands, "info", "versions, devices, and what auto would take")
    info.set_defaults(run=show_info)
    inspect = _add(commands, "inspect", "levels, cells, weights and extinctions of a saved model")
    _add_model(inspect)
    inspect.set_defaults(run=inspect_model)
    export = _add(commands, "export", "write the topology of a saved model in the format that the suffix names")
    _add_model(export)
    export.add_argument("out", metavar="OUT", help="ends in .gexf, .graphml, .json, .dot, .csv, .parquet, .html, .svg or .png")
    export.add_argument("--strongest", metavar="N", type=int, help="write so many cells alone, those with the largest |weight|")
    export.set_defaults(run=export_model)


def _add(commands: Any, name: str, what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN.dna", help="what net.save or dna train wrote")
    told = "import this module first, which registers cell kinds or optimizers of your own"
    parser.add_argument("--import", dest="modules", metavar="MODULE", action="append", default=[], help=told)


def _load(options: argparse.Namespace) -> Network:
    sys.path.insert(0, str(Path.cwd()))  # as `python -m dna` has it
    for module in options.modules:
        try:
            import_module(module)
        except ImportError as error:
            raise OptionError(f"--import: expected a module, got {module!r}: {error}") from error
    return Network.load(options.model, device="cpu")


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
    network = _load(options)
    topology, pool = network.topology(), network.engine.pool
    print(f"{options.model}: {network!r}")
    print(f"epochs {network.epoch}, optimizer {network.optimizer}, seed {network.engine.seed}")
    print(f"pool: {len(pool)} cells in {pool.capacity} slots; {pool.bump} ever used, {pool.free} of them free again", end=" ")
    print(f"(fragmentation {pool.free / max(pool.bump, 1):.1%})\n")
    print_table(LEVELS, [_level(topology, level) for level in range(topology.n_levels)])
    if len(network.fossils):
        print()
        print_table(EVENTS, [_event(event) for event in network.fossils])
    return 0


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as their widest text, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        print("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _level(topology: Topology, level: int) -> list[str]:
    weights = topology.cells.weight[topology.level[topology.cells.target] == level]
    here = topology.level == level
    dead = int((here & ~alive(topology)).sum())
    figures = [""] * 4
    if len(weights):
        figures = [f"{value:.4g}" for value in (weights.mean(), weights.std(), weights.min(), weights.max())]
    return [str(level), str(int(here.sum())), str(dead), topology.activations[level], str(len(weights)), *figures]


def _event(event: ExtinctionEvent) -> list[str]:
    losses = ["" if loss is None else f"{loss:.4f}" for loss in (event.loss_before, event.loss_after)]
    counts = (event.number, event.epoch, event.cells_before, event.n_born, event.n_died, event.cells_after)
    return [*map(str, counts), *losses, event.trigger, f"{event.fragmentation:.1%}"]


def export_model(options: argparse.Namespace) -> int:
    """Write a saved model's topology."""
    from dna.graph.export import export
    from dna.graph.lives import chronicle_of

    network = _load(options)
    filters = Filters() if options.strongest is None else Filters(strongest=options.strongest)
    print(f"wrote {export(part(network.topology(), filters), options.out, chronicle_of(network))}")
    return 0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

"""Hostile GEXF, GraphML and node-link JSON, on their way into `Network.from_networkx`."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from tempfile import TemporaryDirectory

import networkx as nx
import numpy as np

import dna
from benchmarks.fuzz.mutation import damage, spoil
from dna.graph.read import READERS, parse

FORMATS = ("gexf", "graphml", "json")


@cache
def originals() -> tuple[tuple[str, bytes], ...]:
    """Return what `export` writes of two networks, in each format."""
    graph = nx.MultiDiGraph()
    graph.add_edges_from([("a", "h"), ("b", "h"), ("b", "h"), ("h", "y"), ("a", "y")], weight=0.5)
    named = dna.Network.from_networkx(graph, cell="tanh", device="cpu")
    pixels = dna.Network([2, 2], device="cpu", input_shape=(1, 2))
    pixels.extinction(dna.Extinction(split=0.5, delete=0.25))
    found = []
    with TemporaryDirectory() as folder:
        for net in (named, pixels):
            paths = [dna.export(net, f"{folder}/graph.{suffix}") for suffix in FORMATS]
            found += [(path.suffix[1:], path.read_bytes()) for path in paths]
    return tuple(found)


def make(draw: Random) -> bytes:
    """Return a hostile file, behind one byte that says its format."""
    suffix, content = draw.choice(originals())
    if suffix == "json" and draw.random() < 0.6:
        content = json.dumps(spoil(json.loads(content), draw)).encode()
    else:
        content = damage(content, draw)
    return bytes([FORMATS.index(suffix)]) + content


def attempt(content: bytes) -> str:
    """Read a file and build a network of it; return whether it was refused or is a network that works."""
    try:
        graph = parse(content[1:], READERS[FORMATS[content[0]]])
        net = dna.Network.from_networkx(graph, device="cpu", init="glorot")
    except (dna.GraphError, dna.OptionError) as error:  # the latter for names of cell kinds and the like
        _require_region(str(error))
        return "refused"
    assert len(net) == graph.number_of_edges()
    assert all(np.isfinite(column).all() for column in (net.cells.weight, net.cells.bias))
    with np.errstate(all="ignore"):
        net.forward(np.zeros((1, net.n_in)))
    return "read"


def _require_region(refusal: str) -> None:
    assert ": " in refusal or "expected" in refusal or refusal.startswith("unknown "), f"a refusal without a region: {refusal}"

"""Views: what building one costs, against what networkx itself needs to hold the same graph.

The full graph of 100,000 cells is built by `net.graph()`, and by networkx alone from rows that lie ready: `add_edges_from` of
(source, target, key, attributes), which it copies. Memory is what Python allocates: the peak while our graph is built, from
arrays on, against what the finished graph of networkx holds. And the strongest 2,000 of a million cells are asked for.

    python benchmarks/views.py            # writes benchmarks/results/views.json
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
from record import write_result

import dna
from dna.graph.view import view

REPEATS = 7


def main() -> None:
    net = dna.Network([1000, 100], device="cpu", init="glorot")
    topology = net.topology()
    rows = list(net.graph().edges(keys=True, data=True))
    ours, theirs = in_turn(net.graph, lambda: alone(rows))
    peak, _ = memory(lambda: view(topology, lambda: 0))
    _, held = memory(lambda: alone([(*row[:3], dict(row[3])) for row in rows]))
    large = dna.Network([1000, 1000], device="cpu", init="glorot")
    top, _ = in_turn(lambda: large.graph(strongest=2000), lambda: None)
    result = {
        "cells": len(net),
        "ours_ms": ours,
        "networkx_ms": theirs,
        "time_ratio": ours / theirs,
        "ours_peak_mib": peak,
        "networkx_held_mib": held,
        "memory_ratio": peak / held,
        "top_2000_of_a_million_ms": top,
    }
    print(f"wrote {write_result('views', {name: round(value, 3) for name, value in result.items()})}: {result}")


def alone(rows: list[Any]) -> nx.MultiDiGraph:
    graph = nx.MultiDiGraph()
    graph.add_edges_from(rows)
    return graph


def in_turn(*actions: Callable[[], Any]) -> list[float]:
    """Return the median milliseconds of each, run one after the other."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(REPEATS):
        for action, seconds in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - start)
    return [1e3 * float(np.median(seconds)) for seconds in times]


def memory(build: Callable[[], Any]) -> tuple[float, float]:
    """Return MiB: the peak while something is built, and what it holds then."""
    tracemalloc.start()
    kept = build()
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return peak / 2**20, held / 2**20


if __name__ == "__main__":
    main()

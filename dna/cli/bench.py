"""`dna bench`: what a training step costs here, phase by phase."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dna.cli.options import TellDefaults, at_least
from dna.network import Network
from dna.training import LOSSES, find_optimizer


def add_commands(commands: Any) -> None:
    """Add `bench` to the parser."""
    parser = commands.add_parser(
        "bench",
        help="time one training step, phase by phase, on this machine",
        description="Time one training step, phase by phase: medians, on data drawn at random.",
        formatter_class=TellDefaults,
    )
    parser.add_argument("--layers", metavar="N", type=int, nargs="+", default=[784, 10], help="nodes of each level, inputs first")
    parser.add_argument("--cell", default="linear", help="linear, relu or tanh")
    parser.add_argument("--density", type=float, default=1.0, help="share of all pairs of nodes that get a cell")
    parser.add_argument("--batch-size", metavar="N", type=at_least(1), default=1000, help="samples of a step")
    parser.add_argument("--plan", default="auto", help="auto, gather, scatter or dense")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--repeats", metavar="N", type=at_least(1), default=100, help="steps that are timed")
    parser.set_defaults(run=bench)


def bench(options: argparse.Namespace) -> int:
    """Print the median time of each phase, and cell-samples a second."""
    network = Network(
        options.layers, cell=options.cell, density=options.density, device=options.device, init="glorot"
    )  # ones would overflow a deep network
    network.compile(options.plan)
    print(f"{network!r}, batch {options.batch_size}; {network.plan}")
    times = measure_step(network, options.batch_size, options.repeats)
    work = len(network) * options.batch_size
    for phase, seconds in times.items():
        print(f"{phase:9} {seconds * 1e3:9.3f} ms {work / seconds / 1e9:9.2f} G cell-samples/s")
    return 0


def measure_step(network: Network, batch: int, repeats: int) -> dict[str, float]:
    """Return the median seconds of each phase of a training step, and of the whole."""
    rng = np.random.default_rng(0)
    dtype = network.backend.maths.dtype
    data = network.backend.upload(rng.random((batch, network.n_in)).astype(dtype))
    targets = network.backend.upload(rng.integers(0, network.n_out, (batch, 1)))
    rows = network.backend.upload(np.arange(batch))
    engine, loss, optimizer = network.engine, LOSSES["cross_entropy"], find_optimizer("sgd", lr=1e-6)
    phases: dict[str, Callable[[], Any]] = {
        "load": lambda: engine.load(data, rows),
        "forward": engine.forward,
        "loss": lambda: engine.loss(loss, targets, rows, 1.0 / batch),
        "backward": lambda: engine.backward(inputs_too=False),
        "apply": lambda: network.apply(optimizer),
    }
    seconds: dict[str, list[float]] = {name: [] for name in (*phases, "step")}
    for _ in range(repeats + 1):
        start = time.perf_counter()
        for name, phase in phases.items():
            begin = time.perf_counter()
            phase()
            network.backend.synchronize()
            seconds[name].append(time.perf_counter() - begin)
        seconds["step"].append(time.perf_counter() - start)
    return {name: float(np.median(values[1:])) for name, values in seconds.items()}

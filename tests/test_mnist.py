"""A network with hidden nodes learns the whole of MNIST, where that is at hand."""

from __future__ import annotations

import dna
from dna.data import Dataset


def test_linear_cells_below_relu_nodes_pass_97_percent(mnist: Dataset) -> None:
    net = dna.Network([784, 64, 10], cell="linear", activation="relu", device="cpu")
    net.fit(mnist.x, mnist.y, epochs=15, optimizer=dna.Adam(1e-3), progress=False)
    assert net.evaluate(mnist.x_test, mnist.y_test)["accuracy"] > 0.97

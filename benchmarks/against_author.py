"""One training step of the 784-10 linear model, against the same step in the manner of the DNA author's code.

The author's manner is one `torch.nn.Linear(1, 1)` an edge, called one by one and summed into its target in a Python loop:
7,840 modules. Both run in one process, in turn, on the same batch; the outputs, gradients and updated weights are compared first.

Ours is timed in three ways: the phases forward, backward and apply alone, on a batch that is laid out; as a step of `net.fit`,
loading, loss and optimizer included; and by the single calls `net.forward`, `net.backward` and `net.apply` with softmax
cross-entropy between them in NumPy, where every call checks its input and `net.backward` also returns the gradient at the inputs.

    python benchmarks/against_author.py            # writes benchmarks/results/against_author.json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from record import write_result

import dna
from dna.cli.bench import measure_step

LR = 0.1
BATCHES, EPOCHS = 10, 20


class AuthorModel:
    """One module an edge; module e joins input e % n_in to output e // n_in."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.n_in, self.n_out = n_in, n_out
        self.cells = [torch.nn.Linear(1, 1) for _ in range(n_in * n_out)]
        with torch.no_grad():
            for cell in self.cells:
                cell.weight.fill_(1.0)
                cell.bias.fill_(0.0)
        self.optimizer = torch.optim.SGD([p for cell in self.cells for p in cell.parameters()], lr=LR)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sums = []
        for j in range(self.n_out):
            into = self.cells[j * self.n_in : (j + 1) * self.n_in]
            sums.append(sum(cell(x[:, i : i + 1]) for i, cell in enumerate(into)))
        outputs = torch.cat(sums, 1)
        loss = torch.nn.functional.cross_entropy(outputs, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return outputs.detach()


def our_step(net: dna.Network, x: np.ndarray, y: np.ndarray, optimizer: dna.SGD) -> np.ndarray:
    """Forward, loss, backward and apply, by public calls."""
    outputs = net.forward(x)
    e = np.exp(outputs - outputs.max(1, keepdims=True))
    g = e / e.sum(1, keepdims=True)
    g[np.arange(len(y)), y] -= 1
    net.backward(g / len(y))
    net.apply(optimizer)
    return outputs


def compare(author: AuthorModel, net: dna.Network, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Take one step with both; return the largest differences. The author's bias enters with the other sign."""
    theirs = author.step(torch.tensor(x), torch.tensor(y)).numpy()
    ours = our_step(net, x, y, dna.SGD(LR))
    weight = np.array([cell.weight.item() for cell in author.cells])
    bias = np.array([-cell.bias.item() for cell in author.cells])
    differences = {
        "outputs": float(np.abs(ours - theirs).max() / np.abs(theirs).max()),
        "weights after a step": float(np.abs(net.cells.weight - weight).max()),
        "biases after a step": float(np.abs(net.cells.bias - bias).max()),
    }
    if max(differences.values()) > 1e-4:
        raise SystemExit(f"the two models differ: {differences}")
    return differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5, help="steps of the author's model")
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.random((options.batch_size, 784), dtype=np.float32)
    y = rng.integers(0, 10, options.batch_size)

    author, net = AuthorModel(784, 10), dna.Network([784, 10], cell="linear", device="cpu")
    differences = compare(author, net, x, y)
    many = np.tile(x, (BATCHES, 1)), np.tile(y, BATCHES)
    theirs, in_phases, in_fit, by_calls = [], [], [], []
    for _ in range(options.rounds):
        theirs.append(seconds(lambda: author.step(torch.tensor(x), torch.tensor(y))))
        in_phases.append(three_phases(net, len(x)))
        in_fit += [seconds(lambda: fit(net, *many, len(x))) / (BATCHES * EPOCHS) for _ in range(5)]
        by_calls += [seconds(lambda: our_step(net, x, y, dna.SGD(LR))) for _ in range(20)]
    author_s, phases_s, fit_s, calls_s = (float(np.median(times)) for times in (theirs, in_phases, in_fit, by_calls))
    result = {
        "what": f"training step, 784-10 linear, batch {options.batch_size}, softmax cross-entropy, SGD",
        "author_ms": author_s * 1e3,
        "dna_ms": fit_s * 1e3,
        "ratio": author_s / fit_s,
        "dna_phases_ms": phases_s * 1e3,
        "ratio_phases": author_s / phases_s,
        "dna_single_calls_ms": calls_s * 1e3,
        "ratio_single_calls": author_s / calls_s,
        "largest differences": differences,
        "author_ms_all": [t * 1e3 for t in theirs],
        "dna_ms_quartiles": [float(q) * 1e3 for q in np.percentile(in_fit, (25, 75))],
    }
    print(f"author's manner {author_s * 1e3:.0f} ms a step")
    print(f"dna, forward, backward and apply alone {phases_s * 1e3:.3f} ms: {author_s / phases_s:.0f} times less")
    print(f"dna, a step of fit {fit_s * 1e3:.3f} ms: {author_s / fit_s:.0f} times less")
    print(f"dna, single calls {calls_s * 1e3:.3f} ms: {author_s / calls_s:.0f} times less")
    if not options.dry:
        print(f"wrote {write_result('against_author', result)}")


def three_phases(net: dna.Network, batch: int) -> float:
    """Return the median seconds of forward, backward and apply together."""
    times = measure_step(net, batch, repeats=100)
    return times["forward"] + times["backward"] + times["apply"]


def fit(net: dna.Network, x: np.ndarray, y: np.ndarray, batch: int) -> None:
    """Take `BATCHES * EPOCHS` steps; the data are checked anew by every call of `fit`."""
    net.fit(x, y, epochs=EPOCHS, batch_size=batch, optimizer=dna.SGD(LR), progress=False)


def seconds(run: Callable[[], object]) -> float:
    """Return what one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

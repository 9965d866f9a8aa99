"""What the choice of `auto` costs: every plan that a network allows beside the one that it chose, on the CPU.

One level of 20 to 2000 inputs and 5 to 2000 outputs at densities from 100 to 1 %, a few networks with hidden levels, linear and
ReLU cells, batches from 1 to 2048; two kinds of work: a call of forward and one of backward, and a step of `fit`. Plans take
turns in one process, and the fastest of their turns counts. `auto` is a network of its own that runs by one of the plans; the
ratio between the two is noise, and the faster of both is what the choice took. `ratio` is that over the fastest plan: 1 where
`auto` chose best. Where it is more than a tenth above, there are three times as many turns, as the plan that is fastest by
chance looks better than it is.

    python benchmarks/plans.py                # five minutes; writes benchmarks/results/plans.json
    python benchmarks/plans.py --quick        # fewer points; writes nothing
    python benchmarks/plans.py --kept rows.jsonl --seconds 60     # as many points as a minute takes, which that file keeps;
                                                                  # the next call goes on, and the one that ends them writes
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from record import write_result

import dna

SHAPES = (
    (20, 5), (20, 200), (100, 10), (100, 2000), (300, 300), (784, 5), (784, 10), (784, 20), (784, 50), (784, 200), (784, 1000),
    (2000, 5), (2000, 50), (2000, 2000),
)  # fmt: skip
DENSITIES = {"linear": (1.0, 0.2, 0.05, 0.01), "relu": (1.0, 0.05)}
BATCHES = {"linear": (1, 8, 32, 128, 512, 2048), "relu": (1, 32, 512)}
HIDDEN = ((20, 50, 5), (784, 300, 100, 10), (100, 100, 100, 100, 10))
MOST_CURRENTS, MOST_CELLS, FEWEST_CELLS = 6e7, 1e6, 50
"""Cells times samples, and cells, of the points that are taken."""

TURNS, SECONDS, SLOWER = 3, 0.002, 1.1
"""Turns of each plan, how long one lasts at least, and the ratio above which there are more turns."""

SHOWN = 15
LEGEND = """A line is a point: the time of what auto chose over that of the fastest plan; cells, nodes, density, batch; a call of
forward and one of backward, or a step of fit; what auto chose; and what each plan takes, in milliseconds."""


Work = tuple[Callable[[], object], int]
"""A call, and how often it does what is timed."""


class Point(NamedTuple):
    kind: str
    layers: tuple[int, ...]
    density: float
    batch: int

    def network(self, plan: str) -> dna.Network:
        net = dna.Network(list(self.layers), cell=self.kind, init="he", density=self.density, device="cpu")
        net.compile(plan)
        return net

    @property
    def cells(self) -> float:
        return self.density * sum(a * b for a, b in zip(self.layers, self.layers[1:], strict=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--every", type=int, default=1, help="take every n-th point only")
    parser.add_argument("--kept", type=Path, help="a file of the points that were taken before, and are taken now")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no point later than this")
    options = parser.parse_args()
    print(LEGEND, flush=True)
    every, end = 9 if options.quick else options.every, time.monotonic() + options.seconds
    wanted = list(points())[::every]
    rows = read(options.kept, wanted)
    for point in wanted[len(rows) // 2 :]:
        if time.monotonic() > end:
            print(f"{len(rows) // 2} of {len(wanted)} points are taken")
            return
        rows += measure(point)
        print("\n".join(map(line, rows[-2:])), flush=True)
        keep(options.kept, rows[-2:])
    noise = np.array([row["noise"] for row in rows])
    summary = {
        "points": len(rows),
        "more than 10 % slower than the best plan": sum(row["ratio"] > 1.1 for row in rows),
        "largest ratio": max(row["ratio"] for row in rows),
        "noise, median and 95 %": [float(np.median(noise)), float(np.quantile(noise, 0.95))],
    }
    rows.sort(key=lambda row: -row["ratio"])
    print("\nThe largest ratios:", *map(line, rows[:SHOWN]), sep="\n")
    print("\n".join(f"{what}: {value}" for what, value in summary.items()))
    if not options.quick:
        result = {"what": __doc__, "threads": numba.get_num_threads(), "every": every, "summary": summary, "rows": rows}
        print(f"wrote {write_result('plans', result)}")


def read(kept: Path | None, wanted: list[Point]) -> list[dict[str, Any]]:
    """Return the rows of the points that were taken before."""
    rows = [json.loads(row) for row in kept.read_text().splitlines()] if kept is not None and kept.exists() else []
    taken = [Point(row["kind"], tuple(row["layers"]), row["density"], row["batch"]) for row in rows[::2]]
    if taken != wanted[: len(taken)]:
        raise SystemExit(f"{kept}: expected the first of the points that are to be taken, got others")
    return rows


def keep(kept: Path | None, rows: list[dict[str, Any]]) -> None:
    """Add the rows of a point."""
    if kept is not None:
        with kept.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def points() -> Iterator[Point]:
    for kind in ("linear", "relu"):
        single = product(SHAPES, DENSITIES[kind], BATCHES[kind])
        deep = product(HIDDEN, (1.0, 0.2), BATCHES["relu"])
        for layers, density, batch in (*single, *deep):
            point = Point(kind, layers, density, batch)
            if FEWEST_CELLS <= point.cells <= MOST_CELLS and point.cells * batch <= MOST_CURRENTS:
                yield point


def measure(point: Point) -> list[dict[str, Any]]:
    """Return one row for calls and one for steps of `fit`."""
    nets = {"auto": point.network("auto")}
    for plan in ("gather", "dense", "scatter"):
        if nets["auto"].engine.plans.refusal(plan) is None:
            nets[plan] = point.network(plan)
    rng = np.random.default_rng(0)
    x, gy = (rng.random((point.batch, n), dtype=np.float32) for n in (point.layers[0], point.layers[-1]))
    rows = []
    for work, make in (("call", called), ("fit", fitted)):
        works = {name: make(net, x, gy) for name, net in nets.items()}
        ms, calls = clock(works)
        nets["auto"].engine.plans.choose(point.batch, work == "call")  # fit evaluates by batches of another size in between
        chosen = nets["auto"].engine.plans.name
        if compare(ms, chosen)["ratio"] > SLOWER:
            turn(works, calls, 2 * TURNS, ms)
        rows.append({"work": work, **point._asdict(), "ms": ms, "auto": chosen, **compare(ms, chosen)})
    return rows


def compare(ms: dict[str, float], chosen: str) -> dict[str, Any]:
    """Return the fastest plan, and how much slower the chosen one is."""
    asked = {name: each for name, each in ms.items() if name != "auto"}
    best = min(asked, key=asked.__getitem__)
    return {"best": best, "noise": abs(ms["auto"] / ms[chosen] - 1), "ratio": min(ms["auto"], ms[chosen]) / ms[best]}


def called(net: dna.Network, x: np.ndarray, gy: np.ndarray) -> Work:
    """Return a call of forward and one of backward, and how often it does so."""
    return lambda: (net.forward(x), net.backward(gy)), 1


def fitted(net: dna.Network, x: np.ndarray, gy: np.ndarray) -> Work:
    """Return a fit of some steps, and how many."""
    steps = max(4, min(100, 2000 // len(x)))
    data, labels = np.tile(x, (steps, 1)), np.tile(gy.argmax(1), steps)
    optimizer = dna.SGD(1e-6)
    return lambda: net.fit(data, labels, epochs=1, batch_size=len(x), optimizer=optimizer, progress=False), steps


def clock(works: dict[str, Work]) -> tuple[dict[str, float], dict[str, int]]:
    """Return the milliseconds of each, the least of some turns, and the calls of a turn; the first calls are not counted."""
    calls: dict[str, int] = {}
    for name, (run, _) in works.items():
        run()
        calls[name] = max(1, int(SECONDS / timed(run, 1)))
    least = dict.fromkeys(works, float("inf"))
    turn(works, calls, TURNS, least)
    return least, calls


def turn(works: dict[str, Work], calls: dict[str, int], turns: int, least: dict[str, float]) -> None:
    """Let all take so many turns, and lower `least` to what the fastest took."""
    for _ in range(turns):
        for name, (run, times) in works.items():
            least[name] = min(least[name], timed(run, calls[name]) / (calls[name] * times) * 1e3)


def timed(run: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - start


def line(row: dict[str, Any]) -> str:
    shape = "-".join(map(str, row["layers"]))
    others = ", ".join(f"{name} {ms:.4f}" for name, ms in row["ms"].items())
    point = f"{row['kind']:6} {shape:18} {row['density']:4.0%} {row['batch']:5} {row['work']:4}"
    return f"{row['ratio']:5.2f}  {point}  {row['auto']:6}  [{others}]"


if __name__ == "__main__":
    main()

"""Forward and backward of one level of cells, through the public calls, beside everything else that computes the same.

Shapes 784 x 1000 and 784 x 10, densities 100, 20, 5 and 1 %, batches 1, 32, 128 and 1024, linear and ReLU cells, float32. Each
point is one row: milliseconds of each rival, side by side in one process, and how many times faster `dna` is than the best of
them. Results are compared first. Backward, after a forward of the same batch, gives the gradients of all weights and of the
inputs.

    python benchmarks/peers.py                # writes benchmarks/results/peers.json and docs/images/peers.png
    python benchmarks/peers.py --quick        # two sizes of batch; prints the table and writes nothing
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write_result
from rivals import Dna, Work, draw_work, rivals_for

N_IN = 784
OUTPUTS, DENSITIES, BATCHES, KINDS = (1000, 10), (1.0, 0.2, 0.05, 0.01), (1, 32, 128, 1024), ("linear", "relu")
NO_RIVAL = ("FastKAN",)  # computes something else, and stands in the table for comparison
TURNS = 4
WARM = 0.005
"""Seconds at the start of a turn that are not counted: the first calls find a core that slept and the caches of another rival."""
LEGEND = """784 inputs. A line is a point: cells, phase, outputs, density, batch; what dna takes; how many times faster that is
than the best rival; and what every rival takes, in milliseconds."""
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "peers.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.1, help="counted for each rival and phase at each point")
    options = parser.parse_args()
    batches = (1, 128) if options.quick else BATCHES
    print(LEGEND, flush=True)
    rows = []
    for kind, n_out, density, batch in product(KINDS, OUTPUTS, DENSITIES, batches):
        for row in measure_point(kind, n_out, density, batch, options.seconds):
            rows.append(row)
            print(line(row), flush=True)
    if not options.quick:
        draw(rows, PICTURE)
        result = {"what": "ms of forward and of backward, one level of 784 inputs", "threads": torch.get_num_threads()}
        result["rows"] = rows
        print(f"wrote {write_result('peers', result)} and {PICTURE}")


def measure_point(kind: str, n_out: int, density: float, batch: int, seconds: float) -> list[dict[str, Any]]:
    """Return one row for forward and one for backward."""
    net, work = draw_work(kind, N_IN, n_out, density, batch)
    rivals = {"dna": Dna(work, net)} | rivals_for(work)
    compare(rivals, work)
    rows = []
    for phase in ("forward", "backward"):
        ms = measure({name: getattr(rival, phase) for name, rival in rivals.items()}, seconds)
        best = min((name for name in ms if name != "dna" and name not in NO_RIVAL), key=ms.__getitem__, default=None)
        point = {"kind": kind, "outputs": n_out, "density": density, "batch": batch, "cells": len(work.source), "phase": phase}
        gain = {"best": best, "times": None if best is None else ms[best] / ms["dna"]}
        rows.append(point | {"ms": ms} | gain | {"G cell-samples/s": work.currents / ms["dna"] / 1e6})
    return rows


def compare(rivals: dict[str, Any], work: Work) -> None:
    """Run all once; raise SystemExit where one computes something else."""
    outputs, gradients = {}, {}
    for name, rival in rivals.items():
        outputs[name], gradients[name] = np.array(rival.forward()), [np.array(part) for part in rival.backward()]
    for name in rivals:
        if name not in NO_RIVAL:
            require_close(f"{name} forward", outputs[name], outputs["dna"])
            dw, gx = gradients[name]
            dw = dw[work.target, work.source] if dw.ndim == 2 else dw
            require_close(f"{name} dL/dw", dw, gradients["dna"][0][: len(dw)])
            require_close(f"{name} dL/dx", gx, gradients["dna"][1])


def require_close(what: str, seen: np.ndarray, wanted: np.ndarray) -> None:
    error = np.abs(seen - wanted).max() / np.abs(wanted).max()
    if not error < 1e-4:
        raise SystemExit(f"{what} differs by {error:.1e} of the largest value")


def measure(runs: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Return the median milliseconds of each, called again and again for so long in all, in turns, as a loop of steps would."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(TURNS):
        for name, run in runs.items():
            time.sleep(0.02)  # threads of the one before spin for some milliseconds before they fall asleep
            repeat(run, WARM)
            times[name] += repeat(run, seconds / TURNS)
    return {name: float(np.median(taken)) * 1e3 for name, taken in times.items()}


def repeat(run: Callable[[], object], seconds: float) -> list[float]:
    """Return what each call took, of one at least and as many as begin in time."""
    taken, end = [], time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return taken


def line(row: dict[str, Any]) -> str:
    point = f"{row['kind']:6} {row['phase']:8} {row['outputs']:5} {row['density']:5.0%} {row['batch']:5}"
    others = ", ".join(f"{name} {ms:.3f}" for name, ms in row["ms"].items() if name != "dna")
    times = "" if row["times"] is None else f"{row['times']:8.2f} x {row['best']}"
    return f"{point}  dna {row['ms']['dna']:8.3f} ms {row['G cell-samples/s']:6.1f} G/s {times}   [{others}]"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw how many times faster than the best rival, by density; one panel a kind, phase and shape."""
    import matplotlib.pyplot as plt

    panels = list(product(KINDS, ("forward", "backward")))
    figure, axes = plt.subplots(2, 4, figsize=(13, 6), sharex=True, sharey="row", layout="constrained")
    for column, (kind, phase) in enumerate(panels):
        for i, n_out in enumerate(OUTPUTS):
            ax = axes[i][column]
            for batch in BATCHES:
                own = [r for r in rows if (r["kind"], r["phase"], r["outputs"], r["batch"]) == (kind, phase, n_out, batch)]
                own = [r for r in own if r["times"] is not None]
                ax.plot([r["density"] for r in own], [r["times"] for r in own], "o-", label=f"batch {batch}")
            ax.axhline(1, color="grey", lw=1)
            ax.set(xscale="log", yscale="log", title=f"{kind} cells, {phase}, 784 x {n_out}")
            ax.set_xticks(DENSITIES, [f"{d:.0%}" for d in DENSITIES])
    for row in axes:
        row[0].set_ylabel("times faster than the best rival")
    for ax in axes[1]:
        ax.set_xlabel("density")
    axes[0][0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()

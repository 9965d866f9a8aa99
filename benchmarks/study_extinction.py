"""What extinctions buy: rules beside each other and beside a random control, on the whole of MNIST, several seeds each.

    python benchmarks/study_extinction.py single --data DIR     # one level: three cell kinds, ten rules
    python benchmarks/study_extinction.py budget --data DIR     # two hidden levels at a budget of cells
    python benchmarks/study_extinction.py ablation --data DIR   # one part of the recipe changed at a time
    python benchmarks/study_extinction.py choice --data DIR     # what surrounds the recipe, without test images
    python benchmarks/study_extinction.py report                # tables of docs/results.md and pictures, from the results

Each part writes `benchmarks/results/study_<part>.json` with every run and prints a table of mean and deviation. A row can be
run alone: `--only NAME`. `--seeds` and `--epochs` shorten it; `--jobs` runs several at once, each on one thread, which changes
the seconds and no bit of the rest. Test images judge and are used for nothing else: `choice` trains on the first 54,000 training
images and is judged on the other 6,000.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from record import write_result
from study.rows import ROWS
from study.train import BATCH, summary, train

from dna.data import Dataset, load_idx_folder

HELD_OUT = 6000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=(*ROWS, "report"))
    parser.add_argument("--data", type=Path, help="the four IDX files of MNIST")
    parser.add_argument("--seeds", type=int, help="5, or 2 for the choice of the recipe; the result is not written")
    parser.add_argument("--epochs", type=int, help="instead of each row's own; the result is not written")
    parser.add_argument("--only", help="rows whose name holds this; the result is not written")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    if options.part == "report":
        from study.report import report

        report()
    elif options.data is None:
        parser.error("--data: the folder of the four IDX files is needed")
    else:
        run_part(options)


def run_part(options: argparse.Namespace) -> None:
    """Train all rows of a part with all seeds, and write what became of them."""
    rows = ROWS[options.part]()
    chosen = [number for number, row in enumerate(rows) if options.only is None or options.only in row.name]
    seeds = range(options.seeds or (2 if options.part == "choice" else 5))
    results = []
    spawned = {"mp_context": get_context("spawn"), "initializer": take_threads, "initargs": (options.jobs,)}
    with ProcessPoolExecutor(options.jobs, **spawned) as pool:
        runs = {n: [pool.submit(run, options.part, n, s, options.data, options.epochs) for s in seeds] for n in chosen}
        for number, waiting in runs.items():
            row, done = rows[number], [one.result() for one in waiting]
            told = {"name": row.name, "group": row.group, "epochs": row.epochs, "layers": row.layers}
            results.append(told | summary(done) | {"runs": done})
            print(line(results[-1]), flush=True)
    if options.only is None and options.epochs is None and options.seeds is None:
        whole = {"what": __doc__, "batch": BATCH, "jobs": options.jobs, "rows": results}
        print(f"wrote {write_result(f'study_{options.part}', whole)}")


def take_threads(jobs: int) -> None:
    """Leave other runs their share of the machine."""
    import numba

    if jobs > 1:
        numba.set_num_threads(1)


def run(part: str, number: int, seed: int, folder: Path, epochs: int | None) -> dict[str, Any]:
    """Train one row of a part with one seed."""
    return train(ROWS[part]()[number], load(folder, held_out=part == "choice"), seed, epochs)


@cache
def load(folder: Path, *, held_out: bool) -> Dataset:
    """Return MNIST; with `held_out` the last training images take the place of the test images."""
    data = load_idx_folder(folder)
    if not held_out:
        return data
    parts = {"x": data.x[:-HELD_OUT], "y": data.y[:-HELD_OUT], "x_test": data.x[-HELD_OUT:], "y_test": data.y[-HELD_OUT:]}
    return replace(data, **parts)


def line(result: dict[str, Any]) -> str:
    return (
        f"{result['name']:56} {100 * result['accuracy']:6.2f} ± {100 * result['deviation']:.2f} %  "
        f"{result['cells']:8.0f} cells (most {result['most cells']:.0f})  {result['seconds']:.1f} s"
    )


if __name__ == "__main__":
    main()

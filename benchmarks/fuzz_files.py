"""Give hostile files to everything that reads files, and count how they fared.

    python benchmarks/fuzz_files.py --inputs 1000000          # so many models, a quarter as many graphs and IDX files each
    python benchmarks/fuzz_files.py --again models 174        # one input once more, with its traceback

Inputs are numbered, and the seed and the number make the input. An input slips through where anything else than the typed error
of its format comes back: another exception, a hang, or something that was read and is not what the file says or does not work.
The outcome is written to benchmarks/results/fuzz.json. Exit status: 0 where none slipped through.
"""

from __future__ import annotations

import argparse
import faulthandler
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from types import FrameType, ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fuzz import checkpoint, graphs, idx
from benchmarks.record import write_result

TARGETS: dict[str, ModuleType] = {"models": checkpoint, "graphs": graphs, "idx": idx}
HANG = 120.0  # seconds; the first networks are compiled for, on a machine that may be busy
MEMORY = 6 * 2**30  # bytes of address space: who takes more than a small file can ask for fails at once
BY_DISK = 100  # every so many models go through a real file and the public function


def main() -> int:
    options = _options()
    warnings.simplefilter("ignore")  # networkx's readers talk a lot
    faulthandler.enable()
    for target in TARGETS.values():
        target.attempt(target.make(Random(0)))  # compiles kernels before memory is limited
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if options.again:
        print(try_one(options.again[0], options.seed, int(options.again[1])))
        return 0
    found = {name: run(name, options.seed, options.inputs if name == "models" else options.inputs // 4) for name in TARGETS}
    slipped = sum(len(outcome["slipped"]) for outcome in found.values())
    if options.write:
        print(f"wrote {write_result('fuzz', {'seed': options.seed, 'targets': found})}")
    return 1 if slipped else 0


def run(name: str, seed: int, inputs: int) -> dict[str, Any]:
    """Try inputs 0 to `inputs` of a target; return what became of them."""
    counts: Counter[str] = Counter()
    slipped: list[dict[str, Any]] = []
    slowest, start = (0.0, 0), time.perf_counter()
    for number in range(inputs):
        before = time.perf_counter()
        try:
            counts[try_one(name, seed, number)] += 1
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__}: {error}"[:300]
            slipped.append({"number": number, "error": told, "at": f"{place.filename}:{place.lineno}"})
            print(f"{name} {number} slipped through: {slipped[-1]}", flush=True)
        slowest = max(slowest, (time.perf_counter() - before, number))
        if (number + 1) % 50_000 == 0:
            print(f"{name}: {number + 1} of {inputs}, {dict(counts)}, {len(slipped)} slipped through", flush=True)
    seconds = time.perf_counter() - start
    outcome = {"inputs": inputs, **counts, "slipped": slipped, "seconds": round(seconds, 1)}
    return outcome | {"slowest_seconds": round(slowest[0], 3), "slowest": slowest[1]}


def try_one(name: str, seed: int, number: int) -> str:
    """Make an input and try it; anything but a typed refusal or a sound reading raises."""
    target = TARGETS[name]
    content = target.make(Random(f"{name} {seed} {number}"))
    before = signal.signal(signal.SIGALRM, _hang)
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        if name == "models" and number % BY_DISK == 0:
            return checkpoint.attempt_on_disk(content)
        return str(target.attempt(content))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _hang(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"no answer within {HANG} seconds")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benchmarks/results/ as it is")
    parser.add_argument("--again", nargs=2, metavar=("TARGET", "NUMBER"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

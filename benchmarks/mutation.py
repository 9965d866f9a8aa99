"""Break the code that holds the cells, one small change at a time, and see which changes no test notices.

    python benchmarks/mutation.py                       # 40 mutants of every target at most, within an hour or two
    python benchmarks/mutation.py --mutants 1000000     # all of them: many hours
    python benchmarks/mutation.py --only pool split     # some targets; what is known of the others stays

cosmic-ray makes the mutants: of each place in the code one is drawn for each kind of change, and of these a sample. They are made
in a copy of the repository, and the tests of the target run against each, in several runs: those that are over soon come first,
and what survives one meets the next. A mutant that all of them pass has survived: either a test is missing, or the change means
the same, and `mutation_survivors.toml` says why. The outcome is written to benchmarks/results/mutation.json, with the commit that
each target was tried at. Exit status: 0 where every survivor is explained.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

from benchmarks.record import RESULTS, ROOT, stamp, write_result

EXPLAINED = Path(__file__).with_name("mutation_survivors.toml")
PATIENCE = 1800.0
"""Seconds of the clock, of which a busy machine may need many; what a mutant may compute is limited by itself."""

TESTS = "-q -x -p no:cacheprovider -m 'not gpu'"
INTERPRETED = "-p interpreted"
"""Kernels that choose and write cells run as plain Python: nothing that a mutant changes is compiled."""


class Run(NamedTuple):
    """Tests, and how they run."""

    tests: str
    environment: str = ""


class Target(NamedTuple):
    """Files, or a folder, and what is run against their mutants, one run after another."""

    name: str
    files: tuple[str, ...]
    runs: tuple[Run, ...]


EXTINCTIONS = Run(f"{INTERPRETED} tests/test_extinction.py tests/test_deaths.py")
BIRTHS = Run(f"{INTERPRETED} tests/test_regrowth.py tests/test_neurogenesis.py tests/test_statistics.py tests/test_schedule.py")
CHANGES = Run(f"{INTERPRETED} tests/test_whole.py tests/test_undo.py -k 'not kernels'")
RANKS = Run(f"{INTERPRETED} tests/cpu/test_select.py tests/cpu/test_rank.py -k 'not float64'")
COMPILED = Run("tests/test_deaths.py tests/test_extinction.py", "NUMBA_BOUNDSCHECK=1")
POOL = Run("tests/test_pool.py tests/test_pool_log.py")
SIMULATED = Run("tests/test_pool.py tests/cuda/test_pool_kernels.py -m cudasim", "NUMBA_ENABLE_CUDASIM=1")
THREADS = Run("tests/cpu/test_pool_threads.py")
RECORD = Run("tests/test_fossils.py tests/test_files.py")
FILES = "tests/checkpoint --ignore=tests/checkpoint/test_killed.py"

TARGETS = (
    Target("pool", ("dna/pool.py",), (EXTINCTIONS, CHANGES, POOL, RECORD)),
    Target("allocation", ("dna/allocation.py",), (SIMULATED, EXTINCTIONS, POOL, THREADS)),
    Target("pool on the CPU", ("dna/cpu/pool.py",), (EXTINCTIONS, CHANGES, POOL, THREADS)),
    Target("selection", ("dna/selection.py",), (EXTINCTIONS, BIRTHS, CHANGES)),
    Target("selection on the CPU", ("dna/cpu/select.py", "dna/cpu/rank.py"), (EXTINCTIONS, RANKS, BIRTHS, CHANGES, COMPILED)),
    Target("split", ("dna/rules/split.py", "dna/cpu/split.py"), (EXTINCTIONS, CHANGES, BIRTHS, COMPILED)),
    Target("checkpoint", ("dna/checkpoint",), (Run(FILES), RECORD, Run("tests/test_resume.py"))),
)


def main() -> int:
    options = _options()
    explained = tomllib.loads(EXPLAINED.read_text())["survivor"]
    found, told = {}, stamp()
    with tempfile.TemporaryDirectory() as folder:
        copy_repository(Path(folder))
        os.chdir(folder)
        for target in TARGETS:
            if not options.only or target.name in options.only:
                outcome = try_target(target, options.mutants, options.seed, explained)
                found[target.name] = {name: told[name] for name in ("date", "commit")} | outcome
                print(f"{target.name}: {outcome['killed']} of {outcome['tried']} killed, {outcome['seconds']} s", flush=True)
                if options.write:
                    write_result("mutation", {"targets": known() | found})
    return 1 if any(not each["why"] for outcome in found.values() for each in outcome["survivors"]) else 0


def known() -> dict[str, Any]:
    """Return what was found before, by the names that targets still have."""
    path = RESULTS / "mutation.json"
    before = json.loads(path.read_text())["targets"] if path.exists() else {}
    return {target.name: before[target.name] for target in TARGETS if target.name in before}


def try_target(target: Target, mutants: int, seed: int, explained: list[dict[str, str]]) -> dict[str, Any]:
    """Try a sample of a target's mutants; return what became of them."""
    start = time.perf_counter()
    places = list(mutations([Path(path) for path in target.files], Random(f"{target.name} {seed}")))
    counts: Counter[str] = Counter()
    survivors = []
    for mutation in places[:mutants]:
        outcome, diff = try_mutant(mutation, target.runs)
        counts[outcome] += 1
        if outcome == "survived":
            survivors.append(tell(mutation, diff, explained))
            print(survivors[-1], flush=True)
    seconds = round(time.perf_counter() - start, 1)
    sample = {"files": list(target.files), "seed": seed, "places": len(places), "tried": sum(counts.values())}
    return {**sample, "killed": 0, **counts, "survivors": survivors, "seconds": seconds}


def try_mutant(mutation: MutationSpec, runs: tuple[Run, ...]) -> tuple[str, str]:
    """Return what became of a mutant: `survived` where no run noticed it; and what it changes."""
    outcome, diff = "not made", ""
    for run in runs:
        result = mutate_and_test([mutation], limited(run), PATIENCE)
        outcome, diff = str(result.test_outcome.value) if result.test_outcome else "not made", result.diff or ""
        if outcome != "survived":
            break
    return outcome, diff


@cache
def limited(run: Run) -> str:
    """Return the command of a run that is stopped after several times as much work as it takes when nothing is changed."""
    command = f"env {run.environment} {sys.executable} -m pytest {TESTS} {run.tests}"
    for _ in range(2):  # the first compiles
        before = os.times()
        ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            told = (ran.stdout + ran.stderr)[-2000:]
            raise SystemExit(f"expected tests that pass before anything is changed: {command}\n{told}")
        after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return f"sh -c {shlex.quote(f'ulimit -t {math.ceil(60 + 3 * seconds)}; exec {command}')}"


def mutations(paths: list[Path], draw: Random) -> Iterator[MutationSpec]:
    """Yield a mutant for each place and kind of change, in random order."""
    files = [file for path in paths for file in (sorted(path.glob("*.py")) if path.is_dir() else [path])]
    with tempfile.TemporaryDirectory() as folder, use_db(str(Path(folder, "items.sqlite")), WorkDB.Mode.create) as items:
        init(files, items, {})
        all_of_them = [item.mutations[0] for item in items.work_items]
    unread = {file: annotations(file) for file in files}
    by_place: dict[Any, list[MutationSpec]] = {}
    for mutation in all_of_them:
        if not any(first <= mutation.start_pos < last for first, last in unread[mutation.module_path]):
            kind = re.sub(r"_.*", "", mutation.operator_name)
            by_place.setdefault((str(mutation.module_path), mutation.start_pos, mutation.end_pos, kind), []).append(mutation)
    chosen = [draw.choice(by_place[place]) for place in sorted(by_place)]
    draw.shuffle(chosen)
    yield from chosen


def annotations(path: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where the types of arguments, results and fields stand, which nobody evaluates."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        for name in ("annotation", "returns"):
            each = getattr(node, name, None)
            if each is not None:
                found.append(((each.lineno, each.col_offset), (each.end_lineno, each.end_col_offset)))
    return found


def tell(mutation: MutationSpec, diff: str, explained: list[dict[str, str]]) -> dict[str, str]:
    """Say what a survivor changes, and why no test can notice where a file of ours knows."""
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    before, after = ("\n".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    told = {"file": str(mutation.module_path), "in": mutation.definition_name or "", "before": before, "after": after}
    why = next((each["why"] for each in explained if all(each[name] == told[name] for name in ("file", "before", "after"))), "")
    return told | {"line": str(mutation.start_pos[0]), "why": why}


def copy_repository(folder: Path) -> None:
    """Copy all that git tracks, as it is in the working tree."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.split("\0"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=40, help="how many of each target at most (40)")
    parser.add_argument("--only", nargs="*", metavar="TARGET", choices=[target.name for target in TARGETS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benchmarks/results/ as it is")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.update(CI="true", PYTHONPATH=".:tests")
    sys.exit(main())

"""Break the code that holds the cells, one small change at a time, and see which changes no test notices.

    python benchmarks/mutation.py                       # a sample of every file, within about half an hour
    python benchmarks/mutation.py --mutants 1000000     # all of them: many hours
    python benchmarks/mutation.py --only dna/pool.py --seed 7

cosmic-ray makes the mutants: of each place in the code one is drawn for each kind of change, and of these a sample. They are made
in a copy of the repository, and the tests of the file run against each. A mutant that all of them pass has survived: either a
test is missing, or the change means the same, and `mutation_survivors.toml` says why. The outcome is written to
benchmarks/results/mutation.json. Exit status: 0 where every survivor is explained.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

from benchmarks.record import ROOT, write_result

EXPLAINED = Path(__file__).with_name("mutation_survivors.toml")
CHECKPOINT = "tests/checkpoint/test_validate.py tests/checkpoint/test_container.py tests/checkpoint/test_rotation.py"
BIRTHS = "tests/test_extinction.py tests/test_regrowth.py tests/test_neurogenesis.py"
SIMULATED = "NUMBA_ENABLE_CUDASIM=1"
CHECKED = "NUMBA_BOUNDSCHECK=1"


class Target(NamedTuple):
    """A file or folder, and what is run against its mutants: in the simulator where it can be, as nothing is compiled there."""

    path: str
    environment: str
    tests: str


TARGETS = (
    Target("dna/pool.py", "", "tests/test_whole.py tests/test_pool.py tests/test_pool_log.py tests/test_fossils.py"),
    Target("dna/allocation.py", SIMULATED, "tests/test_pool.py tests/cuda/test_pool_kernels.py"),
    Target("dna/selection.py", SIMULATED, f"tests/test_deaths.py {BIRTHS}"),
    Target("dna/cpu/select.py", CHECKED, "tests/test_deaths.py tests/test_extinction.py -k 'grace or output or below or rule'"),
    Target("dna/rules/split.py", SIMULATED, "tests/test_extinction.py tests/test_statistics.py"),
    Target("dna/checkpoint", "", f"{CHECKPOINT} tests/test_files.py tests/test_fossils.py"),
)


def main() -> int:
    options = _options()
    explained = tomllib.loads(EXPLAINED.read_text())["survivor"] if EXPLAINED.exists() else []
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        copy_repository(Path(folder))
        os.chdir(folder)
        for target in TARGETS:
            if not options.only or target.path in options.only:
                found[target.path] = outcome = run(target, options.mutants, options.seed, explained)
                told = {name: outcome[name] for name in ("places", "tried", "killed", "seconds")}
                print(f"{target.path}: {told}, {len(outcome['survivors'])} survived", flush=True)
    if options.write:
        print(f"wrote {write_result('mutation', {'seed': options.seed, 'sample': options.mutants, 'targets': found})}")
    return 1 if any(not each["why"] for outcome in found.values() for each in outcome["survivors"]) else 0


def run(target: Target, mutants: int, seed: int, explained: list[dict[str, str]]) -> dict[str, Any]:
    """Try a sample of a target's mutants; return what became of them."""
    command = f"env {target.environment} {sys.executable} -m pytest -q -x -p no:cacheprovider {target.tests}"
    start = time.perf_counter()
    if subprocess.run(["sh", "-c", command], capture_output=True, check=False).returncode != 0:
        raise SystemExit(f"{target.path}: expected tests that pass before anything is changed: {command}")
    patience = 60 + 4 * (time.perf_counter() - start)
    places = list(mutations(Path(target.path), Random(f"{target.path} {seed}")))
    counts: Counter[str] = Counter()
    survivors = []
    for mutation in places[:mutants]:
        result = mutate_and_test([mutation], command, patience)
        outcome = str(result.test_outcome.value) if result.test_outcome else "not made"
        counts[outcome] += 1
        if outcome == "survived":
            survivors.append(tell(mutation, result.diff or "", explained))
            print(survivors[-1], flush=True)
    tried = {"places": len(places), "tried": sum(counts.values()), "killed": 0, **counts}
    return {**tried, "survivors": survivors, "seconds": round(time.perf_counter() - start, 1)}


def mutations(path: Path, draw: Random) -> Iterator[MutationSpec]:
    """Yield a mutant for each place and kind of change, in random order."""
    files = sorted(path.glob("*.py")) if path.is_dir() else [path]
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
    parser.add_argument("--only", nargs="*", metavar="PATH", choices=[target.path for target in TARGETS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benchmarks/results/ as it is")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.update(CI="true", PYTHONPATH=".")
    sys.exit(main())

"""Say which share of the lines and branches of `dna` the tests run, room by room; `make coverage` measures it first.

What Numba compiles runs as machine code, which nobody traces, so functions under `@jit`, `@kernel` and their like are left out
(see [tool.coverage.report] in pyproject.toml). The scalar functions of cells, rules, optimizers and the allocator are in: the
simulator runs them as Python. The outcome is written to benchmarks/results/coverage.json. Exit status: 0 where both shares reach
the goal.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from coverage import Coverage

from benchmarks.record import write_result

GOAL = 0.95
COUNTED = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def main() -> int:
    rooms: dict[str, Counter[str]] = {}
    missing: dict[str, list[int]] = {}
    for name, file in measured().items():
        parts = Path(name).parts
        room = f"{parts[0]}/{parts[1]}" if len(parts) > 2 else parts[0]
        rooms.setdefault(room, Counter()).update({what: file["summary"][what] for what in COUNTED})
        if file["missing_lines"]:
            missing[name] = file["missing_lines"]
    whole = sum(rooms.values(), Counter())
    found = {"all": shares(whole), "rooms": {room: shares(counts) for room, counts in sorted(rooms.items())}}
    for room, each in {**found["rooms"], "all": found["all"]}.items():
        lines = f"{each['lines']:>7.1%} of {each['of_lines']:>5} lines"
        print(f"{room:<18} {lines}, {each['branches']:>7.1%} of {each['of_branches']:>5} branches")
    print(f"wrote {write_result('coverage', {**found, 'missing': missing})}")
    return 0 if min(found["all"]["lines"], found["all"]["branches"]) >= GOAL else 1


def measured() -> dict[str, Any]:
    """Return what the tests left in .coverage, by file."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Coverage(), Path(folder, "coverage.json")
        data.load()
        data.json_report(outfile=str(out))
        found: dict[str, Any] = json.loads(out.read_text())["files"]
    return found


def shares(counts: Counter[str]) -> dict[str, float]:
    lines, branches = counts["num_statements"], counts["num_branches"]
    return {
        "lines": counts["covered_lines"] / lines if lines else 1.0,
        "of_lines": lines,
        "branches": counts["covered_branches"] / branches if branches else 1.0,
        "of_branches": branches,
    }


if __name__ == "__main__":
    sys.exit(main())

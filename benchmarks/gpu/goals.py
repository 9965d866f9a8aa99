"""The goals of the GPU side, held against what a run measured. A goal whose part did not run, or not at its size, stays open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Timings = list[dict[str, Any]]


class Goal(NamedTuple):
    """A number to be reached on an H200."""

    what: str
    unit: str
    wanted: float
    at_least: bool  # or at most
    measure: Callable[[Timings], float | None]


LARGE = "8192x8192 at 5 %, batch 1024"
CUSPARSE = "cuSPARSE"
MASKED = "torch dense with a mask"
OTHER_WORK = ("tf32", "without dw")  # in the names of peers that do less


def compare(parts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each goal: what was wanted and measured, and whether it was reached, which is None where it stays open."""
    timings = [row for part in parts.values() for row in part["timings"]]
    rows = []
    for goal in GOALS:
        measured = goal.measure(timings)
        reached = None if measured is None else bool(measured >= goal.wanted if goal.at_least else measured <= goal.wanted)
        sign = ">=" if goal.at_least else "<="
        wanted = f"{sign} {goal.wanted:g} {goal.unit}"
        rows.append({"what": goal.what, "wanted": wanted, "measured": measured, "reached": reached})
    return rows


def _value(what: str, key: str) -> Callable[[Timings], float | None]:
    """Return what finds the best number under this key among the rows whose name begins so."""

    def measure(timings: Timings) -> float | None:
        found = [row[key] for row in timings if row["what"].startswith(what) and key in row and not row.get("peer")]
        return max(found) if found and key.endswith("_per_s") else min(found, default=None)

    return measure


def _ahead(phase: str, peer: str) -> Callable[[Timings], float | None]:
    """Return what finds how many times the best peer of that name takes the time of ours, linear cells at the large shape."""
    ours = f"{phase} linear {LARGE}, gather"

    def measure(timings: Timings) -> float | None:
        own = [row["ms"] for row in timings if row["what"] == ours]
        rivals = [row for row in timings if row.get("of") == ours and peer in row["peer"]]
        theirs = [row["ms"] for row in rivals if not any(other in row["peer"] for other in OTHER_WORK)]
        return min(theirs) / own[0] if own and theirs else None

    return measure


GOALS = (
    Goal("forward, ReLU cells", "cell-samples/s", 3e12, True, _value(f"forward relu {LARGE}, gather", "cell_samples_per_s")),
    Goal("backward, ReLU cells", "cell-samples/s", 2e12, True, _value(f"backward relu {LARGE}, gather", "cell_samples_per_s")),
    Goal("forward, linear, over cuSPARSE", "times", 1.5, True, _ahead("forward", CUSPARSE)),
    Goal("backward, linear, over cuSPARSE", "times", 1.5, True, _ahead("backward", CUSPARSE)),
    Goal("forward, linear, over a dense mask in fp32", "times", 1.5, True, _ahead("forward", MASKED)),
    Goal("backward, linear, over a dense mask in fp32", "times", 1.5, True, _ahead("backward", MASKED)),
    Goal("claims from kernels", "claims/s", 30e9, True, _value("claims ", "claims_per_s")),
    Goal("extinction of 10^8 cells", "ms", 10.0, False, _value(f"extinction of {10**8} cells", "ms")),
    Goal("extinction of 10^9 cells", "ms", 150.0, False, _value(f"extinction of {10**9} cells", "ms")),
    Goal("recompile of 10^8 cells", "cells/s", 10e9, True, _value(f"recompile of {10**8} cells", "cells_per_s")),
    Goal("step of the 784-10 model, batch 1000", "ms", 0.03, False, _value("step, linear 784x10, batch 1000", "ms")),
)

"""One run of the check: what was asked, what has been found so far, and how long the present part may go on."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from gpu.clock import Clock, Timing

Size = TypeVar("Size")

KEEP_EVERY = 1.0
"""Seconds between two times that findings are kept."""


class Session:
    """Settings and findings of one run.

    Attributes
    ----------
    device : str
        As `dna.Network` takes it: `cuda:0`, or `cudasim`, where no timing means anything.
    scale : {"full", "quick", "simulated"}
    seed : int
        Drawn anew for each run, and recorded: `--seed` repeats it.
    parts : dict
        By the name of the part: status, seconds, checks, timings, notes.
    ceilings : dict
        Rates measured on this machine: `copy` in bytes, `fp32` in operations a millisecond; empty before they were measured.
    seconds : float
        A part begins nothing new after so many.
    keep : callable
        Keeps what has been found; called at the end of a part, and now and then before it.
    """

    def __init__(
        self, device: str, scale: str, seed: int, clock: Clock, seconds: float = float("inf"),
        keep: Callable[[Session], None] = lambda session: None,
    ) -> None:  # fmt: skip
        self.device, self.scale, self.seed, self.clock, self.seconds = device, scale, seed, clock, seconds
        self.parts: dict[str, dict[str, Any]] = {}
        self.ceilings: dict[str, float] = {}
        self._part: dict[str, Any] = {}
        self._deadline, self._keep, self._kept = 0.0, keep, 0.0

    @property
    def simulated(self) -> bool:
        return self.scale == "simulated"

    def pick(self, full: Size, quick: Size, simulated: Size) -> Size:
        """Return the size that belongs to this run."""
        return {"full": full, "quick": quick, "simulated": simulated}[self.scale]

    def rng(self, *words: int) -> np.random.Generator:
        """Return a generator of this run's numbers."""
        return np.random.default_rng([self.seed, *words])

    # parts

    def run(self, name: str, part: Callable[[Session], None]) -> None:
        """Run a part; whatever it raises is recorded."""
        self._part = self.parts[name] = {"status": "running", "seconds": 0.0, "checks": [], "timings": [], "notes": []}
        start = time.monotonic()
        self._deadline = start + self.seconds
        status = "ok"
        try:
            part(self)
        except Exception as error:  # a part that breaks says so in the record
            status, self._part["error"] = "broken", traceback.format_exc()
            print(f"broken: {type(error).__name__}: {error}", flush=True)
        self._part["seconds"] = round(time.monotonic() - start, 1)
        failed = status == "ok" and any(not check["ok"] for check in self._part["checks"])
        self._part["status"] = "failed" if failed else status
        self._keep(self)

    @property
    def seconds_left(self) -> float:
        """Seconds until the part is to begin nothing new."""
        return max(0.0, self._deadline - time.monotonic())

    def in_time(self, what: str, seconds: float = 0.0) -> bool:
        """Whether the part may begin something new, which takes so many seconds; a note says what was left out."""
        if self.seconds_left > seconds:
            return True
        self.note(f"{what}: left out, as the part's time is up")
        return False

    # findings

    def check(self, what: str, ok: bool, **details: Any) -> None:
        self._part["checks"].append({"what": what, "ok": bool(ok), **details})
        self._found("" if ok else f"FAILED {what} {details or ''}")

    def check_close(self, what: str, got: np.ndarray, want: np.ndarray, tolerance: float) -> None:
        """Check ||got - want|| / ||want||; NaN never passes, and neither does a reference of zeros."""
        got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
        size = float(np.linalg.norm(want))
        error = float(np.linalg.norm(got - want)) / size if got.shape == want.shape and size > 0 else float("nan")
        self.check(what, error <= tolerance, error=error, tolerance=tolerance)

    def check_same(self, what: str, got: np.ndarray, want: np.ndarray) -> None:
        """Check that two arrays are equal, element by element and in their types."""
        same = got.dtype == want.dtype and got.shape == want.shape
        wrong = int((got != want).sum()) if same else -1
        self.check(what, wrong == 0, size=int(want.size), wrong=wrong)

    def timing(self, what: str, timing: Timing, floor_ms: float | None = None, **more: Any) -> None:
        """Record a time, and how many times its floor it is."""
        row = {"what": what, **timing.record(), "floor_ms": floor_ms, **more}
        row["over_floor"] = timing.ms / floor_ms if floor_ms else None
        self._part["timings"].append(row)
        over = f", {row['over_floor']:.1f} times its floor" if floor_ms else ""
        self._found(f"{what}: {timing.ms:.4g} ms{over}")

    def note(self, text: str) -> None:
        self._part["notes"].append(text)
        self._found(text)

    def _found(self, say: str) -> None:
        if say:
            print(say, flush=True)
        if time.monotonic() > self._kept + KEEP_EVERY:
            self._keep(self)
            self._kept = time.monotonic()

    def floor(self, n_bytes: float, operations: float = 0.0) -> float | None:
        """Return in ms the time below which nothing can do this: bytes over the copy rate, or operations over the fp32 rate.

        None where the rates were not measured.
        """
        if "copy" not in self.ceilings:
            return None
        by_bytes = n_bytes / self.ceilings["copy"]
        return max(by_bytes, operations / self.ceilings["fp32"]) if "fp32" in self.ceilings else by_bytes

    @property
    def failed(self) -> bool:
        return any(part["status"] != "ok" for part in self.parts.values())

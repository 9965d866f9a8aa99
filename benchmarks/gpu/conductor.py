"""Runs the parts, each in a process of its own, and keeps one record of all that they find.

An illegal access ends every use of the GPU in its process, and a kernel that hangs never returns. So a part that goes wrong is
stopped at its time and costs the others nothing. Parts write down what they find as they go, and the record is brought up to date
every few seconds: whatever ends a run, what was found by then is in the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gpu.parts import PARTS, Part, rounds, stretch

POLL = 0.2
KEEP_EVERY = 3.0
GRACE = 30.0
"""Seconds that a part has to come to its end, when its time is up."""

CORES = len(os.sched_getaffinity(0))
JOBS = max(1, min(8, CORES // 2))
"""Parts side by side, at most."""

LINES_KEPT = 40
NO_GPU = 2
"""The exit status of a part that finds no GPU."""


class Order(NamedTuple):
    """What was asked for."""

    program: Path
    device: str
    quick: bool
    seed: int
    minutes: float


class Child:
    """A part that runs."""

    def __init__(self, name: str, command: list[str], out: Path, stop_at: float, environment: dict[str, str]) -> None:
        self.name, self.out, self.stop_at, self.start = name, out, stop_at, time.monotonic()
        self._log, self._read = out.with_suffix(".log"), 0
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, process_group=0)

    def stop(self) -> None:
        """End the process, and those that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def said(self) -> list[str]:
        """Return the lines that the part has printed."""
        return self._log.read_text(errors="replace").splitlines()

    def repeat_lines(self) -> None:
        """Print what the part said since the last time."""
        lines = self.said()
        for line in lines[self._read :]:
            print(f"{self.name}: {line}", flush=True)
        self._read = len(lines)

    def found(self) -> dict[str, Any]:
        """Return what the part has written down."""
        return json.loads(self.out.read_text()) if self.out.exists() else {}


class Conductor:
    """Runs parts and gathers what they find.

    Attributes
    ----------
    machine : dict
        The GPU, as the first process found it.
    parts : dict
        By name: status, seconds, checks, timings, notes. A part that did not come to its end has the status `stopped` or `died`.
    """

    def __init__(self, order: Order, keep: Callable[[Conductor], None]) -> None:
        self.order, self._keep = order, keep
        self.machine: dict[str, Any] = {}
        self.ceilings: dict[str, float] = {}
        self.parts: dict[str, dict[str, Any]] = {}
        self._end, self._stretch = time.monotonic() + 60 * order.minutes, 1.0
        self._folder = tempfile.TemporaryDirectory(prefix="gpu_check")

    def look(self) -> str | None:
        """Take note of the GPU; return in one line why there is none to use, or None."""
        child = self._begin("machine", 60.0, GRACE)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(child.stop_at - child.start)
        child.stop()
        said, found, status = "\n".join(child.said()), child.found(), child.process.returncode
        if not found:
            self._folder.cleanup()
            return said if status == NO_GPU and said else f"a first process ended with {status}: {said[-2000:]}"
        self.machine = found["machine"]
        return None

    def run(self, parts: dict[str, Part]) -> None:
        """Run all parts, as far as time allows."""
        self._stretch = stretch(parts, self.order.minutes)
        for together in rounds(parts):
            self._run_together(together)
        self._folder.cleanup()

    @property
    def failed(self) -> bool:
        return any(part["status"] != "ok" for part in self.parts.values())

    def _run_together(self, parts: dict[str, Part]) -> None:
        waiting, running, kept = list(parts.items()), list[Child](), time.monotonic()
        try:
            while waiting or running:
                while waiting and len(running) < JOBS:
                    name, part = waiting.pop(0)
                    if time.monotonic() < self._end:
                        seconds = part.seconds * self._stretch
                        running.append(self._begin(name, seconds, seconds / 2 + GRACE))
                    else:
                        self.parts[name] = _blank("stopped", "left out, as the time of the run was up")
                time.sleep(POLL)
                for child in list(running):
                    child.repeat_lines()
                    if child.process.poll() is not None or time.monotonic() > child.stop_at:
                        running.remove(child)
                        self._end_of(child)
                if time.monotonic() > kept + KEEP_EVERY:
                    kept = time.monotonic()
                    for child in running:
                        self._take(child)
                    self._keep(self)
        finally:
            for child in running:
                child.stop()
        self._keep(self)

    def _begin(self, name: str, seconds: float, grace: float) -> Child:
        order, out = self.order, Path(self._folder.name) / f"{name.replace(':', '-')}.json"
        now = time.monotonic()
        command = [sys.executable, str(order.program), "--part", name, "--device", order.device, "--seed", str(order.seed)]
        command += ["--out", str(out), "--ceilings", json.dumps(self.ceilings)]
        command += ["--seconds", str(max(0.0, min(seconds, self._end - now - GRACE / 2)))]
        command += ["--quick"] * order.quick
        return Child(name, command, out, min(now + seconds + grace, self._end), self._environment(name))

    def _environment(self, name: str) -> dict[str, str]:
        """Return the environment of a part; those side by side share the cores."""
        alone = name in PARTS and PARTS[name].timed
        cores = {} if alone else {"NUMBA_NUM_THREADS": str(max(1, CORES // JOBS)), "OMP_WAIT_POLICY": "passive"}
        return {**os.environ, "PYTHONUNBUFFERED": "1", **cores}

    def _end_of(self, child: Child) -> None:
        """Take note of a part that has ended, or whose time is up."""
        late = child.process.poll() is None
        child.stop()
        child.repeat_lines()
        self._take(child)
        part = self.parts.setdefault(child.name, _blank("running"))
        if part["status"] == "running":
            part["status"] = "stopped" if late else "died"
            part["seconds"] = round(time.monotonic() - child.start, 1)
            part["error"] = "\n".join([*child.said()[-LINES_KEPT:], f"exit status {child.process.returncode}"])
            print(f"{child.name}: {part['status']} after {part['seconds']} s, exit status {child.process.returncode}", flush=True)

    def _take(self, child: Child) -> None:
        found = child.found()
        if "part" in found:
            self.parts[child.name] = found["part"]
            self.ceilings |= found["ceilings"]


def _blank(status: str, error: str = "") -> dict[str, Any]:
    return {"status": status, "seconds": 0.0, "checks": [], "timings": [], "notes": [], "error": error}

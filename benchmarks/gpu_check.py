"""Check and measure `dna` on a GPU, all in one command.

It runs the tests that need a GPU, compares every phase with the CPU on fresh random numbers, drives the allocator to its limits,
and times phases and kernels against what the machine itself can do and against what users would take instead.

    python benchmarks/gpu_check.py                             # writes benchmarks/results/gpu_check-<gpu>-<date>.json
    python benchmarks/gpu_check.py --quick                     # a few minutes
    python benchmarks/gpu_check.py --only agreement allocator  # some parts

The exit status is 0 where every part ran and every check passed, 1 otherwise, and 2 where there is no such GPU. With
`--device cudasim` it runs in Numba's simulator, at tiny sizes, where no time means anything. See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from secrets import randbits
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu.session import Session

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("tests", "sanitizer", "agreement", "allocator", "claims", "step", "phases", "life", "kernels")
TIMED = ("claims", "step", "phases", "life", "kernels")
SHOWN = ("ceilings", "claims", "step", "phases", "life")  # in the table; the JSON holds all


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _read_options(arguments)
    _prepare(options.device)
    obstacle = _obstacle(options.device)
    if obstacle:
        print(f"gpu_check: {obstacle}", file=sys.stderr)
        return 2
    from gpu.clock import on_gpu

    with on_gpu(options.device):
        session, path = _run(options)
    _print_table(session, path)
    return 1 if session.failed else 0


def _read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer of them")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"some of: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    parser.add_argument("--device", default="cuda:0", help="cuda:0, cuda:1, ... or cudasim")
    parser.add_argument("--seed", type=int, help="of all random numbers; drawn anew, and recorded, where it is not given")
    return parser.parse_args(arguments)


def _prepare(device: str) -> None:
    """Make the library importable from a checkout, and the simulator what `numba.cuda` means, before anything imports it."""
    sys.path.insert(0, str(ROOT))
    if device == "cudasim":
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
        sys.path.append(str(ROOT / "tests"))
        import cudasim_shim

        cudasim_shim.install()


def _obstacle(device: str) -> str | None:
    """Return in one line why nothing can run, or None."""
    from dna.cuda.device import find_device
    from dna.errors import DNAError

    try:
        find_device(device)
    except DNAError as error:
        return str(error)
    return None


def _run(options: argparse.Namespace) -> tuple[Session, Path]:
    """Run the parts; what has been found is written after each, so that a run cut short leaves it."""
    from gpu import ceilings, goals
    from gpu.clock import Clock
    from gpu.machine import describe
    from gpu.session import Session
    from record import write_result

    machine = describe(options.device)
    scale = "simulated" if options.device == "cudasim" else "quick" if options.quick else "full"
    seed = randbits(32) if options.seed is None else options.seed
    session = Session(options.device, scale, seed, Clock(machine["l2_bytes"], session_budget(scale)))
    path = options.out or _path_for(machine["description"])
    chosen = {"ceilings": ceilings.measure} if set(options.only) & set(TIMED) else {}
    for name, part in {**chosen, **_parts(options.only)}.items():
        session.run(name, part)
        result = {"gpu": machine, "scale": scale, "seed": seed, "ceilings_per_ms": session.ceilings}
        result |= {"goals": goals.compare(session.parts), "parts": session.parts}
        write_result(path.stem, result, path)
    return session, path


def session_budget(scale: str) -> float:
    """Return about how many milliseconds the timed runs of one thing may take."""
    return {"full": 500.0, "quick": 100.0, "simulated": 0.0}[scale]


def _parts(names: Sequence[str]) -> dict[str, Callable[[Session], None]]:
    from gpu import agreement, allocator, kernels, life, phases, sanitizer, step, suite

    parts = {
        "tests": suite.run,
        "sanitizer": sanitizer.run,
        "agreement": agreement.check,
        "allocator": allocator.check,
        "claims": allocator.measure,
        "step": step.measure,
        "phases": phases.measure,
        "life": life.measure,
        "kernels": kernels.measure,
    }
    return {name: parts[name] for name in PARTS if name in names}


def _path_for(description: str) -> Path:
    name = re.sub(r"[^A-Za-z0-9]+", "-", description.partition(",")[0]).strip("-").lower()
    return ROOT / "benchmarks" / "results" / f"gpu_check-{name}-{datetime.now(UTC):%Y-%m-%d}.json"


def _print_table(session: Session, path: Path) -> None:
    print()
    if session.simulated:
        print("in the simulator: the times below mean nothing")
    rows = [row for name in SHOWN if name in session.parts for row in session.parts[name]["timings"]]
    print(f"{'':<54}{'ms':>10}{'x floor':>9}  best peer, its ms")
    for row in rows:
        if not row.get("peer") and not row["what"].endswith(", scatter"):
            print(f"{row['what'][:54]:<54}{row['ms']:>10.4g}{_over_floor(row):>9}  {_best_peer(row, rows)}")
    _print_goals(session)
    for name, part in session.parts.items():
        failed = [check["what"] for check in part["checks"] if not check["ok"]]
        print(f"{name:<12} {part['status']:<8} {part['seconds']:>7} s, {len(part['checks'])} checks, {len(failed)} failed")
        for what in failed:
            print(f"    failed: {what}")
    print(f"wrote {path}")


def _print_goals(session: Session) -> None:
    from gpu.goals import compare

    for row in compare(session.parts):
        if row["reached"] is not None and not session.simulated:
            verdict = "reached" if row["reached"] else "missed"
            print(f"goal: {row['what']:<48}{row['wanted']:>24}  measured {row['measured']:.4g}  {verdict}")


def _over_floor(row: dict[str, Any]) -> str:
    return f"{row['over_floor']:.1f}" if row["over_floor"] else ""


def _best_peer(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    peers = [peer for peer in rows if peer.get("of") == row["what"]]
    best = min(peers, key=lambda peer: peer["ms"], default=None)
    return f"{best['peer']}, {best['ms']:.4g}" if best else ""


if __name__ == "__main__":
    sys.exit(main())

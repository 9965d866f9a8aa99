"""Check and measure `dna` on a GPU, all in one command.

It compares every phase with the CPU on fresh random numbers, drives the allocator to its limits, times phases and kernels against
what the machine itself can do and against what users would take instead, and runs the tests that need a GPU.

    python benchmarks/gpu_check.py                             # writes benchmarks/results/gpu_check-<gpu>-<date>.json
    python benchmarks/gpu_check.py --quick                     # three minutes
    python benchmarks/gpu_check.py --only agreement allocator  # some parts

Every part runs in a process of its own, so one that goes wrong costs the others nothing, and the file is written all along. The
exit status is 0 where every part ran and every check passed, 1 otherwise, and 2 where there is no such GPU. With
`--device cudasim` it runs in Numba's simulator, at tiny sizes, where no time means anything. See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from secrets import randbits
from typing import Any

from gpu.conductor import NO_GPU, Conductor, Order
from gpu.goals import compare
from gpu.parts import MINUTES, NAMES, PARTS, chosen

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("ceilings", "claims", "step", "phases", "life")  # in the table; the JSON holds all
MOST_MINUTES = {"full": MINUTES, "quick": 3.0, "simulated": 60.0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _read_options(arguments)
    _prepare(options.device)
    return _run_part(options) if options.part else _run_all(options)


def _read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer of them")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="PART", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--minutes", type=float, help=f"after which all ends; {MINUTES:g}, or 3 with --quick")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    parser.add_argument("--device", default="cuda:0", help="cuda:0, cuda:1, ... or cudasim")
    parser.add_argument("--seed", type=int, help="of all random numbers; drawn anew, and recorded, where it is not given")
    for name, kind in (("--part", str), ("--seconds", float), ("--ceilings", json.loads)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)  # how it calls itself for one part
    return parser.parse_args(arguments)


def _scale(options: argparse.Namespace) -> str:
    return "simulated" if options.device == "cudasim" else "quick" if options.quick else "full"


def _prepare(device: str) -> None:
    """Make the library importable from a checkout, and the simulator what `numba.cuda` means, before anything imports it."""
    sys.path.insert(0, str(ROOT))
    if device == "cudasim":
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
        sys.path.append(str(ROOT / "tests"))
    elif not os.environ.get("CUDA_HOME") and not os.environ.get("CUDA_PATH"):
        _name_toolkit()


def _name_toolkit() -> None:
    """Let Numba find the libNVVM of a toolkit that the system has, where no package brings one: it asks CUDA_HOME."""
    compiler = shutil.which("nvcc")
    for root in (Path(compiler).resolve().parents[1] if compiler else None, Path("/usr/local/cuda")):
        if root is not None and (root / "nvvm").is_dir():
            os.environ["CUDA_HOME"] = str(root)
            return


# one part


def _run_part(options: argparse.Namespace) -> int:
    """Run one part in this process; what it finds goes to `out` as it goes."""
    if options.device == "cudasim":
        import cudasim_shim

        cudasim_shim.install()
    obstacle = _obstacle(options.device)
    if obstacle:
        print(obstacle)
        return NO_GPU
    from gpu.clock import Clock, on_gpu
    from gpu.machine import describe
    from gpu.session import Session

    with on_gpu(options.device):
        machine = describe(options.device)
        if options.part == "machine":
            _write(options.out, {"machine": machine})
            return 0

        def keep(session: Session) -> None:
            _write(options.out, {"part": session.parts[options.part], "ceilings": session.ceilings})

        scale = _scale(options)
        session = Session(options.device, scale, options.seed, Clock(machine["l2_bytes"], _budget(scale)), options.seconds, keep)
        session.ceilings |= options.ceilings
        session.run(options.part, PARTS[options.part].function())
    return 0


def _obstacle(device: str) -> str | None:
    """Return in one line why nothing can run, or None."""
    from dna.cuda.device import find_device
    from dna.errors import DNAError

    try:
        find_device(device)
    except DNAError as error:
        return str(error)
    return None


def _budget(scale: str) -> float:
    """Return about how many milliseconds the timed runs of one thing may take."""
    return {"full": 300.0, "quick": 100.0, "simulated": 0.0}[scale]


def _write(path: Path, found: dict[str, Any]) -> None:
    """Write what somebody may be about to read."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(found))
    beside.replace(path)


# all parts


def _run_all(options: argparse.Namespace) -> int:
    from record import versions, write_result

    scale, seed = _scale(options), randbits(32) if options.seed is None else options.seed
    order = Order(Path(__file__), options.device, options.quick, seed, options.minutes or MOST_MINUTES[scale])

    def keep(conductor: Conductor) -> None:
        result = {"gpu": conductor.machine, "scale": scale, "seed": seed, "ceilings_per_ms": conductor.ceilings}
        write_result(path.stem, result | {"goals": compare(conductor.parts), "parts": conductor.parts}, path)

    conductor = Conductor(order, keep)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that parts which run are stopped
    obstacle = conductor.look()
    if obstacle:
        there = ", ".join(f"{name} {version}" for name, version in versions().items())
        print(f"gpu_check: {obstacle} (python {sys.version.partition(' ')[0]}, {there})", file=sys.stderr)
        return NO_GPU
    path = options.out or _path_for(conductor.machine["description"])
    conductor.run(chosen(options.only))
    _print_table(conductor.parts, scale)
    print(f"wrote {path}")
    return 1 if conductor.failed else 0


def _path_for(description: str) -> Path:
    name = re.sub(r"[^A-Za-z0-9]+", "-", description.partition(",")[0]).strip("-").lower()
    return ROOT / "benchmarks" / "results" / f"gpu_check-{name}-{datetime.now(UTC):%Y-%m-%d}.json"


def _print_table(parts: dict[str, dict[str, Any]], scale: str) -> None:
    print()
    if scale == "simulated":
        print("in the simulator: the times below mean nothing")
    rows = [row for name in SHOWN if name in parts for row in parts[name]["timings"]]
    print(f"{'':<54}{'ms':>10}{'x floor':>9}  best peer, its ms")
    for row in rows:
        if not row.get("peer") and not row["what"].endswith(", scatter"):
            print(f"{row['what'][:54]:<54}{row['ms']:>10.4g}{_over_floor(row):>9}  {_best_peer(row, rows)}")
    if scale != "simulated":
        _print_goals(parts)
    for name, part in parts.items():
        failed = [check["what"] for check in part["checks"] if not check["ok"]]
        print(f"{name:<20} {part['status']:<8} {part['seconds']:>7} s, {len(part['checks'])} checks, {len(failed)} failed")
        for what in failed:
            print(f"    failed: {what}")
        if part.get("error"):
            print(f"    {part['error'].strip().splitlines()[-1]}")


def _print_goals(parts: dict[str, dict[str, Any]]) -> None:
    for row in compare(parts):
        if row["reached"] is not None:
            verdict = "reached" if row["reached"] else "missed"
            print(f"goal: {row['what']:<48}{row['wanted']:>24}  measured {row['measured']:.4g}  {verdict}")


def _over_floor(row: dict[str, Any]) -> str:
    return f"{row['over_floor']:.1f}" if row["over_floor"] else ""


def _best_peer(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    peers = [peer for peer in rows if peer.get("of") == row["what"]]
    best = min(peers, key=lambda peer: peer["ms"], default=None)
    return f"{best['peer']}, {best['ms']:.4g}" if best else ""


if __name__ == "__main__":
    status = main()
    if "--part" in sys.argv:  # after an illegal access Numba's clean-up at exit may raise, or wait for ever
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)

"""`python -m dna.cuda.inspect`: compile every kernel for GPUs that need not be there, and print what each takes of them.

"Warps held" is a kernel's occupancy: the share of its warps that a multiprocessor can hold of it at a time. The command fails
where a kernel does not compile, and where one spills registers to memory without a reason that stands here.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from dna.collector import without_collector
from dna.cuda.device import SIMULATED, cuda
from dna.cuda.occupancy import occupancy
from dna.cuda.offline import CC, Usage, compile_kernel

CAPABILITIES = ("7.5", "8.0", "9.0", "10.0")

ALLOWED_SPILLS = {
    "forward.gather_level": "some words of its outer loops, to fit two blocks a multiprocessor; none in the loop over cells",
    "backward.gather_level": "likewise",
}
"""Kernels (file.kernel) that may spill, each with the reason."""

HEADER = ("kernel", "for", "cc", "threads", "registers", "shared", "warps held", "stack", "spill st/ld", "cubin")


class Row(NamedTuple):
    """One kernel at one capability: what it takes, or why it failed."""

    kernel: str
    variant: str
    cc: CC
    usage: Usage | None
    error: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if all is well, 1 for failures and spills, 2 where nothing can be compiled."""
    options = _read_options(arguments)
    obstacle = _obstacle()
    if obstacle:
        print(f"dna.cuda.inspect: {obstacle}", file=sys.stderr)
        return 2
    start = time.perf_counter()
    names = _matching(options.kernel)
    if not names:
        print(f"dna.cuda.inspect: no kernel has {options.kernel!r} in its name; see dna/cuda/catalogue.py", file=sys.stderr)
        return 2
    rows = []
    print(_line(HEADER))
    for row in compile_all(names, options.cc, options.jobs):
        rows.append(row)
        print(format_row(row), flush=True)
    wrong = complaints(rows)
    print(f"{len(rows)} compilations in {time.perf_counter() - start:.0f} s, {len(wrong)} failed")
    for complaint in wrong:
        print(complaint, file=sys.stderr)
    return 1 if wrong else 0


def compile_all(places: Sequence[int], capabilities: Sequence[CC], jobs: int) -> Iterator[Row]:
    """Compile entries of the catalogue, by their places in it, and yield a row for each capability, in order."""
    tasks = [(place, tuple(capabilities)) for place in places]
    if jobs == 1 or len(tasks) == 1:
        for task in tasks:
            yield from compile_entry(task)
        return
    with ProcessPoolExecutor(min(jobs, len(tasks)), multiprocessing.get_context("spawn")) as workers:
        for rows in workers.map(compile_entry, tasks):
            yield from rows


def compile_entry(task: tuple[int, tuple[CC, ...]]) -> list[Row]:
    """Compile one entry of the catalogue for each capability."""
    from dna.cuda.catalogue import entries

    place, capabilities = task
    entry = entries()[place]
    rows = []
    for cc in capabilities:
        usage, error = None, ""
        try:
            with without_collector():
                usage = compile_kernel(entry.build(), entry.arguments, cc)
        except Exception as problem:  # a compiler raises anything; the row reports it and the command fails
            error = f"{type(problem).__name__}: {problem}"
        rows.append(Row(entry.name, entry.variant, cc, usage, error))
    return rows


def complaints(rows: Sequence[Row]) -> list[str]:
    """Return a message for each row that did not compile or that spills without a reason."""
    found = []
    for row in rows:
        label = f"{row.kernel} ({row.variant or 'all'}) at {_number(row.cc)}"
        if row.usage is None:
            found.append(f"{label} does not compile: {row.error}")
        elif row.usage.spill_stores + row.usage.spill_loads > 0 and row.kernel not in ALLOWED_SPILLS:
            found.append(f"{label} spills {row.usage.spill_stores} bytes out and {row.usage.spill_loads} bytes in a thread")
    return found


def format_row(row: Row) -> str:
    """Return the line of the table."""
    if row.usage is None:
        return _line((row.kernel, row.variant, _number(row.cc), "failed", *[""] * 7))
    u = row.usage
    spills = f"{u.spill_stores}/{u.spill_loads}"
    held = occupancy(u, row.cc)
    share = "" if held is None else f"{100 * held:.0f} %"
    return _line((row.kernel, row.variant, _number(row.cc), u.threads, u.registers, u.shared, share, u.stack, spills, u.cubin))


def _line(columns: Sequence[object]) -> str:
    kernel, variant, *numbers = columns
    return f"{kernel:<24}{variant:<30}" + "".join(f"{number!s:>12}" for number in numbers)


def _matching(part: str) -> list[int]:
    from dna.cuda.catalogue import entries

    return [place for place, entry in enumerate(entries()) if part in f"{entry.name} {entry.variant}"]


def _obstacle() -> str | None:
    if cuda is None:
        return "numba-cuda is not installed, so nothing can be compiled (pip install 'hebbian-dna[cuda]')"
    if SIMULATED:
        return "NUMBA_ENABLE_CUDASIM=1 turns the compiler off, so nothing can be compiled; unset it"
    return None


def _read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dna.cuda.inspect", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cc", nargs="+", type=_capability, default=[_capability(cc) for cc in CAPABILITIES], metavar="X.Y")
    parser.add_argument("--kernel", default="", metavar="NAME", help="only kernels that have this in their name or variant")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 8), help="processes that compile")
    return parser.parse_args(arguments)


def _capability(text: str) -> CC:
    major, point, minor = text.partition(".")
    if not (point and major.isdigit() and minor.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a compute capability such as 9.0, got {text!r}")
    return int(major), int(minor)


def _number(cc: CC) -> str:
    return f"{cc[0]}.{cc[1]}"


if __name__ == "__main__":
    sys.exit(main())

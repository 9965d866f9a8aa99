"""Count the instructions of a kernel's innermost loops, without a GPU: what the machine has to issue a round.

    python benchmarks/gpu/instructions.py "gather_level relu float32 4x8" --cc 9.0

It compiles the kernels of the catalogue that have this in their name or variant, takes them apart with `nvdisasm`, which must be
on the PATH or be named by NVDISASM, and prints for each loop that holds no other how often each instruction stands in it. Copies
of a loop, which unrolling makes, are printed once; code for warps that came apart, which these kernels never let, is left out.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

LINE = re.compile(r"\s+/\*(?P<at>[0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?(?P<name>[A-Z][A-Z0-9]*)(?P<rest>[^;]*);")
LABEL = re.compile(r"(?P<label>\.L_\w+):")


class Loop(NamedTuple):
    """An innermost loop: its instructions by name, in alphabetical order."""

    counts: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        names = ", ".join(f"{count} {name}" for name, count in sorted(self.counts, key=lambda pair: -pair[1]))
        return f"{sum(count for _, count in self.counts)} instructions: {names}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 where nothing matches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernel", help="what a kernel has in its name or variant")
    parser.add_argument("--cc", default="9.0", metavar="X.Y")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT))
    from dna.cuda.catalogue import entries
    from dna.cuda.offline import link_kernel

    found = [entry for entry in entries() if options.kernel in f"{entry.name} {entry.variant}"]
    major, _, minor = options.cc.partition(".")
    for entry in found:
        cubin, _ = link_kernel(entry.build(), entry.arguments, (int(major), int(minor)))
        print(f"{entry.name} {entry.variant} at {options.cc}")
        for loop in innermost_loops(disassemble(cubin)):
            print(f"    {loop}")
    return 0 if found else 2


def disassemble(cubin: bytes) -> str:
    """Return the text of the machine code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [os.environ.get("NVDISASM", "nvdisasm"), "-c", str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def innermost_loops(text: str) -> list[Loop]:
    """Return the loops that hold no other, each once, in the order of the code.

    A branch back to a label is the end of a loop. One to itself is the trap at the end of the code.
    """
    names: list[str] = []
    labels: dict[str, int] = {}
    spans: list[tuple[int, int]] = []
    for line in text.splitlines():
        label, instruction = LABEL.match(line.strip()), LINE.match(line)
        if label:
            labels[label["label"]] = len(names)
        elif instruction:
            target = re.search(r"\.L_\w+", instruction["rest"])
            names.append(instruction["name"] + width_of(instruction["rest"]))
            if instruction["name"] == "BRA" and target and target[0] in labels and labels[target[0]] < len(names) - 1:
                spans.append((labels[target[0]], len(names)))
    inner = [span for span in spans if not any(other != span and span[0] <= other[0] and other[1] <= span[1] for other in spans)]
    bodies = [names[first:end] for first, end in inner]
    loops = [Loop(tuple(sorted(Counter(body).items()))) for body in bodies if "WARPSYNC" not in body]
    return list(dict.fromkeys(loops))


def width_of(rest: str) -> str:
    """Return the width of a load or store, `.128` and the like, which matters as much as its name."""
    found = re.match(r"\S*?(\.(?:64|128))\b", rest)
    return found[1] if found else ""


if __name__ == "__main__":
    sys.exit(main())

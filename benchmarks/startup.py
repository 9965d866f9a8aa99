"""What it takes to begin: `import dna`, the first fit of a fresh install, and the first step of a second process.

Each model is fitted by a process of its own whose cache of kernels is empty, as after an installation; then by others, which load
what the first compiled. A fit is of three epochs; an extinction comes after the second where the model has them, and the first
forward and backward from outside follow.

    python benchmarks/startup.py              # two minutes; writes benchmarks/results/startup.json
    python benchmarks/startup.py --dry        # prints, and writes nothing
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from record import ROOT, write_result

SECOND_PROCESSES = 5

MODELS: dict[str, dict[str, Any]] = {
    "784-10 linear, SGD": {"layers": [784, 10], "cell": "linear", "optimizer": "sgd", "extinctions": False},
    "784-10 linear, Adam, extinction": {"layers": [784, 10], "cell": "linear", "optimizer": "adam", "extinctions": True},
    "784-300-100-10 relu, Adam": {"layers": [784, 300, 100, 10], "cell": "relu", "optimizer": "adam", "extinctions": False},
    "784-300-100-10 relu, Adam, extinction": {
        "layers": [784, 300, 100, 10], "cell": "relu", "optimizer": "adam", "extinctions": True,
    },
}  # fmt: skip

PROGRAM = """
import json, sys, time
start = time.perf_counter(), time.process_time()
import dna
imported = time.perf_counter()
import numpy as np
from dna.training import find_optimizer

options = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
x, y = rng.random((600, options["layers"][0]), dtype=np.float32), rng.integers(0, options["layers"][-1], 600)
made = time.perf_counter()
net = dna.Network(options["layers"], cell=options["cell"], init="glorot", device="cpu")
settings = {"batch_size": 100, "optimizer": find_optimizer(options["optimizer"], lr=0.01), "progress": False}
net.fit(x[:100], y[:100], epochs=1, **settings)
stepped = time.perf_counter()
rule = dna.Extinction(when=dna.Every(epochs=2)) if options["extinctions"] else None
net.fit(x, y, epochs=3, extinction=rule, **settings)
net.backward(net.forward(x[:100]))
done = time.perf_counter(), time.process_time()
assert len(net.fossils) == options["extinctions"]
print(json.dumps({
    "import": imported - start[0], "first step": imported - start[0] + stepped - made, "all": done[0] - start[0],
    "processor": done[1] - start[1],
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    options = parser.parse_args()
    print(f"{'':40}{'import':>8}{'first process':>28}{'second process':>28}")
    print(f"{'':40}{'':>8}{'step':>9}{'all':>9}{'kernels':>10}{'step':>9}{'all':>9}{'kernels':>10}")
    rows = []
    for name in MODELS:
        rows.append(measure(name))
        print(line(rows[-1]), flush=True)
    if not options.dry:
        print(f"wrote {write_result('startup', {'what': __doc__, 'seconds of': 'wall clock', 'rows': rows})}")


def measure(name: str) -> dict[str, Any]:
    """Fit a model in a first process and in others; return the seconds of both, and the medians of the others."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        first, said = run(MODELS[name], cache)
        compiled = kernels(cache)
        others = [run(MODELS[name], cache) for _ in range(SECOND_PROCESSES)]
        if not said or any(others_said for _, others_said in others) or kernels(cache) != compiled:
            raise SystemExit(f"{name}: expected the first process alone to compile, and to say so")
    second = {what: float(np.median([times[what] for times, _ in others])) for what in first}
    return {"model": name, "first": first, "second": second, "kernels": compiled}


def run(model: dict[str, Any], cache: Path) -> tuple[dict[str, float], bool]:
    """Fit a model in a process of its own; return its times, and whether it said that it compiles."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", PROGRAM, json.dumps(model)]
    ran = subprocess.run(command, cwd=cache, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise SystemExit(ran.stderr)
    return json.loads(ran.stdout), "compiling" in ran.stderr


def kernels(cache: Path) -> int:
    """Return how many kernels a cache holds."""
    return len(list(cache.rglob("*.nbc")))


def line(row: dict[str, Any]) -> str:
    first, second = row["first"], row["second"]
    times = f"{first['first step']:7.2f} s{first['all']:7.2f} s{row['kernels']:10}"
    later = f"{second['first step']:7.2f} s{second['all']:7.2f} s{0:10}"
    return f"{row['model']:40}{second['import']:6.2f} s{times}{later}"


if __name__ == "__main__":
    main()

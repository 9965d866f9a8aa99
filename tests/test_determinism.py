"""The same seed, data and device give the same bits: at any number of threads, freshly compiled or from the cache."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compare import batch, snapshot

import dna
from dna.cpu.compiler import SOURCES

ROOT = Path(__file__).resolve().parents[1]

LIFE = """if True:
    import hashlib, sys, numba, numpy as np, dna
    from dna.cpu import threads
    from dna.saved import to_state

    threads.LITTLE = 0  # work of any size is shared out, so that small networks run what large ones do

    def life(layers, batch_size, **options):
        rng = np.random.default_rng(0)
        x, labels = rng.standard_normal((600, layers[0]), np.float32), rng.integers(0, 3, 600)
        net = dna.Network(layers, init="glorot", device="cpu", seed=3, deterministic=True, **options)
        net.fit(x, labels, epochs=4, batch_size=batch_size, optimizer=dna.Adam(0.01), progress=False,
                extinction=dna.Extinction(split=0.2, delete=0.1, jitter=0.2, every=1, patience=0, min_delta=10.0))
        assert len(net.fossils) == 2
        outputs = net.forward(x[:7])
        losses = [np.array(net.history.loss), outputs, net.backward(outputs)]
        return b"".join(array.tobytes() for array in [*to_state(net).arrays.values(), *losses])

    LIVES = {
        "gather": lambda: life([20, 60, 3], 290, cell="tanh", activation="sigmoid"),
        "few": lambda: life([20, 60, 3], 300, dtype="float64"),
        "dense": lambda: life([50, 3], 600),
    }
    whole = b"".join(LIVES[name]() for name in sys.argv[1:])
    print(numba.get_num_threads(), hashlib.sha256(whole).hexdigest())
"""


def live(threads: int, *names: str, cache: Path | None = None) -> str:
    """Run lives in a process of its own; return the digest of the networks."""
    environment = os.environ | {"NUMBA_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    environment |= {} if cache is None else {"NUMBA_CACHE_DIR": str(cache)}
    environment.pop("NUMBA_ENABLE_CUDASIM", None)
    ran = subprocess.run([sys.executable, "-c", LIFE, *names], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    used, digest = ran.stdout.split()
    assert int(used) == threads
    return digest


@pytest.mark.slow
def test_bits_depend_neither_on_the_cache_nor_on_threads(tmp_path: Path) -> None:
    def kernels() -> int:
        return len(list(tmp_path.rglob("*.nbc")))

    fresh, compiled = live(2, "gather", cache=tmp_path), kernels()
    assert compiled > 10
    assert live(2, "gather", cache=tmp_path) == fresh, "a process that loads kernels computes other bits than one that compiles"
    assert kernels() == compiled, "the second process compiled again"
    for threads in (1, 3):
        assert live(threads, "gather", cache=tmp_path) == fresh, f"{threads} threads compute other bits than two"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["few", "dense"])
def test_bits_of_other_plans_do_not_depend_on_threads(name: str) -> None:
    one, *more = (live(threads, name) for threads in (1, 2, 3))
    assert more == [one, one]


def test_the_cache_is_keyed_by_every_source_that_kernels_are_built_from() -> None:
    """An edit of a source that is not among them would go on running old machine code."""
    package = ROOT / "dna"
    covered = {path.relative_to(package).parts[0].removesuffix(".py") for source in SOURCES for path in package.glob(source)}
    sources = [path.read_text(encoding="utf-8") for path in (package / "cpu").glob("*.py")]
    imported = {name for source in sources for name in re.findall(r"^from dna\.(\w+)", source, re.M)}
    without_code = {"backend", "collector", "errors"}
    assert imported > without_code and imported - without_code <= covered


def test_the_same_seed_gives_the_same_bits_and_another_does_not(device: str) -> None:
    def grow(seed: int) -> dict[str, object]:
        net = dna.Network([5, 3], init="glorot", device=device, seed=seed)
        rule = dna.Extinction(split=0.3, delete=0.1, passthrough="random", jitter=0.5, every=1, patience=0, min_delta=10.0)
        labels = np.arange(9) % 3
        net.fit(batch(9, 5), labels, epochs=2, batch_size=5, optimizer=dna.SGD(0.1), extinction=rule, progress=False)
        assert len(net.fossils) == 1
        found = snapshot(net)
        return found | {"history": None}  # it holds seconds

    first = grow(1)
    assert grow(1) == first
    assert grow(2)["arrays"] != first["arrays"]


def test_a_deterministic_network_refuses_the_scatter_plan() -> None:
    net = dna.Network([5, 3], device="cpu", deterministic=True)
    before = net.compile()
    with pytest.raises(dna.DeterminismError, match=r"expected plan='gather' or 'auto' with deterministic=True"):
        net.compile("scatter")
    assert net.plan == before and net.plan.startswith("dense")
    assert "as asked" in net.compile("gather")


def test_a_saved_network_stays_deterministic(tmp_path: Path) -> None:
    dna.Network([5, 3], device="cpu", deterministic=True).save(tmp_path / "net.dna")
    with pytest.raises(dna.DeterminismError):
        dna.load(tmp_path / "net.dna", device="cpu").compile("scatter")

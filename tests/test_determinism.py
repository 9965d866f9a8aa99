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
    import hashlib, numba, numpy as np, dna
    from dna.saved import to_state

    def life(batch_size, **options):
        rng = np.random.default_rng(0)
        x, labels = rng.standard_normal((300, 20), np.float32), rng.integers(0, 3, 300)
        net = dna.Network([20, 60, 3], init="glorot", device="cpu", seed=3, deterministic=True, **options)
        net.fit(x, labels, epochs=6, batch_size=batch_size, optimizer=dna.Adam(0.01), progress=False,
                extinction=dna.Extinction(split=0.2, delete=0.1, jitter=0.2, every=2, patience=0, min_delta=10.0))
        assert len(net.fossils) == 3
        losses = [np.array(net.history.loss), net.forward(x[:7])]
        return b"".join(array.tobytes() for array in [*to_state(net).arrays.values(), *losses])

    whole = life(290, cell="tanh", activation="sigmoid") + life(50, cell="tanh", dtype="float64")
    print(numba.get_num_threads(), hashlib.sha256(whole).hexdigest())
"""


def live(cache: Path, threads: int) -> tuple[str, int]:
    """Run a life in a process of its own; return the digest of the network, and how many kernels it added to the cache."""
    before = len(list(cache.rglob("*.nbc")))
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    environment.pop("NUMBA_ENABLE_CUDASIM", None)
    ran = subprocess.run([sys.executable, "-c", LIFE], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    used, digest = ran.stdout.split()
    assert int(used) == threads
    return digest, len(list(cache.rglob("*.nbc"))) - before


@pytest.mark.slow
def test_bits_depend_neither_on_the_cache_nor_on_threads(tmp_path: Path) -> None:
    fresh, compiled = live(tmp_path, threads=2)
    assert compiled > 10
    cached, compiled = live(tmp_path, threads=2)
    assert compiled == 0, "the second process compiled again"
    assert cached == fresh, "a process that loads its kernels from the cache computes other bits than one that compiles them"
    for threads in (1, 3):
        assert live(tmp_path, threads) == (fresh, 0), f"{threads} threads compute other bits than two"


def test_the_cache_is_keyed_by_every_source_that_kernels_are_built_from() -> None:
    """An edit of a source that is not among them would go on running old machine code."""
    package = ROOT / "dna"
    covered = {path.relative_to(package).parts[0].removesuffix(".py") for source in SOURCES for path in package.glob(source)}
    sources = [path.read_text(encoding="utf-8") for path in (package / "cpu").glob("*.py")]
    imported = {name for source in sources for name in re.findall(r"^from dna\.(\w+)", source, re.M)}
    without_code = {"backend", "errors"}
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

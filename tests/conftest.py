"""What all tests share: one test body for every device, the profiles of Hypothesis, and the full MNIST.

A test that takes the fixture `device` runs once a device: on `cpu` and, where a GPU works, on `cuda` in a normal process, and
on `cudasim` in a process that was started with NUMBA_ENABLE_CUDASIM=1. Numba chooses between CUDA and its simulator when it is
imported, so one process cannot have both.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from dna.data import Dataset

SIMULATING = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
DEVICES = (
    [pytest.param("cudasim", marks=pytest.mark.cudasim)]
    if SIMULATING
    else ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
)

# The time of a first call is that of its compilation, so no example has a deadline.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "cudasim", deadline=None, derandomize=True, print_blob=True, max_examples=20, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("cudasim" if SIMULATING else "ci" if os.environ.get("CI") else "local")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("DNA_REQUIRE_TORCH") and importlib.util.find_spec("torch") is None:
        raise pytest.UsageError("DNA_REQUIRE_TORCH is set, but PyTorch is not installed")
    if SIMULATING:
        import cudasim_shim

        cudasim_shim.install()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if SIMULATING:
        import cudasim_threads

        cudasim_threads.seed(item.nodeid)  # what a test draws is not to depend on those that ran before it
    if item.get_closest_marker("cudasim") and not SIMULATING:
        pytest.skip("needs a process of its own, started with NUMBA_ENABLE_CUDASIM=1 (make simulator)")
    if item.get_closest_marker("gpu"):
        _require_gpu()


def _require_gpu() -> None:
    from dna.cuda.device import why_unavailable

    reason = why_unavailable()
    if reason is None:
        return
    if os.environ.get("DNA_REQUIRE_GPU"):
        pytest.fail(f"DNA_REQUIRE_GPU is set, but {reason}", pytrace=False)
    pytest.skip(f"needs a GPU that works: {reason}")


@pytest.fixture(scope="session", params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """The name of a device, as `dna.Network` takes it."""
    return str(request.param)


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    """The full MNIST, from the folder that $DNA_DATA names or from shared/data/mnist beside the repository."""
    from dna.data import find_mnist, load_idx_folder

    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
    folder = find_mnist(beside)
    if folder is None:
        pytest.skip(f"needs the four IDX files of MNIST, in {beside} or where DNA_DATA says")
    return load_idx_folder(folder)

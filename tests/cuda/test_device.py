"""Which device there is, and what is said where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dna.errors import DeviceError, UnknownNameError

pytest.importorskip("numba", reason="needs Numba")

from dna.cuda import device

NO_DRIVER = "\nCUDA driver library cannot be found.\nEnsure that a driver is installed.\n:\n"


@pytest.fixture(autouse=True)
def _fresh_answers() -> Iterator[None]:
    device.why_unavailable.cache_clear()
    yield
    device.why_unavailable.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, cuda: Any, *, simulated: bool = False) -> None:
    monkeypatch.setattr(device, "cuda", cuda)
    monkeypatch.setattr(device, "SIMULATED", simulated)


@pytest.mark.parametrize(
    ("cuda", "simulated", "reason"),
    [
        (None, False, "numba-cuda is not installed"),
        (SimpleNamespace(), True, "NUMBA_ENABLE_CUDASIM=1 turns CUDA into its simulator"),
        (
            SimpleNamespace(is_available=lambda: False, cuda_error=lambda: NO_DRIVER),
            False,
            "driver library cannot be found; Ensure",
        ),
        (SimpleNamespace(is_available=lambda: False, cuda_error=lambda: None), False, "compiler is missing"),
        (SimpleNamespace(is_available=lambda: True, gpus=[]), False, "reports no GPU"),
    ],
)
def test_the_reason_for_no_gpu_is_one_line(monkeypatch: pytest.MonkeyPatch, cuda: Any, simulated: bool, reason: str) -> None:
    pretend(monkeypatch, cuda, simulated=simulated)
    said = device.why_unavailable()
    assert said is not None and reason in said and "\n" not in said
    with pytest.raises(DeviceError, match=r"device 'cuda:1': expected a working GPU, but "):
        device.find_device("cuda:1")


def test_a_gpu_that_fails_at_its_first_kernel_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, SimpleNamespace(is_available=lambda: True, gpus=["gpu"]))
    monkeypatch.setattr(device, "_why_broken", lambda index: f"a first kernel fails on GPU {index}")
    assert device.why_unavailable() == "a first kernel fails on GPU 0"


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimpleNamespace(name=b"Some GPU", compute_capability=(9, 0))
    pretend(monkeypatch, SimpleNamespace(is_available=lambda: True, gpus=[gpu]))
    monkeypatch.setattr(device, "_why_broken", lambda index: None)
    assert device.find_device("cuda") == ("cuda:0", 0, "Some GPU, compute capability 9.0")
    with pytest.raises(DeviceError, match=r"device 'cuda:1': expected cuda:0 to cuda:0, as the driver reports 1 GPU"):
        device.find_device("cuda:1")


@pytest.mark.parametrize("name", ["cuda:", "cuda:x", "cuda:-1", "gpu", "cpu"])
def test_other_names_are_unknown(name: str) -> None:
    with pytest.raises(UnknownNameError):
        device.find_device(name)


def test_the_simulator_is_found_only_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "SIMULATED", False)
    with pytest.raises(DeviceError, match="expected NUMBA_ENABLE_CUDASIM=1 in the environment before Python starts"):
        device.find_device("cudasim")


@pytest.mark.cudasim
def test_the_simulator_needs_its_warps(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.cuda.simulator.kernelapi import FakeCUDAModule

    assert device.find_device("cudasim").name == "cudasim"
    monkeypatch.delattr(FakeCUDAModule, "shfl_xor_sync")
    with pytest.raises(DeviceError, match="expected warp intrinsics"):
        device.find_device("cudasim")


def test_grids_cover_the_items_up_to_the_largest() -> None:
    assert [device.blocks_for(n, 10) for n in (0, 1, 10, 11)] == [0, 1, 1, 2]
    assert device.blocks_for(10**12) == device.MOST_BLOCKS


# --- a driver that loads, and fails -----------------------------------------------------------------------------------------

DRIVERS = {
    "no device": ({"DRIVER_INIT": "100"}, "CUDA_ERROR_NO_DEVICE"),
    "too old for its module": ({"DRIVER_INIT": "803"}, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
    "gone": ({"DRIVER_INIT": "999"}, "CUDA_ERROR_UNKNOWN"),
    "an error that nobody knows": ({"DRIVER_INIT": "35"}, "the CUDA driver fails: "),
    "none in the list": ({"DRIVER_DEVICES": "0"}, "the CUDA driver reports no GPU"),
    "a device that says nothing of itself": ({"DRIVER_DEVICES": "1"}, "the CUDA driver fails: "),
}

ASK = """if True:
    import dna
    net = dna.Network([3, 2])
    print(net.device, net.forward([[1.0, 2.0, 3.0]]).tolist())
    try:
        dna.Network([3, 2], device="cuda")
    except dna.DeviceError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libcuda of ours."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("driver.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "libcuda.so.1", source, "-ldl"], check=True)
    return folder


@pytest.mark.parametrize("name", DRIVERS)
def test_half_a_driver_is_no_gpu_and_the_reason_is_one_line(driver: Path, name: str) -> None:
    """`auto` goes on with the CPU and says why in one line; `cuda` is refused at once."""
    settings, reason = DRIVERS[name]
    here = {"LD_LIBRARY_PATH": str(driver), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_ENABLE_CUDASIM"} | here | settings
    ran = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    computed, refused = ran.stdout.splitlines()
    assert computed == "cpu [[6.0, 6.0]]"
    assert refused.startswith("device 'cuda': expected a working GPU, but ") and reason in refused
    said = [line for line in ran.stderr.splitlines() if "compiling" not in line]
    assert len(said) == 1 and said[0].startswith("dna: cpu: no GPU to use, as ") and reason in said[0]
